"""Whether the distance of a network from the trained ones tells how wrong its prediction is.

    python scripts/bench/surrogates/check_distance.py data/eenn-cifar10 [--train 10,20,40] [--draws 6]
    python scripts/bench/surrogates/check_distance.py STUDY --train 16

For each number of networks and draw: so many are drawn, a surrogate is fitted to them and asked of up to 300 others at
three thresholds, the same at every exit. Each cell is the mean error of the third of the questions that a measure puts
farthest over that of the nearest third, pooled over the draws, with the 90 % interval of a bootstrap over draws; the
last column is the error with cautions over that without, and how many have some. Draws are at random, or of the
cheapest two thirds, or of networks without a choice (another one in each draw), or without the first early exit.

Measures: the share of the network's choices in which the most similar trained network differs; the dissimilarity index
(H. Meyer, E. Pebesma, arXiv:2005.07939), which is the distance to the nearest trained network over the mean distance
between trained ones, of the surrogate's inputs; the number of cautions; the width of the predicted 90 % interval.
"""

import argparse
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from surrogate_nas import Study
from surrogate_nas.archive.record import Record
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.limits import Limits
from surrogate_nas.foundation.arrays import Bools, Floats, Ints
from surrogate_nas.foundation.progress import Countdown
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.proposals import make_proposal
from surrogate_nas.search.tabular.table import NETWORKS, EennTable
from surrogate_nas.settings import Settings
from surrogate_nas.space.candidates import Candidates
from surrogate_nas.surrogates.applicability import ApplicabilityDomain
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.fit import fit_surrogate
from surrogate_nas.surrogates.predictor import Predictor
from surrogate_nas.surrogates.spread import INTERVAL

THRESHOLDS = (0.5, 0.8, 0.95)
ASKED = 300
RESAMPLES = 2000
ERRORS = ("accuracy", "exit rates")
MEASURES = ("nearest network", "dissimilarity index", "cautions", "predicted width")


@dataclass(frozen=True)
class Networks:
    """n trained networks, one training each."""

    problem: Problem
    views: Sequence[tuple[Record, Exits]]

    @classmethod
    def of(cls, path: Path) -> "Networks":
        """Networks of a table, or of a study."""
        if not (path / NETWORKS).is_file():
            study = Study.open(path)
            views = study.home.problem.views.trained(study.records())
            return cls(study.home.problem, list({r.architecture: (r, exits) for r, exits in reversed(views)}.values()))
        table = EennTable.load(path)
        problem = table.problem(Settings(), 0)
        architectures = table.space.architectures(table.trained)
        proposals = [make_proposal(problem, a, 0, rank, "user") for rank, a in enumerate(architectures)]
        return cls(problem, problem.views.trained(table.evaluate(proposals)))

    @cached_property
    def candidates(self) -> Candidates:
        """The architectures of all networks."""
        return Candidates.of(self.problem.space, [r.architecture for r, _ in self.views], self.problem.costing)

    @cached_property
    def measurements(self) -> tuple[Floats, Floats]:
        """(T, n) accuracies and (T, n, E) exit rates."""
        grid = np.repeat(np.array(THRESHOLDS)[:, None], self.problem.space.positions - 1, axis=1)
        parts = [exits.measure(grid) for _, exits in self.views]
        return np.array([m.accuracy for m in parts]).T, np.array([m.rates for m in parts]).swapaxes(0, 1)

    def fitted(self, rows: Ints, surrogate: str, seed: int) -> Predictor:
        """A surrogate fitted to some of the networks."""
        views = [self.views[i] for i in rows]
        design = DesignMatrix.build(views, self.problem.space, self.problem.costing)
        return fit_surrogate(design, [exits for _, exits in views], surrogate, seed).predictor

    def everything(self, seed: int) -> Bools:
        """(n,) all networks."""
        return np.ones(len(self.views), dtype=bool)

    def cheapest(self, seed: int) -> Bools:
        """(n,) whether a network is among the cheapest two thirds."""
        macs = self.candidates.cost.macs()[:, -1]
        return np.asarray(macs <= np.quantile(macs, 2 / 3))

    def without_choice(self, seed: int) -> Bools:
        """(n,) whether a network is without a choice that a tenth to a half of the networks have, drawn at random."""
        genes, indices = self.problem.space.genes, self.candidates.indices
        applies, exits = genes.active(indices), set(genes.exits.values())
        having = [
            applies[:, g] & (indices[:, g] == k)
            for g in genes.encoded
            if g not in exits
            for k in range(genes.counts[g])
        ]
        having = [has for has in having if 0.1 <= has.mean() <= 0.5]
        return ~having[np.random.default_rng(seed).integers(len(having))]

    def without_first_exit(self, seed: int) -> Bools:
        """(n,) whether a network is without the first early exit."""
        return ~self.candidates.present[:, min(self.problem.space.genes.exits)]


