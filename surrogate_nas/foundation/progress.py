"""Progress on stderr: messages, a bar, and estimates of the remaining time."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

SAY_EVERY = 5.0
console = Console(stderr=True, highlight=False, soft_wrap=True, force_jupyter=False)


def say(message: str) -> None:
    """Print one line on stderr."""
    console.print(message, markup=False)


@cache
def say_once(message: str) -> None:
    """Print one line on stderr; repeated calls with the same message print nothing."""
    say(message)


def duration(seconds: float) -> str:
    """Format a duration in seconds.

    >>> duration(42), duration(90), duration(5400), duration(180000)
    ('42 s', '1 min 30 s', '1 h 30 min', '50 h 0 min')
    """
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


@contextmanager
def every(seconds: float, action: Callable[[], None]) -> Iterator[None]:
    """Call a function every few seconds inside the block, in a thread of its own."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(seconds):
            action()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class Bar:
    """A progress bar between two texts; hidden if stderr is not a terminal."""

    def __init__(self, total: int) -> None:
        columns = TextColumn("{task.fields[before]}"), BarColumn(), TextColumn("{task.fields[after]}")
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task("", total=total, before="", after="")

    @contextmanager
    def display(self) -> Iterator[None]:
        """Show the bar inside the block."""
        with self._progress:
            yield

    def at(self, done: float, before: str, after: str) -> None:
        """Set the progress, out of `total`, and the texts before and after the bar."""
        self._progress.update(self._task, completed=done, before=before, after=after)


class Countdown:
    """Progress messages every few seconds: how many items of a known number are done, and the estimated time left."""

    def __init__(self, what: str) -> None:
        self._what, self._start = what, time.monotonic()
        self._last_line = self._start

    def at(self, done: int, of: int) -> None:
        """Report that `done` of `of` items are done."""
        now = time.monotonic()
        if now - self._last_line >= SAY_EVERY or done == of:
            self._last_line = now
            remaining = (now - self._start) / done * (of - done)
            say(f"{done:,} of {of:,} {self._what}; about {duration(remaining)} left")


class Pace:
    """Progress messages every few seconds: rows done and their rate; at the end, the total time."""

    def __init__(self, what: str) -> None:
        self._what, self._start = what, time.monotonic()
        self._last_line = self._start

    def at(self, done: int, share: float | None) -> None:
        """Report that `done` rows are done, and the share of all rows that these are, if it is known."""
        now = time.monotonic()
        if now - self._last_line >= SAY_EVERY:
            self._last_line = now
            remaining = f"; about {duration((now - self._start) * (1 / share - 1))} left" if share and share < 1 else ""
            say(f"{self._rate(done)}{remaining}")

    def end(self, done: int) -> None:
        """Report the end, with `done` rows in all."""
        say(f"{self._rate(done)}; {duration(time.monotonic() - self._start)} in all")

    def _rate(self, done: int) -> str:
        return f"{done:,} {self._what}, {done / max(time.monotonic() - self._start, 1e-9):,.0f} a second"
