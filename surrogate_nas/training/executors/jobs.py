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
from surrogate_nas.archive.record import Failure, Proposal, Record
from surrogate_nas.datasets import stored as store
from surrogate_nas.datasets.dataset import Dataset
from surrogate_nas.datasets.splitting import split
from surrogate_nas.foundation.errors import JobError
from surrogate_nas.training import training as train
from surrogate_nas.training.checkpoint import seconds_before, write
from surrogate_nas.training.executors.deadline import BEGIN, Deadline, Progress
from surrogate_nas.training.executors.failures import failure_of
from surrogate_nas.training.recipe import Recipe

ARCHITECTURE = "architecture"
"""Metadata key of trained weights: the encoding of their architecture."""


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


class Executor(Protocol):
    """Carries out jobs and yields a record for each, in whatever order they finish.

    What the deadline stops between two epochs gives no record: its state is kept, and the same job goes on from there.
    A training computes with one thread wherever it runs, so its result does not depend on how many run beside it.
    """

    @property
    def workers(self) -> int:
        """Trainings at a time."""

    def run(self, jobs: Iterable[Job], on_progress: OnProgress, deadline: Deadline | None = None) -> Iterator[Record]:
        """The record of every job that ended before the deadline; a failure is a record too.

        The next job is taken when a worker is free, and not before, so that jobs may depend on records.
        """


def carry_out(job: Job, data: Dataset | None = None) -> Iterator[Progress | Record]:
    """Train and measure one network in this process.

    Args:
        job: what to train.
        data: the study's; read from the job's source by default.

    Yields:
        The progress when training begins and after each epoch, and at last the record. Whatever goes wrong is in the
        record.

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
    except (MemoryError, RuntimeError, ValueError) as error:
        failure = failure_of(error)
    yield Record(job.proposal, outputs, failure, time.monotonic() - start, provenance(job, device))


def _train_and_predict(job: Job, device: torch.device, data: Dataset | None) -> Generator[Progress, None, Outputs]:
    data = store.load(job.source.path) if data is None else data
    splits, classes, flips = split(data, job.source.seed, job.source.tune_share), len(data.classes), data.flips
    del data  # the splits are copies
    network = train.build(job.proposal.architecture, splits, classes, job.proposal.seed, device, job.backbone)
    epochs = train.epochs(
        network,
        splits.train,
        job.recipe,
        job.proposal.seed,
        flips=flips,
        charge_heads=job.charge_heads,
        unfinished=job.unfinished,
    )
    yield from _timed(epochs, job.recipe.epochs)
    outputs = train.held_out_outputs(network, splits)
    metadata = {ARCHITECTURE: str(job.proposal.architecture)}
    write(job.checkpoint, network.state_dict(), metadata, durable=True)  # before its record is stored
    return outputs


def _timed(epochs: Iterator[int], of: int) -> Iterator[Progress]:
    """The progress when training begins and after each epoch, or at its end if no epoch was left."""
    yield BEGIN
    done, start = 0, time.monotonic()
    for done in epochs:
        yield Progress(done, time.monotonic() - start)
        start = time.monotonic()
    if not done:
        yield Progress(of, 0.0)


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
