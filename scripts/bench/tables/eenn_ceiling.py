"""How much of a front on the table of early-exit networks can be predicted at all, and how much is luck.

    python scripts/bench/tables/eenn_ceiling.py [--surrogate xgb] [--folds 4]

Each fold of the table is predicted by surrogates fitted to all other networks, many more than any search trains; then
networks are chosen greedily by their sampled curves, and hypervolumes are those of what they really measured. Beside
it: how far seeds of one network lie apart, and how far networks do.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
from eenn_problem import EennProblem, fitting
from search_runs import READ_AT

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.exits.front import Front
from surrogate_nas.foundation.threads import one_thread
from surrogate_nas.search.bayesian.acquisition import greedily
from surrogate_nas.search.bayesian.curve_value import CURVE_SAMPLES, CurveValue, threshold_grid
from surrogate_nas.settings import Settings
from surrogate_nas.space.candidates import Candidates


@one_thread()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--eenn-table", type=Path, default=Path("data/eenn-cifar10"))
    parser.add_argument("--surrogate", default="xgb")
    parser.add_argument("--folds", type=int, default=4)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    problem = EennProblem.load(arguments.eenn_table)
    of: dict[Architecture, list[float]] = {}
    for training in problem.table.trainings:
        right = training.outputs(*problem.table.labels).tune.correct[-1]
        of.setdefault(training.architecture, []).append(float(right.mean()))
    last = list(of.values())
    seeds = np.sqrt(np.mean([np.var(values, ddof=1) for values in last if len(values) > 1]))
    print(
        f"accuracy of the last exit on tune: standard deviation {seeds:.4f} over seeds of a network, "
        f"{np.std([values[0] for values in last]):.4f} over networks"
    )

    task = problem.task(Settings(), 0)
    records = problem.table.evaluate([proposal for proposal, _, _ in problem.everything])
    candidates = Candidates.of_indices(problem.table.space, problem.table.trained, task.costing)
    none = Front.of(np.zeros(0), np.zeros(0), *problem.reference)
    order = np.random.default_rng(0).permutation(len(records))
    cost, accuracy = np.zeros((2, CURVE_SAMPLES, len(records), 0))
    for part in np.array_split(order, arguments.folds):
        others = [records[i] for i in np.setdiff1d(order, part)]
        predictor = fitting(task, arguments.surrogate)(others).predictor
        grid = threshold_grid(predictor.design.basis)
        if not cost.shape[2]:
            cost, accuracy = np.zeros((2, CURVE_SAMPLES, len(records), len(grid)))
        value = CurveValue(predictor, none, problem.limits, grid, 0)
        cost[:, part], accuracy[:, part], _ = value.curves(candidates[part])
    front, best = none, problem.best[0]
    for number, i in enumerate(greedily(none, cost, accuracy, max(READ_AT[:2])), start=1):
        curve = problem.everything[i][1].within(problem.limits)
        front = front.with_points(np.log10(curve.objective), curve.accuracy)
        if number in (1, 5, 10, 20, 40, 60):
            share = front.hypervolume / best
            print(f"{number} networks chosen by {arguments.surrogate} fitted to the others: {share:.4f}")


if __name__ == "__main__":
    main()
