"""How well surrogates predict the table of early-exit networks from few of its networks.

    python scripts/bench/tables/eenn_surrogates.py data/eenn-cifar10 [--train 10,20,40] [--seeds 6] [--rare 1]
        [--before CHECKOUT] [--jobs 2] [--json figures.jsonl]

For each number of networks and seed: so many are drawn, everything is fitted to them, calibration and all, and asked of
300 others at three thresholds, the same at every exit. With `--rare K` the first exit is on K of the drawn networks
only, and predictions are judged on networks that have it. Figures are of the tune split.

The exit-rate MAE of a draw is the mean of |predicted − measured| exit probability over the exits, the final one
included, of the networks that have an early exit, and over the thresholds. Rows show medians over the draws of errors,
and means of the rest. `another training` is the floor: one seed of a network predicted by another, for the networks of
the table with several. It has the noise of both, so that a perfect prediction of the mean over seeds would have about
0.7 times its errors.

`--before` measures the same draws by the package of another checkout, by this same file, and prints ratios of medians
and mean differences with 90 % bootstrap intervals over draws. `--json` keeps the figures of each draw: a run that was
stopped goes on there. Results do not depend on `--jobs`.
"""

import argparse
import itertools
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from paired import BEFORE, NEW, Interval, Ledger, Line, checkouts, mean_difference, measured, ratio_of_medians, serve

from surrogate_nas.archive.record import Record
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.limits import Limits
from surrogate_nas.foundation.arrays import Bools, Floats, Ints
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.proposals import make_proposal
from surrogate_nas.search.tabular.table import EennTable
from surrogate_nas.settings import Settings
from surrogate_nas.space.candidates import Candidates
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.fit import FittedSurrogate, fit_surrogate
from surrogate_nas.surrogates.metrics import kendall
from surrogate_nas.surrogates.predictor import Prediction, Predictor
from surrogate_nas.surrogates.spread import Spread

THRESHOLDS = (0.5, 0.8, 0.95)
ASKED = 300
MAE = "exit-rate MAE"
TAUS = tuple(f"accuracy τ at {threshold}" for threshold in THRESHOLDS)
ERRORS = {
    MAE: "{:.4f}",
    "rate RMSE": "{:.4f}",
    "first exit's rate MAE": "{:.4f}",
    **dict.fromkeys(TAUS, "{:.3f}"),
    "accuracy RMSE": "{:.4f}",
    "MACs RMSE": "{:.1%}",
}
COVERED = ("accuracies covered", "MACs covered", "rates covered", "first exit's rates covered")
FIGURES = {**ERRORS, **dict.fromkeys(COVERED, "{:.1%}")}


# ---------------------------------------------------------------------- one draw


@dataclass(frozen=True)
class Behavior:
    """Behaviour of n networks at T thresholds."""

    rates: Floats
    """(T, n, E) exit probabilities."""
    accuracy: Floats
    """(T, n)."""
    macs: Floats
    """(T, n) expected MACs."""


