"""Progress on stderr: what is running, how far it is, how long still."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

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


class Bar:
    """A bar between two texts; nothing where stderr is no terminal."""

    def __init__(self, total: int) -> None:
        columns = TextColumn("{task.fields[before]}"), BarColumn(), TextColumn("{task.fields[after]}")
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task("", total=total, before="", after="")

    @contextmanager
    def display(self) -> Iterator[None]:
        """Show it inside the block."""
        with self._progress:
            yield

    def at(self, done: float, before: str, after: str) -> None:
        """So much is done."""
        self._progress.update(self._task, completed=done, before=before, after=after)


class Countdown:
    """Says every few seconds how much of something is done."""

    def __init__(self, what: str) -> None:
        self._what, self._start = what, time.monotonic()
        self._last_line = self._start

    def at(self, done: int, of: int) -> None:
        """So many of so many are done."""
        now = time.monotonic()
        if now - self._last_line >= SAY_EVERY or done == of:
            self._last_line = now
            remaining = (now - self._start) / done * (of - done)
            say(f"{done:,} of {of:,} {self._what}; about {duration(remaining)} left")


class Pace:
    """Says every few seconds how many rows are done and how fast, and at the end how long all of them took."""

    def __init__(self, what: str) -> None:
        self._what, self._start = what, time.monotonic()
        self._last_line = self._start

    def at(self, done: int, share: float | None) -> None:
        """So many are done, which is that share of all, if it is known."""
        now = time.monotonic()
        if now - self._last_line >= SAY_EVERY:
            self._last_line = now
            remaining = f"; about {duration((now - self._start) * (1 / share - 1))} left" if share and share < 1 else ""
            say(f"{self._rate(done)}{remaining}")

    def end(self, done: int) -> None:
        """All are done."""
        say(f"{self._rate(done)}; {duration(time.monotonic() - self._start)} in all")

    def _rate(self, done: int) -> str:
        return f"{done:,} {self._what}, {done / max(time.monotonic() - self._start, 1e-9):,.0f} a second"
