"""Trainings on a Ray cluster, one task each.

The study stays with whoever started the command: data goes out through Ray's object store, and states, weights and
records come back, so nothing is written but by this process, and other machines need none of the study's files.
"""

import logging
import os
import socket
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from surrogate_nas.archive.record import Failure, FailureKind, Record
from surrogate_nas.datasets import stored as store
from surrogate_nas.datasets.dataset import Dataset
from surrogate_nas.foundation.errors import InputError, line_of
from surrogate_nas.foundation.files import replaced
from surrogate_nas.foundation.machine import available_cores
from surrogate_nas.foundation.threads import one_thread
from surrogate_nas.training.executors.jobs import (
    TIME_TO_STOP,
    Job,
    MayStart,
    OnProgress,
    always,
    carry_out,
    provenance,
    write_error,
)

SECONDS_TO_ANSWER = 5.0
WATCH_EVERY = 1.0
"""Seconds between two checks for overdue trainings."""
ROUNDING = 1e-9
MOST_TRIES = 3
"""Workers that a training may lose before it is a failure."""


@dataclass(frozen=True, slots=True)
class WorkerStarted:
    """Message: a worker has started."""

    node: str


@dataclass(frozen=True, slots=True)
class EpochFinished:
    """Message: the state of a training after an epoch."""

    done: int
    state: bytes


@dataclass(frozen=True, slots=True)
class TrainingFinished:
    """Message: the record of a training, and its weights as safetensors, if any."""

    record: Record
    weights: bytes | None


@dataclass
class Trial:
    """A training that is running on a worker, or ran on one that was lost."""

    job: Job
    tries: int = 0
    node: str | None = None
    start: float = 0.0

    @property
    def overdue(self) -> bool:
        """Whether the training exceeds its time limit and did not stop by itself."""
        limit = self.job.recipe.max_seconds
        return limit is not None and time.monotonic() - self.start > limit + TIME_TO_STOP

    def failure_record(self, kind: FailureKind, message: str) -> Record:
        """A failure record for a training that reports none."""
        failure = Failure(kind, message)
        return Record(self.job.proposal, None, failure, time.monotonic() - self.start, provenance(self.job))


@dataclass(frozen=True, slots=True)
class RayCluster:
    """Trainings on the workers of a Ray cluster. One whose worker dies goes on from its last epoch on another node."""

    at_most: int | None = None
    """Trainings at a time; `None` is as many as the cluster has room for, also when it grows."""
    address: str | None = None
    """`host:port`, or `auto`; `None` is what the environment says, else a cluster of this machine alone."""
    gpus: float = 0.0
    """Share of a GPU for each training."""
    max_memory: int | None = None
    """Bytes that Ray sets aside for each training."""

    @property
    def workers(self) -> int:
        """Trainings at a time.

        Raises:
            InputError: if there is no such cluster, or it has room for none.
        """
        return self.at_most or self._room(self._ray_module())

    def run(self, jobs: Iterable[Job], on_progress: OnProgress, may_start: MayStart = always) -> Iterator[Record]:
        """The records of the jobs, as they finish. Running trainings end when the iteration is abandoned."""
        ray = self._ray_module()
        task, data = ray.remote(_work), dict[Path, Any]()
        waiting, to_retry, running, more = iter(jobs), list[Trial](), dict[Any, Trial](), True
        try:
            while more or to_retry or running:
                while (more or to_retry) and len(running) < (self.at_most or self._room(ray)):
                    if to_retry:
                        trial = to_retry.pop(0)
                    elif may_start() and (job := next(waiting, None)) is not None:
                        trial = Trial(job)
                    else:
                        more = False
                        continue
                    try:
                        running[self._start(ray, task, trial, data)] = trial
                    except (InputError, OSError) as error:  # no data there
                        yield trial.failure_record("error", str(error))
                ready, _ = ray.wait(list(running), timeout=WATCH_EVERY) if running else ([], [])
                for messages in ready:
                    record = self._advance(ray, messages, running[messages], on_progress)
                    if record is not None:
                        trial = running.pop(messages)
                        if record.failure is None or record.failure.kind not in LOST or trial.tries >= MOST_TRIES:
                            yield record
                        else:
                            to_retry.append(trial)
                for messages, trial in list(running.items()):
                    if trial.overdue:
                        del running[messages]
                        ray.cancel(messages, force=True)
                        yield trial.failure_record("time", "it took longer than it may, and did not stop by itself")
        finally:
            for messages in running:
                with suppress(Exception):  # whatever the cluster is in by now
                    ray.cancel(messages, force=True)

    def _ray_module(self) -> Any:
        """The module `ray`, connected to a cluster with room for at least one training."""
        ray = connect(self.address, self.at_most)
        if self._room(ray) < 1:
            has = ray.cluster_resources()
            raise InputError(
                f"{self.gpus:g} GPUs per training do not fit into the Ray cluster, which has {has.get('GPU', 0):g} GPUs"
                f" and {has.get('CPU', 0):g} cores"
            )
        return ray

    def _room(self, ray: Any) -> int:
        """Trainings that the cluster has cores and GPUs for."""
        has = ray.cluster_resources()
        cores = int(has.get("CPU", 0))
        if not self.gpus:
            return cores
        GPUs = int(has.get("GPU", 0))
        fitting = (
            GPUs * int(1 / self.gpus + ROUNDING) if self.gpus <= 1 else GPUs / self.gpus
        )  # a share lies on one GPU
        return min(cores, int(fitting))

    def _start(self, ray: Any, task: Any, trial: Trial, data: dict[Path, Any]) -> Any:
        """Start a training; returns the iterator of its worker's messages."""
        job = trial.job
        if job.source.path not in data:
            data[job.source.path] = ray.put(store.load(job.source.path))
        state = job.unfinished.read_bytes() if job.unfinished.is_file() else None
        options: dict[str, Any] = {"num_returns": "streaming", "max_retries": 0, "num_cpus": 1, "num_gpus": self.gpus}
        if self.max_memory is not None:
            options["memory"] = self.max_memory
        if trial.node is not None:
            options["scheduling_strategy"] = _elsewhere(ray, trial.node)
        trial.tries, trial.node, trial.start = trial.tries + 1, None, time.monotonic()
        return task.options(**options).remote(data[job.source.path], job, state)

    def _advance(self, ray: Any, messages: Any, trial: Trial, on_progress: OnProgress) -> Record | None:
        """Take the next message of a training; returns its record if this is the last one, or a failure record if the
        worker was lost."""
        job = trial.job
        try:
            message = ray.get(next(messages))
        except StopIteration:
            return trial.failure_record("crashed", "the worker ended without a record")
        except ray.exceptions.OutOfMemoryError as error:
            return trial.failure_record("memory", f"lost {trial.tries} workers: {line_of(error)}")
        except ray.exceptions.RayError as error:
            return trial.failure_record("crashed", f"lost {trial.tries} workers: {line_of(error)}")
        try:
            match message:
                case WorkerStarted(node):
                    trial.node, trial.start = node, time.monotonic()
                case EpochFinished(done, state):
                    with replaced(job.unfinished) as partial:
                        partial.write_bytes(state)
                    on_progress(job.proposal, done / job.recipe.epochs)
                case TrainingFinished(record, weights):
                    if weights is not None:
                        with replaced(job.checkpoint, durable=True) as partial:
                            partial.write_bytes(weights)
                    return record
        except OSError as error:
            raise write_error(job, error) from None
        return None


