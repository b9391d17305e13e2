"""Trainings on this machine: in this process, or each in a process of its own."""

import multiprocessing
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sized
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil
import torch

from surrogate_nas.archive.record import Record
from surrogate_nas.foundation.errors import InputError, JobError, first_line
from surrogate_nas.foundation.machine import amount, available_memory
from surrogate_nas.foundation.threads import one_thread
from surrogate_nas.training.devices import gpus_here, kind_of
from surrogate_nas.training.executors.deadline import Deadline
from surrogate_nas.training.executors.failures import context_is_lost
from surrogate_nas.training.executors.jobs import Job, OnProgress, carry_out, write_error
from surrogate_nas.training.executors.watch import NoRecord, Watch
from surrogate_nas.training.gpu_memory import RESIDENT_CONTEXT

WATCH_EVERY = 0.2
"""Seconds between two checks of the time and memory of running trainings."""
TIME_TO_START = 60.0
KILLED = -9
IMPORTED_BY_OPTIMIZERS = "torch._dynamo"
"""Module that the first optimiser of a process imports, which takes 2 s."""


@dataclass(frozen=True, slots=True)
class InProcess:
    """One training after the other in this process: for debugging, and where no processes can be started.

    A CUDA context that has failed ends the run with a `JobError`, after the record of that failure, since every other
    training in this process would fail too.
    """

    workers: int = 1

    def run(self, jobs: Iterable[Job], on_progress: OnProgress, deadline: Deadline | None = None) -> Iterator[Record]:
        """Yield the records of the jobs, in order."""
        waiting, deadline = iter(jobs), deadline or Deadline()
        with one_thread():
            while deadline.may_start() and (job := next(waiting, None)) is not None:
                try:
                    record = _train_here(job, on_progress, deadline)
                except OSError as error:
                    raise write_error(job, error) from None
                if record is not None:
                    yield record
                    if record.failure is not None and context_is_lost(record.failure):
                        raise JobError(
                            f"this process cannot use its GPU any more: {record.failure.message}; run the command again"
                        )


def _train_here(job: Job, on_progress: OnProgress, deadline: Deadline) -> Record | None:
    """Carry out a job in this process; returns its record, or `None` if the deadline stops it."""
    for message in carry_out(job):
        if isinstance(message, Record):
            return message
        if message.done:
            on_progress(job.proposal, message.share)
        if not deadline.may_go_on(message):
            return None
    raise AssertionError("carry_out ends with a record")


@dataclass(slots=True)
class Running:
    """A training in a process of its own."""

    watch: Watch
    process: BaseProcess
    receiver: Connection
    """Receiving end of the pipe through which the process sends messages."""
    had_company: bool
    """Whether another training has run beside it at any time."""

    @classmethod
    def start(cls, context: ForkServerContext | SpawnContext, job: Job, had_company: bool) -> "Running":
        """Start a process for a job."""
        receiver, sender = context.Pipe(duplex=False)
        process: BaseProcess = context.Process(target=_work, args=(job, sender), daemon=True)
        process.start()
        sender.close()
        return cls(Watch(job, time.monotonic()), process, receiver, had_company)

    def receive(self, on_progress: OnProgress, deadline: Deadline) -> Record | NoRecord | None:
        """Process a message: the record, or progress, after which the deadline may stop the training.

        Returns:
            Outcome of the training, a failure record if the process ended without a record; `None` if it continues.
        """
        try:
            message = self.receiver.recv()
        except (EOFError, OSError):  # it ended between two messages, or within one
            self.process.join()
            code = self.process.exitcode
            hint = "; the machine may have run out of memory" if code == KILLED else ""
            return self.watch.failure_record("crashed", f"the training process ended with exit code {code}{hint}")
        if isinstance(message, OSError):
            raise write_error(self.watch.job, message)
        if isinstance(message, Record):
            self.process.join()
            crowded = self.had_company and message.failure is not None and message.failure.kind == "memory"
            return NoRecord.AGAIN if crowded else message
        self.watch.advance(message, on_progress)
        return self.watch.end_between_epochs(deadline)

    def excess(self, max_memory: int, deadline: Deadline) -> Record | NoRecord | None:
        """Outcome of a training that exceeds the deadline, or its own limit of memory or time; `None` otherwise."""
        with suppress(psutil.Error):  # it has just ended
            memory = psutil.Process(self.process.pid).memory_info().rss
            if memory > max_memory:
                message = f"used {amount(memory)} of memory, more than its limit of {amount(max_memory)}"
                return self.watch.failure_record("memory", message)
        return self.watch.end_at_once(deadline)

    def end(self) -> None:
        """Kill the process, if it has not ended."""
        self.process.kill()
        self.process.join()
        self.receiver.close()


