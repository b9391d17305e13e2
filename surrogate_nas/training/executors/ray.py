"""Trainings on a Ray cluster, one task each.

Only the process of the command reads and writes the study: data goes out through Ray's object store, and states,
weights and records come back, so that other machines need none of the study's files.
"""

import logging
import os
import socket
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from surrogate_nas.archive.record import FailureKind, Record
from surrogate_nas.datasets import stored as store
from surrogate_nas.datasets.dataset import Dataset
from surrogate_nas.foundation.errors import InputError, line_of
from surrogate_nas.foundation.files import replaced
from surrogate_nas.foundation.machine import available_cores
from surrogate_nas.foundation.progress import say_once
from surrogate_nas.foundation.threads import one_thread
from surrogate_nas.training.executors.deadline import Deadline, Progress
from surrogate_nas.training.executors.jobs import Job, OnProgress, carry_out, write_error
from surrogate_nas.training.executors.watch import NoRecord, Watch

SECONDS_TO_ANSWER = 5.0
WATCH_EVERY = 1.0
"""Seconds between two checks for overdue trainings."""
ROUNDING = 1e-9
MOST_TRIES = 3
"""Number of workers that a training may lose before it is recorded as a failure."""


@dataclass(frozen=True, slots=True)
class WorkerStarted:
    """Message: a worker has started."""

    node: str


@dataclass(frozen=True, slots=True)
class EpochFinished:
    """Message: the progress of a training, and its state after the epoch; no state when it begins."""

    progress: Progress
    state: bytes | None


@dataclass(frozen=True, slots=True)
class TrainingFinished:
    """Message: the record of a training, with its weights and, on a ladder, the state that it goes on from."""

    record: Record
    weights: bytes | None
    trunk: bytes | None


@dataclass(slots=True)
class Trial:
    """A training that is running on a worker, or ran on one that was lost."""

    job: Job
    tries: int = 0
    node: str | None = None
    """Id of the node that it runs on, or that its last worker was lost on."""
    watch: Watch = field(init=False)
    """Clock and progress on its current worker."""

    def __post_init__(self) -> None:
        self.watch = Watch(self.job)


@dataclass(frozen=True, slots=True)
class RayCluster:
    """Trainings on the workers of a Ray cluster. One whose worker dies resumes from its last epoch on another node."""

    at_most: int | None = None
    """Number of simultaneous trainings; `None` is as many as the cluster has room for, even when it grows."""
    address: str | None = None
    """`host:port`, or `auto`; `None` is the environment's RAY_ADDRESS, else a cluster of this machine alone."""
    gpus: float | None = None
    """GPUs for each training, possibly a fraction; `None` is one if the cluster has any, else none."""
    max_memory: int | None = None
    """Bytes of memory that Ray reserves for each training."""

    @property
    def workers(self) -> int:
        """Number of simultaneous trainings.

        Raises:
            InputError: if the cluster cannot be reached, or has no room for a training.
        """
        return self.at_most or self._room(self._ray_module())

    def run(self, jobs: Iterable[Job], on_progress: OnProgress, deadline: Deadline | None = None) -> Iterator[Record]:
        """Yield the records of the jobs as they finish; if the iteration is abandoned, running trainings end."""
        ray, deadline = self._ray_module(), deadline or Deadline()
        # a worker whose CUDA context has failed would fail every other training
        task = ray.remote(max_calls=1)(_work) if self._gpus(ray) else ray.remote(_work)
        waiting, again, data, running = iter(jobs), list[Trial](), dict[Path, Any](), dict[Any, Trial]()
        try:
            while True:
                while len(running) < (self.at_most or self._room(ray)) and deadline.may_start():
                    if again:
                        trial = again.pop(0)
                    elif (job := next(waiting, None)) is not None:
                        trial = Trial(job)
                    else:
                        break
                    try:
                        running[self._start(ray, task, trial, data)] = trial
                    except (InputError, OSError) as error:  # the data or state cannot be read
                        yield trial.watch.failure_record("error", str(error))
                if not running:
                    return
                for messages, outcome in self._outcomes(ray, running, on_progress, deadline):
                    trial = running.pop(messages)
                    if isinstance(outcome, Record):
                        yield outcome
                    elif outcome is NoRecord.AGAIN:
                        again.append(trial)
        finally:
            for messages in running:
                with suppress(Exception):  # the cluster may be in any state by now
                    ray.cancel(messages, force=True)

    def _outcomes(
        self, ray: Any, running: Mapping[Any, Trial], on_progress: OnProgress, deadline: Deadline
    ) -> Iterator[tuple[Any, Record | NoRecord]]:
        """Trainings that end before the next check, with their outcomes."""
        ready, _ = ray.wait(list(running), timeout=WATCH_EVERY)
        for messages in ready:
            outcome = self._advance(ray, messages, running[messages], on_progress, deadline)
            if outcome is NoRecord.STOPPED:
                ray.cancel(messages, force=True)
            if outcome is not None:
                yield messages, outcome
        for messages, trial in list(running.items()):
            outcome = trial.watch.end_at_once(deadline)
            if outcome is not None:
                ray.cancel(messages, force=True)
                yield messages, outcome

    def _ray_module(self) -> Any:
        """Module `ray`, connected to a cluster with room for at least one training."""
        ray = connect(self.address, self.at_most)
        has, gpus = ray.cluster_resources(), self._gpus(ray)
        if self._room(ray) < 1:
            raise InputError(
                f"{gpus:g} GPUs per training do not fit into the Ray cluster, which has {has.get('GPU', 0):g} GPUs"
                f" and {has.get('CPU', 0):g} cores"
            )
        share = f"{gpus:g} of {has['GPU']:g} GPUs" if gpus else "no GPU"
        say_once(f"Ray cluster of {has.get('CPU', 0):g} cores: each training gets {share}")
        return ray

    def _gpus(self, ray: Any) -> float:
        """GPUs for each training, possibly a fraction."""
        if self.gpus is not None:
            return self.gpus
        return 1.0 if ray.cluster_resources().get("GPU", 0) else 0.0

    def _room(self, ray: Any) -> int:
        """Number of simultaneous trainings for which the cluster has cores and GPUs."""
        has, gpus = ray.cluster_resources(), self._gpus(ray)
        cores, GPUs = int(has.get("CPU", 0)), int(has.get("GPU", 0))
        if not gpus:
            return cores
        fitting = GPUs * int(1 / gpus + ROUNDING) if gpus <= 1 else GPUs / gpus  # a share lies on one GPU
        return min(cores, int(fitting))

    def _start(self, ray: Any, task: Any, trial: Trial, data: dict[Path, Any]) -> Any:
        """Start a training; returns the iterator over its worker's messages."""
        gpus, source = self._gpus(ray), trial.job.source.path
        without = "mps" if trial.job.device == "mps" else "cpu"
        job = replace(trial.job, device="cuda" if gpus else without)  # a worker sees the GPU that Ray gives it, alone
        trial.watch = Watch(job)
        if source not in data:
            data[source] = ray.put(store.load(source))
        state, trunk = _content(job.unfinished), _content(job.trunk)
        options: dict[str, Any] = {"num_returns": "streaming", "max_retries": 0, "num_cpus": 1, "num_gpus": gpus}
        if self.max_memory is not None:
            options["memory"] = self.max_memory
        if trial.node is not None:
            options["scheduling_strategy"] = _elsewhere(ray, trial.node)
        trial.tries, trial.node = trial.tries + 1, None
        return task.options(**options).remote(data[source], job, state, trunk)

    def _advance(
        self, ray: Any, messages: Any, trial: Trial, on_progress: OnProgress, deadline: Deadline
    ) -> Record | NoRecord | None:
        """Process the next message of a training.

        Returns:
            Outcome of the training, a failure record if it lost too many workers; `None` if it continues.
        """
        watch = trial.watch
        try:
            message = ray.get(next(messages))
        except StopIteration:
            return _lost(trial, watch.failure_record("crashed", "the worker ended without a record"))
        except ray.exceptions.OutOfMemoryError as error:
            return _lost(trial, watch.failure_record("memory", f"lost {trial.tries} workers: {line_of(error)}"))
        except ray.exceptions.RayError as error:
            return _lost(trial, watch.failure_record("crashed", f"lost {trial.tries} workers: {line_of(error)}"))
        try:
            match message:
                case WorkerStarted(node):
                    trial.node, watch.start = node, time.monotonic()
                case EpochFinished(progress, state):
                    if state is not None:
                        with replaced(watch.job.unfinished) as partial:
                            partial.write_bytes(state)
                    watch.advance(progress, on_progress)
                    return watch.end_between_epochs(deadline)
                case TrainingFinished(record, weights, trunk):
                    for path, content in ((watch.job.trunk, trunk), (watch.job.checkpoint, weights)):
                        if path is not None and content is not None:
                            with replaced(path, durable=True) as partial:
                                partial.write_bytes(content)
                    return _lost(trial, record)
        except OSError as error:
            raise write_error(watch.job, error) from None
        return None


