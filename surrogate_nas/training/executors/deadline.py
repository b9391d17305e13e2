"""Time limit of a command: its trainings end in time, and unfinished ones resume later from their last epoch.

On a ladder, "epoch" stands here for a part of a training after which its state is stored, of at most an epoch.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

TIME_TO_STOP = 20.0
"""Grace period after a time limit, in seconds: a training that has not stopped by itself by then is killed."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a training since it was started or resumed."""

    done: int
    """Number of finished epochs, or of steps to a rung, including those before it was resumed; 0 when it starts or
    resumes."""
    of: int
    """Number of them in all."""
    seconds: float
    """Duration of the last epoch."""

    @property
    def share(self) -> float:
        """Finished share of the training, in [0, 1]."""
        return self.done / self.of

    @property
    def ended(self) -> bool:
        """Whether only measuring is left."""
        return self.done >= self.of


BEGIN = Progress(0, 1, 0.0)
"""A training starts or resumes."""


@dataclass(slots=True)
class Deadline:
    """Deadline of a command. One object serves all trainings of a command, and records the shortest epoch.

    An epoch begins only if it can end in time, judged by the training's last epoch; a training that has finished its
    epochs is still measured. So a command exceeds its deadline at most by a measurement, or by the difference between
    two consecutive epochs.
    """

    end: float = math.inf
    """Time on the clock at which the command should have ended."""
    clock: Callable[[], float] = time.monotonic
    """Clock, in seconds since an arbitrary moment."""
    shortest_epoch: float = 0.0
    """Seconds of the shortest epoch of any training so far; 0 before the first."""

    @classmethod
    def in_hours(cls, hours: float | None) -> "Deadline":
        """Deadline a number of hours from now; `None` for no deadline."""
        return cls() if hours is None else cls(time.monotonic() + 3600 * hours)

    @property
    def passed(self) -> bool:
        """Whether the time is over."""
        return self.clock() >= self.end

    def may_start(self) -> bool:
        """Whether another training may start, because its first epoch may end in time."""
        return self.clock() + self.shortest_epoch < self.end

    def may_go_on(self, progress: Progress) -> bool:
        """Whether a training continues, with its next epoch or with its measurement."""
        if progress.seconds:
            self.shortest_epoch = min(self.shortest_epoch or progress.seconds, progress.seconds)
        return progress.ended or self.clock() + progress.seconds < self.end

    def is_overdue(self, last: Progress | None) -> bool:
        """Whether a training should have stopped by itself, having had time for one more epoch after the deadline.

        Args:
            last: progress of the training; `None` before it begins, when nothing is lost by stopping it.
        """
        grace = 0.0 if last is None else max(last.seconds, TIME_TO_STOP)
        return self.clock() >= self.end + grace