@dataclass(frozen=True, slots=True)
class LocalProcesses:
    """Up to `workers` trainings at a time, each in a process of its own: a process that dies is one failed record.

    A training that runs out of memory beside others is tried again with fewer at a time; alone, it is a failed record.
    """

    workers: int
    max_memory: int | None = None
    """Bytes that each training may use, beside a CUDA context; `None` divides the memory that is free at the start."""

    def run(self, jobs: Iterable[Job], on_progress: OnProgress, deadline: Deadline | None = None) -> Iterator[Record]:
        """Yield the records of the jobs as they finish; if the iteration is abandoned, running trainings are killed."""
        context, deadline, room = _context(), deadline or Deadline(), self.workers
        most = len(jobs) if isinstance(jobs, Sized) else self.workers
        share = available_memory() // max(min(self.workers, most), 1)
        waiting, again, running = iter(jobs), list[Job](), dict[Connection, Running]()
        try:
            while True:
                while len(running) < room and deadline.may_start():
                    job = again.pop() if again else next(waiting, None)
                    if job is None:
                        break
                    _start(context, job, running)
                if not running:
                    return
                for training, outcome in self._outcomes(running, share, on_progress, deadline):
                    del running[training.receiver]
                    training.end()
                    if outcome is NoRecord.AGAIN:
                        again.append(training.watch.job)
                        room = max(len(running), 1)
                    if isinstance(outcome, Record):
                        yield outcome
        finally:
            for training in running.values():
                training.end()

    def _outcomes(
        self, running: Mapping[Connection, Running], share: int, on_progress: OnProgress, deadline: Deadline
    ) -> Iterator[tuple[Running, Record | NoRecord]]:
        """Trainings that end before the next check, with their outcomes."""
        for ready in wait(list(running), timeout=WATCH_EVERY):
            assert isinstance(ready, Connection)
            outcome = running[ready].receive(on_progress, deadline)
            if outcome is not None:
                yield running[ready], outcome
        for training in list(running.values()):
            outcome = training.excess(self._memory_of(training.watch.job, share), deadline)
            if outcome is not None:
                yield training, outcome

    def _memory_of(self, job: Job, share: int) -> int:
        if self.max_memory is None:
            return share
        return self.max_memory + (RESIDENT_CONTEXT if kind_of(job.device) == "cuda" else 0)


def _start(context: ForkServerContext | SpawnContext, job: Job, running: dict[Connection, Running]) -> None:
    for other in running.values():
        other.had_company = True
    training = Running.start(context, job, had_company=bool(running))
    running[training.receiver] = training


def _context() -> ForkServerContext | SpawnContext:
    """A fork server that has imported torch once, so that processes start fast; `spawn` where there is no fork server.

    On a machine with GPUs the server does not run the user's script, which each process runs by itself: if the script
    used CUDA in the server, no process forked afterwards could use it.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    users_script = [] if gpus_here() else ["__main__"]
    context.set_forkserver_preload([*users_script, __name__, IMPORTED_BY_OPTIMIZERS])
    return context


def _work(job: Job, sender: Connection) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _be_killed_first()
    try:
        with one_thread():
            for message in carry_out(job):
                sender.send(message)
    except OSError as error:
        sender.send(error)
    except KeyboardInterrupt:
        pass  # the parent is interrupted too, and no longer reads messages
    finally:
        sender.close()


def _end_with_parent() -> None:
    """Exit with the parent process: a killed parent cannot end its trainings, and the next command runs them again."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _be_killed_first() -> None:
    """Make Linux kill this process, which is one failed record, instead of its parent when memory runs out."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("800")


def free_gpu_memory(device: str) -> int:
    """Bytes of free GPU memory, asked for in a process of its own, since that needs a CUDA context.

    Raises:
        InputError: if no process can use the device.
    """
    context = _context()
    receiver, sender = context.Pipe(duplex=False)
    process: BaseProcess = context.Process(target=_send_free_gpu_memory, args=(device, sender), daemon=True)
    process.start()
    sender.close()
    answer: int | str = "the process that uses it gives no answer"
    with suppress(EOFError):
        if receiver.poll(TIME_TO_START):
            answer = receiver.recv()
    process.kill()
    process.join()
    if isinstance(answer, str):
        raise InputError(f"device {device!r} cannot be used here: {answer}")
    return answer


def _send_free_gpu_memory(device: str, sender: Connection) -> None:
    try:
        sender.send(torch.cuda.mem_get_info(device)[0])
    except (RuntimeError, AssertionError) as error:
        sender.send(first_line(error))


def start_and_end_a_process() -> None:
    """Check that a process can be started, as every training needs; raises `JobError` if not."""
    try:
        process: BaseProcess = _context().Process(target=os.getpid, daemon=True)
        process.start()
        process.join(TIME_TO_START)
    except OSError as error:
        raise JobError(
            f"no training process can be started: {error}; use --workers 0 to train in the process of the command"
        ) from None
    if process.exitcode != 0:
        process.kill()
        raise JobError(
            f"a process started as a test ended with exit code {process.exitcode}; use --workers 0 to train in the "
            "process of the command"
        )
