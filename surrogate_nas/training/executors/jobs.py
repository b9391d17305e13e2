"""A training job, the interface of executors, and the code that carries out one job in whatever process it runs."""

import platform
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from surrogate_nas.architecture.cost import ChargeHeads
from surrogate_nas.architecture.given import BackboneSpec
from surrogate_nas.archive.outputs import Outputs
from surrogate_nas.archive.record import Failure, FailureKind, Proposal, Record
from surrogate_nas.datasets import stored as store
from surrogate_nas.datasets.dataset import Dataset
from surrogate_nas.datasets.splitting import split
from surrogate_nas.foundation.errors import JobError, line_of
from surrogate_nas.training import training as train
from surrogate_nas.training.checkpoint import seconds_before, write
from surrogate_nas.training.recipe import Recipe

OUT_OF_MEMORY = ("allocate memory", "CUDA error: out of memory", "STATUS_ALLOC_FAILED", "STATUS_NOT_INITIALIZED")
"""In messages of errors for want of memory: of the CPU, of CUDA, and of cuDNN's and cuBLAS's own allocations, of which
those for a handle say that it is not initialised."""
ARCHITECTURE = "architecture"
"""Metadata key of trained weights: the encoding of their architecture."""
TIME_TO_STOP = 20.0
"""Seconds past its time limit after which a training that has not stopped by itself is ended."""


@dataclass(frozen=True, slots=True)
class DataSource:
    """Where a worker finds the study's data, and how it is split."""

    path: Path
    """The study's own copy; see `datasets.stored`."""
    seed: int
    tune_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A proposal with everything that a worker needs to carry it out."""

    proposal: Proposal
    source: DataSource
    recipe: Recipe
    device: str
    checkpoint: Path
    """Where the trained weights go, as safetensors."""
    unfinished: Path
    """Where the state between two epochs is kept; see `training.checkpoint`."""
    backbone: BackboneSpec | None = None
    """The given backbone of the space, if it has one."""
    charge_heads: ChargeHeads = "all"
    """How a loss counts MACs, if it does."""


OnProgress = Callable[[Proposal, float], None]
"""Called with a proposal and the finished share of its training."""
MayStart = Callable[[], bool]
"""Called before each training; once it returns `False`, running trainings are finished and no other starts."""


def always() -> bool:
    """Any training may start."""
    return True


class Executor(Protocol):
    """Carries out jobs and yields a record for each, in whatever order they finish.

    A training computes with one thread wherever it runs, so its result does not depend on how many run beside it.
    """

    @property
    def workers(self) -> int:
        """Trainings at a time."""

    def run(self, jobs: Iterable[Job], on_progress: OnProgress, may_start: MayStart = always) -> Iterator[Record]:
        """The record of every job that was started; a failure is a record too.

        The next job is taken when a worker is free, and not before, so that jobs may depend on records.
        """


def carry_out(job: Job, data: Dataset | None = None) -> Iterator[int | Record]:
    """Train and measure one network in this process.

    Args:
        job: what to train.
        data: the study's; read from the job's source by default.

    Yields:
        The number of finished epochs after each, and at last the record. Whatever goes wrong is in the record.

    Raises:
        OSError: if the state or the weights cannot be written.
    """
    start = time.monotonic() - seconds_before(job.unfinished)
    outputs, failure, device = None, None, None
    try:
        device = train.resolve_device(job.device)
        outputs = yield from _train_and_predict(job, device, data)
    except train.TrainingFailure as error:
        failure = Failure(error.kind, str(error))
    except MemoryError as error:
        failure = Failure("memory", str(error) or "out of memory")
    except (RuntimeError, ValueError) as error:
        failure = _failure(error)
    yield Record(job.proposal, outputs, failure, time.monotonic() - start, provenance(job, device))


def _train_and_predict(job: Job, device: torch.device, data: Dataset | None) -> Generator[int, None, Outputs]:
    data = store.load(job.source.path) if data is None else data
    splits, classes, flips = split(data, job.source.seed, job.source.tune_share), len(data.classes), data.flips
    del data  # the splits are copies
    network = train.build(job.proposal.architecture, splits, classes, job.proposal.seed, device, job.backbone)
    yield from train.epochs(
        network,
        splits.train,
        job.recipe,
        job.proposal.seed,
        flips=flips,
        charge_heads=job.charge_heads,
        unfinished=job.unfinished,
    )
    outputs = train.held_out_outputs(network, splits)
    metadata = {ARCHITECTURE: str(job.proposal.architecture)}
    write(job.checkpoint, network.state_dict(), metadata, durable=True)  # before its record is stored
    return outputs


def _failure(error: Exception) -> Failure:
    out_of_memory = any(phrase in str(error) for phrase in OUT_OF_MEMORY)
    kind: FailureKind = "memory" if out_of_memory or isinstance(error, torch.OutOfMemoryError) else "error"
    return Failure(kind, line_of(error))


def provenance(job: Job, device: torch.device | None = None) -> dict[str, str]:
    """Versions, machine and device, to explain differences between results.

    Args:
        job: the training.
        device: that it ran on, as far as the asking process knows.
    """
    gpu = {} if device is None or device.type != "cuda" else {"gpu": torch.cuda.get_device_name(device)}
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "machine": platform.machine(),
        "device": job.device if device is None else str(device),
        **gpu,
    }


def write_error(job: Job, error: OSError) -> JobError:
    """The error to raise if the files of a training cannot be written."""
    return JobError(f"training {job.proposal.id} could not be kept: {error}")
