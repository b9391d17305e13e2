"""CIFAR-10 from the search to networks at full fidelity: the study behind docs/results/studies.md.

Searches the `compact` space at low fidelity, trains the most accurate networks within each budget at full fidelity, the
most accurate of those on tune with further seeds, and prints a table of the official test images. Interrupted, it goes
on, also on another machine: what was trained for the table is in the ledger. Needs CIFAR-10 in torchvision's layout.
"""

import argparse
import json
import statistics
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ledger import Ledger, Line, Training, train_all
from matplotlib.figure import Figure

from surrogate_nas import Study
from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.record import Record
from surrogate_nas.exits.limits import Limits
from surrogate_nas.study.paths import ARCHIVE
from surrogate_nas.training.recipe import Recipe

BUDGETS = {1.0e6: 30, 2.43e6: 40, 12.5e6: 24}
"""Expected MACs, and the epochs at full fidelity."""
CANDIDATES = {1.0e6: 2, 2.43e6: 2, 12.5e6: 1}
"""Networks of the search that are trained at full fidelity with one seed, before one of the candidates is with all."""
BY_HAND = {
    12.5e6: "stem-w16-s1/res-d1-w16-k3-s1@conv-d1-c16-p2/res-d2-w24-k3-s2@conv-d1-c32-p1/"
    "res-d3-w48-k3-s2@conv-d1-c32-p1/res-d3-w64-k3-s2",
}
"""Further candidates, to see whether a search of one epoch each misjudges networks of this size."""
MARGIN = 0.98
"""Share of a budget that thresholds may spend on tune, so that test images keep the budget."""
FULL: dict[float, dict[str, Any]] = {12.5e6: {"precision": "bfloat16"}}
"""Fields of the full-fidelity recipe other than its epochs."""
FINAL: dict[float, dict[str, Any]] = {12.5e6: {"early_exit_weight": 0.3}}
"""And for the network that is chosen: the largest budget lets most images go to the end."""
SEARCH: dict[str, Any] = {"initial": 12, "batch": 4, "recipe": {"epochs": 1}, "keep": "none"}
STAGES = ((24, 0.3), (34, 0.57), (48, 0.62), (56, 0.65))
"""Budget of trainings, and the accuracy floor until it is spent: raised as the front rises."""
PUBLISHED = {
    "EDANAS": (2.47e6, 0.6778),
    "NACHOS": (2.43e6, 0.7265),
    "AEBNAS, about": (17e6, 0.83),
    "MLPerf Tiny ResNet-8, target": (12.5e6, 0.85),
}
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
    machine = {"workers": arguments.workers, "device": arguments.device}
    if (arguments.study / ARCHIVE).is_file():
        study = Study.open(arguments.study)
        study.home.update(machine)
    else:
        study = Study.create(
            arguments.study,
            data="cifar10",
            space="compact",
            data_root=arguments.data_root,
            limits=limits_of(STAGES[0][1]),
            budget=STAGES[0][0],
            **SEARCH,
            **machine,
        )
    if not ledger.lines(kind="candidate"):
        for budget, floor in STAGES:
            if len(study.archive.records()) >= budget:
                continue
            study.home.update({"budget": budget, "limits": limits_of(floor)})
            study.run()
        land_search(study, ledger)
    for budget in BUDGETS:
        candidates = [line["network"] for line in ledger.lines(kind="candidate", budget=budget)]
        train_within(study, budget, candidates, 1, recipe_of(budget), ledger)
        train_within(
            study, budget, [best_candidate(ledger, budget)], arguments.seeds, recipe_of(budget, final=True), ledger
        )


def train_within(
    study: Study, budget: float, networks: Sequence[str], seeds: int, recipe: Recipe, ledger: Ledger
) -> None:
    trainings = [Training(f"{budget:g}", recipe, Architecture.parse(network)) for network in networks]
    train_all(study, trainings, seeds, ledger, lambda record, label: figures(study, record, float(label)))


def recipe_of(budget: float, *, final: bool = False) -> Recipe:
    return Recipe(epochs=BUDGETS[budget], **FULL.get(budget, {}), **FINAL.get(budget, {}) if final else {})


def best_candidate(ledger: Ledger, budget: float) -> str:
    """The candidate that is most accurate on tune with the first seed, which all of them have."""
    first: dict[str, float] = {}
    for line in trained(ledger, budget, recipe_of(budget)):
        first.setdefault(line["network"], line["tune"]["accuracy"])
    return max(first, key=lambda network: first[network])


def finals(ledger: Ledger, budget: float) -> list[Line]:
    """Trainings of the chosen network, if there is one yet."""
    lines = trained(ledger, budget, recipe_of(budget, final=True))
    return [line for line in lines if line["network"] == best_candidate(ledger, budget)]


def trained(ledger: Ledger, budget: float, recipe: Recipe) -> list[Line]:
    return ledger.lines(kind="training", budget=budget, recipe=json.loads(recipe.fidelity))


def limits_of(floor: float) -> dict[str, float]:
    return {"max_macs": 12.5e6, "max_worst_macs": 30e6, "min_accuracy": floor}


