"""Validation of surrogates on held-out architectures."""

from collections.abc import Mapping
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
MORE_THRESHOLDS = 5
FEW_NETWORKS = 30
"""Number of networks below which held-out scores are uncertain themselves."""
FEWEST_TO_WIDEN = 8
WIDENING = (1.0, 4.0)
SHARE, NUMBER = (0.0, 1.0), (0.0, np.inf)
"""Ranges of shares and of costs."""
RELATIVE = (EXPECTED_MACS, EXPECTED_COST)
"""Quantities whose errors are relative to the measured value."""


@dataclass(frozen=True, slots=True, repr=False)
class Validation:
    """Result of a k-fold cross-validation over architectures, for one surrogate."""

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
    n_judged, widening, scores = len(REFERENCE_THRESHOLDS), dict[str, float](), list[Score]()
    held_out = dict[str, Floats]()
    for target, values in _measured_targets(design, exits, thresholds).items():
        if not np.isfinite(values).any():  # no network has this exit, or no sample leaves there
            continue
        draws, share = np.array([d[target] for d in quantities]).swapaxes(0, 1), target not in RELATIVE
        resolution = 1 / design.samples * (1.0 if share else np.nanmax(values))
        needed = Spread.of(draws).needed_widening(values, resolution)
        widening[target] = widening_of(needed)
        if not np.isfinite(values[:n_judged]).any():  # samples leave there, but not at the reference thresholds
            continue
        parts = np.array([widening_of(needed[:, fold != k]) for k in names])
        spread = Spread.of(draws[:, :n_judged], parts[np.searchsorted(names, fold)], within=SHARE if share else NUMBER)
        scores.append(Score.of(target, values[:n_judged], spread, design.group, cost=not share))
        if target in HELD_OUT_TARGETS:
            held_out[target] = np.stack([a[HELD_OUT_AT] for a in (spread.mean, spread.low, spread.high, values)])
    size = design.candidates.cost.macs()[:, -1].astype(np.float64)
    cost_tau = np.mean([kendall(size, m) for m in _measured_targets(design, exits, thresholds[:n_judged])[ACCURACY]])
    calibration = replace(Calibration.of(residual, variance, sampling, axes), widening=widening)
    return Validation(kind, tuple(scores), float(cost_tau), calibration, held_out)


def widening_of(needed: Floats) -> float:
    """Factor that covers 90 % of (T, n) held-out measurements, with the finite-sample correction of split conformal
    prediction (Lei et al., arXiv 1604.04173)."""
    n = int(np.isfinite(needed).any(axis=0).sum())
    if n < FEWEST_TO_WIDEN:
        return 1.0
    level = min(INTERVAL * (1 + 1 / n), 1.0)
    return float(np.clip(np.nanquantile(needed, level), *WIDENING))


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