DRAWS: dict[str, Callable[[Networks, int], Bools]] = {
    "at random": Networks.everything,
    "cheapest two thirds": Networks.cheapest,
    "without a choice": Networks.without_choice,
    "without the first exit": Networks.without_first_exit,
}


@dataclass(frozen=True)
class Judged:
    """Questions of one draw."""

    errors: dict[str, Floats]
    """(k,) mean absolute error of each question, by the names of `ERRORS`; NaN where all leave at one exit."""
    measures: dict[str, dict[str, Floats]]
    """(k,) distance of each question, by the names of `MEASURES`, for each error."""
    order: Floats
    """(k,) random numbers that order equal distances."""

    @classmethod
    def of(cls, networks: Networks, learned: Ints, asked: Ints, predictor: Predictor, seed: int) -> "Judged":
        """Ask a predictor of some of the networks."""
        candidates = networks.candidates[asked]
        there = candidates.present & candidates.present[:, :-1].any(axis=1, keepdims=True)
        accuracies, rates = networks.measurements
        wrong, wide = np.zeros((2, len(THRESHOLDS), len(asked))), np.zeros((2, len(THRESHOLDS), len(asked)))
        for t, threshold in enumerate(THRESHOLDS):
            thresholds = np.where(candidates.present[:, :-1], threshold, np.inf)
            p = predictor.predict(candidates, thresholds, Limits())
            wrong[0, t] = np.abs(p.accuracy.mean - accuracies[t, asked])
            wide[0, t] = p.accuracy.high - p.accuracy.low
            wrong[1, t] = _mean_where(np.abs(p.rates.mean - rates[t, asked]), there)
            wide[1, t] = _mean_where(p.rates.high - p.rates.low, there)
        errors, widths = wrong.mean(axis=1), wide.mean(axis=1)
        geometric = _distances(networks, networks.candidates[learned], candidates, predictor)
        measures = {e: {**geometric, "predicted width": widths[i]} for i, e in enumerate(ERRORS)}
        return cls(dict(zip(ERRORS, errors, strict=True)), measures, np.random.default_rng(seed).random(len(asked)))

    def thirds(self, error: str, measure: str) -> tuple[float, float]:
        """Mean error of the farthest and of the nearest third."""
        defined = np.flatnonzero(np.isfinite(self.errors[error]))
        ranked = defined[np.lexsort((self.order[defined], self.measures[error][measure][defined]))]
        third = len(ranked) // 3
        values = self.errors[error]
        return float(values[ranked[-third:]].mean()), float(values[ranked[:third]].mean())

    def sums(self, error: str) -> tuple[float, int, float, int]:
        """Sum of errors and number of questions, with cautions and without."""
        values, flagged = self.errors[error], self.measures[error]["cautions"] > 0
        defined = np.isfinite(values)
        yes, no = values[flagged & defined], values[~flagged & defined]
        return float(yes.sum()), len(yes), float(no.sum()), len(no)


def _mean_where(values: Floats, there: Bools) -> Floats:
    """(k,) means of (k, E) values where they count; NaN where none does."""
    counts = there.sum(axis=1)
    return np.divide((values * there).sum(axis=1), counts, out=np.full(len(values), np.nan), where=counts > 0)


