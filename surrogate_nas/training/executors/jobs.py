"""A training job, the interface of executors, and the code that carries out one job, in any process."""

import platform
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from surrogate_nas.architecture.cost import ChargeHeads
from surrogate_nas.architecture.given import BackboneSpec
from surrogate_nas.archive.outputs import Outputs
from surrogate_nas.archive.record import COMPUTED, PACKAGE, Failure, Proposal, Record
from surrogate_nas.datasets import stored as store
from surrogate_nas.datasets.dataset import Dataset, LabeledImages
from surrogate_nas.datasets.splitting import split
from surrogate_nas.foundation.errors import JobError
from surrogate_nas.network.network import EarlyExitNetwork
from surrogate_nas.training import training as train
from surrogate_nas.training.checkpoint import seconds_before, write
from surrogate_nas.training.executors.deadline import BEGIN, Deadline, Progress
from surrogate_nas.training.executors.failures import failure_of
from surrogate_nas.training.recipe import Recipe
from surrogate_nas.training.rungs import to_rung

ARCHITECTURE = "architecture"
"""Metadata key of trained weights: the encoding of their architecture."""


@dataclass(frozen=True, slots=True)
class DataSource:
    """Location of a study's data, and the parameters of its splits, for workers."""

    path: Path
    """File with the study's copy of the data; see `datasets.stored`."""
    seed: int
    tune_share: float
    sealed_share: float = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A proposal with everything that a worker needs to carry it out."""

    proposal: Proposal
    source: DataSource
    recipe: Recipe
    """Recipe with its time limit."""
    device: str
    checkpoint: Path
    """File for the trained weights, as safetensors."""
    unfinished: Path
    """File for the state between two epochs; see `training.checkpoint`."""
    trunk: Path | None = None
    """File for the state that the training to the next rung goes on from; `None` without a ladder."""
    top: int | None = None
    """Image passes of the ladder's top rung; `None` without a ladder."""
    backbone: BackboneSpec | None = None
    """Specification of the user's backbone, if the space has one."""
    charge_heads: ChargeHeads = "all"
    """Branches charged to a sample, if the loss depends on MACs."""


OnProgress = Callable[[Proposal, float], None]
"""Called with a proposal and the finished share of its training."""


class Executor(Protocol):
    """Executor of jobs, which yields a record for each, in the order in which they finish.

    A training that the deadline stops between two epochs gives no record: its state is kept, and the same job resumes
    from there. A training computes with one thread, wherever it runs, so that its result does not depend on the number
    of simultaneous trainings.
    """

    @property
    def workers(self) -> int:
        """Number of simultaneous trainings."""

    def run(self, jobs: Iterable[Job], on_progress: OnProgress, deadline: Deadline | None = None) -> Iterator[Record]:
        """Yield the record of every job that ends before the deadline; a failure is a record too.

        The next job is taken only when a worker is free, so that jobs may depend on earlier records.
        """


Parts = Generator[tuple[int, int], None, int | None]
"""A training, which yields the number of finished parts and of all parts after each part; the result is the number of
image passes computed, on a ladder."""


def carry_out(job: Job, data: Dataset | None = None) -> Iterator[Progress | Record]:
    """Train and measure one network in this process.

    Args:
        job: job to carry out.
        data: the study's data; by default, it is read from the job's source.

    Yields:
        The progress when training begins and after each epoch, and finally the record. An error of the training is a
        failure in the record.

    Raises:
        OSError: if the state or the weights cannot be written.
    """
    start = time.monotonic() - seconds_before(job.unfinished)
    outputs, failure, device, passes = None, None, None, None
    try:
        device = train.resolve_device(job.device)
        outputs, passes = yield from _train_and_predict(job, device, data)
    except train.TrainingFailure as error:
        failure = Failure(error.kind, str(error))
    except (MemoryError, RuntimeError, ValueError) as error:
        failure = failure_of(error)
    computed = {} if passes is None else {COMPUTED: passes}
    yield Record(job.proposal, outputs, failure, time.monotonic() - start, provenance(job, device) | computed)


def _train_and_predict(
    job: Job, device: torch.device, data: Dataset | None
) -> Generator[Progress, None, tuple[Outputs, int | None]]:
    """Train and measure; the result is the outputs and, on a ladder, the image passes computed."""
    data = store.load(job.source.path) if data is None else data
    cuts = job.source.seed, job.source.tune_share, job.source.sealed_share
    splits, classes, flips = split(data, *cuts), len(data.classes), data.flips
    del data  # the splits are copies
    network = train.build(job.proposal.architecture, splits, classes, job.proposal.seed, device, job.backbone)
    passes = yield from _timed(_parts(job, network, splits.train, flips))
    outputs = train.held_out_outputs(network, splits)
    metadata = {ARCHITECTURE: str(job.proposal.architecture)}
    write(job.checkpoint, network.state_dict(), metadata, durable=True)  # before its record is stored
    return outputs, passes


def _parts(job: Job, network: EarlyExitNetwork, data: LabeledImages, flips: bool) -> Parts:
    """Train the network of a job; see `Parts`."""
    proposal, recipe = job.proposal, job.recipe
    if proposal.passes is not None and job.top is not None:
        return (
            yield from to_rung(
                network,
                data,
                recipe,
                proposal.seed,
                proposal.passes,
                job.top,
                flips=flips,
                charge_heads=job.charge_heads,
                unfinished=job.unfinished,
                trunk=job.trunk,
            )
        )
    for done in train.epochs(
        network,
        data,
        recipe,
        proposal.seed,
        flips=flips,
        charge_heads=job.charge_heads,
        unfinished=job.unfinished,
    ):
        yield done, recipe.epochs
    return None


def _timed(parts: Parts) -> Generator[Progress, None, int | None]:
    """Yield the progress when training begins and after each part, or at its end if no part was left."""
    yield BEGIN
    any_left = False
    while True:
        start = time.monotonic()
        try:
            done, of = next(parts)
        except StopIteration as end:
            if not any_left:
                yield Progress(1, 1, 0.0)
            return None if end.value is None else int(end.value)
        any_left = True
        yield Progress(done, of, time.monotonic() - start)


def provenance(job: Job, device: torch.device | None = None) -> dict[str, Any]:
    """Versions, machine and device, to explain differences between results.

    Args:
        job: job of the training.
        device: device that it ran on; `None`, if unknown, for the one in the job.
    """
    gpu = {} if device is None or device.type != "cuda" else {"gpu": torch.cuda.get_device_name(device)}
    return {
        PACKAGE: version(PACKAGE),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "machine": platform.machine(),
        "device": job.device if device is None else str(device),
        **gpu,
    }


def write_error(job: Job, error: OSError) -> JobError:
    """Error to raise if the files of a training cannot be written."""
    return JobError(f"the files of training {job.proposal.id} cannot be written: {error}")
