"""Carry out the trainings of a study, with progress."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn

from surrogate_nas.archive.record import Proposal, Record
from surrogate_nas.foundation.progress import console, duration, say

ENDED = ("diverged", "error")
"""Failures that a training gives again however far it had come."""


class TrainingProgress:
    """Follows a batch of trainings: a bar on a terminal, and one line for each that ends."""

    def __init__(self, total: int, done_before: int, planned: int) -> None:
        """`planned` trainings in all, of which `done_before` are done; this batch has `total`."""
        self._first, self._planned = done_before, planned
        self._share: dict[str, float] = {}
        self._ended = 0
        self._start = time.monotonic()
        self._bar = Progress(
            TextColumn("training {task.fields[running]}"),
            BarColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=total, running="", left="")

    @contextmanager
    def shown(self) -> Iterator["TrainingProgress"]:
        """Show the bar inside the block."""
        with self._bar:
            yield self

    def advance(self, proposal: Proposal, share: float) -> None:
        """That share of a training is done."""
        self._share[proposal.id] = share
        self._refresh()

    def ended(self, record: Record) -> None:
        """A training is over."""
        self._share.pop(record.id, None)
        self._ended += 1
        outcome = "trained" if record.failure is None else f"failed ({record.failure.kind}: {record.failure.message})"
        number = self._first + self._ended
        say(f"[{number}/{self._planned}] {record.id} {outcome} in {duration(record.seconds)}; {self._left()}")
        self._refresh()

    def _left(self) -> str:
        done = self._ended + sum(self._share.values())
        if done <= 0:
            return "time left unknown"
        rate = done / (time.monotonic() - self._start)
        remaining = max(self._planned - self._first - done, 0)
        return f"about {duration(remaining / rate)} of training left"

    def _refresh(self) -> None:
        done = self._ended + sum(self._share.values())
        self._bar.update(self._task, completed=done, running=" ".join(self._share), left=self._left())
