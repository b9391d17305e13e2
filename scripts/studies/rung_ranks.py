"""Whether another recipe at the lowest rung ranks networks better, as they end at the top by the recipe of a table.

    python scripts/studies/rung_ranks.py STUDIES --data-root FOLDER --ledger data/rung-ranks.jsonl
        --table data/ladder-cifar10 --recipes '{augment: false}' '{cutout: 0.25}' [--networks 128]
    python scripts/studies/rung_ranks.py STUDIES --ledger data/rung-ranks.jsonl --table … --recipes … --report

Networks of the table are trained to its first rung, with their seeds, by recipes that differ from the defaults in what
is given. Reported are, for each recipe and for the table itself, Kendall's τ between accuracies of the last exit at the
first rung, on tune, and at the top of the table, on test; and, paired, its difference to the table's own first rung,
with 90 % bootstrap intervals over networks. A line of the ledger is one training; the same command continues.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from eenn_table import LADDER
from ledger import Ledger
from rung_recipes import WHOLE, study_of

from surrogate_nas.archive.record import Record
from surrogate_nas.foundation.arrays import Floats
from surrogate_nas.search.tabular.table import EennTable
from surrogate_nas.surrogates.metrics import bootstrap_tau, kendall

LEVEL, FEWEST = 0.9, 5
TABLE = "the table's own"


def ended(table: EennTable) -> dict[str, tuple[Record, Record]]:
    """Records at the first rung and at the top of each architecture's first training that has both."""
    of: dict[str, dict[int | None, Record]] = {}
    for record in table.records():
        of.setdefault(record.proposal.training, {})[record.proposal.passes] = record
    pairs = {t: (r[LADDER[0]], r[LADDER[-1]]) for t, r in of.items() if {LADDER[0], LADDER[-1]} <= r.keys()}
    first: dict[str, str] = {}
    for training, (low, _) in sorted(pairs.items(), key=lambda item: item[1][0].proposal.round):
        first.setdefault(str(low.architecture), training)
    return {training: pairs[training] for training in first.values()}


def train(folder: Path, recipe: str, lows: Sequence[Record], data_root: Path, ledger: Ledger) -> None:
    """Train what the ledger lacks to the first rung."""
    known = {line["training"] for line in ledger.lines(recipe=recipe)}
    left = [low for low in lows if low.proposal.training not in known]
    if not left:
        return
    with study_of(folder, recipe, WHOLE, data_root) as study:
        fidelity = study.home.problem.fidelity
        of = {replace(low.proposal, origin="user", fidelity=fidelity): low.proposal.training for low in left}
        for record in study.trainer.evaluate([*of]):
            ledger.add({"recipe": recipe, "training": of[record.proposal], "tune": record.accuracy})


def report(ledger: Ledger, recipes: Sequence[str], pairs: dict[str, tuple[Record, Record]]) -> None:
    """Print a row for each recipe."""
    print("| recipe of the first rung | networks | mean accuracy | τ with the top [90 %] | − the table's own |")
    print("|---|---|---|---|---|")
    for recipe in [TABLE, *recipes]:
        accuracy = {line["training"]: line["tune"] for line in ledger.lines(recipe=recipe)}
        if recipe == TABLE:
            accuracy = {training: low.accuracy for training, (low, _) in pairs.items()}
        trained = [training for training in pairs if training in accuracy]
        if len(trained) < FEWEST:
            continue
        values = np.array([accuracy[training] for training in trained])
        own = np.array([pairs[training][0].accuracy for training in trained])
        top = np.array([_on_test(pairs[training][1]) for training in trained])
        group = np.arange(len(trained))
        taus, own_taus = bootstrap_tau(values, top, group), bootstrap_tau(own, top, group)
        cells = [
            recipe,
            str(len(trained)),
            f"{100 * values.mean():.1f} %",
            _interval(kendall(values, top), taus),
            _interval(kendall(values, top) - kendall(own, top), taus - own_taus),
        ]
        print("| " + " | ".join(cells) + " |")


def _on_test(record: Record) -> float:
    assert record.outputs is not None
    return float(record.outputs.test.right[-1].mean())


def _interval(value: float, resampled: Floats) -> str:
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", type=Path, help="folder of the studies, one for each recipe")
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--recipes", nargs="+", required=True)
    parser.add_argument("--networks", type=int, default=128)
    parser.add_argument("--report", action="store_true")
    arguments = parser.parse_args()
    ledger, pairs = Ledger(arguments.ledger), ended(EennTable.load(arguments.table))
    pairs = dict([*pairs.items()][: arguments.networks])
    lows = [low for low, _ in pairs.values()]
    for recipe in [] if arguments.report else arguments.recipes:
        train(arguments.studies, recipe, lows, arguments.data_root, ledger)
    report(ledger, arguments.recipes, pairs)


if __name__ == "__main__":
    main()
