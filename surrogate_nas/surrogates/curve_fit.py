"""Curve coefficients of measured networks, by penalised maximum likelihood, and the covariance of their errors.

The fit of a network depends on that network alone, so it holds whatever other networks there are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotrs
from scipy.sparse import csr_array

from surrogate_nas.exits.clusters import design_effect
from surrogate_nas.exits.exits import Exits
from surrogate_nas.foundation.arrays import Floats, Ints, evenly
from surrogate_nas.foundation.threads import one_thread
from surrogate_nas.surrogates.curve_likelihood import CurveLikelihood, Derivatives, Point, cells_of
from surrogate_nas.surrogates.curves import TERMS_EARLY, TERMS_LEAVE, CurveBasis

TYPICAL_LEAVE = (7.0, -4.0, 4.0, -3.0, -9.0, 0.0)
TYPICAL_EARLY = (2.0, 1.2, 0.0, 3.0)
TYPICAL_LAST = (2.0, 1.2)
"""Typical coefficients: about the medians over networks trained on digits, Fashion-MNIST and CIFAR-10."""
PRIOR_SD = 3.0
"""Standard deviation of the prior around them, about that of networks trained on different data."""
POOLED_PRIOR_SD = 5.0
STEPS = 100
LONGEST_STEP = 4.0
DAMPING = 1e-2
RETRY_DAMPING = 1e-2
"""Least damping after a step that was not taken."""
CONVERGED = 1e-10
"""Gain of log likelihood, to first order, below which a step is the last."""
PARTS = ("values", "covariance", "nominal", "counts")
EFFECT_SETTINGS = 8
"""Settings that a network's design effect is a mean over."""


@dataclass(frozen=True, repr=False)
class FittedCurves:
    """Curve coefficients of measured networks; of one, or of n in a leading dimension."""

    values: Floats
    """(…, C) coefficients, 0 where an exit does not exist."""
    covariance: Floats
    """(…, C, C) covariance of their errors over samples drawn anew, whatever the model."""
    nominal: Floats
    """(…, C, C) covariance if the model were right and each setting had samples of its own: no measure of errors, but
    of how far coefficients may lie apart with nearly the same curves."""

    counts: Floats
    """(…, 2, E, T) weights of the samples that left at each exit with a right answer, and with a wrong one."""

    def network(self, i: int) -> "FittedCurves":
        """The curves of one of n networks."""
        return FittedCurves(*(getattr(self, name)[i] for name in PARTS))

    @classmethod
    def stack(cls, fits: Sequence["FittedCurves"]) -> "FittedCurves":
        """The curves of n networks."""
        return cls(*(np.stack([getattr(f, name) for f in fits]) for name in PARTS))


def fit_curves(basis: CurveBasis, exits: Sequence[Exits], thresholds: Floats) -> FittedCurves:
    """Fit the curve coefficients of n measured networks, each by itself; see `fit_curve`.

    Args:
        basis: the coefficients to fit.
        exits: their exits on tune.
        thresholds: (T, E − 1) grid.
    """
    with one_thread():
        return FittedCurves.stack([fit_curve(basis, view, thresholds) for view in exits])


def fit_curve(basis: CurveBasis, view: Exits, thresholds: Floats) -> FittedCurves:
    """Fit the curve coefficients of one network.

    Maximises the multinomial likelihood of leaving, and being right, at each exit, with a Gaussian prior. All
    thresholds are measured on the same samples, so against the prior they weigh only as many observations as a position
    has coefficients, and grouped samples as many as their effective number (Rao & Scott, JASA 76, 1981).

    The covariance is that of the errors of the estimate,

        H⁻¹ (J + P) H⁻¹,

    with H the curvature of the maximised function, P the precision of the prior and J the covariance of the gradient
    over samples drawn anew, or groups of samples. H⁻¹ J H⁻¹ is the variance of the estimate (Huber's sandwich; White,
    Econometrica 50, 1982): whatever the model, it counts thresholds that share samples as what they are. H⁻¹ P H⁻¹ is
    the mean square, by the prior, of what the estimate lacks because it is drawn to typical coefficients. Where samples
    say much of a direction this is nothing; where they say nothing, the estimate does not vary, but is not known
    either: its variance is then that of the prior.
    """
    own = CurveBasis(len(view.early) + 1, basis.power)
    T, weight = len(thresholds), _weight(view, thresholds)
    rows = cells_of(view, thresholds).astype(np.int32) * T + np.arange(T, dtype=np.int32)[:, None]
    counts: Floats = weight * np.bincount(rows.ravel(), minlength=2 * own.positions * T).astype(np.float64)
    likelihood = CurveLikelihood(own, thresholds[:, list(view.early)], counts.reshape(2, own.positions, T))
    values, derivatives = _maximum(likelihood)
    spread = _covariance_of_gradient(view, rows, weight * derivatives.slopes)
    precision = _prior_precision(own)
    everywhere = np.zeros((2, basis.positions, T))
    everywhere[:, view.present] = likelihood.counts
    inverse, nominal = (_inverse(c + precision) for c in (derivatives.curvature, derivatives.information))
    where = np.flatnonzero(basis.defined(view.present[None])[0])
    result = np.zeros(basis.size)
    result[where] = values
    return FittedCurves(
        result,
        _with_prior(basis, where, inverse @ (spread + precision) @ inverse),
        _with_prior(basis, where, nominal),
        everywhere,
    )