LOST: tuple[FailureKind, ...] = ("crashed", "memory")
"""Kinds of failure for which the training is started again on another worker."""


def _lost(trial: Trial, record: Record) -> Record | NoRecord:
    """The record, or `AGAIN` if its failure is that of a worker, and the training may be tried on another."""
    worker_failed = record.failure is not None and record.failure.kind in LOST
    return NoRecord.AGAIN if worker_failed and trial.tries < MOST_TRIES else record


def _content(path: Path | None) -> bytes | None:
    """Content of a file; `None` if there is none."""
    return path.read_bytes() if path is not None and path.is_file() else None


def _work(
    data: Dataset, job: Job, state: bytes | None, trunk: bytes | None
) -> Iterator[WorkerStarted | EpochFinished | TrainingFinished]:
    """Carry out one job on a worker, with temporary files only."""
    import ray

    yield WorkerStarted(ray.get_runtime_context().get_node_id())
    warnings.filterwarnings("ignore", message="The given NumPy array is not writable")  # shared, and never written
    with TemporaryDirectory() as folder, one_thread():
        weights, unfinished, going_on = (Path(folder) / name for name in ("weights", "unfinished", "trunk"))
        for path, content in ((unfinished, state), (going_on, trunk)):
            if content is not None:
                path.write_bytes(content)
        here = replace(job, checkpoint=weights, unfinished=unfinished, trunk=going_on if job.trunk else None)
        for message in carry_out(here, data):
            if isinstance(message, Record):
                yield TrainingFinished(message, _content(weights), _content(here.trunk))
            else:
                yield EpochFinished(message, unfinished.read_bytes() if message.done else None)


def _elsewhere(ray: Any, node: str) -> Any:
    """Scheduling strategy that prefers another node than the given one."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    others = [n["NodeID"] for n in ray.nodes() if n["Alive"] and n["NodeID"] != node]
    return NodeAffinitySchedulingStrategy(others[0], soft=True) if others else "SPREAD"


def connect(address: str | None, workers: int | None = None) -> Any:
    """Connect to a Ray cluster, or keep the present connection; returns the module `ray`.

    Args:
        address: see `RayCluster`.
        workers: number of cores of a cluster of this machine alone; by default, all available cores.

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
        raise InputError(f"ray_address {address} is not of the form host:port; allowed: host:port, or auto")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=SECONDS_TO_ANSWER).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"no Ray cluster answers at {address}: {error}") from None
