"""CIFAR-10 from the search to networks at full fidelity: the study behind docs/results.md.

Searches the `compact` space at low fidelity, trains the most accurate networks within each budget at full fidelity, the
most accurate of those on tune with further seeds, and prints a table of the official test images. Interrupted, it goes
on, also on another machine: what was trained for the table is in the ledger. Needs CIFAR-10 in torchvision's layout.
"""

import argparse
import json
import statistics
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ledger import Ledger, Line, Wanted, train_all
from matplotlib.figure import Figure

from surrogate_nas import Study
from surrogate_nas.config import Limits
from surrogate_nas.creation import ARCHIVE
from surrogate_nas.recipe import Recipe
from surrogate_nas.record import Record
from surrogate_nas.sampling import sample_within
from surrogate_nas.space import Architecture

BUDGETS = {1.0e6: 30, 2.43e6: 40, 12.5e6: 24}
"""Expected MACs, and the epochs at full fidelity."""
CANDIDATES = 2
"""Networks per budget that are trained at full fidelity with one seed, before one of them is with all."""
MARGIN = 0.98
"""Of a budget is what thresholds may spend on tune, so that test images keep it."""
MOST = {"max_macs": 12.5e6, "max_worst_macs": 30e6}
RESNET_8_ACTIVATIONS = 196_608
"""Bytes at its worst moment. Networks that need more are also slow to train."""
DRAWN = 40
"""Networks per initial one, of which those that cost enough are taken."""


@dataclass(frozen=True)
class Search:
    """A study at low fidelity, from which the networks for some budgets come."""

    name: str
    budgets: tuple[float, ...]
    limits: dict[str, float]
    recipe: dict[str, Any]
    initial: int
    least_worst_macs: float
    """Sampled networks cost at least this much at their last exit."""
    stages: tuple[tuple[int, float], ...]
    """Numbers of trainings, and the accuracy floor until there are so many: raised as the front rises."""


SEARCHES = (
    Search("small", (1.0e6, 2.43e6), MOST, {"epochs": 1}, 12, 0, ((24, 0.3), (34, 0.57), (48, 0.62), (56, 0.65))),
    # one epoch leaves networks of this size undertrained, and a cheaper last exit cannot spend the budget
    Search("large", (12.5e6,), {**MOST, "max_activation_bytes": RESNET_8_ACTIVATIONS},
           {"epochs": 2, "precision": "bfloat16"}, 8, 12.5e6, ((12, 0.7), (20, 0.72))),
)  # fmt: skip
FINAL: dict[float, dict[str, Any]] = {12.5e6: {"precision": "bfloat16"}}
"""What the recipe at full fidelity has beside its epochs."""
PUBLISHED = {"EDANAS": (2.47e6, 0.6778), "NACHOS": (2.43e6, 0.7265), "AEBNAS, about": (17e6, 0.83),
             "MLPerf Tiny ResNet-8, target": (12.5e6, 0.85)}  # fmt: skip