@dataclass(frozen=True)
class Drawn:
    """Networks of the table, with their outputs."""

    problem: Problem
    views: Sequence[tuple[Record, Exits]]

    @classmethod
    def of(cls, table: EennTable, rows: Ints, policy: str, seed: int, training: int | None = None) -> "Drawn":
        """Draw rows of choice indices, each with the training that its seed decides, or that of this number."""
        problem = table.problem(Settings().updated({"policy": policy, "repeats": False}), seed)
        architectures = table.space.architectures(rows)
        proposals = [make_proposal(problem, a, 0, rank, "user") for rank, a in enumerate(architectures)]
        if training is not None:
            proposals = [replace(proposal, seed=training) for proposal in proposals]
        return cls(problem, problem.views.trained(table.evaluate(proposals)))

    @cached_property
    def candidates(self) -> Candidates:
        """The networks, in the order of `views`."""
        return Candidates.of(self.problem.space, [r.architecture for r, _ in self.views], self.problem.costing)

    @cached_property
    def there(self) -> Bools:
        """(n, E) which exits exist, of the networks with an early exit."""
        present = self.candidates.present
        return np.asarray(present & present[:, :-1].any(axis=1, keepdims=True))

    @cached_property
    def measured(self) -> Behavior:
        """Measurements of the networks."""
        grid = np.repeat(np.array(THRESHOLDS)[:, None], self.problem.space.positions - 1, axis=1)
        parts = [exits.measure(grid) for _, exits in self.views]
        rates, accuracy, macs = (
            np.stack([getattr(m, name) for m in parts], axis=1) for name in ("rates", "accuracy", "expected_macs")
        )
        return Behavior(rates, accuracy, macs)

    def fitted(self, surrogate: str) -> FittedSurrogate:
        """Fit a surrogate to these networks."""
        design = DesignMatrix.build(self.views, self.problem.space, self.problem.costing)
        return fit_surrogate(design, [exits for _, exits in self.views], surrogate, self.problem.seed)

    def figures(self, predictor: Predictor) -> dict[str, float]:
        """The predictor's figures on these networks; see `FIGURES`."""
        present = self.candidates.present[:, :-1]
        at = [np.where(present, threshold, np.inf) for threshold in THRESHOLDS]
        predictions = [predictor.predict(self.candidates, thresholds, Limits()) for thresholds in at]
        return {**self.errors(_means(predictions)), **self._coverage(predictions)}

    def errors(self, predicted: Behavior) -> dict[str, float]:
        """Errors of a prediction; see `ERRORS`."""
        true, first = self.measured, self.there[:, 0]
        off = np.abs(predicted.rates - true.rates)
        taus = [kendall(p, m) for p, m in zip(predicted.accuracy, true.accuracy, strict=True)]
        return {
            MAE: float(off[:, self.there].mean()),
            "rate RMSE": _rms(off[:, self.there]),
            "first exit's rate MAE": float(off[:, first, 0].mean()),
            **dict(zip(TAUS, taus, strict=True)),
            "accuracy RMSE": _rms(predicted.accuracy - true.accuracy),
            "MACs RMSE": _rms(predicted.macs / true.macs - 1),
        }

    def _coverage(self, predictions: Sequence[Prediction]) -> dict[str, float]:
        """Shares of measured values within their intervals; see `COVERED`."""
        true, early = self.measured, self.there.any(axis=1)
        rates = covered([p.rates for p in predictions], true.rates)
        accuracy = covered([p.accuracy for p in predictions], true.accuracy)
        macs = covered([p.expected_macs for p in predictions], true.macs)
        inside = accuracy, macs[:, early], rates[:, self.there], rates[:, self.there[:, 0], 0]
        return {name: float(part.mean()) for name, part in zip(COVERED, inside, strict=True)}


def _means(predictions: Sequence[Prediction]) -> Behavior:
    parts = ([getattr(p, name).mean for p in predictions] for name in ("rates", "accuracy", "expected_macs"))
    return Behavior(*(np.stack(part) for part in parts))


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2)))


def covered(spreads: Sequence[Spread], true: Floats) -> Bools:
    """(T, …) whether measured values lie within the intervals."""
    low, high = (np.stack([getattr(spread, end) for spread in spreads]) for end in ("low", "high"))
    return np.asarray((low <= true) & (true <= high))


def drawn_rows(table: EennTable, n: int, rare: int | None, seed: int) -> tuple[Ints, Ints]:
    """Choice indices of n networks to learn from, and of the others to ask about."""
    rows = np.random.default_rng(seed).permutation(table.trained)
    has_first = table.space.genes.present(rows)[:, 0]
    if rare is None:
        return rows[:n], rows[n : n + ASKED]
    with_it, without = rows[has_first], rows[~has_first]
    return np.concatenate([with_it[:rare], without[: n - rare]]), with_it[rare : rare + ASKED]


def held_out_figures(table: EennTable, draw: Line) -> dict[str, float]:
    """Figures of the surrogate that is fitted to a draw, on networks that are not in it."""
    policy, seed = draw["policy"], draw["seed"]
    learned, asked = drawn_rows(table, draw["n"], draw["rare"], seed)
    fitted = Drawn.of(table, learned, policy, seed).fitted(draw["surrogate"])
    return Drawn.of(table, asked, policy, seed).figures(fitted.predictor)


def floor(table: EennTable, rare: int | None, policy: str) -> tuple[int, dict[str, float]]:
    """Number of networks with several trainings, and the mean errors of one training as a prediction of another."""
    counts = table.seeds
    several = counts == counts.max()
    if rare is not None:
        several &= table.space.genes.present(table.trained)[:, 0]
    trainings = [Drawn.of(table, table.trained[several], policy, 0, k) for k in range(counts.max())]
    errors = [a.errors(b.measured) for a, b in itertools.permutations(trainings, 2)]
    return int(several.sum()), {name: float(np.mean([e[name] for e in errors])) for name in ERRORS}


