"""The part of `check_gpu.py` that uses the device, in a child of its own: facts, outputs against the CPU's, memory."""

import multiprocessing
import platform
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import deepcopy
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from torch import Tensor

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.record import Proposal
from surrogate_nas.datasets import stored as store
from surrogate_nas.datasets.splitting import split
from surrogate_nas.foundation.errors import line_of
from surrogate_nas.training import training as train
from surrogate_nas.training.executors.jobs import Job
from surrogate_nas.training.executors.processes import InProcess
from surrogate_nas.training.precision import autocast, repeatable
from surrogate_nas.training.recipe import Precision, Recipe

WARMING_UP_IMAGES, COMPARED_IMAGES = 512, 500


class BrokenOff(Exception):
    """A check that failed before there was anything to judge."""


def facts_of(device: str) -> dict[str, Any]:
    """The device and the versions."""
    torch.zeros(1, device=device)
    facts: dict[str, Any] = {
        "device": device,
        "name": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
    }
    if not device.startswith("cuda"):
        return facts
    card = torch.cuda.get_device_properties(torch.device(device))
    return facts | {
        "name": card.name,
        "memory": card.total_memory,
        "compute capability": f"{card.major}.{card.minor}",
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "bfloat16": torch.cuda.is_bf16_supported(including_emulation=False),
    }


def output_differences(
    networks: Sequence[str], data: Path, device: str, precision: Precision, perturb: float
) -> list[list[float]]:
    """For each network and each of its exits, the largest difference between logits on the device and on the CPU, as a
    share of the network's largest logit.

    Args:
        networks: their architectures.
        data: of `store.save`.
        device: where the outputs are compared.
        precision: on the device; on the CPU it is float32.
        perturb: noise on the device's weights, as a share of their deviation; above 0 the comparison has to fail.
    """
    splits, where = split(store.load(data), 0), torch.device(device)
    some = splits.train[np.arange(min(len(splits.train), WARMING_UP_IMAGES))]
    images = torch.from_numpy(splits.test.images[:COMPARED_IMAGES])
    differences = []
    for text in networks:
        network = train.build(Architecture.parse(text), splits, 10, 0, torch.device("cpu"))
        train.fit(network, some, Recipe(epochs=1), 0, flips=False)  # else all logits are alike
        twin = deepcopy(network).to(where)
        with torch.no_grad(), repeatable():
            _perturb(twin, perturb)
            here = network.eval()(images)
            with autocast(where, precision):
                there = twin.eval()(images.to(where))
        differences.append(relative_differences(here, there))
    return differences


def _perturb(network: torch.nn.Module, share: float) -> None:
    for parameter in network.parameters():
        if share and parameter.ndim > 1:
            noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)).to(parameter.device)
            parameter += share * parameter.std() * noise


def relative_differences(expected: Sequence[Tensor], measured: Sequence[Tensor]) -> list[float]:
    """The largest difference in each pair, as a share of the largest value expected in any; NaN counts as infinite."""
    scale = max(float(z.abs().max()) for z in expected)
    pairs = zip(expected, measured, strict=True)
    gaps = [float((a.float().cpu() - b.float().cpu()).abs().max()) / scale for a, b in pairs]
    return [gap if gap == gap else float("inf") for gap in gaps]


def peak_memory(job: Job) -> dict[str, int]:
    """Bytes of GPU memory that torch used and reserved at most in a training."""
    device = torch.device(job.device)
    torch.cuda.reset_peak_memory_stats(device)
    (record,) = InProcess().run([job], quiet)
    if record.failure is not None:
        raise BrokenOff(record.failure.message)
    return {"used": torch.cuda.max_memory_allocated(device), "reserved": torch.cuda.max_memory_reserved(device)}


def quiet(proposal: Proposal, share: float) -> None:
    """Ignore progress."""


class Child:
    """A process of its own that may use the device, as this one must not; it ends with the `with` block."""

    def __enter__(self) -> "Child":
        context = multiprocessing.get_context("spawn")
        self._connection, its_own = context.Pipe()
        self._process = context.Process(target=_answer, args=(its_own,), daemon=True)
        self._process.start()
        its_own.close()
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.join()
        self._connection.close()

    def ask(self, seconds: float, function: Callable[..., Any], *arguments: Any) -> Any:
        """The result of a function there.

        Raises:
            BrokenOff: with what it raised, or if the process dies or takes longer.
        """
        try:
            self._connection.send((function, arguments))
            if not self._connection.poll(seconds):
                self._process.kill()
                raise BrokenOff(f"no answer in {seconds:.0f} s")
            result, problem = self._connection.recv()
        except (EOFError, OSError):
            self._process.join()
            raise BrokenOff(f"the process ended with exit code {self._process.exitcode}") from None
        if problem:
            raise BrokenOff(problem)
        return result


def _answer(connection: Connection) -> None:
    """Call functions, until the parent kills this process or ends."""
    with suppress(EOFError):
        while True:
            function, arguments = connection.recv()
            try:
                connection.send((function(*arguments), ""))
            except Exception as error:  # whatever it is, the parent says it
                connection.send((None, line_of(error)))
