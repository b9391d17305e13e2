"""Progress on stderr: what is running, how far it is, how long still."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from surrogate_nas.record import Proposal, Record

SAY_EVERY = 5.0
console = Console(stderr=True, highlight=False, soft_wrap=True)


def say(message: str) -> None:
    """One line on stderr."""
    console.print(message, markup=False)


def duration(seconds: float) -> str:
    """For people.

    >>> duration(42), duration(90), duration(5400), duration(180000)
    ('42 s', '1 min 30 s', '1 h 30 min', '50 h 0 min')
    """
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


class Countdown:
    """Says every few seconds how much of something is done."""

    def __init__(self, what: str) -> None:
        self._what, self._start = what, time.monotonic()
        self._said = self._start

    def at(self, done: int, of: int) -> None:
        """So many of so many are done."""
        now = time.monotonic()
        if now - self._said >= SAY_EVERY or done == of:
            self._said = now
            left = (now - self._start) / done * (of - done)
            say(f"{done:,} of {of:,} {self._what}; about {duration(left)} left")


class Pace:
    """Says every few seconds how many rows are done and how fast, and at the end how long all of them took."""

    def __init__(self, what: str) -> None:
        self._what, self._start = what, time.monotonic()
        self._said = self._start

    def at(self, done: int, share: float | None) -> None:
        """So many are done, which is that share of all, if it is known."""
        now = time.monotonic()
        if now - self._said >= SAY_EVERY:
            self._said = now
            left = f"; about {duration((now - self._start) * (1 / share - 1))} left" if share and share < 1 else ""
            say(f"{self._rate(done)}{left}")

    def end(self, done: int) -> None:
        """All are done."""
        say(f"{self._rate(done)}; {duration(time.monotonic() - self._start)} in all")

    def _rate(self, done: int) -> str:
        return f"{done:,} {self._what}, {done / max(time.monotonic() - self._start, 1e-9):,.0f} a second"


class TrainingProgress:
    """Follows a batch of trainings: a bar on a terminal, and one line for each that ends."""

    def __init__(self, total: int, done_before: int, planned: int) -> None:
        """`planned` trainings in all, of which `done_before` are done; this batch has `total`."""
        self._first, self._planned = done_before, planned
        self._share: dict[str, float] = {}
        self._ended = 0
        self._start = time.monotonic()
        self._bar = Progress(
            TextColumn("training {task.fields[running]}"), BarColumn(), TextColumn("{task.fields[left]}"),
            console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
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
