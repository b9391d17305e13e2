"""Whether a run by time ends in time: alone, beside a process that takes one core, and killed five times.

    python scripts/studies/time_kept.py FOLDER --time 10m --data digits --max-macs 60k
    python scripts/studies/time_kept.py FOLDER --time 30m --beside --data fashion-mnist --data-root DIR --max-macs 2M
    python scripts/studies/time_kept.py FOLDER --time 10m --kills 5 --data digits --max-macs 60k

Further options go to `surrogate-nas run`. Printed are the seconds from the start of the command to its end, as a
share of the time it was given; of a killed one, the sum over its lives, and what each kill lost.
"""

import argparse
import multiprocessing
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from surrogate_nas import Study
from surrogate_nas.archive.record import STUDIED
from surrogate_nas.foundation.numerals import seconds as seconds_of

LEAST = 20.0
"""Seconds of the shortest life of a killed command."""


def busy() -> None:
    """Take a core."""
    while True:
        sum(range(10_000))


def decisions(study: Path) -> dict[str, object]:
    """The decisions that are stored, by their ids."""
    with Study.open(study) as opened:
        proposals = [p for group in STUDIED for p in opened.archive.proposals(group)]
        return {p.id: (p.round, p.rank, p.passes, str(p.prediction)) for p in proposals}


def records(study: Path) -> set[str]:
    """Ids of the trainings that have ended."""
    with Study.open(study) as opened:
        return {r.id for r in opened.archive.studied()}


def lives(words: list[str], study: Path, given: str, kills: int, seed: int) -> float:
    """Run a command, which is killed some times at random moments; returns the seconds of all lives."""
    rng, total, known, ended = random.Random(seed), float(str(seconds_of(given))), dict[str, object](), set[str]()
    spent = 0.0
    for life in range(kills + 1):
        start = time.monotonic()
        process = subprocess.Popen([*words, *(["--time", given] if life == 0 else [])], stderr=subprocess.DEVNULL)
        if life < kills:
            time.sleep(rng.uniform(LEAST, 2 * total / (kills + 1) - LEAST))
            process.send_signal(signal.SIGKILL)
        process.wait()
        spent += time.monotonic() - start
        now, done = decisions(study), records(study)
        if not (known.items() <= now.items() and ended <= done):
            raise SystemExit(f"life {life + 1} lost decisions or records")
        print(f"life {life + 1}: {len(now)} decisions, {len(done)} trainings, {spent:.0f} s", flush=True)
        known, ended = now, done
        if life == kills and process.returncode:
            raise SystemExit(f"the command ended with {process.returncode}")
    return spent


def main() -> None:
    """Run one case, and print its share of the time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--time", required=True)
    parser.add_argument("--beside", action="store_true", help="beside a process that takes one core")
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    arguments, options = parser.parse_known_args()
    if arguments.folder.exists():
        raise SystemExit(f"{arguments.folder} exists; allowed: a folder that does not")
    other = multiprocessing.Process(target=busy, daemon=True)
    if arguments.beside:
        other.start()
    words = [sys.executable, "-m", "surrogate_nas", "run", str(arguments.folder), *options]
    spent = lives(words, arguments.folder, arguments.time, arguments.kills, arguments.seed)
    if arguments.beside:
        other.kill()
    given = float(str(seconds_of(arguments.time)))
    print(f"{spent:.1f} s of {given:.0f} s: {100 * spent / given:.1f} %")


if __name__ == "__main__":
    main()
