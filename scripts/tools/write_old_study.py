"""Write the small study that later versions have to open: `tests/data/study-0.1.0`, and beside it what it holds.

    python scripts/tools/write_old_study.py tests/data/study-0.1.0

It was run once, by version 0.1.0, and says how the study came to be; another version would write another study. There
is some of everything in it: trainings of the initial sample and of the search, one that failed, one that was killed
between two epochs and one that had not begun, finals, baselines, a stored fit, and an exported network.
"""

import argparse
import json
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xgboost
from safetensors import safe_open
from threadpoolctl import threadpool_info

from surrogate_nas import Archive, OperatingPoint, Recipe, Study, datasets
from surrogate_nas.datasets import Dataset

IMAGES = 220
LIMITS = {"max_macs": 40e3, "max_params": 1900, "min_accuracy": 0.4}
SETTINGS: dict[str, Any] = {
    "budget": 11,
    "initial": 8,
    "batch": 2,
    "surrogate": "gp",
    "workers": 0,
    "device": "cpu",
    "limits": LIMITS,
    "recipe": {"epochs": 5, "batch_size": 16},
}
FULL, SEEDS = Recipe(epochs=8, batch_size=16), 2
LATER_BUDGET = 13
TOO_SHORT = 1e-3
"""Seconds, in which no training ends."""
POINT = OperatingPoint((0.13, 0.15))
LEFT_BEHIND = (".lock", ".lock-holder")
"""By a command that was killed; they say nothing of the study."""
CHECKPOINTS = "checkpoints"


def command(*words: object) -> list[str]:
    """The command line, as a process of its own."""
    return [sys.executable, "-m", "surrogate_nas", *map(str, words)]


def some_digits() -> Dataset:
    """The first images, in memory: so no path of a machine is in the study."""
    whole = datasets.load("digits")
    return Dataset(f"digits-{IMAGES}", whole.train[np.arange(IMAGES)], None, whole.classes, flips=False)


def search(path: Path) -> Study:
    """A sample, a training that fails because it takes longer than it may, and a round of the search."""
    study = Study.create(path, data=some_digits(), space="tiny", seed=13, **SETTINGS)
    study.collect(SETTINGS["initial"])
    study.folder.update({"recipe": {"max_seconds": TOO_SHORT}})
    study.collect(1)
    study.folder.update({"recipe": {"max_seconds": None}})
    study.search()
    study.fit()
    return study


def use(study: Study) -> None:
    """Finals of the most accurate network, baselines without their weights, which are large, and the cheapest network
    exported."""
    cheapest, *_, best = [s.record.id for s in study.front()]
    study.finalize([best], seeds=SEEDS, recipe=FULL)
    for record in study.train_baselines():
        (study.path / CHECKPOINTS / f"{record.id}.safetensors").unlink()
    subprocess.run(command("export", study.path, cheapest, "--tiers", 3), check=True)


def interrupt(path: Path) -> None:
    """Kill the next round of the search as soon as a training has kept the state after an epoch."""
    process = subprocess.Popen(command("search", path, "--budget", LATER_BUDGET))
    while not list((path / CHECKPOINTS).glob("*.unfinished")) and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for name in LEFT_BEHIND:
        (path / name).unlink(missing_ok=True)
    archive = Archive.open(path / "archive.sqlite")
    if len(archive.pending()) != LATER_BUDGET - SETTINGS["budget"]:
        raise SystemExit("the training was not interrupted; try again")
    archive.close()  # which folds SQLite's log into the file


def held(study: Study) -> dict[str, Any]:
    """Values that later versions must read there."""
    archive = study.folder.archive
    failed = [{"id": r.id, **asdict(r.failure)} for r in archive.records() if r.failure is not None]
    return {
        "written by": {
            "surrogate-nas": version("surrogate-nas"),
            "torch": torch.__version__,
            "xgboost": xgboost.__version__,
            "numpy": np.__version__,
            "processor": processor(),
        },
        "records": {group: [r.id for r in archive.records(group)] for group in ("search", "baseline", "final")},
        "pending": [p.id for p in archive.pending()],
        "unfinished": unfinished(study.path),
        "failed": failed,
        "predictions": {p.id: p.prediction for p in archive.proposals() if p.prediction is not None},
        "weights": sorted(path.stem for path in (study.path / CHECKPOINTS).glob("*.safetensors")),
        "front": front(study),
        "hypervolume": study.hypervolume(),
        "finals": finals(study),
        "queries": queries(study),
    }


def unfinished(path: Path) -> dict[str, Any]:
    """The training that was killed, and how many epochs it had come."""
    (state,) = (path / CHECKPOINTS).glob("*.unfinished")
    with safe_open(state, framework="pt") as file:
        return {"id": state.stem, "epochs": int(file.metadata()["epochs"])}


def processor() -> str:
    """For which kind the linear algebra beneath NumPy is compiled; the last bits of a fit's targets differ by it."""
    return " ".join(sorted({str(lib.get("architecture")) for lib in threadpool_info() if lib["user_api"] == "blas"}))


def front(study: Study) -> list[dict[str, Any]]:
    """Its solutions."""
    return [
        {
            "id": s.record.id,
            "thresholds": s.operating_point.thresholds,
            "accuracy": s.tune.accuracy,
            "expected_macs": s.tune.expected_macs,
            "test_accuracy": s.test.accuracy,
            "test_expected_macs": s.test.expected_macs,
        }
        for s in study.front()
    ]


def finals(study: Study) -> list[dict[str, Any]]:
    """Accuracy and cost of networks at full fidelity."""
    return [
        {
            "encoding": str(f.architecture),
            "best": f.best.record.id,
            "tune_accuracy": f.tune_accuracy,
            "test_accuracy": f.test_accuracy,
            "test_interval": f.test_interval,
        }
        for f in study.finals()
    ]


def queries(study: Study) -> list[dict[str, Any]]:
    """Predictions of one network that was trained and of one that was not, at fixed thresholds."""
    known = study.front()[-1].record.architecture
    new = study.folder.space.sample(1, np.random.default_rng(0))[0]
    return [asdict(answer) for answer in study.query([known, new], POINT)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="new folder")
    path = parser.parse_args().study
    study = search(path)
    use(study)
    study.folder.archive.close()
    interrupt(path)
    study = Study.open(path)
    path.with_name(f"{path.name}.json").write_text(json.dumps(held(study), indent=1) + "\n", encoding="utf-8")
    study.folder.archive.close()


if __name__ == "__main__":
    main()
