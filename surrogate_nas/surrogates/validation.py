"""Fitting and judging surrogates by architectures that they never saw."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from botorch.models.model import Model
from scipy.stats import kendalltau

from surrogate_nas.config import SurrogateName
from surrogate_nas.exits import Exits
from surrogate_nas.surrogates.curves import Floats
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.gp import fit_gp
from surrogate_nas.surrogates.predictor import INTERVAL, QUERY_SAMPLES, Calibration, Kind, Predictor, reach
from surrogate_nas.surrogates.xgb import fit_xgb

FitModel = Callable[[DesignMatrix, int], Model]
SURROGATES: Mapping[Kind, FitModel] = {"gp": fit_gp, "xgb": fit_xgb}
FOLDS = 5
REFERENCE_THRESHOLDS = (0.5, 0.8, 0.95)
"""The same threshold at every early exit: where surrogates are judged."""


@dataclass(frozen=True, slots=True)
class Score:
    """How well one quantity of held-out architectures was predicted."""

    target: str
    n: int
    """Trained networks it was judged on."""
    tau: float
    """Kendall's τ, the mean over the reference thresholds."""
    rmse: float
    """Root mean squared error; for MACs of the ratio to the measured value."""
    coverage: float
    """Share of measured values inside the 90 % interval, which was calibrated on other folds."""


@dataclass(frozen=True, slots=True)
class Validation:
    """One surrogate, judged by k-fold cross-validation over architectures."""

    kind: Kind
    scores: tuple[Score, ...]
    cost_tau: float
    """τ of accuracy against the MACs of the whole network: what sorting by size gives for nothing."""
    calibration: Calibration

    @property
    def accuracy(self) -> Score:
        """The score of the composed accuracy."""
        return self.scores[0]


@dataclass(frozen=True, slots=True)
class Fitted:
    """The chosen surrogate, and how each that was tried did."""

    predictor: Predictor
    validations: tuple[Validation, ...]


