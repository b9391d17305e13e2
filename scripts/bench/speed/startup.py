"""How long commands take to start, against importing the libraries that they cannot do without.

    python scripts/bench/speed/startup.py STUDY

Each command and what it is compared with run in turn, in processes of their own, so that both see the same machine. A
first round is not counted: it compiles the package and fits the surrogate, should it not be stored.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from surrogate_nas import Archive
from surrogate_nas.study.paths import ARCHIVE


@dataclass(frozen=True)
class Case:
    """A command, and the imports that it is compared with."""

    words: Sequence[str]
    imports: str
    most: str
    """The required limit, as printed."""

    @property
    def command(self) -> list[str]:
        """Command line of the case."""
        return [sys.executable, "-m", "surrogate_nas", *self.words]

    @property
    def bare(self) -> list[str]:
        """Command line that only does the imports."""
        return [sys.executable, "-c", f"import {self.imports}"]


def cases(study: Path) -> list[Case]:
    """The timed cases: a listing, and a query of one architecture."""
    encoding = str(Archive.open(study / ARCHIVE).records()[0].architecture)
    return [
        Case(["archive", "list", str(study)], "typer, rich, pydantic, numpy", "at most 0.4 s more"),
        Case(["query", str(study), "--encoding", encoding], "torch, botorch", "at most twice as long"),
    ]


def seconds(command: Sequence[str], environment: dict[str, str]) -> float:
    """Wall time of a process that has to succeed."""
    start = time.perf_counter()
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def time_case(case: Case, runs: int, environment: dict[str, str]) -> None:
    """Print minimum and median over the runs."""
    rounds = [(seconds(case.bare, environment), seconds(case.command, environment)) for _ in range(runs + 1)][1:]
    for name, of in (("minimum", min), ("median", statistics.median)):
        bare, whole = (of(column) for column in zip(*rounds, strict=True))
        print(
            f"{name:>9}: {case.words[0]} {whole:.2f} s, import {case.imports} {bare:.2f} s: "
            f"{whole - bare:+.2f} s, {whole / bare:.2f} times as long ({case.most})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="with at least eight trained networks")
    parser.add_argument("--runs", type=int, default=7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as compiled:
        settings = {"PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}  # as of an installed package
        for case in cases(arguments.study):
            time_case(case, arguments.runs, {**os.environ, **settings})


if __name__ == "__main__":
    main()
