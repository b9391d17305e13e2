"""Figures of the same draws by two checkouts of the package: processes that measure, lines of JSON that keep what was
measured, and intervals of paired differences.

A script measures in processes of its own, each of which imports the package of one checkout, with one thread each. A
line names the draw and the source that measured it, so that a run goes on where it was stopped, files of several
machines may be concatenated, and a changed source is measured anew.
"""

import hashlib
import json
import os
import queue
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import IO, Any, NamedTuple

import numpy as np

import surrogate_nas
from surrogate_nas.foundation.arrays import Floats
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.progress import Countdown
from surrogate_nas.foundation.threads import one_thread

BEFORE, NEW = "before", "new"
PACKAGE = "surrogate_nas"
ROOMS = ("foundation", "architecture", "exits", "space", "archive", "settings.py", "surrogates", "search")
"""Parts of the package that decide the figures."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
CONFIDENCE = 0.9
RESAMPLES = 4_000
Line = dict[str, Any]
"""Values of one draw, by name."""


# ---------------------------------------------------------------------- checkouts


def this_checkout() -> Path:
    """Folder of the package that this process imports."""
    return Path(surrogate_nas.__file__).absolute().parents[1]


def checkouts(before: str | None) -> dict[str, Path]:
    """Folders of the checkouts to compare, the one before first.

    Raises:
        InputError: for a folder without the package.
    """
    if before is None:
        return {NEW: this_checkout()}
    if not (Path(before) / PACKAGE / "__init__.py").is_file():
        raise InputError(f"--before {before}: allowed is a checkout, which has a folder {PACKAGE}")
    return {BEFORE: Path(before).absolute(), NEW: this_checkout()}


def source_of(checkout: Path) -> str:
    """Twelve hexadecimal digits of the source that decides the figures."""
    digest = hashlib.sha256()
    for room in ROOMS:
        path = checkout / PACKAGE / room
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            digest.update(str(file.relative_to(checkout)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


# ---------------------------------------------------------------------- processes


@dataclass(frozen=True)
class Worker:
    """A process of the script that imports the package of one checkout, and measures one draw after the other."""

    process: "subprocess.Popen[str]"
    errors: IO[str]
    """File of its stderr."""

    @classmethod
    @contextmanager
    def of(cls, checkout: Path, arguments: Sequence[str]) -> Iterator["Worker"]:
        """Start a worker by the script and its arguments, and end it."""
        command = [sys.executable, "-W", "ignore", *arguments, "--worker"]
        environment = {**os.environ, **dict.fromkeys(THREADS, "1"), "PYTHONPATH": str(checkout)}
        pipe = subprocess.PIPE
        with (
            tempfile.TemporaryFile("w+") as errors,
            subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=errors, text=True) as process,
        ):
            worker = cls(process, errors)
            try:
                if (imported := worker._answer()) != str(checkout):
                    raise InputError(f"a process imports {PACKAGE} of {imported}, not of {checkout}")
                yield worker
            finally:
                process.kill()

    def figures(self, draw: Line) -> Any:
        """Measure one draw."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(draw) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        text = self.process.stdout.readline()
        if not text:
            self.errors.seek(0)
            raise RuntimeError(f"a process that measures has ended:\n{self.errors.read()[-2000:]}")
        return json.loads(text)


def serve(figures: Callable[[Line], Any]) -> None:
    """Measure the draws on standard input until it ends: the other side of `Worker`."""
    answers, sys.stdout = sys.stdout, sys.stderr
    with one_thread():
        print(json.dumps(str(this_checkout())), file=answers, flush=True)
        for text in sys.stdin:
            print(json.dumps(figures(json.loads(text))), file=answers, flush=True)


# ---------------------------------------------------------------------- lines


@dataclass
class Ledger:
    """Figures by draw and source, kept in an append-only file of JSON lines, or in memory alone."""

    path: Path | None = None
    _figures: dict[str, Any] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    @classmethod
    def open(cls, path: str | None) -> "Ledger":
        """Read what a file has.

        Raises:
            InputError: for a file that is something else.
        """
        ledger = cls(None if path is None else Path(path))
        if ledger.path is not None and ledger.path.exists():
            try:
                for text in ledger.path.read_text(encoding="utf-8").splitlines():
                    line = json.loads(text)
                    ledger._figures[_key(line)] = line["figures"]
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                raise InputError(f"--json {path} is not a file of this script: {error!r}") from None
        return ledger

    def get(self, source: str, draw: Line) -> Any:
        """Figures of a draw by a source; `None` if there are none."""
        return self._figures.get(_key({"source": source, **draw}))

    def add(self, source: str, draw: Line, figures: Any) -> None:
        """Keep figures of a draw by a source."""
        line = {"source": source, **draw, "figures": figures}
        with self._lock:
            self._figures[_key(line)] = figures
            if self.path is not None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")


def _key(line: Line) -> str:
    return json.dumps({name: value for name, value in line.items() if name != "figures"}, sort_keys=True)


def measured(
    draws: Sequence[Line], folders: Mapping[str, Path], arguments: Sequence[str], ledger: Ledger, jobs: int
) -> dict[str, list[Any]]:
    """Figures of each draw by each checkout, in the order of the draws; those that the ledger lacks are measured.

    Args:
        draws: names and values of each draw; equal draws have equal figures.
        folders: checkouts by name.
        arguments: the script and its arguments, with which it starts a worker.
        ledger: figures so far, to which new ones are added.
        jobs: number of processes that measure at a time.
    """
    sources = {name: source_of(folder) for name, folder in folders.items()}
    waiting = queue.SimpleQueue[tuple[str, Line]]()
    for draw in draws:
        for source, name in {source: name for name, source in sources.items()}.items():  # equal sources measure once
            if ledger.get(source, draw) is None:
                waiting.put((name, draw))
    total, countdown = waiting.qsize(), Countdown("fits")

    def lane() -> None:
        with ExitStack() as stack:
            workers = dict[str, Worker]()
            for name, draw in _taken(waiting):
                if name not in workers:
                    workers[name] = stack.enter_context(Worker.of(folders[name], arguments))
                ledger.add(sources[name], draw, workers[name].figures(draw))
                countdown.at(max(total - waiting.qsize() - jobs + 1, 1), total)

    with ThreadPoolExecutor(jobs) as pool:
        lanes = [pool.submit(lane) for _ in range(jobs)]
    for ended in lanes:
        ended.result()
    return {name: [ledger.get(source, draw) for draw in draws] for name, source in sources.items()}


def _taken(waiting: "queue.SimpleQueue[tuple[str, Line]]") -> Iterator[tuple[str, Line]]:
    while True:
        try:
            yield waiting.get_nowait()
        except queue.Empty:
            return


# ---------------------------------------------------------------------- intervals


class Interval(NamedTuple):
    """A statistic with its 90 % bootstrap interval over draws."""

    value: float
    low: float
    high: float


def ratio_of_medians(new: Floats, before: Floats) -> Interval:
    """Median over (S,) draws by the new code, divided by that before; draws are resampled in pairs."""
    return _interval(lambda rows: np.median(new[rows], axis=-1) / np.median(before[rows], axis=-1), len(new))


def mean_difference(new: Floats, before: Floats) -> Interval:
    """Mean over (S,) draws of the difference, new minus before."""
    return _interval(lambda rows: (new - before)[rows].mean(axis=-1), len(new))


def _interval(statistic: Callable[[Any], Floats], draws: int) -> Interval:
    resampled = statistic(np.random.default_rng(0).integers(draws, size=(RESAMPLES, draws)))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Interval(float(statistic(np.arange(draws))), float(low), float(high))
