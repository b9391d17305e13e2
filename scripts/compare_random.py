"""The search against as many random networks, on the same data, from the same initial sample, over several seeds.

Both arms choose on tune; both fronts are then compared on test, by the hypervolume of (accuracy, log₁₀ expected MACs)
within the limits. Studies are kept in a folder and continued, so an interrupted comparison loses little.
"""

import argparse
import json
from pathlib import Path
from statistics import mean, stdev

import numpy as np

from surrogate_nas import Study
from surrogate_nas.search.front import Front


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", type=int, default=32)
    parser.add_argument("--initial", type=int, default=20)
    parser.add_argument("--max-macs", type=float, default=200e3)
    parser.add_argument("--min-accuracy", type=float, default=0.9)
    arguments = parser.parse_args()
    rows = [compare(arguments, seed) for seed in range(arguments.seeds)]
    for row in rows:
        print(json.dumps(row))
    for split in ("tune", "test"):
        gains = [row[f"search_{split}"] / row[f"random_{split}"] - 1 for row in rows]
        spread = f" ± {stdev(gains):.1%} (sd over {len(gains)} seeds)" if len(gains) > 1 else ""
        won = sum(gain > 0 for gain in gains)
        print(f"{split}: hypervolume of search over random {mean(gains):+.1%}{spread}; ahead in {won} of {len(gains)}")


def compare(arguments: argparse.Namespace, seed: int) -> dict[str, float]:
    """Both arms for one seed."""
    limits = {"max_macs": arguments.max_macs, "min_accuracy": arguments.min_accuracy}
    row: dict[str, float] = {"seed": seed}
    for arm, initial in (("search", arguments.initial), ("random", arguments.budget)):
        path = arguments.folder / f"{arm}-{seed}"
        settings = {"budget": arguments.budget, "initial": initial, "limits": limits}
        study = Study.open(path) if path.exists() else Study.create(path, seed=seed, **settings)
        study.run()
        front = study.front()
        for split in ("tune", "test"):
            row[f"{arm}_{split}"] = round(hypervolume(study, [getattr(s, split) for s in front]), 5)
    return row


def hypervolume(study: Study, measured: list) -> float:
    """Of solutions chosen on tune, as measured on one split."""
    reference = (float(np.log10(study.settings.limits.max_macs)), study.settings.limits.min_accuracy)
    cost = np.log10([m.expected_macs for m in measured])
    return Front.of(cost, np.array([m.accuracy for m in measured]), *reference).hypervolume


if __name__ == "__main__":
    main()
