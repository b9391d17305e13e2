"""Write lock of a study: one command at a time may change it; reading needs no lock."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from surrogate_nas.foundation.errors import InputError, JobError
from surrogate_nas.foundation.progress import say

LOCK, HOLDER = ".lock", ".lock-holder"


def holder_of(folder: Path) -> str | None:
    """The command that holds the lock of a study: its process, name and start; `None` if none does."""
    with suppress(OSError):
        text = (folder / HOLDER).read_text(encoding="utf-8")
        return text if _is_running(text) else None
    return None


def _is_running(text: str) -> bool:
    """Whether the process that a holder's text names is there; what a killed one left does not count."""
    number = text.removeprefix("process ").partition(",")[0]
    return number.isdigit() and psutil.pid_exists(int(number))


class StudyLock:
    """Write lock of a study. The operating system releases it when the process ends, even if it is killed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = FileLock(folder / LOCK)

    @contextmanager
    def hold(self, *, wait: bool = False) -> Iterator[None]:
        """Hold the lock inside the block. Blocks may be nested.

        Args:
            wait: whether to wait until the lock is free.

        Raises:
            InputError: if another process holds it and `wait` is false; the message names the process.
            JobError: if the folder is not writable.
        """
        try:
            self._acquire(wait)
        except OSError as error:
            raise JobError(f"study {self._folder} cannot be changed: {error.strerror or error}") from None
        try:
            yield
        finally:
            if self._lock.lock_counter == 1:
                with suppress(OSError):
                    (self._folder / HOLDER).unlink()
            self._lock.release()

    def _acquire(self, wait: bool) -> None:
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            busy = f"another command is working on study {self._folder} ({self._holder()})"
            if not wait:
                raise InputError(f"{busy}; try again when it has ended, or add --wait to wait for it") from None
            say(f"{busy}; waiting for it to end")
            self._lock.acquire(timeout=-1)
        if self._lock.lock_counter == 1:
            since, command = f"{datetime.now():%Y-%m-%d %H:%M}", " ".join(sys.argv[1:2])
            try:
                (self._folder / HOLDER).write_text(f"process {os.getpid()}, {command} since {since}", encoding="utf-8")
            except OSError:
                self._lock.release()
                raise

    def _holder(self) -> str:
        try:
            return (self._folder / HOLDER).read_text(encoding="utf-8")
        except OSError:
            return "which has just started or ended"
