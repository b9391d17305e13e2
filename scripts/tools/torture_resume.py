"""Kill a study twenty times at random moments, continue it each time, and compare it with one that ran in peace.

    python scripts/tools/torture_resume.py FOLDER [--kills 20] [--seed 0] [--strategy bayesian]

Both studies have the same settings and seed. Each life of the disturbed one is ended by SIGKILL, so that nothing can be
tidied up. In the end the two must have the same records with the same outputs, byte for byte the same front, and a
sound archive; and no process may be left of any life.
"""

import argparse
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil

from surrogate_nas import Archive

SETTINGS = [
    "--data",
    "digits",
    "--space",
    "tiny",
    "--budget",
    "20",
    "--initial",
    "12",
    "--batch",
    "4",
    "--epochs",
    "40",
    "--max-macs",
    "200e3",
    "--surrogate",
    "gp",
    "--workers",
    "2",
]
TIME_TO_VANISH = 10.0
LIVES_PER_RUN = 25
"""An undisturbed run lasts so many times the mean life of a disturbed one, start-up not counted."""


def start(study: Path, strategy: str) -> subprocess.Popen[bytes]:
    """The command, in its own process."""
    command = [sys.executable, "-m", "surrogate_nas", "run", str(study), *SETTINGS, "--strategy", strategy]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process that is not killed."""
    _, stderr = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"the command ended with {process.returncode}: {stderr.decode()[-500:]}")


def kill(process: subprocess.Popen[bytes]) -> int:
    """End a life without warning; returns how many trainings died with it. None may survive it."""
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    _, alive = psutil.wait_procs(family, timeout=TIME_TO_VANISH)
    if alive:
        raise SystemExit(f"{len(alive)} processes outlived the command that was killed")
    return len(family)


def torment(study: Path, strategy: str, kills: int, longest: float, rng: random.Random) -> int:
    """Kill and continue; returns how many lives were ended before the study was done."""
    done = 0
    while done < kills:
        process, life = start(study, strategy), rng.uniform(0, longest)
        try:
            process.wait(timeout=life)
        except subprocess.TimeoutExpired:
            processes = kill(process)
            done += 1
            print(f"killed {done}/{kills} after {life:.1f} s, with {processes} processes; {state(study)}", flush=True)
            continue
        finish(process)
        print(f"the study was done after {done} kills")
        return done
    finish(start(study, strategy))
    return done


def state(study: Path) -> str:
    """Progress of the study."""
    if not (study / "archive.sqlite").is_file():
        return "no archive yet"
    archive = Archive.open(study / "archive.sqlite")
    unfinished = len(list((study / "checkpoints").glob("*.unfinished")))
    text = f"{len(archive.records())} records, {len(archive.pending())} pending, {unfinished} between two epochs"
    problems = archive.problems()
    archive.close()
    if problems:
        raise SystemExit(f"the archive is not sound: {problems}")
    return text


def differences(peaceful: Path, disturbed: Path) -> list[str]:
    """Differences between the two studies, one per entry."""
    one, other = (Archive.open(study / "archive.sqlite") for study in (peaceful, disturbed))
    problems = [f"{study.path}: {problem}" for study in (one, other) for problem in study.problems()]
    expected, actual = ({r.id: r for r in archive.records(outputs=True)} for archive in (one, other))
    if list(expected) != list(actual):
        problems.append(f"records {list(expected)} and {list(actual)}")
    for id in expected.keys() & actual.keys():
        for a, b in zip(expected[id].outputs.arrays().items(), actual[id].outputs.arrays().items(), strict=True):
            if a[0] != b[0] or not np.array_equal(a[1], b[1]):
                problems.append(f"outputs {a[0]} of {id}")
    if (peaceful / "front.csv").read_bytes() != (disturbed / "front.csv").read_bytes():
        problems.append("the fronts")
    return problems


def main() -> None:
    """Run both studies and compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--strategy", default="bayesian")
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    peaceful, disturbed = options.folder / "peaceful", options.folder / "disturbed"

    begun = time.monotonic()
    finish(start(peaceful, options.strategy))
    whole = time.monotonic() - begun
    again = time.monotonic()
    finish(start(peaceful, options.strategy))  # with nothing left to do: start-up and the report alone
    start_up = time.monotonic() - again
    print(f"undisturbed: {whole:.0f} s, of which start-up and report {start_up:.0f} s; {state(peaceful)}", flush=True)

    longest = start_up + 2 * (whole - start_up) / LIVES_PER_RUN
    kills = torment(disturbed, options.strategy, options.kills, longest, random.Random(options.seed))
    problems = differences(peaceful, disturbed)
    print("\n".join(problems) or f"{kills} kills: the same records, the same outputs, the same front; archive sound")
    if problems or kills < options.kills:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