# ---------------------------------------------------------------------- tables


def summary(figures: Sequence[Mapping[str, float]], name: str) -> float:
    """Median over draws of an error; mean of a rank correlation or a share."""
    values = [one[name] for one in figures]
    return float(np.mean(values) if name in (*TAUS, *COVERED) else np.median(values))


BySize = Mapping[int, Mapping[str, Sequence[Mapping[str, float]]]]
"""Figures of the draws of each number of networks, by each checkout."""


def print_figures(by_size: BySize, networks: int, floors: Mapping[str, float]) -> None:
    """Print the figures, and those of another training of a number of networks."""
    print(f"| networks | by | draws | {' | '.join(FIGURES)} |\n{'|---' * (3 + len(FIGURES))}|")
    for n, by_name in by_size.items():
        for name, figures in by_name.items():
            cells = [text.format(summary(figures, figure)) for figure, text in FIGURES.items()]
            print(f"| {n} | {name} | {len(figures)} | {' | '.join(cells)} |")
    cells = [text.format(floors[name]) if name in floors else "–" for name, text in FIGURES.items()]
    print(f"| – | another training of {networks} networks | – | {' | '.join(cells)} |")


def print_comparison(by_size: BySize) -> None:
    """Print how the new code compares with that before, draw by draw."""
    print("\nNew against before, with 90 % intervals over draws\n")
    heads = ["networks", "draws", f"{MAE}, ratio of medians", *(f"{name}, mean difference" for name in TAUS)]
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for n, by_name in by_size.items():
        pairs = {
            name: [np.array([one[name] for one in by_name[label]]) for label in (NEW, BEFORE)] for name in (MAE, *TAUS)
        }
        cells = ["{:.3f} [{:.3f}, {:.3f}]".format(*ratio_of_medians(*pairs[MAE]))]
        cells += [signed(mean_difference(*pairs[name])) for name in TAUS]
        print(f"| {n} | {len(by_name[NEW])} | {' | '.join(cells)} |")


def signed(interval: Interval) -> str:
    """Text of a difference."""
    return "{:+.4f} [{:+.4f}, {:+.4f}]".format(*interval)


# ---------------------------------------------------------------------- the command


def arguments_for_draws(description: str | None) -> argparse.ArgumentParser:
    """Options of draws, which scripts on this table share."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", help="folder of the table")
    parser.add_argument("--train", default="10,20,40", help="numbers of networks that are learned from")
    parser.add_argument("--seeds", type=int, default=6, help="draws of each number")
    parser.add_argument("--policy", default="max_softmax", help="exit policy")
    parser.add_argument("--before", metavar="CHECKOUT", help="another checkout, to compare with")
    parser.add_argument("--jobs", type=int, default=1, help="draws that are measured side by side")
    parser.add_argument("--json", metavar="FILE", help="figures of each draw, as lines of JSON, to go on from")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser


def sizes_of(text: str) -> list[int]:
    """Numbers of networks.

    Raises:
        InputError: for text that is something else.
    """
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"--train {text}: allowed are numbers separated by commas") from None


def draw_lines(arguments: argparse.Namespace, table: EennTable, **values: Any) -> list[Line]:
    """Draws that the options name, each with these values; seed by seed, so that a part of a run has all numbers."""
    names = {"table": table.space.spec.name, "policy": arguments.policy, **values}
    sizes = sizes_of(arguments.train)
    return [{**names, "n": n, "seed": seed} for seed in range(arguments.seeds) for n in sizes]


def main() -> None:
    parser = arguments_for_draws(__doc__)
    parser.add_argument("--surrogate", default="auto")
    parser.add_argument("--rare", type=int, help="so many of the networks that are learned from have the first exit")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    table = EennTable.load(arguments.table)
    if arguments.worker:
        serve(lambda draw: held_out_figures(table, draw))
        return
    draws = draw_lines(arguments, table, measure="held-out", rare=arguments.rare, surrogate=arguments.surrogate)
    command, ledger = [__file__, arguments.table], Ledger.open(arguments.json)
    by_name = measured(draws, checkouts(arguments.before), command, ledger, arguments.jobs)
    by_size = {
        n: {name: [f for d, f in zip(draws, figures, strict=True) if d["n"] == n] for name, figures in by_name.items()}
        for n in sizes_of(arguments.train)
    }
    print_figures(by_size, *floor(table, arguments.rare, arguments.policy))
    if BEFORE in by_name:
        print_comparison(by_size)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(f"error: {error}") from None
