"""The search by time against a search and `finalize`, in real trainings: both side by side, one core each.

    python scripts/studies/by_time.py FOLDER --before CHECKOUT --data-root DIR --data fashion-mnist --choose --seeds 100
    python scripts/studies/by_time.py FOLDER --before CHECKOUT --data-root DIR --data fashion-mnist --share 0.4
        --seeds 0 1 2
    python scripts/studies/by_time.py FOLDER --report

Both arms have the same limit, seed and wall time, and one core each, which they swap from seed to seed; nothing else
may run. `time` is `run --time --goal accuracy` of this checkout, whose ladder follows from the time. `before` is the
search of an older checkout (`--before`, a worktree) at the first rung of `--ladder` for a share of the time; then its
networks are trained to the top one after the other, the most accurate on tune within the limit first, until the time is
spent. With `--choose` shares of it are compared on tune, 0.4, 0.6 and 0.8 unless `--share` names one: one search is
copied at each. The most accurate network on tune of the highest rung that was reached, within the limit, is measured on
test. A line of `FOLDER/by-time.jsonl` is one arm.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

ROOT = Path(__file__).parents[2]
SHARES = (0.4, 0.6, 0.8)
CONFIDENCE = 0.9
LEDGER = "by-time.jsonl"
BEST = 3
"""Networks of each rung whose accuracies on tune are kept, the best first."""
FEWEST_SECONDS = 30.0
"""Seconds below which nothing more is begun."""


# ---------------------------------------------------------------------- one arm, in a process of its own


def train_on(study: Path, seconds: float) -> None:
    """Train the networks of a search to the top, the most accurate on tune within the limits first."""
    from surrogate_nas import Study

    ends = time.monotonic() + seconds
    with Study.open(study) as opened:
        for _, network, _ in sorted(accuracies(opened, opened.records()), reverse=True):
            left = ends - time.monotonic()
            if left < FEWEST_SECONDS:
                return
            opened.update(max_hours=left / 3600)
            opened.finalize([network], seeds=1)


def measured(study: Path) -> dict[str, Any]:
    """The most accurate network on tune within the limits, of the highest rung that was reached."""
    from surrogate_nas import Study

    with Study.open(study) as opened:
        front = opened.front()
        trained = [r for r in opened.archive.studied() if r.failure is None]
        counts = [sum(r.proposal.passes == p for r in trained) for p in rungs(opened)]
        if not front:
            return {"tune": None, "test": None, "networks": counts}
        tunes = sorted(accuracies(opened, trained), reverse=True)
        best = front[-1]
        return {
            "network": best.id,
            "passes": best.record.proposal.passes,
            "tune": best.tune.accuracy,
            "test": best.test.accuracy,
            "macs": best.test.expected_macs,
            "networks": counts,
            "best": [[a for a, _, passes in tunes if passes == p][:BEST] for p in rungs(opened)],
        }


def accuracies(study: Any, records: Sequence[Any]) -> list[tuple[float, str, int]]:
    """Best accuracy on tune within the limits, id and image passes of each network that can keep them."""
    return [
        (float(accuracy.max()), record.id, record.proposal.passes)
        for record, exits in study.solutions.views.trained(records)
        if len(accuracy := exits.within(study.settings.limits).accuracy)
    ]


def rungs(study: Any) -> Sequence[int]:
    """Image passes of a study's ladder."""
    passes: Sequence[int] = study.archive.header.ladder.rungs
    return passes


# ---------------------------------------------------------------------- both arms


def command(arguments: argparse.Namespace, study: Path, seed: int) -> list[str]:
    """The command that both arms begin with."""
    return [
        *(sys.executable, "-m", "surrogate_nas", "run", str(study), "--data", arguments.data, "--space", "compact"),
        *("--data-root", str(arguments.data_root), "--max-macs", str(arguments.max_macs)),
        *("--seed", str(seed), "--workers", "1", "--keep", "none"),
    ]