LOST: tuple[FailureKind, ...] = ("crashed", "memory")
"""Kinds of failure for which the training is started again on another worker."""


def _work(data: Dataset, job: Job, state: bytes | None) -> Iterator[WorkerStarted | EpochFinished | TrainingFinished]:
    """Carry out one job on a worker, with temporary files only."""
    import ray

    yield WorkerStarted(ray.get_runtime_context().get_node_id())
    warnings.filterwarnings("ignore", message="The given NumPy array is not writable")  # shared, and never written
    with TemporaryDirectory() as folder, one_thread():
        weights, unfinished = Path(folder) / "weights.safetensors", Path(folder) / "state.unfinished"
        if state is not None:
            unfinished.write_bytes(state)
        for message in carry_out(replace(job, checkpoint=weights, unfinished=unfinished), data):
            if isinstance(message, Record):
                yield TrainingFinished(message, weights.read_bytes() if weights.is_file() else None)
            else:
                yield EpochFinished(message, unfinished.read_bytes())


def _elsewhere(ray: Any, node: str) -> Any:
    """Scheduling strategy for another node than this one, if there is one."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    others = [n["NodeID"] for n in ray.nodes() if n["Alive"] and n["NodeID"] != node]
    return NodeAffinitySchedulingStrategy(others[0], soft=True) if others else "SPREAD"


def connect(address: str | None, workers: int | None = None) -> Any:
    """The module `ray`, connected to a cluster: the current one, if it is connected already.

    Args:
        address: see `RayCluster`.
        workers: cores of a cluster of this machine alone; those that there are by default.

    Raises:
        InputError: if Ray is not installed or no cluster answers.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise InputError("executor ray needs Ray; install it with pip install 'surrogate-nas[ray]'") from None
    if ray.is_initialized():
        return ray
    own = address is None and not os.environ.get("RAY_ADDRESS")
    _require_an_answer(address or os.environ.get("RAY_ADDRESS"))
    options: dict[str, Any] = {"address": "local", "num_cpus": workers or available_cores(), "include_dashboard": False}
    try:
        ray.init(**(options if own else {"address": address}), log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where = "on this machine cannot be started" if own else f"at {address} cannot be used"
        raise InputError(f"a Ray cluster {where}: {line_of(error)}") from None
    return ray


def _require_an_answer(address: str | None) -> None:
    if address in (None, "auto", "local"):
        return
    host, _, port = str(address).rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        raise InputError(f"ray_address {address} is not of the form host:port; allowed: that, or auto")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=SECONDS_TO_ANSWER).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"no Ray cluster answers at {address}: {error}") from None
