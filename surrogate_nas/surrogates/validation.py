"""Validation of surrogates on held-out architectures."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from surrogate_nas.exits.exits import Exits
from surrogate_nas.foundation.arrays import Floats, Ints
from surrogate_nas.surrogates.behavior import behavior_at
from surrogate_nas.surrogates.calibration import Calibration
from surrogate_nas.surrogates.cross_validation import HeldOutPredictions
from surrogate_nas.surrogates.curves import CurveBasis
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.metrics import Score, kendall
from surrogate_nas.surrogates.predictor import (
    ACCURACY,
    EXIT_ACCURACY,
    EXIT_PROBABILITY,
    EXPECTED_COST,
    EXPECTED_MACS,
    QUERY_SAMPLES,
)
from surrogate_nas.surrogates.spread import INTERVAL, Spread

REFERENCE_THRESHOLDS = (0.5, 0.8, 0.95)
"""Thresholds at which surrogates are judged, if scores are of usual size; see `reference_thresholds`."""
HELD_OUT_TARGETS, HELD_OUT_AT = (ACCURACY, EXPECTED_MACS), 1
MORE_THRESHOLDS = 2
FEW_NETWORKS = 30
"""Number of networks below which held-out scores are uncertain themselves."""
WIDENING = (1.0, 4.0)
SHARE, NUMBER = (0.0, 1.0), (0.0, np.inf)
"""Ranges of shares and of costs."""
RELATIVE = (EXPECTED_MACS, EXPECTED_COST)
"""Quantities whose errors are relative to the measured value."""


@dataclass(frozen=True, slots=True, repr=False)
class Validation:
    """Result of cross-validation over architectures, for one surrogate."""

    kind: str
    scores: tuple[Score, ...]
    cost_tau: float
    """τ between accuracy and the MACs of the whole network: the score of ranking by size, without a surrogate."""
    calibration: Calibration
    held_out: Mapping[str, Floats]
    """(4, n) for accuracy and for expected MACs: predicted mean, low and high, and the measured value, at the middle
    reference threshold."""

    def __repr__(self) -> str:
        """Short text."""
        return f"<Validation {self.kind}: {self.accuracy!r}>"

    @property
    def accuracy(self) -> Score:
        """Score of the predicted accuracy."""
        return self.scores[0]

    @property
    def cautions(self) -> list[str]:
        """Reasons not to rely on this surrogate, one sentence each."""
        tau, n = self.accuracy.tau, self.accuracy.n
        cautions = []
        if tau <= self.cost_tau:
            cautions.append(
                f"network size alone ranks accuracies no worse than the surrogate (τ = {self.cost_tau:.2f} against "
                f"{tau:.2f}): do not rely on the predicted ranking; train more networks"
            )
        if n < FEW_NETWORKS:
            cautions.append(
                f"the surrogate was validated on only {n} networks; with fewer than {FEW_NETWORKS}, its scores and "
                "intervals are uncertain themselves"
            )
        return cautions


def judge(
    design: DesignMatrix, exits: list[Exits], kind: str, predictions: HeldOutPredictions, fold: Ints, seed: int
) -> Validation:
    """Compare a surrogate's held-out predictions with the measurements. Predictions of a fold are calibrated on the
    others."""
    mean, variance, sampling = predictions.mean, predictions.variance, design.targets.Yvar
    residual, names, axes = design.targets.Y - mean, np.unique(fold), design.layout.axes
    samples = np.zeros((QUERY_SAMPLES, *mean.shape))
    for k in names:
        test, other = fold == k, fold != k
        calibration = Calibration.of(residual[other], variance[other], sampling[other], axes)
        samples[:, test] = calibration.fresh(mean[test], variance[test], QUERY_SAMPLES, seed)
    thresholds = _settings(design.basis)
    quantities = [_sampled_targets(design, samples, t) for t in thresholds]
    measured = _measured_targets(design, exits, thresholds)
    measured = {target: values for target, values in measured.items() if np.isfinite(values).any()}
    draws = {target: np.array([q[target] for q in quantities]).swapaxes(0, 1) for target in measured}
    needed = {target: _needed_widening(design, target, draws[target], values) for target, values in measured.items()}
    pooled = {kind: np.concatenate([needed[t] for t in targets], axis=1) for kind, targets in _by_kind(needed).items()}
    n_judged, scores, held_out = len(REFERENCE_THRESHOLDS), list[Score](), dict[str, Floats]()
    for target, values in measured.items():
        if not np.isfinite(values[:n_judged]).any():  # samples leave there, but not at the reference thresholds
            continue
        others = pooled[kind_of(target)]
        of_other = np.tile(fold, others.shape[1] // len(fold))
        parts = np.array([widening_of(others[:, of_other != k]) for k in names])[np.searchsorted(names, fold)]
        spread = Spread.of(draws[target][:, :n_judged], parts, within=NUMBER if target in RELATIVE else SHARE)
        scores.append(Score.of(target, values[:n_judged], spread, design.group, cost=target in RELATIVE))
        if target in HELD_OUT_TARGETS:
            held_out[target] = np.stack([a[HELD_OUT_AT] for a in (spread.mean, spread.low, spread.high, values)])
    widening = {kind: widening_of(values) for kind, values in pooled.items()}
    size = design.candidates.cost.macs()[:, -1].astype(np.float64)
    cost_tau = np.mean([kendall(size, m) for m in _measured_targets(design, exits, thresholds[:n_judged])[ACCURACY]])
    calibration = replace(Calibration.of(residual, variance, sampling, axes), widening=widening)
    return Validation(kind, tuple(scores), float(cost_tau), calibration, held_out)


def kind_of(target: str) -> str:
    """The kind of a target: its name without the number of an exit."""
    return target.rstrip(" 0123456789")


def _by_kind(targets: Iterable[str]) -> Mapping[str, list[str]]:
    by_kind: dict[str, list[str]] = {}
    for target in targets:
        by_kind.setdefault(kind_of(target), []).append(target)
    return by_kind


def _needed_widening(design: DesignMatrix, target: str, draws: Floats, values: Floats) -> Floats:
    resolution = 1 / design.samples * (np.nanmax(values) if target in RELATIVE else 1.0)
    return Spread.of(draws).needed_widening(values, resolution)


def widening_of(needed: Floats) -> float:
    """Factor that covers 90 % of (T, n) held-out measurements.

    It is their quantile of the level that is median-unbiased for n values (Hyndman and Fan, The American Statistician
    50, 1996), since those of one network are hardly more than one. That of split conformal prediction, which never
    covers less on average, covered 91 to 99 %.
    """
    n = int(np.isfinite(needed).any(axis=0).sum())
    if not n:
        return 1.0
    level = (INTERVAL * n + (INTERVAL + 1) / 3 - 1) / max(n - 1, 1)
    return float(np.clip(np.nanquantile(needed, min(level, 1.0)), *WIDENING))


def _settings(basis: CurveBasis) -> Floats:
    """(T, E − 1) reference thresholds, followed by others at which intervals are calibrated too."""
    equal = np.repeat(np.array(reference_thresholds(basis))[:, None], basis.positions - 1, axis=1)
    return np.concatenate([equal, basis.spread(MORE_THRESHOLDS, seed=1)])


def reference_thresholds(basis: CurveBasis) -> tuple[float, ...]:
    """Thresholds at which surrogates are judged, equal at all early exits; lower than usual if scores are low."""
    return tuple(t if basis.power == 1 else round(t**basis.power, 3) for t in REFERENCE_THRESHOLDS)


def _measured_targets(design: DesignMatrix, exits: list[Exits], thresholds: Floats) -> dict[str, Floats]:
    """(T, n) measured values of each target at each of (T, E − 1) thresholds; NaN where undefined."""
    measurements = [view.measure(thresholds) for view in exits]
    values = {
        ACCURACY: np.array([m.accuracy for m in measurements]).T,
        EXPECTED_MACS: np.array([m.expected_macs for m in measurements]).T,
    }
    if design.candidates.cost.other is not None:
        values[EXPECTED_COST] = np.array([m.figures.cost.expected for m in measurements if m.figures.cost]).T
    present = design.candidates.present
    for e in range(design.basis.positions):
        rates = np.array([m.rates[:, e] for m in measurements]).T
        values[f"{EXIT_PROBABILITY} {e + 1}"] = np.where(present[:, e], rates, np.nan)
        values[f"{EXIT_ACCURACY} {e + 1}"] = np.array([m.exit_accuracy[:, e] for m in measurements]).T
    return values


def _sampled_targets(design: DesignMatrix, samples: Floats, thresholds: Floats) -> dict[str, Floats]:
    """(S, n) draws of every judged quantity at (E − 1,) thresholds, from (S, n, m) targets."""
    coefficients = torch.from_numpy(design.coefficients(samples))
    behavior = behavior_at(design, design.candidates, coefficients, np.tile(thresholds, (len(design), 1)))
    behavior = behavior.with_sampling_noise(design.samples, torch.Generator().manual_seed(0))
    curve, figures = behavior.curve, behavior.figures
    values = {ACCURACY: behavior.accuracy, EXPECTED_MACS: figures.macs.expected}
    if figures.cost is not None:
        values[EXPECTED_COST] = figures.cost.expected
    for e in range(design.basis.positions):
        values[f"{EXIT_PROBABILITY} {e + 1}"] = curve.rates[..., e].numpy()
        values[f"{EXIT_ACCURACY} {e + 1}"] = curve.exit_accuracy[..., e].numpy()
    return values
