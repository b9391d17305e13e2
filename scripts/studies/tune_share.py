"""How many images to hold out for tune: studies of the same networks with several shares, judged on test.

    python scripts/studies/tune_share.py FOLDER [--data digits] [--images 1000] [--shares 0.1,0.3,0.5] [--seeds 3]
        [--networks 20] [--space tiny] [--max-macs 200e3] [--min-accuracy 0.9] [--epochs 20] [--data-root DIR]

A study for each seed and share trains the networks of the seed's initial sample; a larger share leaves fewer images to
train on. `--images` draws so many of the training images, the same for all shares of a seed; a test split that the data
have stays whole. A table follows, with means over the seeds:

- `chosen`: test accuracy of the solution of highest accuracy on tune, within the limits;
- `promised`: its accuracy on tune minus that on test;
- `hypervolume`: of the front that was chosen on tune, networks and thresholds, by its figures on test; the reference
  point is chance and the largest worst-case MACs of the seed's networks, cost is log₁₀ expected MACs;
- `rank τ`: Kendall's τ of accuracies on tune and test, of all networks without early exits;
- `surrogate τ`, `size τ`: held-out, of accuracies on tune; see `surrogate-nas fit`.

Differences are to the first share, paired by seed, with their 90 % interval. Interrupted, it goes on.
"""

import argparse
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
from fronts import worst
from scipy.stats import t as student

from surrogate_nas import Study
from surrogate_nas.archive.outputs import SPLITS, Split
from surrogate_nas.archive.record import Record
from surrogate_nas.datasets.dataset import Dataset
from surrogate_nas.datasets.source import load
from surrogate_nas.exits.front import Front
from surrogate_nas.foundation.arrays import Floats
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.surrogates.metrics import kendall

FIGURES = ("chosen", "promised", "hypervolume", "rank τ", "surrogate τ", "size τ")


def images_of(arguments: argparse.Namespace, seed: int) -> Dataset:
    """The data set, or a stratified part of its training images."""
    data = load(arguments.data, arguments.data_root)
    if arguments.images is None:
        return data
    rng, train = np.random.default_rng(seed), data.train
    order = rng.permutation(len(train.labels))
    rank = np.zeros(len(order), dtype=np.int64)
    for c in range(len(data.classes)):
        own = order[train.labels[order] == c]
        rank[own] = np.arange(len(own))
    index = np.sort(order[np.argsort(rank[order], kind="stable")][: arguments.images])
    return replace(data, name=f"{data.name}-{arguments.images}", train=train[index])


def trained(arguments: argparse.Namespace, seed: int, share: float) -> Study:
    """The study of a seed and a share, with all of its trainings."""
    study = Study.create(
        arguments.folder / f"{seed}-{share:g}",
        data=images_of(arguments, seed),
        space=arguments.space,
        seed=seed,
        tune_share=share,
        exist_ok=True,
        limits={"max_macs": arguments.max_macs, "min_accuracy": arguments.min_accuracy},
        budget=arguments.networks,
        initial=arguments.networks,
        workers=arguments.workers,
        keep="none",
        recipe={} if arguments.epochs is None else {"epochs": arguments.epochs},
    )
    study.run()
    return study


def whole_accuracy(study: Study, record: Record, split: Split) -> float:
    """Accuracy of a network with all early exits off."""
    off = np.full((1, study.space.positions - 1), np.inf)
    return float(study.exits(record, split).measure(off).accuracy[0])


def figures(study: Study) -> Floats:
    """(6,) `FIGURES` of a study."""
    front = study.front()
    best = max(front, key=lambda s: s.tune.accuracy)
    chance, cost = 1 / study.home.shape.classes, float(np.log10(worst(study)))
    macs, accuracy = (np.array([getattr(s.test, of) for s in front]) for of in ("expected_macs", "accuracy"))
    volume = Front.of(np.log10(macs), accuracy, cost, chance).hypervolume
    off = [np.array([whole_accuracy(study, record, split) for record in study.records()]) for split in SPLITS]
    judged = study.fit().chosen_validation
    return np.array(
        [
            best.test.accuracy,
            best.tune.accuracy - best.test.accuracy,
            volume,
            kendall(*off),
            judged.accuracy.tau,
            judged.cost_tau,
        ]
    )


def interval(differences: Floats) -> str:
    """Mean of paired differences, with its 90 % interval."""
    n, mean = len(differences), float(differences.mean())
    half = float(student.ppf(0.95, n - 1) * differences.std(ddof=1) / np.sqrt(n)) if n > 1 else np.nan
    return f"{mean:+.4f} [{mean - half:+.4f}, {mean + half:+.4f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of the studies")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--images", type=int)
    parser.add_argument("--shares", default="0.1,0.3,0.5")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--space", default="tiny")
    parser.add_argument("--max-macs", default="200e3")
    parser.add_argument("--min-accuracy")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    shares = [float(share) for share in arguments.shares.split(",")]
    rows: dict[float, list[Floats]] = {share: [] for share in shares}
    for seed in range(arguments.seeds):
        for share in shares:
            with trained(arguments, seed, share) as study:
                rows[share].append(figures(study))
                splits = study.images.splits()
                print(f"{seed}: share {share:g}, {len(splits.train)} + {len(splits.tune)} images", flush=True)
    print(f"| share | {' | '.join(FIGURES)} | chosen, difference | hypervolume, difference |")
    print("|---" * (len(FIGURES) + 3) + "|")
    first = np.array(rows[shares[0]])
    for share in shares:
        own = np.array(rows[share])
        cells = [f"{value:.4f}" for value in own.mean(axis=0)]
        differences = ["", ""] if share == shares[0] else [interval((own - first)[:, k]) for k in (0, 2)]
        print(f"| {share:g} | {' | '.join([*cells, *differences])} |")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(f"error: {error}") from None
