"""State of a training on a worker, in the process that waits for its record."""

import time
from dataclasses import dataclass
from enum import Enum, auto

from surrogate_nas.archive.record import Failure, FailureKind, Record
from surrogate_nas.training.executors.deadline import TIME_TO_STOP, Deadline, Progress
from surrogate_nas.training.executors.jobs import Job, OnProgress, provenance


class NoRecord(Enum):
    """Reason why a training ended without a record. Its state is kept, and it resumes from there."""

    STOPPED = auto()
    """Stopped by the deadline."""
    AGAIN = auto()
    """To be tried again: its worker was lost, or it ran out of memory while other trainings ran beside it."""


@dataclass(slots=True)
class Watch:
    """Clock and progress of one training. Its time limit covers training, but not waiting for a worker or measuring."""

    job: Job
    start: float | None = None
    """`time.monotonic()` when its worker started it; `None` while it waits for a worker."""
    begun: float = 0.0
    """`time.monotonic()` when its first epoch began."""
    last: Progress | None = None
    """The last message of progress; `None` before its first epoch begins."""

    @property
    def seconds(self) -> float:
        """Seconds on its worker."""
        return 0.0 if self.start is None else time.monotonic() - self.start

    def advance(self, progress: Progress, on_progress: OnProgress) -> None:
        """Process a message of progress."""
        if self.last is None:
            self.begun = time.monotonic()
        self.last = progress
        if progress.done:
            on_progress(self.job.proposal, progress.share)

    def end_between_epochs(self, deadline: Deadline) -> NoRecord | None:
        """Outcome of a training that the deadline stops after a message of progress; else `None`."""
        goes_on = self.last is None or deadline.may_go_on(self.last)
        return None if goes_on else NoRecord.STOPPED

    def end_at_once(self, deadline: Deadline) -> Record | NoRecord | None:
        """Outcome of a training that should have stopped by itself, at the deadline or its time limit; else `None`."""
        return NoRecord.STOPPED if deadline.is_overdue(self.last) else self._excess_time()

    def _excess_time(self) -> Record | None:
        limit = self.job.recipe.max_seconds
        if limit is None or self.last is None or self.last.ended:
            return None
        if time.monotonic() - self.begun <= limit + TIME_TO_STOP:
            return None
        return self.failure_record("time", f"took more than {limit:g} s (max_seconds), and did not stop by itself")

    def failure_record(self, kind: FailureKind, message: str) -> Record:
        """A failure record for a training that reports none."""
        return Record(self.job.proposal, None, Failure(kind, message), self.seconds, provenance(self.job))