def land_search(study: Study, ledger: Ledger) -> None:
    """Add the search's trainings and its best networks within each budget to the ledger."""
    within: dict[float, list[tuple[float, Record]]] = {budget: [] for budget in BUDGETS}
    for record in study.records():
        at = {}
        if record.outputs is not None:
            for budget in BUDGETS:
                points = study.exits(record, "tune").within(Limits(max_macs=budget))
                if len(points):
                    at[budget] = float(points.accuracy.max())
                    within[budget].append((at[budget], record))
        ledger.add(
            {
                "kind": "search",
                "id": record.id,
                "origin": record.proposal.origin,
                "round": record.proposal.round,
                "network": str(record.architecture),
                "seconds": round(record.seconds, 1),
                "tune_accuracy": {f"{budget:g}": round(a, 4) for budget, a in at.items()},
            }
        )
    for budget, networks in within.items():
        for accuracy, record in sorted(networks, key=lambda pair: -pair[0])[: CANDIDATES[budget]]:
            ledger.add(
                {
                    "kind": "candidate",
                    "budget": budget,
                    "id": record.id,
                    "network": str(record.architecture),
                    "origin": record.proposal.origin,
                    "tune_accuracy": round(accuracy, 4),
                }
            )
        if budget in BY_HAND:
            ledger.add({"kind": "candidate", "budget": budget, "network": BY_HAND[budget], "origin": "user"})


def figures(study: Study, record: Record, budget: float) -> Line:
    """Figures at the best thresholds on tune within the budget, and along the whole curve."""
    s = study.tune(record.id, Limits(max_macs=MARGIN * budget))
    tiers = study.tiers(record.id, Limits(), POINTS)
    return {
        "budget": budget,
        "policy": s.operating_point.policy,
        "thresholds": str(s.operating_point),
        "tune": {"accuracy": s.tune.accuracy, "expected_macs": round(s.tune.expected_macs)},
        "test": {
            "accuracy": s.test.accuracy,
            "interval": s.test.accuracy_interval,
            "n": s.test.n,
            "expected_macs": round(s.test.expected_macs),
            "worst_macs": s.test.worst_macs,
            "rates": [round(p, 4) for p in s.test.rates],
        },
        "parameters": s.parameters,
        "curve": [[round(r.solution.test.expected_macs), r.solution.test.accuracy] for r in tiers],
    }


def print_table(ledger: Ledger) -> None:
    searched, full = ledger.lines(kind="search"), ledger.lines(kind="training")
    hours = [sum(line["seconds"] for line in lines) / 3600 for lines in (searched, full)]
    print(
        f"search: {len(searched)} networks, {hours[0]:.1f} core-hours; full fidelity: {len(full)} trainings, "
        f"{hours[1]:.1f} core-hours\n"
    )
    print(
        "| budget | test accuracy, each seed | mean ± sd | expected MACs, each seed | worst case | parameters | "
        "leave at each exit % | epochs | network |"
    )
    print("|---" * 9 + "|")
    for budget in BUDGETS:
        lines = finals(ledger, budget)
        if not lines:
            continue
        tests = [line["test"] for line in lines]
        accuracy = [100 * t["accuracy"] for t in tests]
        deviation = f" ± {statistics.stdev(accuracy):.2f}" if len(accuracy) > 1 else ""
        rates = " / ".join(" ".join(f"{100 * p:.0f}" for p in t["rates"]) for t in tests)
        print(
            f"| {budget:,.0f} | {', '.join(f'{a:.2f}' for a in accuracy)} | "
            f"{statistics.mean(accuracy):.2f}{deviation} | "
            f"{', '.join(format(t['expected_macs'], ',') for t in tests)} | "
            f"{max(t['worst_macs'] for t in tests):,} | {lines[0]['parameters']:,} | {rates} | "
            f"{lines[0]['recipe']['epochs']} | `{lines[0]['network']}` |"
        )
    for budget in BUDGETS:
        print(f"\nrecipe at {budget:,.0f}: {recipe_of(budget, final=True).fidelity}")


def draw(ledger: Ledger, path: Path) -> None:
    """Test accuracy over expected MACs: a curve for each training, and what was published."""
    figure = Figure(figsize=(6.5, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for i, budget in enumerate(BUDGETS):
        for line in finals(ledger, budget):
            macs, accuracy = zip(*line["curve"], strict=True)
            axes.plot(macs, [100 * a for a in accuracy], color=f"C{i}", linewidth=0.8, alpha=0.7)
            axes.plot(line["test"]["expected_macs"], 100 * line["test"]["accuracy"], "o", color=f"C{i}", markersize=5)
    for name, (macs, accuracy) in PUBLISHED.items():
        axes.plot(macs, 100 * accuracy, "k^", markersize=6)
        right = macs < 1e7  # of the mark; else the name would leave the picture
        axes.annotate(
            name,
            (macs, 100 * accuracy),
            xytext=(5 if right else -5, -11),
            textcoords="offset points",
            ha="left" if right else "right",
            fontsize=8,
        )
    axes.set_xscale("log")
    axes.set_ylim(bottom=60)
    axes.set_xlabel("expected MACs per image")
    axes.set_ylabel("accuracy on the official test images, %")
    axes.grid(alpha=0.3, which="both", linewidth=0.4)
    figure.savefig(path, dpi=160)


if __name__ == "__main__":
    main()
