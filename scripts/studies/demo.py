"""Whether the study of `make run` shows what surrogates are for: held-out τ of the surrogate in use against size.

    python scripts/studies/demo.py FOLDER [--seeds 10] [--workers 2]

The same study with other seeds. For each seed: Kendall's τ of held-out accuracies by the surrogate in use, and by the
MACs of whole networks, as `surrogate-nas fit` prints them. The last line has the medians, the median of the
differences, and its 90 % interval, a bootstrap over seeds. Interrupted, it goes on.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np

from surrogate_nas import Study
from surrogate_nas.foundation.errors import InputError

DRAWS = 10_000


def scores(folder: Path, seed: int, workers: int) -> tuple[str, float, float, int]:
    """Name of the surrogate in use, its τ, that of size, and the number of networks of the study of a seed."""
    study = Study.create(
        folder / str(seed),
        data="digits",
        space="tiny",
        seed=seed,
        exist_ok=True,
        budget=40,
        initial=32,
        batch=4,
        limits={"max_macs": 200e3, "min_accuracy": 0.8},
        recipe={"epochs": 8},
        workers=workers,
    )
    with study:
        study.run()
        judged = study.fit().chosen_validation
        return judged.kind, judged.accuracy.tau, judged.cost_tau, judged.accuracy.n


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of the studies")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| seed | networks | surrogate | τ | size τ | difference |\n|---|---|---|---|---|---|")
    taus = []
    for seed in range(arguments.seeds):
        kind, tau, size, n = scores(arguments.folder, seed, arguments.workers)
        taus.append((tau, size))
        print(f"| {seed} | {n} | {kind} | {tau:.3f} | {size:.3f} | {tau - size:+.3f} |", flush=True)
    pairs = np.array(taus)
    differences = pairs[:, 0] - pairs[:, 1]
    drawn = np.random.default_rng(0).integers(len(differences), size=(DRAWS, len(differences)))
    low, high = np.quantile(np.median(differences[drawn], axis=1), [0.05, 0.95])
    tau, size = np.median(pairs, axis=0)
    print(f"| median | | | {tau:.3f} | {size:.3f} | {np.median(differences):+.3f} [{low:+.3f}, {high:+.3f}] |")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(f"error: {error}") from None
