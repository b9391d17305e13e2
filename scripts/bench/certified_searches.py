"""Searches that know of the certificate at their end, against searches that do not, on a table of networks.

    python scripts/bench/certified_searches.py data/eenn-cifar10 --ledger certified.jsonl --seeds 16 --jobs 2

The held-out images of the table are dealt anew for each seed: 1,000 choose, 1,000 are sealed, 2,000 judge. Both arms
have the same first networks, trainings and floor. `aware` looks for networks that will pass on the sealed images,
`unaware` for networks that keep the floor on those that choose. At the end both certify, and the cheapest certified
solution is compared: its MACs, and its accuracy on the images that judge.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from certificates import CONFIDENCE, drawn
from joblib import Parallel, delayed
from scipy.stats import t as student

from surrogate_nas.archive.outputs import Outputs, SplitOutputs
from surrogate_nas.archive.record import Proposal, Record
from surrogate_nas.archive.views import exits_of
from surrogate_nas.certificates.candidates import candidates_of, in_order
from surrogate_nas.certificates.evidence import Evidence
from surrogate_nas.certificates.levels import Seal
from surrogate_nas.certificates.sequence import Strand, refuted, spent
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.foundation.arrays import Ints
from surrogate_nas.foundation.threads import one_thread
from surrogate_nas.search.loop import search
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.registry import strategy_named
from surrogate_nas.search.strategy import History, sampled
from surrogate_nas.search.tabular.table import EennTable
from surrogate_nas.settings import Settings
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.fit import FittedSurrogate, fit_surrogate

CHOOSE, SEALED = 1_000, 1_000
FLOORS = (0.54, 0.58)
INITIAL, BUDGET, BATCH = 16, 40, 4
DELTA = 1 - CONFIDENCE


@cache
def table_of(folder: Path) -> EennTable:
    """The table, read once."""
    return EennTable.load(folder)


def dealt(outputs: Outputs, tune: Ints, test: Ints) -> Outputs:
    """Outputs of other splits of the same images."""
    parts = [outputs.tune, outputs.test]
    labels = np.concatenate([part.labels for part in parts])
    correct = np.concatenate([part.right for part in parts], axis=1)
    scores = {p: np.concatenate([part.scores[p] for part in parts], axis=1) for p in outputs.tune.scores}
    return Outputs(
        *(
            SplitOutputs(labels=labels[of], scores={p: s[:, of] for p, s in scores.items()}, correct=correct[:, of])
            for of in (tune, test)
        )
    )


def searched(
    table: EennTable, problem: Problem, evaluate: Callable[[Sequence[Proposal]], list[Record]]
) -> list[Record]:
    """Records of a search."""

    def fit(records: Sequence[Record]) -> FittedSurrogate:
        views = problem.views.trained(records)
        design = DesignMatrix.build(views, problem.space, problem.costing)
        return fit_surrogate(design, [exits for _, exits in views], "gp", problem.seed)

    first = sampled(History(problem, (), (), 0, listed=table.trained), INITIAL)
    records = evaluate(first)
    return search(problem, records, first, evaluate, strategy_named("bayesian", fit), listed=table.trained)


def one(folder: Path, floor: float, seed: int) -> list[dict[str, Any]]:
    """Both arms of a seed."""
    table, rng = table_of(folder), np.random.default_rng(seed)
    images = rng.permutation(sum(map(len, table.labels)))
    choose, sealed, judge = np.split(images, [CHOOSE, CHOOSE + SEALED])
    limits = Limits(min_accuracy=floor)
    settings = Settings().updated(
        {"limits": {"min_accuracy": floor}, "initial": INITIAL, "budget": BUDGET, "batch": BATCH}
    )
    plain, lines = table.problem(settings, seed), []

    def evaluate(proposals: Sequence[Proposal]) -> list[Record]:
        records = table.evaluate(proposals)
        return [replace(r, outputs=dealt(r.outputs, choose, judge)) for r in records if r.outputs is not None]

    def whole(record: Record) -> Exits:
        [again] = table.evaluate([record.proposal])
        assert again.outputs is not None
        outputs = dealt(again.outputs, np.arange(len(images)), np.arange(0)).tune
        return exits_of(record.architecture, outputs, plain.costing, plain.policy, ())

    for arm, seal in (("aware", Seal(SEALED, DELTA)), ("unaware", None)):
        with one_thread():
            records = searched(table, replace(plain, seal=seal), evaluate)
        worlds = [whole(record) for record in records]
        candidates = [candidates_of(drawn(world, choose), limits, SEALED) for world in worlds]
        order = in_order(candidates)

        def p_value(_: int, place: int) -> float:
            network, row = order[place]  # noqa: B023  called before the next arm
            point = OperatingPoint.from_array(candidates[network].points.thresholds[row])  # noqa: B023
            return Evidence(drawn(worlds[network], sealed), point).p_value(limits)  # noqa: B023

        [passed] = refuted([Strand(len(order), 1.0)], p_value, spent(DELTA, 1))
        line: dict[str, Any] = {"arm": arm, "floor": floor, "seed": seed, "given": passed > 0}
        if passed:
            network, row = min(order[:passed], key=lambda at: float(candidates[at[0]].points.objective[at[1]]))
            point = drawn(worlds[network], judge).measure(candidates[network].points.thresholds[row][None])
            line |= {"macs": point.expected_macs.item(), "accuracy": point.accuracy.item()}
        lines.append(line)
    return lines


def report(lines: Sequence[dict[str, Any]]) -> None:
    """Print how often something is certified, and the paired ratio of MACs."""
    for floor in sorted({line["floor"] for line in lines}):
        arms = {
            arm: {line["seed"]: line for line in lines if line["arm"] == arm and line["floor"] == floor}
            for arm in ("aware", "unaware")
        }
        seeds = sorted(arms["aware"])
        given = {arm: sum(of[s]["given"] for s in seeds) for arm, of in arms.items()}
        both = [s for s in seeds if all(of[s]["given"] for of in arms.values())]
        ratios = np.log([arms["aware"][s]["macs"] / arms["unaware"][s]["macs"] for s in both])
        print(
            f"floor {floor}: certified in {given['aware']} of {len(seeds)} searches, unaware {given['unaware']}", end=""
        )
        if len(both) > 1:
            reach = student.ppf(0.95, len(both) - 1) * ratios.std(ddof=1) / len(both) ** 0.5
            low, mean, high = np.exp([ratios.mean() - reach, ratios.mean(), ratios.mean() + reach])
            print(
                f"; MACs of the cheapest, aware / unaware: {mean:.3f} [{low:.3f}, {high:.3f}], n = {len(both)}", end=""
            )
        print()


def main() -> None:
    """Search what the ledger lacks, then report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    ledger = arguments.ledger
    lines = [json.loads(text) for text in ledger.read_text().splitlines()] if ledger.is_file() else []
    done = {(line["floor"], line["seed"]) for line in lines}
    tasks = [(f, s) for s in range(arguments.seeds) for f in FLOORS if (f, s) not in done]
    results = Parallel(n_jobs=arguments.jobs, return_as="generator_unordered")(
        delayed(one)(arguments.table, floor, seed) for floor, seed in tasks
    )
    for new in results:
        with ledger.open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in new)
        lines += new
    report(lines)


if __name__ == "__main__":
    main()
