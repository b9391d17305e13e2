"""Rows of timings in processes of their own, by this package or in turn with that of another checkout."""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

import surrogate_nas
from surrogate_nas.foundation.errors import InputError

BEFORE, NEW = "before", "new"
PACKAGE = "surrogate_nas"
PEAK = "peak MiB"
"""Figure of the largest memory of a row's process, with the largest of its children together."""
SAMPLED_EVERY = 0.5
"""Seconds between two looks at the memory of children."""
Row = dict[str, float]
"""Seconds and MiB by name."""


def arguments_for_rows(description: str | None, cases: str) -> argparse.ArgumentParser:
    """Options that scripts with such rows share."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default=cases, help="cases with numbers of networks")
    parser.add_argument("--before", metavar="CHECKOUT", help="another checkout, to compare with")
    parser.add_argument("--repeats", type=int, default=1, help="how often each row is timed; the least counts")
    parser.add_argument("--row", action="store_true", help=argparse.SUPPRESS)
    return parser


def checkouts(before: str | None) -> dict[str, Path]:
    """Folders of the checkouts to compare, the one before first.

    Raises:
        InputError: for a folder without the package.
    """
    new = {NEW: Path(surrogate_nas.__file__).absolute().parents[1]}
    if before is None:
        return new
    if not (Path(before) / PACKAGE / "__init__.py").is_file():
        raise InputError(f"--before {before}: allowed is a checkout, which has a folder {PACKAGE}")
    return {BEFORE: Path(before).absolute(), **new}


def rows_of(folders: Mapping[str, Path], command: Sequence[str], repeats: int) -> dict[str, Row]:
    """Least figures by each checkout over the repeats, in which they take turns.

    Raises:
        RuntimeError: if a process fails.
    """
    rows: dict[str, list[Row]] = {name: [] for name in folders}
    for _ in range(repeats):
        for name, folder in folders.items():
            rows[name].append(_row(folder, command))
    return {name: {figure: min(row[figure] for row in of) for figure in of[0]} for name, of in rows.items()}


def _row(folder: Path, command: Sequence[str]) -> Row:
    whole, pipe = [sys.executable, "-W", "ignore", *command, "--row"], subprocess.PIPE
    environment, children = {**os.environ, "PYTHONPATH": str(folder)}, 0.0
    with subprocess.Popen(whole, env=environment, stdout=pipe, stderr=pipe, text=True) as process:
        while process.returncode is None:
            with suppress(subprocess.TimeoutExpired):
                output, errors = process.communicate(timeout=SAMPLED_EVERY)
            children = max(children, _mebibytes_of_children(process.pid))
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} by {folder} has failed:\n{errors[-2000:]}")
    row = dict[str, float](json.loads(output))
    return {**row, PEAK: row[PEAK] + children}


def _mebibytes_of_children(pid: int) -> float:
    """Memory of a process's children, of which each has its part of what they share."""
    total = 0
    with suppress(psutil.Error):
        for child in psutil.Process(pid).children(recursive=True):
            total += getattr(child.memory_full_info(), "pss", 0)
    return total / 2**20


def print_row(row: Row) -> None:
    """Print a row, with the peak memory of this process, for the process that started it."""
    print(json.dumps({**row, PEAK: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


@contextmanager
def timed(row: Row, name: str) -> Iterator[None]:
    """Add the seconds that a block takes, and the CPU seconds of this process and its children."""
    start, cpu = time.perf_counter(), _cpu_seconds()
    yield
    row[f"{name} s"] = time.perf_counter() - start
    row[f"{name} CPU s"] = _cpu_seconds() - cpu


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def print_head(*names: str) -> None:
    """Print the head of a table."""
    print(f"| {' | '.join(names)} |\n{'|---' * len(names)}|", flush=True)


def print_rows(names: Sequence[str], rows: Mapping[str, Row], figures: Mapping[str, str]) -> None:
    """Print a row for each checkout, and how many times as much the one before takes.

    Args:
        names: first cells.
        rows: figures by checkout.
        figures: names of the figures, with their formats.
    """
    for name, row in rows.items():
        print(f"| {' | '.join([*names, name, *(text.format(row[f]) for f, text in figures.items())])} |", flush=True)
    if BEFORE in rows:
        ratios = [f"{rows[BEFORE][f] / rows[NEW][f]:.2f}×" if rows[NEW][f] else "–" for f in figures]
        print(f"| {' | '.join([*names, 'before / new', *ratios])} |", flush=True)