POINTS = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path, help="folder to work in")
    parser.add_argument("--data-root", type=Path, help="where CIFAR-10 is")
    parser.add_argument("--ledger", type=Path, default=Path("data/cifar10.jsonl"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--table", action="store_true", help="train nothing")
    parser.add_argument("--picture", type=Path, help="PNG to draw")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    ledger = Ledger(arguments.ledger)
    if not arguments.table:
        train(arguments, ledger)
    print_table(ledger)
    if arguments.picture:
        draw(ledger, arguments.picture)


def train(arguments: argparse.Namespace, ledger: Ledger) -> None:
    for search in SEARCHES:
        study = open_study(arguments, search)
        if not ledger.lines(kind="candidate", budget=search.budgets[0]):
            carry_out(study, search)
            land_search(study, search, ledger)
        for budget in search.budgets:
            train_finals(study, budget, arguments.seeds, ledger)


def train_finals(study: Study, budget: float, seeds: int, ledger: Ledger) -> None:
    """The candidates of a budget with one seed, then the most accurate of them with all."""
    recipe = Recipe(epochs=BUDGETS[budget], **FINAL.get(budget, {}))
    candidates = [line["network"] for line in ledger.lines(kind="candidate", budget=budget)]
    for networks, n in ((candidates, 1), (None, seeds)):
        wanted = [Wanted(f"{budget:g}", recipe, Architecture.parse(network))
                  for network in networks or [chosen(ledger, budget)]]  # fmt: skip
        train_all(study, wanted, n, ledger, lambda record, label: figures(study, record, float(label)))


def open_study(arguments: argparse.Namespace, search: Search) -> Study:
    """The study of a search, made if it is not there."""
    machine = {"workers": arguments.workers, "device": arguments.device}
    path = arguments.study / search.name
    if (path / ARCHIVE).is_file():
        study = Study.open(path)
        study.folder.update(machine)
        return study
    budget, floor = search.stages[0]
    return Study.create(path, data="cifar10", space="compact", data_root=arguments.data_root,
                        limits={**search.limits, "min_accuracy": floor}, budget=budget, initial=search.initial,
                        batch=4, recipe=search.recipe, keep="none", **machine)  # fmt: skip


def carry_out(study: Study, search: Search) -> None:
    """Sample, then search under one floor after the other."""
    if search.least_worst_macs and not study.folder.archive.proposals():
        study.folder.collect_architectures(sampled(study, search))
    for budget, floor in search.stages:
        if len(study.folder.archive.records()) >= budget:
            continue
        study.folder.update({"budget": budget, "limits": {**search.limits, "min_accuracy": floor}})
        study.run()


def sampled(study: Study, search: Search) -> list[Architecture]:
    """Its initial networks, that cost enough."""
    rng, costing = np.random.default_rng(0), study.folder.costing
    drawn = sample_within(study.folder.space, DRAWN * search.initial, costing, Limits(**search.limits), rng, set())
    return [a for a in drawn if costing.of(a).macs()[0, -1] >= search.least_worst_macs][: search.initial]


def chosen(ledger: Ledger, budget: float) -> str | None:
    """Of the candidates the most accurate on tune with the first seed, which all of them have."""
    first: dict[str, float] = {}
    for line in ledger.lines(kind="training", budget=budget):
        first.setdefault(line["network"], line["tune"]["accuracy"])
    return max(first, key=lambda network: first[network]) if first else None


def land_search(study: Study, search: Search, ledger: Ledger) -> None:
    """What the search trained, and what it found within each budget."""
    within: dict[float, list[tuple[float, Record]]] = {budget: [] for budget in search.budgets}
    for record in study.records():
        at = {}
        if record.outputs is not None:
            for budget in BUDGETS:
                points = study.exits(record, "tune").within(Limits(max_macs=budget))
                if len(points):
                    at[budget] = float(points.accuracy.max())
                    within.get(budget, []).append((at[budget], record))
        ledger.add({"kind": "search", "search": search.name, "id": record.id, "origin": record.proposal.origin,
                    "round": record.proposal.round, "network": str(record.architecture),
                    "seconds": round(record.seconds, 1),
                    "tune_accuracy": {f"{budget:g}": round(a, 4) for budget, a in at.items()}})  # fmt: skip
    for budget, found in within.items():
        for accuracy, record in sorted(found, key=lambda pair: -pair[0])[:CANDIDATES]:
            ledger.add({"kind": "candidate", "budget": budget, "id": record.id, "network": str(record.architecture),
                        "origin": record.proposal.origin, "tune_accuracy": round(accuracy, 4)})  # fmt: skip


def figures(study: Study, record: Record, budget: float) -> Line:
    """At the thresholds that are best on tune within the budget, and along the whole curve."""
    s = study.tune(record.id, Limits(max_macs=MARGIN * budget))
    rungs = study.ladder(record.id, Limits(), POINTS)
    return {
        "budget": budget, "policy": s.operating_point.policy, "thresholds": str(s.operating_point),
        "tune": {"accuracy": s.tune.accuracy, "expected_macs": round(s.tune.expected_macs)},
        "test": {"accuracy": s.test.accuracy, "interval": s.test.accuracy_interval, "n": s.test.n,
                 "expected_macs": round(s.test.expected_macs), "worst_macs": s.test.worst_macs,
                 "rates": [round(p, 4) for p in s.test.rates]},
        "parameters": s.parameters,
        "curve": [[round(r.solution.test.expected_macs), r.solution.test.accuracy] for r in rungs],
    }  # fmt: skip


def print_table(ledger: Ledger) -> None:
    searched, trained = ledger.lines(kind="search"), ledger.lines(kind="training")
    hours = [sum(line["seconds"] for line in lines) / 3600 for lines in (searched, trained)]
    print(f"search: {len(searched)} networks, {hours[0]:.1f} core-hours; full fidelity: {len(trained)} trainings, "
          f"{hours[1]:.1f} core-hours\n")  # fmt: skip
    print("| budget | test accuracy, each seed | mean ± sd | expected MACs, each seed | worst case | parameters | "
          "leave at each exit % | epochs | network |")  # fmt: skip
    print("|---" * 9 + "|")
    for budget in BUDGETS:
        network = chosen(ledger, budget)
        lines = ledger.lines(kind="training", budget=budget, network=network)
        if not lines:
            continue
        tests = [line["test"] for line in lines]
        accuracy = [100 * t["accuracy"] for t in tests]
        deviation = f" ± {statistics.stdev(accuracy):.2f}" if len(accuracy) > 1 else ""
        rates = " / ".join(" ".join(f"{100 * p:.0f}" for p in t["rates"]) for t in tests)
        print(f"| {budget:,.0f} | {', '.join(f'{a:.2f}' for a in accuracy)} | "
              f"{statistics.mean(accuracy):.2f}{deviation} | "
              f"{', '.join(format(t['expected_macs'], ',') for t in tests)} | "
              f"{max(t['worst_macs'] for t in tests):,} | {lines[0]['parameters']:,} | {rates} | "
              f"{lines[0]['recipe']['epochs']} | `{network}` |")  # fmt: skip
    if trained:
        print(f"\nrecipe: {json.dumps({**trained[0]['recipe'], 'epochs': '(as above)'})}")


def draw(ledger: Ledger, path: Path) -> None:
    """Test accuracy over expected MACs: a curve for each training, and what was published."""
    figure = Figure(figsize=(6.5, 4.2), layout="constrained")
    axes = figure.add_subplot()
    budgets = list(BUDGETS)
    for line in ledger.lines(kind="training"):
        if "curve" not in line or line["network"] != chosen(ledger, line["budget"]):
            continue
        colour = f"C{budgets.index(line['budget'])}"
        macs, accuracy = zip(*line["curve"], strict=True)
        axes.plot(macs, [100 * a for a in accuracy], color=colour, linewidth=0.8, alpha=0.7)
        axes.plot(line["test"]["expected_macs"], 100 * line["test"]["accuracy"], "o", color=colour, markersize=5)
    for name, (macs, accuracy) in PUBLISHED.items():
        axes.plot(macs, 100 * accuracy, "k^", markersize=6)
        right = macs < 1e7  # of the mark; else the name would leave the picture
        axes.annotate(name, (macs, 100 * accuracy), xytext=(5 if right else -5, -11), textcoords="offset points",
                      ha="left" if right else "right", fontsize=8)  # fmt: skip
    axes.set_xscale("log")
    axes.set_ylim(bottom=60)
    axes.set_xlabel("expected MACs per image")
    axes.set_ylabel("accuracy on the official test images, %")
    axes.grid(alpha=0.3, which="both", linewidth=0.4)
    figure.savefig(path, dpi=160)


if __name__ == "__main__":
    main()
