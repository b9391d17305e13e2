"""Compare recipes at every rung of a ladder: what helps at the top may hurt at the first rung.

    python scripts/studies/rung_recipes.py STUDIES --data-root FOLDER --ledger data/rung-recipes.jsonl
        --recipes '{}' '{cutout: 0.25}' '{label_smoothing: 0}' [--networks 8] [--seeds 1]
    python scripts/studies/rung_recipes.py STUDIES --ledger data/rung-recipes.jsonl --recipes … --report

Networks of `compact` within 1 M MACs are trained on the images of `data/eenn-cifar10` through the rungs of
`data/ladder-cifar10`, by each recipe, with the same seeds: figures are differences to the first recipe, paired, with
90 % intervals over trainings. A recipe is what differs from the defaults. A line of the ledger is one rung of one
training; the same command continues.
"""

import argparse
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import yaml
from eenn_table import LADDER, LADDER_CIFAR10, cifar10_images
from ledger import Ledger, Line
from rung_schedules import networks
from scipy.stats import t

from surrogate_nas import Study
from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.ladder import passes_text
from surrogate_nas.archive.record import Record
from surrogate_nas.foundation.arrays import Floats

LEVEL = 0.9
NETWORK_SEED = 2


def study_of(folder: Path, recipe: str, data_root: Path) -> Study:
    """The study of one recipe."""
    path = folder / hashlib.sha256(recipe.encode()).hexdigest()[:8]
    if path.exists():
        return Study.open(path)
    fields = {**LADDER_CIFAR10, "recipe": {**LADDER_CIFAR10["recipe"], **yaml.safe_load(recipe)}}
    return Study.create(path, data=cifar10_images(data_root), space="compact", seed=0, ladder=LADDER, **fields)


def train(study: Study, architectures: Sequence[Architecture], seeds: int) -> Iterator[Record]:
    """Records of every rung; what the study has already is not trained again."""
    study.trainer.finish_pending()
    done = {r.proposal.round for r in study.archive.records()}
    for k in range(seeds):
        if k not in done:
            study.trainer.collect_architectures(architectures)
    for rung in range(2, len(LADDER) + 1):
        waiting = {r.proposal.training for r in study.archive.studied() if r.proposal.passes == LADDER[rung - 1]}
        below = [r for r in study.archive.records() if r.failure is None and r.proposal.training not in waiting]
        if below:
            study.promote(below, rung=rung)
    yield from study.solutions.views.with_outputs(study.archive.studied())


def line_of(recipe: str, record: Record) -> Line:
    assert record.outputs is not None
    return {
        "recipe": recipe,
        "network": str(record.architecture),
        "seed": record.proposal.seed,
        "passes": record.proposal.passes,
        **{split: [round(float(a), 5) for a in record.outputs[split].right.mean(axis=1)] for split in ("tune", "test")},
    }


def report(ledger: Ledger, recipes: Sequence[str]) -> None:
    """Mean differences to the first recipe, of the last exit on tune and test together, in points."""
    base = {_key(line): _accuracy(line) for line in ledger.lines(recipe=recipes[0])}
    print("| recipe | trainings | " + " | ".join(f"{passes_text(p)} passes" for p in LADDER) + " |")
    print("|---" * (len(LADDER) + 2) + "|")
    means = [np.mean([a for key, a in base.items() if key[2] == p]) for p in LADDER]
    print(f"| {recipes[0]} | {len(base) // len(LADDER)} | " + " | ".join(f"{100 * m:.1f} %" for m in means) + " |")
    for recipe in recipes[1:]:
        lines = {_key(line): _accuracy(line) for line in ledger.lines(recipe=recipe)}
        cells = [_interval(np.array([lines[k] - base[k] for k in lines if k in base and k[2] == p])) for p in LADDER]
        print(f"| {recipe} | {len(lines) // len(LADDER)} | " + " | ".join(cells) + " |")


def _key(line: Line) -> tuple[str, int, int]:
    return line["network"], line["seed"], line["passes"]


def _accuracy(line: Line) -> float:
    return (float(line["tune"][-1]) + float(line["test"][-1])) / 2


def _interval(differences: Floats) -> str:
    if len(differences) < 2:
        return "–"
    reach = t.ppf((1 + LEVEL) / 2, len(differences) - 1) * differences.std(ddof=1) / len(differences) ** 0.5
    mean = differences.mean()
    return f"{100 * mean:+.2f} [{100 * (mean - reach):+.2f}, {100 * (mean + reach):+.2f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", type=Path, help="folder of the studies, one for each recipe")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--recipes", nargs="+", required=True)
    parser.add_argument("--networks", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--report", action="store_true")
    arguments = parser.parse_args()
    ledger = Ledger(arguments.ledger)
    architectures = [Architecture.parse(text) for text in networks(arguments.networks, NETWORK_SEED)]
    for recipe in [] if arguments.report else arguments.recipes:
        known = {json.dumps(_key(line)) for line in ledger.lines(recipe=recipe)}
        if len(known) >= arguments.networks * arguments.seeds * len(LADDER):
            continue
        with study_of(arguments.studies, recipe, arguments.data_root) as study:
            for record in train(study, architectures, arguments.seeds):
                line = line_of(recipe, record)
                if json.dumps(_key(line)) not in known:
                    ledger.add(line)
    report(ledger, arguments.recipes)


if __name__ == "__main__":
    main()
