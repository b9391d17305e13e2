"""How well surrogates predict the table of early-exit networks from few of its networks.

    python scripts/bench/tables/eenn_surrogates.py data/eenn-cifar10 [--train 10,20,40] [--seeds 6] [--rare 1]

For each number of networks and seed: so many are drawn, everything is fitted to them, calibration and all, and asked of
300 others at three thresholds, the same at every exit. With `--rare K` the first exit is on K of the drawn networks
only, and predictions are judged on networks that have it. Figures are of the tune split; medians over the seeds.
"""

import argparse
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from surrogate_nas.archive.record import Record
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.limits import Limits
from surrogate_nas.foundation.arrays import Bools, Floats, Ints
from surrogate_nas.foundation.progress import Countdown
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.proposals import make_proposal
from surrogate_nas.search.tabular.table import EennTable
from surrogate_nas.settings import Settings
from surrogate_nas.space.candidates import Candidates
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.fit import fit_surrogate
from surrogate_nas.surrogates.metrics import kendall
from surrogate_nas.surrogates.predictor import Predictor
from surrogate_nas.surrogates.spread import Spread

THRESHOLDS = (0.5, 0.8, 0.95)
ASKED = 300
FIGURES = {
    "exit-rate MAE": "{:.4f}",
    "rates covered": "{:.0%}",
    "first exit's rate MAE": "{:.4f}",
    "covered": "{:.0%}",
    "accuracy τ": "{:.3f}",
    "accuracies covered": "{:.0%}",
    "MACs covered": "{:.0%}",
}


@dataclass(frozen=True)
class Drawn:
    """Networks of the table, with their outputs."""

    problem: Problem
    views: Sequence[tuple[Record, Exits]]

    @classmethod
    def of(cls, table: EennTable, rows: Ints, policy: str, seed: int) -> "Drawn":
        problem = table.problem(Settings().updated({"policy": policy}), seed)
        architectures = table.space.architectures(rows)
        proposals = [make_proposal(problem, a, 0, rank, "user") for rank, a in enumerate(architectures)]
        return cls(problem, problem.views.trained(table.evaluate(proposals)))

    def fitted(self, surrogate: str) -> Predictor:
        design = DesignMatrix.build(self.views, self.problem.space, self.problem.costing)
        return fit_surrogate(design, [exits for _, exits in self.views], surrogate, self.problem.seed).predictor

    def figures(self, predictor: Predictor) -> tuple[float, ...]:
        """The predictor's figures on these networks, in the order of `FIGURES`."""
        candidates = Candidates.of(self.problem.space, [r.architecture for r, _ in self.views], self.problem.costing)
        parts = [self._figures_at(predictor, candidates, threshold) for threshold in THRESHOLDS]
        return tuple(np.mean(parts, axis=0))

    def _figures_at(self, predictor: Predictor, candidates: Candidates, threshold: float) -> tuple[float, ...]:
        E = self.problem.space.positions
        measured = [exits.measure(np.full((1, E - 1), threshold)) for _, exits in self.views]
        rates = np.concatenate([m.rates for m in measured])
        accuracy, macs = (np.array([getattr(m, name)[0] for m in measured]) for name in ("accuracy", "expected_macs"))
        thresholds = np.where(candidates.present[:, :-1], threshold, np.inf)
        predicted = predictor.predict(candidates, thresholds, Limits())
        there = candidates.present & candidates.present[:, :-1].any(axis=1, keepdims=True)
        first = there & (np.arange(E) == 0)
        error = np.abs(predicted.rates.mean - rates)
        inside = covered(predicted.rates, rates)
        return (
            error[there].mean(),
            inside[there].mean(),
            error[first].mean(),
            inside[first].mean(),
            kendall(predicted.accuracy.mean, accuracy),
            covered(predicted.accuracy, accuracy).mean(),
            covered(predicted.expected_macs, macs)[there.any(axis=1)].mean(),
        )


def covered(spread: Spread, measured: Floats) -> Bools:
    return np.asarray((spread.low <= measured) & (measured <= spread.high))


def drawn_rows(table: EennTable, n: int, rare: int | None, seed: int) -> tuple[Ints, Ints]:
    """Choice indices of n networks to learn from, and of the others to ask about."""
    rows = np.random.default_rng(seed).permutation(table.trained)
    has_first = table.space.genes.present(rows)[:, 0]
    if rare is None:
        return rows[:n], rows[n : n + ASKED]
    with_it, without = rows[has_first], rows[~has_first]
    return np.concatenate([with_it[:rare], without[: n - rare]]), with_it[rare : rare + ASKED]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table")
    parser.add_argument("--train", default="10,20,40", help="numbers of networks that are learned from")
    parser.add_argument("--seeds", type=int, default=6, help="draws")
    parser.add_argument("--surrogate", default="auto")
    parser.add_argument("--policy", default="max_softmax")
    parser.add_argument("--rare", type=int, help="so many of the networks that are learned from have the first exit")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    table, sizes = EennTable.load(arguments.table), [int(n) for n in arguments.train.split(",")]
    print(f"| networks | {' | '.join(FIGURES)} |")
    print("|---" * (1 + len(FIGURES)) + "|")
    countdown = Countdown("fits")
    for i, n in enumerate(sizes):
        figures = []
        for seed in range(arguments.seeds):
            learned, asked = drawn_rows(table, n, arguments.rare, seed)
            predictor = Drawn.of(table, learned, arguments.policy, seed).fitted(arguments.surrogate)
            figures.append(Drawn.of(table, asked, arguments.policy, seed).figures(predictor))
            countdown.at(i * arguments.seeds + seed + 1, len(sizes) * arguments.seeds)
        cells = [text.format(value) for text, value in zip(FIGURES.values(), np.median(figures, axis=0), strict=True)]
        print(f"| {n} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
