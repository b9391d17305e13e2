"""Following of a study: copy it when it changes, make its report and surrogate, then answer from the copy.

A child process runs `surrogate-nas report` on the copy, so that no request waits for a fit. Predictions run on one
thread, one at a time.
"""

import asyncio
import shutil
import sys
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from surrogate_nas.foundation.errors import JobError, one_line
from surrogate_nas.foundation.progress import say
from surrogate_nas.serve.copies import Stamp, copy_study, stamp
from surrogate_nas.serve.snapshot import Snapshot

LOOK_EVERY = 1.0
"""Seconds between checks whether the study has changed."""
PAUSE_RATIO = 1.0
"""Pause after a report, as a multiple of the time it took: trainings need the processor too."""
Result = TypeVar("Result")


class Live:
    """A study that is followed while this asynchronous context manager is active."""

    def __init__(self, study: Path) -> None:
        """Read the present state of the study.

        Raises:
            InputError: if there is no study, or its settings are wrong.
        """
        self.study = study
        self.version, self.making, self.problem = 0, False, ""
        """Number of updates, whether one is in progress, and the error of the last attempt (empty if none)."""
        self._scratch = TemporaryDirectory(prefix="surrogate-nas-")
        self._copies, self._stamp = 0, stamp(study)
        try:
            self._home = self._copy(None)
            self.snapshot = Snapshot.of(self._home)
        except BaseException:
            self._scratch.cleanup()
            raise
        self._thread = ThreadPoolExecutor(1, "predictions")
        self._follower: asyncio.Task[None] | None = None

    def close(self) -> None:
        """Remove the copies."""
        self._thread.shutdown(cancel_futures=True)
        self._scratch.cleanup()

    async def __aenter__(self) -> "Live":
        self._follower = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._follower is not None
        self._follower.cancel()
        with suppress(asyncio.CancelledError):
            await self._follower

    async def ask(self, question: Callable[[Snapshot], Result]) -> Result:
        """Answer a question from the current snapshot, on the prediction thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: question(self.snapshot))

    # ------------------------------------------------------------------ following

    async def _follow(self) -> None:
        await self._try(self._make(self._home))  # the first copy has no report yet
        while True:
            await asyncio.sleep(LOOK_EVERY)
            now = await asyncio.to_thread(stamp, self.study)
            if now != self._stamp:
                began = time.monotonic()
                await self._try(self._renew(now))
                await asyncio.sleep(PAUSE_RATIO * (time.monotonic() - began))

    async def _try(self, work: Coroutine[None, None, None]) -> None:
        self.making = True
        try:
            await work
            self.problem = ""
        except Exception as error:  # after any error, the previous snapshot is served
            self._fail(one_line(error))
        finally:
            self.making = False

    def _fail(self, line: str) -> None:
        if line != self.problem:
            say(f"warning: {line}")
        self.problem = line

    async def _renew(self, now: Stamp) -> None:
        """Read the present state of the study; the old snapshot stays in use until the new one is complete."""
        before = self._home
        home = await asyncio.to_thread(self._copy, before)
        self._stamp, self._home = now, home
        try:
            await self._make(home)
        finally:
            shutil.rmtree(before, ignore_errors=True)

    async def _make(self, home: Path) -> None:
        """Make the report and surrogate of a copy, then answer from it."""
        await _report(home)
        self.snapshot = await asyncio.to_thread(Snapshot.of, home)
        self.version += 1

    def _copy(self, before: Path | None) -> Path:
        self._copies += 1
        home = Path(self._scratch.name) / str(self._copies)
        try:
            copy_study(self.study, home, before)
        except BaseException:
            shutil.rmtree(home, ignore_errors=True)
            raise
        return home


async def _report(home: Path) -> None:
    """Run `surrogate-nas report`; raises `JobError` with its last line on stderr if it fails."""
    command = (sys.executable, "-m", "surrogate_nas", "report", str(home))
    quiet, pipe = asyncio.subprocess.DEVNULL, asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        *command, stdin=quiet, stdout=quiet, stderr=pipe, start_new_session=True
    )
    try:
        _, stderr = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode:
        last = stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise JobError(f"the report failed: {last[0].removeprefix('error: ') if last else 'no reason given'}")
