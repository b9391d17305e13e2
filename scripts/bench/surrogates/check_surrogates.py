"""How well surrogates predict networks of a study or a table that they never saw, beside what training again would say.

    python scripts/bench/surrogates/check_surrogates.py STUDY [--surrogate stack] [--repeats 3]
    python scripts/bench/surrogates/check_surrogates.py TABLE …

Everything is fitted anew, calibration and all, to four fifths of the architectures, and asked of the last fifth, at the
same thresholds for all. The floor and the ceiling are what another training says of the same network, for those that
have been trained with three seeds. `scalars` are surrogates of two numbers per threshold, accuracy and average MACs, as
prior systems have them: by the same models, and by adaptive switching. Accuracies and rates are those of the tune
split; each architecture is judged by its first training.
"""

import argparse
import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from networks import inputs_of, trained_networks

from surrogate_nas.archive.record import Record
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.limits import Limits
from surrogate_nas.foundation.arrays import Bools, Floats, Ints
from surrogate_nas.foundation.progress import Countdown
from surrogate_nas.foundation.threads import one_thread
from surrogate_nas.search.problem import Problem
from surrogate_nas.space.candidates import Candidates
from surrogate_nas.surrogates.behavior import behavior_at
from surrogate_nas.surrogates.cross_validation import fit_whole
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.fit import fit_surrogate
from surrogate_nas.surrogates.folds import FOLDS, folds
from surrogate_nas.surrogates.metrics import bootstrap_tau, kendall
from surrogate_nas.surrogates.normal_model import marginals
from surrogate_nas.surrogates.registry import surrogate_named
from surrogate_nas.surrogates.spread import INTERVAL
from surrogate_nas.surrogates.training_set import TrainingSet

THRESHOLDS = (0.5, 0.8, 0.95)
SEEDS = 3


@dataclass(frozen=True)
class Trained:
    """n trainings, measured at each of T thresholds."""

    problem: Problem
    views: Sequence[tuple[Record, Exits]]

    @cached_property
    def group(self) -> Ints:
        """(n,) architecture of each."""
        number = {a: i for i, a in enumerate(dict.fromkeys(r.architecture for r, _ in self.views))}
        return np.array([number[r.architecture] for r, _ in self.views])

    @cached_property
    def candidates(self) -> Candidates:
        """The architectures of all rows."""
        return Candidates.of(self.problem.space, [r.architecture for r, _ in self.views], self.problem.costing)

    @cached_property
    def measurements(self) -> tuple[Floats, Floats, Floats]:
        """(T, n, E) exit rates, (T, n) accuracies and (T, n) expected MACs."""
        grid = np.repeat(np.array(THRESHOLDS)[:, None], self.problem.space.positions - 1, axis=1)
        parts = [exits.measure(grid) for _, exits in self.views]
        rates, accuracy, macs = ([getattr(m, name) for m in parts] for name in ("rates", "accuracy", "expected_macs"))
        return np.array(rates).swapaxes(0, 1), np.array(accuracy).T, np.array(macs).T

    @cached_property
    def first(self) -> Ints:
        """(G,) the first row of each architecture."""
        return np.unique(self.group, return_index=True)[1]

    def seeds(self) -> Ints:
        """(g, 3) rows of the architectures that have been trained at least three times."""
        rows = [np.flatnonzero(self.group == g) for g in np.unique(self.group)]
        return np.array([r[:SEEDS] for r in rows if len(r) >= SEEDS], dtype=np.int64).reshape(-1, SEEDS)


@dataclass
class Predictions:
    """Predictions as arrays like `Trained.measurements`, and whether intervals cover the measurements."""

    rates: Floats
    accuracy: Floats
    macs: Floats
    inside: dict[str, Bools]