def fit_surrogate(design: DesignMatrix, exits: list[Exits], surrogate: SurrogateName, seed: int) -> Fitted:
    """Cross-validate, choose, and fit to all rows.

    Args:
        design: n rows.
        exits: the same networks' tune outputs, for what was really measured.
        surrogate: which; `auto` takes the one whose held-out accuracies rank best.
        seed: of folds, bootstrap samples and draws.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the same sums in the same order on every machine
    try:
        kinds: list[Kind] = list(SURROGATES) if surrogate == "auto" else [surrogate]
        validations = tuple(validate(design, exits, kind, seed) for kind in kinds)
        best = max(validations, key=lambda v: v.accuracy.tau)
        model = SURROGATES[best.kind](design, seed)
        return Fitted(Predictor(best.kind, design, model, best.calibration), validations)
    finally:
        torch.set_num_threads(threads)


def folds(design: DesignMatrix, seed: int) -> Floats:
    """(n,) fold of each row; all trainings of an architecture share one."""
    architectures = {a: i for i, a in enumerate(dict.fromkeys(design.architectures))}
    fold = np.arange(len(architectures)) % FOLDS
    np.random.default_rng(seed).shuffle(fold)
    return np.array([fold[architectures[a]] for a in design.architectures])


def validate(design: DesignMatrix, exits: list[Exits], kind: Kind, seed: int) -> Validation:
    """Predict every row from the rows of other architectures, and compare."""
    fold = folds(design, seed)
    mean, variance = np.zeros_like(design.Y), np.zeros_like(design.Y)
    for k in range(FOLDS):
        test = fold == k
        train = design.rows(np.flatnonzero(~test))
        blank = Calibration(np.zeros(design.Y.shape[1]), np.zeros((1, design.Y.shape[1])))
        held_out = Predictor(kind, train, SURROGATES[kind](train, seed), blank)
        mean[test], variance[test] = held_out.posterior(design.candidates[np.flatnonzero(test)])
    residual = design.Y - mean
    samples = np.zeros((QUERY_SAMPLES, *mean.shape))
    for k in range(FOLDS):  # intervals for a fold from the other folds' residuals
        test, other = fold == k, fold != k
        calibration = Calibration.of(residual[other], variance[other], design.Yvar[other])
        spread = np.sqrt(variance[test] + calibration.network_variance)
        samples[:, test] = mean[test] + calibration.draw(QUERY_SAMPLES, seed)[:, None] * spread
    scores = _scores(design, exits, mean, samples)
    size = design.candidates.cost.macs()[:, -1].astype(np.float64)
    cost_tau = np.mean([_tau(size, m) for m in _measured(design, exits, REFERENCE_THRESHOLDS)["accuracy"]])
    return Validation(kind, scores, float(cost_tau), Calibration.of(residual, variance, design.Yvar))


RELATIVE = ("expected MACs", "expected cost")
"""Targets whose errors are relative."""


def _measured(design: DesignMatrix, exits: list[Exits], thresholds: tuple[float, ...]) -> dict[str, Floats]:
    """(R, n) what was measured of each target at each of R reference thresholds; NaN where undefined."""
    grid = np.repeat(np.array(thresholds)[:, None], design.basis.positions - 1, axis=1)
    measured = [view.measure(grid) for view in exits]
    found = {
        "accuracy": np.array([m.accuracy for m in measured]).T,
        "expected MACs": np.array([m.expected_macs for m in measured]).T,
    }
    if design.candidates.cost.other is not None:
        found["expected cost"] = np.array([m.figures.cost.expected for m in measured if m.figures.cost]).T
    present = design.candidates.present
    for e in range(design.basis.positions):
        rates = np.array([m.rates[:, e] for m in measured]).T
        found[f"exit probability {e + 1}"] = np.where(present[:, e], rates, np.nan)
        found[f"exit accuracy {e + 1}"] = np.array([m.exit_accuracy[:, e] for m in measured]).T
    return found


def _scores(design: DesignMatrix, exits: list[Exits], mean: Floats, samples: Floats) -> tuple[Score, ...]:
    measured = _measured(design, exits, REFERENCE_THRESHOLDS)
    point = [_composed(design, mean[None], t) for t in REFERENCE_THRESHOLDS]
    drawn = [_composed(design, samples, t) for t in REFERENCE_THRESHOLDS]
    scores = []
    for target, values in measured.items():
        predicted = np.array([p[target][0] for p in point])
        tail = (1 - INTERVAL) / 2
        low, high = np.quantile(np.array([d[target] for d in drawn]), [tail, 1 - tail], axis=1)
        known = np.isfinite(values)
        if not known.any():  # no network has this exit, or nobody leaves there
            continue
        error = (predicted - values) / (values if target in RELATIVE else 1)
        inside = (values >= low - 1e-9) & (values <= high + 1e-9)
        scores.append(Score(
            target, int(known.any(axis=0).sum()),
            float(np.mean([_tau(p[k], v[k]) for p, v, k in zip(predicted, values, known, strict=True)])),
            float(np.sqrt(np.mean(error[known] ** 2))), float(inside[known].mean()),
        ))  # fmt: skip
    return tuple(scores)


def _composed(design: DesignMatrix, targets: Floats, threshold: float) -> dict[str, Floats]:
    """(S, n) every judged quantity, from (S, n, m) targets."""
    thresholds = np.full((len(design), design.basis.positions - 1), threshold)
    reached = reach(design, design.candidates, torch.from_numpy(design.coefficients(targets)), thresholds)
    if len(targets) > 1:
        reached = reached.measured(design.samples, torch.Generator().manual_seed(0))
    curve, figures = reached.curve, reached.figures
    found = {"accuracy": reached.accuracy, "expected MACs": figures.macs.expected}
    if figures.cost is not None:
        found["expected cost"] = figures.cost.expected
    for e in range(design.basis.positions):
        found[f"exit probability {e + 1}"] = curve.rates[..., e].numpy()
        found[f"exit accuracy {e + 1}"] = curve.exit_accuracy[..., e].numpy()
    return found


def _tau(a: Floats, b: Floats) -> float:
    """Kendall's τ-b; 0 where it is undefined because one side is constant."""
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(kendalltau(a, b).statistic)