def _distances(networks: Networks, learned: Candidates, asked: Candidates, predictor: Predictor) -> dict[str, Floats]:
    genes = networks.problem.space.genes
    encoded = list(genes.encoded)
    choices, known = (
        np.where(genes.active(c.indices), c.indices, -1)[:, encoded].astype(np.int64) for c in (asked, learned)
    )
    applies = choices >= 0
    differ = ((choices[:, None] != known[None]) & applies[:, None]).sum(axis=2) / applies.sum(axis=1)[:, None]
    inputs, rows = predictor.design.inputs(asked), predictor.design.inputs(learned)
    among = _euclidean(rows, rows)
    mean = among[~np.eye(len(rows), dtype=bool)].mean()
    cautions = ApplicabilityDomain(genes, learned).cautions(asked)
    return {
        "nearest network": differ.min(axis=1),
        "dissimilarity index": _euclidean(inputs, rows).min(axis=1) / mean,
        "cautions": np.array([len(texts) for texts in cautions], dtype=np.float64),
    }


def _euclidean(a: Floats, b: Floats) -> Floats:
    return np.asarray(np.sqrt(((a[:, None] - b[None]) ** 2).sum(axis=2)))


def ratio(pairs: Floats) -> str:
    """Ratio of summed columns of (draws, 2), with the 90 % interval of a bootstrap over draws."""
    drawn = np.random.default_rng(0).integers(len(pairs), size=(RESAMPLES, len(pairs)))
    sums = pairs[drawn].sum(axis=1)
    low, high = np.quantile(sums[:, 0] / sums[:, 1], [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
    return f"{pairs[:, 0].sum() / pairs[:, 1].sum():.2f} [{low:.2f}, {high:.2f}]"


def flagged(judged: Sequence[Judged], error: str) -> str:
    """Mean error with cautions over that without, and the share of questions with cautions."""
    with_sum, with_count, without_sum, without_count = np.sum([j.sums(error) for j in judged], axis=0)
    share = f"{with_count / (with_count + without_count):.0%}"
    if not (with_count and without_count):
        return f"– ({share})"
    return f"{(with_sum / with_count) / (without_sum / without_count):.2f} ({share})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", type=Path, help="a table of early-exit networks, or a study")
    parser.add_argument("--train", default="10,20,40", help="numbers of networks that are learned from")
    parser.add_argument("--draws", type=int, default=6)
    parser.add_argument("--surrogate", default="auto")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    networks, sizes = Networks.of(arguments.networks), [int(n) for n in arguments.train.split(",")]
    judged: dict[tuple[str, int], list[Judged]] = {}
    countdown, fits = Countdown("fits"), len(DRAWS) * len(sizes) * arguments.draws
    for kind, eligible in DRAWS.items():
        for n in sizes:
            for seed in range(arguments.draws):
                able = eligible(networks, seed)
                rows = np.random.default_rng(seed).permutation(len(networks.views))
                learned = rows[able[rows]][:n]
                asked = rows[~np.isin(rows, learned)][:ASKED]
                predictor = networks.fitted(learned, arguments.surrogate, seed)
                judged.setdefault((kind, n), []).append(Judged.of(networks, learned, asked, predictor, seed))
                countdown.at(sum(map(len, judged.values())), fits)
    for error in ERRORS:
        print(f"\n| error of {error}: drawn | networks | MAE | {' | '.join(MEASURES)} | with cautions |")
        print("|---" * (4 + len(MEASURES)) + "|")
        for (kind, n), draws in judged.items():
            ratios = [ratio(np.array([j.thirds(error, m) for j in draws])) for m in MEASURES]
            mae = np.mean([np.nanmean(j.errors[error]) for j in draws])
            print(f"| {kind} | {n} | {mae:.4f} | {' | '.join(ratios)} | {flagged(draws, error)} |")


if __name__ == "__main__":
    main()