def exit_wise(trained: Trained, kind: str, seed: int, countdown: Countdown) -> Predictions:
    """The surrogates of this package, in an outer cross-validation."""
    rates, accuracy, macs = trained.measurements
    predictions = Predictions(np.zeros_like(rates), np.zeros_like(accuracy), np.zeros_like(macs), {})
    inside = {
        "accuracy": np.zeros(accuracy.shape, bool),
        "expected MACs": np.zeros(macs.shape, bool),
        "exit rates": np.zeros(rates.shape, bool),
    }
    fold = folds(trained.group, seed)
    for k in range(FOLDS):
        views = [view for view, test in zip(trained.views, fold == k, strict=True) if not test]
        design = DesignMatrix.build(views, trained.problem.space, trained.problem.costing)
        predictor = fit_surrogate(design, [exits for _, exits in views], kind, seed).predictor
        test = np.flatnonzero(fold == k)
        part = trained.candidates[test]
        for i, t in enumerate(THRESHOLDS):
            thresholds = np.where(part.present[:, :-1], t, np.inf)
            p = predictor.predict(part, thresholds, Limits())
            predictions.rates[i, test], predictions.accuracy[i, test], predictions.macs[i, test] = (
                p.rates.mean,
                p.accuracy.mean,
                p.expected_macs.mean,
            )
            for name, spread, truth in (
                ("accuracy", p.accuracy, accuracy),
                ("exit rates", p.rates, rates),
                ("expected MACs", p.expected_macs, macs),
            ):
                inside[name][i, test] = (truth[i, test] >= spread.low) & (truth[i, test] <= spread.high)
        countdown.at(k + 1, FOLDS)
    uncertain = trained.candidates.present[:, :-1].any(axis=1)  # else MACs and rates are
    uncertain &= np.isin(np.arange(len(uncertain)), trained.first)
    there = trained.candidates.present & uncertain[:, None]
    predictions.inside = {
        "accuracy": inside["accuracy"][:, trained.first],
        "expected MACs": inside["expected MACs"][:, uncertain],
        "exit rates": inside["exit rates"][:, there],
    }
    return predictions


def scalar(trained: Trained, kind: str, seed: int) -> Predictions:
    """Surrogates of accuracy and of log average MACs at each threshold, on the same folds."""
    rates, accuracy, macs = trained.measurements
    Y = np.concatenate([accuracy, np.log10(macs)]).T
    fold, means = folds(trained.group, seed), np.zeros_like(Y)
    X, kinds = inputs_of(trained.candidates, trained.problem.space.genes.kinds)
    for k in range(FOLDS):
        train, test = np.flatnonzero(fold != k), fold == k
        center, scale = Y[train].mean(axis=0), Y[train].std(axis=0)
        group = np.unique(trained.group[train], return_inverse=True)[1]
        rows = TrainingSet(X[train], kinds, (Y[train] - center) / scale, np.zeros_like(Y[train]), group)
        mean, _ = marginals(fit_whole(rows, surrogate_named(kind), seed), torch.from_numpy(X[test]))
        means[test] = center + scale * mean.numpy()
    T = len(THRESHOLDS)
    return Predictions(np.full_like(rates, np.nan), means[:, :T].T, 10 ** means[:, T:].T, {})


def own_curves(trained: Trained) -> Predictions:
    """Each network's own coefficients: what predictions lose by being curves of few coefficients."""
    design = DesignMatrix.build(trained.views, trained.problem.space, trained.problem.costing)
    behaviors = []
    for t in THRESHOLDS:
        thresholds = np.where(trained.candidates.present[:, :-1], t, np.inf)
        behaviors.append(
            behavior_at(design, trained.candidates, torch.from_numpy(design.coefficients(design.targets.Y)), thresholds)
        )
    rates = np.array([s.curve.rates.numpy() for s in behaviors])
    return Predictions(
        rates, np.array([s.accuracy for s in behaviors]), np.array([s.figures.macs.expected for s in behaviors]), {}
    )