def _inverse(matrix: Floats) -> Floats:
    return np.linalg.inv(matrix).astype(np.float64)


def _with_prior(basis: CurveBasis, where: Ints, covariance: Floats) -> Floats:
    """(C, C) covariance of all coefficients, from that of some; the others are known by the prior alone."""
    whole: Floats = np.eye(basis.size) * PRIOR_SD**2
    whole[np.ix_(where, where)] = covariance
    return whole


def effect_of_groups(view: Exits, thresholds: Floats) -> float:
    """Mean design effect of leaving and being right, over settings spread over a (T, E − 1) grid; 1 without groups."""
    if view.clusters is None:
        return 1.0
    settings = thresholds[evenly(len(thresholds), EFFECT_SETTINGS)]
    counts = [view.group_counts(view.leave(setting)) for setting in settings]
    return float(np.mean([design_effect(c) for c in counts if c is not None]))


def _weight(view: Exits, thresholds: Floats) -> float:
    """Weight of a sample at a setting, against the prior."""
    terms = TERMS_LEAVE + TERMS_EARLY
    return terms / max(len(thresholds), terms) / effect_of_groups(view, thresholds)


def _typical(basis: CurveBasis) -> Floats:
    """(C,) centre of the prior, where fits start."""
    early = basis.positions - 1
    return np.array([*TYPICAL_LEAVE * early, *TYPICAL_EARLY * early, *TYPICAL_LAST])


def _prior_precision(basis: CurveBasis) -> Floats:
    return np.asarray(np.eye(basis.size) / PRIOR_SD**2)


def _maximum(likelihood: CurveLikelihood) -> tuple[Floats, Derivatives]:
    """(C,) coefficients of the largest posterior, and the derivatives of the likelihood there.

    Newton's method. Steps are damped (Levenberg–Marquardt), and not taken if they lower the posterior.
    """
    typical, precision = _typical(likelihood.basis), _prior_precision(likelihood.basis)

    def value(point: Point) -> float:
        away = point.coefficients - typical
        return likelihood.value(point) - 0.5 * float(away @ precision @ away)

    best = likelihood.at(typical)
    best_value, damping = value(best), DAMPING
    derivatives = likelihood.derivatives(best)
    for _ in range(STEPS):
        slope = derivatives.gradient - precision @ (best.coefficients - typical)
        step = _step(slope, derivatives.curvature + precision, derivatives.information + precision, damping)
        if slope @ step < CONVERGED:
            break
        trial = likelihood.at(best.coefficients + step)
        trial_value = value(trial)
        if trial_value >= best_value:
            best, best_value, damping = trial, trial_value, damping / 10
            derivatives = likelihood.derivatives(best)
        else:
            damping = max(10 * damping, RETRY_DAMPING)
    return best.coefficients, derivatives


def _step(slope: Floats, curvature: Floats, information: Floats, damping: float) -> Floats:
    """(C,) damped step of limited length. Where the curvature is not positive, the information replaces it."""
    factor, failed = dpotrf(curvature + damping * np.diag(np.abs(curvature.diagonal())))
    if failed:
        factor, _ = dpotrf(information + damping * np.diag(information.diagonal()))
    step: Floats = dpotrs(factor, slope)[0].ravel()
    return np.asarray(step * min(LONGEST_STEP / max(np.abs(step).max(), 1e-12), 1.0))


def _covariance_of_gradient(view: Exits, rows: Ints, slopes: Floats) -> Floats:
    """(C, C) covariance of the likelihood's gradient over samples drawn anew, or groups of samples.

    Args:
        view: N samples.
        rows: (T, N) row of `slopes` of each sample's cell at each setting.
        slopes: (2 E T, C) weighted derivatives of the logarithm of each cell's share.
    """
    T, N = rows.shape
    starts = np.arange(0, rows.size + 1, T, dtype=np.int32)
    members = csr_array((np.ones(rows.size), rows.T.ravel(), starts), shape=(N, len(slopes)))
    gradients = members @ slopes
    if view.clusters is not None:
        samples = np.arange(N)
        groups = csr_array((np.ones(N), (view.clusters, samples)), shape=(int(view.clusters.max()) + 1, N))
        gradients = groups @ gradients
    n = len(gradients)
    away = gradients - gradients.mean(axis=0)
    return np.asarray(away.T @ away) * (n / max(n - 1, 1))
