"""Validation of surrogates on held-out architectures."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from surrogate_nas.foundation.arrays import Bools, Floats, Ints
from surrogate_nas.surrogates.calibration import Calibration
from surrogate_nas.surrogates.cross_validation import HeldOutPredictions
from surrogate_nas.surrogates.curves import CurveBasis
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.metrics import Score, kendall
from surrogate_nas.surrogates.predictor import QUERY_SAMPLES
from surrogate_nas.surrogates.quantities import (
    ACCURACY,
    EXPECTED_COST,
    EXPECTED_MACS,
    Measured,
    Quantity,
    sampled_quantities,
)
from surrogate_nas.surrogates.spread import INTERVAL, Spread

REFERENCE_THRESHOLDS = (0.5, 0.8, 0.95)
"""Thresholds at which surrogates are judged, if scores are of usual size; see `reference_thresholds`."""
JUDGED = len(REFERENCE_THRESHOLDS)
HELD_OUT, HELD_OUT_AT = (ACCURACY, EXPECTED_MACS), 1
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
    design: DesignMatrix, measured: Measured, kind: str, predictions: HeldOutPredictions, fold: Ints, seed: int
) -> Validation:
    """Compare a surrogate's held-out predictions with the measurements at `judged_settings`. Predictions of a fold are
    calibrated on the others."""
    calibration, draws = _calibrated(design, predictions, fold, seed)
    drawn = sampled_quantities(design, draws, judged_settings(design.basis))
    pooled = _by_kind({q: _needed_widening(design, q, drawn[q], values) for q, values in measured.items()})
    scores, held_out = list[Score](), dict[str, Floats]()
    for quantity, all_values in measured.items():
        values = all_values[:JUDGED]
        if not np.isfinite(values).any():  # samples leave there, but not at the reference thresholds
            continue
        widening, relative = _of_other_folds(pooled[quantity.kind], fold), quantity.kind in RELATIVE
        spread = Spread.of(drawn[quantity][:, :JUDGED], widening, within=NUMBER if relative else SHARE)
        scores.append(Score.of(quantity.name, values, spread, design.group, cost=relative, rung=design.rungs))
        if quantity.kind in HELD_OUT:
            held_out[quantity.kind] = np.stack([a[HELD_OUT_AT] for a in (spread.mean, spread.low, spread.high, values)])
    calibration = replace(calibration, widening={kind: widening_of(needed) for kind, needed in pooled.items()})
    return Validation(kind, tuple(scores), _size_tau(design, measured), calibration, held_out)


def _calibrated(
    design: DesignMatrix, predictions: HeldOutPredictions, fold: Ints, seed: int
) -> tuple[Calibration, Floats]:
    """Calibration by all rows, and (S, n, m) draws of each row that is calibrated by the other folds."""
    mean, variance, sampling = predictions.mean, predictions.variance, design.targets.Yvar
    residual, axes, rung = design.targets.Y - mean, design.layout.axes, design.rung_numbers
    draws = np.zeros((QUERY_SAMPLES, *mean.shape))

    def calibration(rows: Bools) -> Calibration:
        own = None if rung is None else rung[rows]
        return Calibration.of(residual[rows], variance[rows], sampling[rows], axes, own, len(design.places.rungs))

    for k in np.unique(fold):
        test, at = fold == k, 0 if rung is None else rung[fold == k]
        draws[:, test] = calibration(~test).fresh(mean[test], variance[test], QUERY_SAMPLES, seed, at)
    return calibration(np.ones(len(fold), dtype=bool)), draws


def _by_kind(needed: Mapping[Quantity, Floats]) -> Mapping[str, Floats]:
    """(T, exits × n) widening that each measurement needs, of the exits together."""
    kinds = dict.fromkeys(quantity.kind for quantity in needed)
    return {kind: np.concatenate([v for q, v in needed.items() if q.kind == kind], axis=1) for kind in kinds}


def _of_other_folds(needed: Floats, fold: Ints) -> Floats:
    """(n,) widening of each row, by what rows of the other folds need."""
    of_row, names = np.tile(fold, needed.shape[1] // len(fold)), np.unique(fold)
    return np.array([widening_of(needed[:, of_row != k]) for k in names])[np.searchsorted(names, fold)]


def _size_tau(design: DesignMatrix, measured: Measured) -> float:
    size = design.candidates.cost.macs()[:, -1].astype(np.float64)
    accuracies = measured[Quantity(ACCURACY)][:JUDGED]
    return float(np.mean([kendall(size, accuracy, design.rungs) for accuracy in accuracies]))


def _needed_widening(design: DesignMatrix, quantity: Quantity, draws: Floats, values: Floats) -> Floats:
    resolution = 1 / design.samples * (np.nanmax(values) if quantity.kind in RELATIVE else 1.0)
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


def judged_settings(basis: CurveBasis) -> Floats:
    """(T, E − 1) reference thresholds, followed by others at which intervals are calibrated too."""
    equal = np.repeat(np.array(reference_thresholds(basis))[:, None], basis.positions - 1, axis=1)
    return np.concatenate([equal, basis.spread(MORE_THRESHOLDS, seed=1)])


def reference_thresholds(basis: CurveBasis) -> tuple[float, ...]:
    """Thresholds at which surrogates are judged, equal at all early exits; lower than usual if scores are low."""
    return tuple(t if basis.power == 1 else round(t**basis.power, 3) for t in REFERENCE_THRESHOLDS)