def start(words: Sequence[str], checkout: Path, core: int, log: Path) -> subprocess.Popen[bytes]:
    """Start a process on one core, with the package of a checkout."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    with log.open("ab") as file:
        return subprocess.Popen(
            words,
            cwd=checkout,
            env=environment,
            stdout=file,
            stderr=file,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )


def this_script(*words: str) -> list[str]:
    """The command that runs a part of this script."""
    return [sys.executable, str(Path(__file__).resolve()), *words]


def searching(arguments: argparse.Namespace, study: Path, seed: int, seconds: float) -> list[str]:
    """The command that searches at the first rung, or goes on, for some seconds."""
    limits = ["--ladder", arguments.ladder, "--budget", "400", "--rung", "1", "--max-hours", str(seconds / 3600)]
    return command(arguments, study, seed) + limits


def seconds_used(begun: os.times_result) -> float:
    """Processor seconds of children that have ended since then."""
    now = os.times()
    return now.children_user + now.children_system - begun.children_user - begun.children_system


def pair(arguments: argparse.Namespace, seed: int, core: int) -> list[dict[str, Any]]:
    """Both arms of a seed, `time` on the core and `before` on the other."""
    seconds, folder = 60.0 * arguments.minutes, arguments.folder
    names = {arm: folder / f"{arguments.data}-{seed}-{arm}" for arm in ("time", "before")}
    begun = time.monotonic()
    words = [*command(arguments, names["time"], seed), "--time", str(seconds), "--goal", "accuracy"]
    ours = start(words, ROOT, core, names["time"].with_suffix(".log"))
    log = names["before"].with_suffix(".log")
    theirs = start(
        searching(arguments, names["before"], seed, arguments.share * seconds), arguments.before, 1 - core, log
    )
    theirs.wait()
    left = seconds - (time.monotonic() - begun)
    theirs = start(
        this_script(str(folder), "--finish", str(names["before"]), str(left)), arguments.before, 1 - core, log
    )
    walls = {}
    for arm, process in (("time", ours), ("before", theirs)):
        process.wait()
        walls[arm] = time.monotonic() - begun
        if process.returncode:
            raise SystemExit(f"{arm} of seed {seed} ended with {process.returncode}; see {names[arm]}.log")
    return [
        {
            "data": arguments.data,
            "seed": seed,
            "arm": arm,
            "core": core if arm == "time" else 1 - core,
            "minutes": arguments.minutes,
            "share": arguments.share if arm == "before" else None,
            "ladder": arguments.ladder if arm == "before" else None,
            "wall": round(walls[arm], 1),
            **measured(path),
        }
        for arm, path in names.items()
    ]


def choose(arguments: argparse.Namespace, seed: int, core: int) -> list[dict[str, Any]]:
    """The arm `before` at each share: one search, which is copied where its front is to be trained to the top."""
    seconds, lines, spent = 60.0 * arguments.minutes, list[dict[str, Any]](), 0.0
    search = arguments.folder / f"{arguments.data}-{seed}-search"
    log = search.with_suffix(".log")
    for share in (arguments.share,) if arguments.share else SHARES:
        begun = time.monotonic()
        start(searching(arguments, search, seed, share * seconds - spent), arguments.before, core, log).wait()
        spent += time.monotonic() - begun
        copy = arguments.folder / f"{arguments.data}-{seed}-share-{share:g}"
        shutil.copytree(search, copy)
        left = str(seconds - spent)
        start(this_script(str(arguments.folder), "--finish", str(copy), left), arguments.before, core, log).wait()
        told = {"data": arguments.data, "seed": seed, "arm": "choice", "share": share, "ladder": arguments.ladder}
        lines.append({**told, **measured(copy)})
    return lines


# ---------------------------------------------------------------------- report


def report(lines: Sequence[dict[str, Any]]) -> None:
    """Print every arm, and the paired difference of test accuracies."""
    print(
        "| data | seed | arm | share | networks at each rung | tune | test | MACs on test | wall, s |\n"
        + "|---" * 9
        + "|"
    )
    for line in lines:
        cells = [
            line["data"],
            line["seed"],
            line["arm"],
            line.get("share") or "",
            ", ".join(map(str, line["networks"])),
        ]
        figures = [f"{100 * line[k]:.2f} %" if line.get(k) else "" for k in ("tune", "test")]
        macs = f"{line['macs']:,.0f}" if line.get("macs") else ""
        print("| " + " | ".join(map(str, [*cells, *figures, macs, line.get("wall", "")])) + " |")
    differences: dict[str, list[float]] = {}
    for line in lines:
        other = next(
            (o for o in lines if o["arm"] == "before" and all(o[k] == line[k] for k in ("data", "seed"))), None
        )
        if line["arm"] == "time" and other is not None:
            differences.setdefault(line["data"], []).append(100 * (line["test"] - other["test"]))
    values = np.array([d for of in differences.values() for d in of])
    for name, of in differences.items():
        print(f"{name}: `time` minus `before` on test {np.mean(of):+.2f} points, n = {len(of)}")
    if len(values) > 1:
        reach = student.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
        print(
            f"all: {values.mean():+.2f} [{values.mean() - reach:+.2f}, {values.mean() + reach:+.2f}], n = {len(values)}"
        )


def main() -> None:
    """Run what the ledger lacks, then report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--before", type=Path, help="checkout of the older version")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=45)
    parser.add_argument("--max-macs", type=float, default=2e6)
    parser.add_argument("--ladder", help="image passes of the rungs of `before`, such as 50k,150k,450k")
    parser.add_argument("--share", type=float)
    parser.add_argument("--core", type=int, default=0, help="core of --choose, and of `time` with the first seed")
    parser.add_argument("--choose", action="store_true")
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--finish", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.finish:
        train_on(Path(arguments.finish[0]), float(arguments.finish[1]))
        return
    ledger = arguments.folder / LEDGER
    lines = [json.loads(line) for line in ledger.read_text().splitlines()] if ledger.is_file() else []
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for place, seed in enumerate([] if arguments.report else arguments.seeds):
        arms = {"choice"} if arguments.choose else {"time"}
        if any(x["data"] == arguments.data and x["seed"] == seed and x["arm"] in arms for x in lines):
            continue
        core = arguments.core if arguments.choose else (arguments.core + place) % 2
        new = (choose if arguments.choose else pair)(arguments, seed, core)
        with ledger.open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in new)
        lines += new
    report(lines)


if __name__ == "__main__":
    main()
