"""Trainings on this machine: in this process, or each in a process of its own."""

import multiprocessing
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil

from surrogate_nas.archive.record import Failure, FailureKind, Record
from surrogate_nas.foundation.errors import JobError
from surrogate_nas.foundation.machine import amount, available_memory
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

WATCH_EVERY = 0.2
"""Seconds between two checks of the time and memory of running trainings."""
TIME_TO_START = 60.0
KILLED = -9
IMPORTED_BY_OPTIMIZERS = "torch._dynamo"
"""Module that the first optimiser of a process imports, which takes 2 s."""


@dataclass(frozen=True, slots=True)
class InProcess:
    """One training after the other in this process: for debugging, and where processes cannot be had."""

    workers: int = 1

    def run(self, jobs: Iterable[Job], on_progress: OnProgress, may_start: MayStart = always) -> Iterator[Record]:
        """The records of the jobs, in order."""
        waiting = iter(jobs)
        with one_thread():
            while may_start() and (job := next(waiting, None)) is not None:
                try:
                    for message in carry_out(job):
                        if isinstance(message, Record):
                            yield message
                        else:
                            on_progress(job.proposal, message / job.recipe.epochs)
                except OSError as error:
                    raise write_error(job, error) from None


@dataclass(frozen=True, slots=True)
class Running:
    """A training in a process of its own."""

    job: Job
    process: BaseProcess
    start: float

    @property
    def seconds(self) -> float:
        """Seconds since the training was started."""
        return time.monotonic() - self.start

    def failure_record(self, kind: FailureKind, message: str) -> Record:
        """A failure record for a training that reports none."""
        return Record(self.job.proposal, None, Failure(kind, message), self.seconds, provenance(self.job))

    def excess(self, max_memory: int) -> Record | None:
        """A failure record if the training exceeds its time or memory limit, else `None`."""
        limit = self.job.recipe.max_seconds
        if limit is not None and self.seconds > limit + TIME_TO_STOP:
            return self.failure_record("time", f"more than {limit:g} s, and it did not stop by itself")
        with suppress(psutil.Error):  # it has just ended
            memory = psutil.Process(self.process.pid).memory_info().rss
            if memory > max_memory:
                return self.failure_record(
                    "memory", f"used {amount(memory)}, more than the {amount(max_memory)} it may"
                )
        return None

    def kill(self) -> None:
        """End the process at once."""
        self.process.kill()
        self.process.join()


@dataclass(frozen=True, slots=True)
class LocalProcesses:
    """Up to `workers` trainings at a time, each in a process of its own: one that dies is one failed record."""

    workers: int
    max_memory: int | None = None
    """Bytes that each training may use; `None` shares out what is free when the first one starts."""

    def run(self, jobs: Iterable[Job], on_progress: OnProgress, may_start: MayStart = always) -> Iterator[Record]:
        """The records of the jobs, as they finish. Running trainings end when the iteration is abandoned."""
        context = _context()
        most = len(jobs) if isinstance(jobs, Sized) else self.workers
        max_memory = self.max_memory or available_memory() // max(min(self.workers, most), 1)
        waiting, running, more = iter(jobs), dict[Connection, Running](), True
        try:
            while more or running:
                while more and len(running) < self.workers:
                    job = next(waiting, None) if may_start() else None
                    if more := job is not None:
                        receiver, training = _start(context, job)
                        running[receiver] = training
                for ready in wait(list(running), timeout=WATCH_EVERY) if running else ():
                    assert isinstance(ready, Connection)
                    record = _receive(ready, running[ready], on_progress)
                    if record is not None:
                        running.pop(ready).process.join()
                        ready.close()
                        yield record
                for receiver, training in list(running.items()):
                    record = training.excess(max_memory)
                    if record is not None:
                        training.kill()
                        del running[receiver]
                        receiver.close()
                        yield record
        finally:
            for training in running.values():
                training.kill()


def _start(context: ForkServerContext | SpawnContext, job: Job) -> tuple[Connection, Running]:
    receiver, sender = context.Pipe(duplex=False)
    process: BaseProcess = context.Process(target=_work, args=(job, sender), daemon=True)
    process.start()
    sender.close()
    return receiver, Running(job, process, time.monotonic())


def _context() -> ForkServerContext | SpawnContext:
    """A fork server that has imported torch once, so that a process starts at once; elsewhere plain `spawn`."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", __name__, IMPORTED_BY_OPTIMIZERS])
    return context


def _work(job: Job, sender: Connection) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _offer_to_the_kernel()
    try:
        with one_thread():
            for message in carry_out(job):
                sender.send(message)
    except OSError as error:
        sender.send(error)
    except KeyboardInterrupt:
        pass  # the parent, interrupted too, has nobody left to tell
    finally:
        sender.close()


def _end_with_parent() -> None:
    """Exit with the parent process: if killed, it cannot end its trainings, and the next command runs them again."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _offer_to_the_kernel() -> None:
    """Where memory runs out, Linux ends this process, which is one failed record, and not the parent."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("800")


def _receive(ready: Connection, running: Running, on_progress: OnProgress) -> Record | None:
    """The record if the message is one, or a failure record if the process ended without one; `None` for progress."""
    try:
        message = ready.recv()
    except (EOFError, OSError):  # it ended between two messages, or within one
        running.process.join()
        code = running.process.exitcode
        hint = ", as when the machine has no memory left" if code == KILLED else ""
        return running.failure_record("crashed", f"the training process ended with exit code {code}{hint}")
    if isinstance(message, OSError):
        raise write_error(running.job, message)
    if isinstance(message, Record):
        return message
    on_progress(running.job.proposal, message / running.job.recipe.epochs)
    return None


def start_and_end_a_process() -> None:
    """Check that a process can be started, as every training needs; raises `JobError` if not."""
    try:
        process: BaseProcess = _context().Process(target=os.getpid, daemon=True)
        process.start()
        process.join(TIME_TO_START)
    except OSError as error:
        raise JobError(f"no process can be started: {error}; train in this one with --workers 0") from None
    if process.exitcode != 0:
        process.kill()
        raise JobError(f"a process ended with exit code {process.exitcode}; train in this one with --workers 0")
