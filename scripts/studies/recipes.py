"""Train one network by several recipes with several seeds, and compare accuracies and exit policies.

A recipe is what differs from the base, such as '{loss: distillation}' or '{cutout: 0.25}'. Interrupted, it goes on.
"""

import argparse
import json
import statistics
import warnings
from pathlib import Path

import yaml
from ledger import Ledger, Line, Training, train_all

from surrogate_nas import Study
from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.record import Record
from surrogate_nas.exits.limits import Limits
from surrogate_nas.foundation.errors import JobError
from surrogate_nas.foundation.fields import parse
from surrogate_nas.study.paths import ARCHIVE
from surrogate_nas.training.recipe import Recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path, help="folder to work in")
    parser.add_argument("--ledger", type=Path, required=True, help="file that keeps the figures")
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--space", default="compact", help="any that has as many exit positions as the network")
    parser.add_argument("--network", required=True)
    parser.add_argument("--base", default="{}", help="recipe that the others differ from")
    parser.add_argument("--recipes", nargs="+", default=["{}"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--at", type=float, nargs="+", required=True, help="budgets of expected MACs to report at")
    parser.add_argument("--split", choices=("tune", "test"), default="test")
    parser.add_argument("--workers", type=int)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    architecture = Architecture.parse(arguments.network)
    base = yaml.safe_load(arguments.base)
    trainings = [
        Training(text, parse(Recipe, {**base, **yaml.safe_load(text)}, text), architecture)
        for text in arguments.recipes
    ]
    ledger = Ledger(arguments.ledger)
    if (arguments.study / ARCHIVE).is_file():
        study = Study.open(arguments.study)
        study.home.update({"workers": arguments.workers})
    else:
        study = Study.create(
            arguments.study,
            data=arguments.data,
            space=arguments.space,
            keep="none",
            data_root=arguments.data_root,
            workers=arguments.workers,
        )

    def figures(record: Record, label: str) -> Line:
        return {
            "at": {f"{budget:g}": policies(study, record, budget) for budget in arguments.at},
            "exits": {
                split: study.exits(record, split)
                .correct[list(architecture.exit_positions)]
                .mean(axis=1)
                .round(4)
                .tolist()
                for split in ("tune", "test")
            },
        }

    train_all(study, trainings, arguments.seeds, ledger, figures)
    for budget in arguments.at:
        print_table(ledger, [w.label for w in trainings], f"{budget:g}", arguments.split)


def policies(study: Study, record: Record, budget: float) -> Line:
    """Figures of each exit policy at its best thresholds on tune within a budget."""
    try:
        solutions = study.policies(record.id, Limits(max_macs=budget))
    except JobError:
        return {}
    best = {}
    for s in solutions:
        name = s.operating_point.policy + (" / T" if s.operating_point.temperatures else "")
        best[name] = {
            split: {"accuracy": m.accuracy, "expected_macs": round(m.expected_macs)}
            for split, m in (("tune", s.tune), ("test", s.test))
        }
    return best


def print_table(ledger: Ledger, labels: list[str], budget: str, split: str) -> None:
    """Mean and standard deviation over seeds, a line per recipe and a column per policy."""
    rows = {label: ledger.lines(kind="training", label=label) for label in labels}
    names = dict.fromkeys(name for lines in rows.values() for line in lines for name in line.get("at", {})[budget])
    print(f"\naccuracy in % on {split} at ≤ {float(budget):,.0f} expected MACs (mean ± sd over seeds)")
    print("| recipe | seeds | " + " | ".join(names) + " | last exit alone | min |")
    print("|---" * (len(names) + 4) + "|")
    for label, lines in rows.items():
        cells = [
            spread([100 * line["at"][budget][name][split]["accuracy"] for line in lines if name in line["at"][budget]])
            for name in names
        ]
        last = spread([100 * line["exits"][split][-1] for line in lines])
        minutes = statistics.mean(line["seconds"] for line in lines) / 60 if lines else 0
        print(f"| {label} | {len(lines)} | " + " | ".join(cells) + f" | {last} | {minutes:.1f} |")
    first = next((line for lines in rows.values() for line in lines), None)
    if first is not None:
        print(f"base: {json.dumps(first['recipe'])}")


def spread(values: list[float]) -> str:
    if not values:
        return "–"
    return f"{statistics.mean(values):.2f}" + (f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else "")


if __name__ == "__main__":
    main()
