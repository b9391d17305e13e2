"""The time limit of a command: its trainings end by then, and what is not done goes on later from its last epoch."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

TIME_TO_STOP = 20.0
"""Seconds past a time limit after which a training that has not stopped by itself is ended."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a training in its present life."""

    done: int
    """Epochs finished in all; 0 when it begins, whatever it goes on from."""
    seconds: float
    """Duration of the last one."""


BEGIN = Progress(0, 0.0)


@dataclass(slots=True)
class Deadline:
    """The end of a command's time. One object serves all trainings of a command, and learns how short an epoch can be.

    An epoch begins only if it can end in time, judged by the training's last one; a training with all its epochs is
    measured. So the end is late by no more than an epoch lasts longer than the one before, or a measurement.
    """

    end: float = math.inf
    """On the clock."""
    clock: Callable[[], float] = time.monotonic
    """Seconds since some moment."""
    shortest_epoch: float = 0.0
    """Seconds of the shortest epoch of any training so far; 0 before the first."""

    @classmethod
    def in_hours(cls, hours: float | None) -> "Deadline":
        """So many hours from now; `None` is never."""
        return cls() if hours is None else cls(time.monotonic() + 3600 * hours)

    @property
    def passed(self) -> bool:
        """Whether the time is over."""
        return self.clock() >= self.end

    def may_start(self) -> bool:
        """Whether another training may start: whether its first epoch may end in time."""
        return self.clock() + self.shortest_epoch < self.end

    def may_go_on(self, progress: Progress, epochs: int) -> bool:
        """Whether a training of so many epochs goes on with its next one, or with its measurement."""
        if progress.seconds:
            self.shortest_epoch = min(self.shortest_epoch or progress.seconds, progress.seconds)
        return progress.done >= epochs or self.clock() + progress.seconds < self.end

    def is_overdue(self, last: Progress | None) -> bool:
        """Whether a training should have stopped by itself: it has had the time of one more epoch.

        Args:
            last: its progress; `None` before it begins, when nothing is lost by ending it.
        """
        grace = 0.0 if last is None else max(last.seconds, TIME_TO_STOP)
        return self.clock() >= self.end + grace