@one_thread()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks_of", type=Path, metavar="STUDY", help="a study, or the folder of a table")
    parser.add_argument("--surrogate", default="auto", help="the one of this package that is judged")
    parser.add_argument("--networks", type=int, help="only so many architectures, the first that were trained")
    parser.add_argument("--repeats", type=int, default=3, help="times with other folds")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    problem, views = trained_networks(arguments.networks_of)
    architectures = list(dict.fromkeys(r.architecture for r, _ in views))[: arguments.networks]
    trained = Trained(problem, [(r, exits) for r, exits in views if r.architecture in architectures])
    rates, accuracy, macs = trained.measurements
    seeds, first = trained.seeds(), trained.first
    print(
        f"{len(first)} architectures, {len(seeds)} of them with {SEEDS} seeds, {len(trained.group)} trainings; "
        f"{trained.views[0][1].samples} images; thresholds {', '.join(map(str, THRESHOLDS))}\n"
    )
    present = trained.candidates.present & trained.candidates.present[:, :-1].any(axis=1, keepdims=True)
    print("| predicted by | exit-rate MAE | accuracy τ [90 %] | accuracy RMSE | average MACs τ | MACs RMSE |")
    print("|---|---|---|---|---|---|")
    if len(seeds):
        one, other = (np.stack(side) for side in zip(*itertools.permutations(seeds.T, 2), strict=True))  # (6, g)
        floor = float(np.mean(np.abs(rates[:, one] - rates[:, other])[:, present[one]]))
        pairs = [a[:, side].reshape(-1, len(seeds)) for a in (accuracy, macs) for side in (one, other)]
        ceiling, measured_accuracy, ceiling_macs, measured_macs = pairs
        group = trained.group[seeds[:, 0]]
        row("another training (floor, ceiling)", floor, ceiling, measured_accuracy, ceiling_macs, measured_macs, group)
    repeats: dict[str, list[Predictions]] = {"its own curve": [own_curves(trained)]}
    for seed in range(arguments.repeats):
        countdown = Countdown(f"folds of repeat {seed + 1} of {arguments.repeats}")
        repeats.setdefault(f"exits ({arguments.surrogate})", []).append(
            exit_wise(trained, arguments.surrogate, seed, countdown)
        )
        repeats.setdefault("exits (size)", []).append(exit_wise(trained, "size", seed, Countdown("folds")))
        for kind in ("stack", "switching"):
            repeats.setdefault(f"scalars ({kind})", []).append(scalar(trained, kind, seed))
    for name, predictions in repeats.items():
        error = float(np.mean([np.abs(s.rates - rates)[:, first][:, present[first]] for s in predictions]))
        predicted_pair = (
            np.concatenate([getattr(s, what)[:, first] for s in predictions]) for what in ("accuracy", "macs")
        )
        measured_pair = (np.tile(a[:, first], (len(predictions), 1)) for a in (accuracy, macs))
        (predicted_accuracy, predicted_macs), (is_accuracy, is_macs) = predicted_pair, measured_pair
        row(name, error, predicted_accuracy, is_accuracy, predicted_macs, is_macs, trained.group[first])
    predictions = repeats[f"exits ({arguments.surrogate})"]
    coverage = {name: np.mean([s.inside[name].mean() for s in predictions]) for name in predictions[0].inside}
    print(f"\n{INTERVAL:.0%} intervals cover " + ", ".join(f"{name} {share:.1%}" for name, share in coverage.items()))


def row(
    name: str,
    rate_error: float,
    predicted_accuracy: Floats,
    measured_accuracy: Floats,
    predicted_macs: Floats,
    measured_macs: Floats,
    group: Ints,
) -> None:
    """Print one line of the table, from (R, n) predictions and measurements."""
    taus = [kendall(s, m) for s, m in zip(predicted_accuracy, measured_accuracy, strict=True)]
    spread = np.mean(
        [bootstrap_tau(s, m, group) for s, m in zip(predicted_accuracy, measured_accuracy, strict=True)], axis=0
    )
    low, high = np.quantile(spread, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
    macs_tau = np.mean([kendall(s, m) for s, m in zip(predicted_macs, measured_macs, strict=True)])
    error = np.sqrt(np.mean((predicted_accuracy - measured_accuracy) ** 2))
    macs_error = np.sqrt(np.mean((predicted_macs / measured_macs - 1) ** 2))
    mae = "–" if np.isnan(rate_error) else f"{rate_error:.4f}"
    print(
        f"| {name} | {mae} | {np.mean(taus):.3f} [{low:.3f}, {high:.3f}] | {error:.4f} | {macs_tau:.3f} | "
        f"{macs_error:.1%} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
