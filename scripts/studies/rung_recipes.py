"""Compare recipes at every rung of a ladder: what helps at the top may hurt at the first rung.

    python scripts/studies/rung_recipes.py STUDIES --data-root FOLDER --ledger data/rung-recipes.jsonl
        --recipes '{}' '{cutout: 0.25}' '{label_smoothing: 0}' [--images 2000] [--networks 8] [--seeds 1]
    python scripts/studies/rung_recipes.py STUDIES --ledger data/rung-recipes.jsonl --recipes … --report

Networks of `compact` within 1 M MACs are trained on so many images of CIFAR-10 through rungs of 1, 3, 9 and 27, by each
recipe, with the same seeds: figures are differences to the first recipe, paired, with 90 % intervals over trainings.
18,000 images are those of `data/eenn-cifar10`, and their rungs those of `data/ladder-cifar10`; the top of fewer is 81
epochs, where their networks have seen each image often. A recipe is what differs from the defaults. A line of the
ledger is one rung of one training; the same command continues.
"""

import argparse
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import yaml
from eenn_table import LADDER, LADDER_CIFAR10, cifar10_images, part_of
from ledger import Ledger, Line
from rung_schedules import TUNE_SHARE, interval, networks

from surrogate_nas import Study, datasets
from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.ladder import passes_text
from surrogate_nas.archive.record import Record
from surrogate_nas.datasets.dataset import Dataset

WHOLE = 18_000
"""Training images of `data/eenn-cifar10`."""
LADDER_RATIOS, EPOCHS = (1, 3, 9, 27), 81
NETWORK_SEED = 2


def images_of(count: int, data_root: Path) -> Dataset:
    """So many training images, with their share of tune; few ones are judged by more test images."""
    if count == WHOLE:
        return cifar10_images(data_root)
    whole = datasets.load("cifar10", data_root)
    each = round(count / (1 - TUNE_SHARE) / len(whole.classes))
    return Dataset(f"cifar10-{count}", part_of(whole.train, each), whole.test, whole.classes, whole.flips)


def ladder_of(count: int) -> Sequence[int]:
    """Image passes of the rungs."""
    return LADDER if count == WHOLE else [EPOCHS * count * ratio // LADDER_RATIOS[-1] for ratio in LADDER_RATIOS]


def study_of(folder: Path, recipe: str, count: int, data_root: Path) -> Study:
    """The study of one recipe."""
    path = folder / hashlib.sha256(f"{count} {recipe}".encode()).hexdigest()[:8]
    if path.exists():
        return Study.open(path)
    fields = {**LADDER_CIFAR10, "recipe": {**LADDER_CIFAR10["recipe"], **yaml.safe_load(recipe)}}
    data, ladder = images_of(count, data_root), ladder_of(count)
    return Study.create(path, data=data, space="compact", seed=0, ladder=ladder, **fields)


def train(study: Study, architectures: Sequence[Architecture], seeds: int, ladder: Sequence[int]) -> Iterator[Record]:
    """Records of every rung; what the study has already is not trained again."""
    study.trainer.finish_pending()
    done = {r.proposal.round for r in study.archive.records()}
    for k in range(seeds):
        if k not in done:
            study.trainer.collect_architectures(architectures)
    for rung in range(2, len(ladder) + 1):
        waiting = {r.proposal.training for r in study.archive.studied() if r.proposal.passes == ladder[rung - 1]}
        below = [r for r in study.archive.records() if r.failure is None and r.proposal.training not in waiting]
        if below:
            study.promote(below, rung=rung)
    yield from study.solutions.views.with_outputs(study.archive.studied())


def line_of(recipe: str, images: int, record: Record) -> Line:
    """Accuracies of the exits, of all images of tune and test together."""
    assert record.outputs is not None
    right = np.concatenate([record.outputs[split].right for split in ("tune", "test")], axis=1)
    return {
        "recipe": recipe,
        "images": images,
        "network": str(record.architecture),
        "seed": record.proposal.seed,
        "passes": record.proposal.passes,
        "accuracy": [round(float(a), 5) for a in right.mean(axis=1)],
    }


def report(ledger: Ledger, recipes: Sequence[str], images: int) -> None:
    """Mean differences to the first recipe, of the last exit, in points."""
    ladder = ladder_of(images)
    base = {_key(line): line["accuracy"][-1] for line in ledger.lines(recipe=recipes[0], images=images)}
    print("| recipe | trainings | " + " | ".join(f"{passes_text(p)} passes" for p in ladder) + " |")
    print("|---" * (len(ladder) + 2) + "|")
    means = [np.mean([a for key, a in base.items() if key[2] == p]) for p in ladder]
    print(f"| {recipes[0]} | {len(base) // len(ladder)} | " + " | ".join(f"{100 * m:.1f} %" for m in means) + " |")
    for recipe in recipes[1:]:
        lines = {_key(line): line["accuracy"][-1] for line in ledger.lines(recipe=recipe, images=images)}
        cells = [interval(np.array([lines[k] - base[k] for k in lines if k in base and k[2] == p])) for p in ladder]
        print(f"| {recipe} | {len(lines) // len(ladder)} | " + " | ".join(cells) + " |")


def _key(line: Line) -> tuple[str, int, int]:
    return line["network"], line["seed"], line["passes"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", type=Path, help="folder of the studies, one for each recipe")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--recipes", nargs="+", required=True)
    parser.add_argument("--images", type=int, default=WHOLE)
    parser.add_argument("--networks", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--report", action="store_true")
    arguments = parser.parse_args()
    ledger = Ledger(arguments.ledger)
    architectures = [Architecture.parse(text) for text in networks(arguments.networks, NETWORK_SEED)]
    for recipe in [] if arguments.report else arguments.recipes:
        known = {json.dumps(_key(line)) for line in ledger.lines(recipe=recipe, images=arguments.images)}
        if len(known) >= arguments.networks * arguments.seeds * len(LADDER_RATIOS):
            continue
        with study_of(arguments.studies, recipe, arguments.images, arguments.data_root) as study:
            for record in train(study, architectures, arguments.seeds, ladder_of(arguments.images)):
                line = line_of(recipe, arguments.images, record)
                if json.dumps(_key(line)) not in known:
                    ledger.add(line)
    report(ledger, arguments.recipes, arguments.images)


if __name__ == "__main__":
    main()
