"""Curve coefficients of measured networks, by penalised maximum likelihood (Fisher scoring)."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from surrogate_nas.exits.clusters import design_effect
from surrogate_nas.exits.exits import Exits
from surrogate_nas.foundation.arrays import Floats, evenly
from surrogate_nas.surrogates.curves import (
    BEND,
    LEVELS,
    SMALLEST_SHARE,
    TERMS_EARLY,
    TERMS_LEAVE,
    CurveBasis,
    easiness_levels,
    leave_logit,
    nines,
)

TYPICAL_LEAVE = (2.0, -1.0, 0.0, -1.0, -4.0, 1.5)
TYPICAL_EARLY = (0.5, 1.0, 1.0, 1.0)
TYPICAL_LAST = (1.0, 1.0)
PRIOR_SD = 1.5
POOLED_PRIOR_SD = 5.0
POOLED = 16
POOLED_STEPS = 15
STEPS = 20
LONGEST_STEP = 2.0
DAMPING = 1e-2
FIT_CHUNK = 8
EFFECT_SETTINGS = 8
"""Settings that a network's design effect is a mean over."""


@dataclass(frozen=True)
class Scoring:
    """Penalised likelihood of the counts of n networks."""

    basis: CurveBasis
    thresholds: Tensor
    """(T, E − 1) thresholds, ∞ for off."""
    present: Tensor
    """(n, E) whether each exit exists."""
    counts: Tensor
    """(n, T, 2 E) numbers of samples that leave at each position with a right answer, then with a wrong one."""

    def slopes(self, coefficients: Tensor, networks: slice) -> tuple[Tensor, Tensor]:
        """(n, T, 2 E) probabilities of the counts of some networks, and their (n, T, 2 E, C) derivatives.

        The derivative of ℓ_e = g_e Π_{j<e} (1 − g_j) by the logit of g_j is −ℓ_e g_j, and by that of g_e ℓ_e (1 − g_e).
        """
        basis, E = self.basis, self.basis.positions
        d = easiness_levels(coefficients.dtype)
        present = self.present[networks]
        on = (torch.isfinite(self.thresholds) & present[:, None, :-1])[..., None]  # (n, T, E − 1, 1)
        t = basis.root(torch.where(on, self.thresholds[..., None], 1.0))
        u, bent = nines(t), t**BEND
        cells = torch.zeros(*on.shape[:2], 2 * E, dtype=coefficients.dtype)
        slopes = torch.zeros(*cells.shape, basis.size, dtype=coefficients.dtype)
        inside = torch.full((*on.shape[:2], LEVELS), 1 / LEVELS, dtype=coefficients.dtype)
        leaves = list[Tensor]()
        for e in range(E):
            c = coefficients[:, None, basis.right[e], None]
            if e < E - 1:
                b, te, ue = coefficients[:, None, basis.leave[e], None], t[:, :, e], u[:, :, e]
                share = leave_logit(b.movedim(-2, 0), te, bent[:, :, e], ue, d).sigmoid() * on[:, :, e]
                right = (c[..., 0, :] + c[..., 1, :] * d + c[..., 2, :] * te + c[..., 3, :] * ue).sigmoid()
                features = [torch.ones_like(d), d, te, ue]
            else:
                share = torch.ones_like(inside)
                right = (c[..., 0, :] + c[..., 1, :] * d).sigmoid().expand_as(inside)
                features = [torch.ones_like(d), d]
            leaving = inside * share
            hits = leaving * right
            cells[..., e], cells[..., E + e] = hits.sum(-1), (leaving - hits).sum(-1)
            for i, feature in enumerate(features):
                slope = (hits * (1 - right) * feature).sum(-1)
                slopes[..., e, basis.right[e].start + i], slopes[..., E + e, basis.right[e].start + i] = slope, -slope
            leaves.append(share)
            for j in range(min(e + 1, E - 1)):
                factor = (1 - share) if j == e else -leaves[j]
                b = coefficients[:, None, basis.leave[j], None]
                falls = ((b[..., 1, :] + b[..., 2, :] * d) < 0) * t[:, :, j]
                kinks = (
                    torch.ones_like(d),
                    falls,
                    falls * d,
                    (b[..., 3, :] < 0) * bent[:, :, j],
                    (b[..., 4, :] < 0) * u[:, :, j],
                    d,
                )
                for cell, amount in ((e, hits * factor), (E + e, (leaving - hits) * factor)):
                    for i, feature in enumerate(kinks):
                        slopes[..., cell, basis.leave[j].start + i] = (amount * feature).sum(-1)
            inside = inside - leaving
        return cells.clamp_min(SMALLEST_SHARE), slopes

    def _score(self, coefficients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log likelihoods (n,), gradients (n, C) and Fisher information (n, C, C)."""
        parts: list[tuple[Tensor, Tensor, Tensor]] = []
        for start in range(0, len(self.counts), FIT_CHUNK):
            chunk = slice(start, start + FIT_CHUNK)
            counts = self.counts[chunk]
            cells, slopes = self.slopes(coefficients[chunk], chunk)
            gradient = torch.einsum("ntc,ntcm->nm", counts / cells, slopes)
            scaled = (slopes * (counts.sum(-1, keepdim=True) / cells).sqrt()[..., None]).flatten(1, 2)
            parts.append(((counts * cells.log()).sum((1, 2)), gradient, scaled.mT @ scaled))
        likelihoods, gradients, informations = zip(*parts, strict=True)
        return torch.cat(likelihoods), torch.cat(gradients), torch.cat(informations)

    def pooled(self, typical: Tensor) -> Tensor:
        """(C,) coefficients fitted to some of the networks together, around the typical ones."""
        index = torch.linspace(0, len(self.counts) - 1, min(POOLED, len(self.counts))).long()
        pool = Scoring(self.basis, self.thresholds, self.present[index], self.counts[index])
        coefficients, eye = typical, torch.eye(len(typical), dtype=typical.dtype)
        for _ in range(POOLED_STEPS):
            _, gradient, information = pool._score(coefficients.expand(len(index), -1))
            slope = gradient.mean(0) - (coefficients - typical) / POOLED_PRIOR_SD**2
            curvature = information.mean(0) + eye / POOLED_PRIOR_SD**2
            coefficients = coefficients + _step(slope, curvature, torch.tensor(DAMPING))
        return coefficients

    def fit(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """(n, C) coefficients of each network, and their (n, C, C) precision. Steps are damped (Levenberg–Marquardt),
        and rejected if they lower a network's posterior."""
        best = pooled.repeat(len(self.counts), 1)
        value, slope, curvature = self._posterior(best, pooled)
        damping = torch.full_like(value, DAMPING)
        for _ in range(STEPS):
            trial = best + _step(slope, curvature, damping)
            trial_value, trial_slope, trial_curvature = self._posterior(trial, pooled)
            better = trial_value >= value
            best = torch.where(better[:, None], trial, best)
            slope = torch.where(better[:, None], trial_slope, slope)
            curvature = torch.where(better[:, None, None], trial_curvature, curvature)
            value, damping = torch.maximum(value, trial_value), torch.where(better, damping / 3, damping * 8)
        return best, curvature

    def _posterior(self, coefficients: Tensor, pooled: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log posteriors (n,), gradients (n, C) and their expected curvature (n, C, C)."""
        likelihood, gradient, information = self._score(coefficients)
        away, precision = coefficients - pooled, 1 / PRIOR_SD**2
        value = likelihood - 0.5 * precision * away.square().sum(-1)
        eye = torch.eye(len(pooled), dtype=pooled.dtype)
        return value, gradient - precision * away, information + precision * eye


def _step(slope: Tensor, curvature: Tensor, damping: Tensor) -> Tensor:
    """Damped Newton step of limited length."""
    damped = curvature + damping[..., None, None] * torch.diag_embed(curvature.diagonal(dim1=-2, dim2=-1))
    step: Tensor = torch.linalg.solve(damped, slope)
    return step * (LONGEST_STEP / step.abs().amax(-1, keepdim=True).clamp_min(1e-12)).clamp(max=1)


def effect_of_groups(view: Exits, thresholds: Floats) -> float:
    """Mean design effect of leaving and being right, over settings spread over a (T, E − 1) grid; 1 without groups."""
    if view.clusters is None:
        return 1.0
    settings = thresholds[evenly(len(thresholds), EFFECT_SETTINGS)]
    counts = [view.group_counts(view.leave(setting)) for setting in settings]
    return float(np.mean([design_effect(c) for c in counts if c is not None]))


def fit_curves(
    basis: CurveBasis, exits: list[Exits], thresholds: Floats, effects: Floats | None = None
) -> tuple[Floats, Floats]:
    """Fit the curve coefficients of measured networks.

    Maximises the multinomial likelihood of leaving, and being right, at each exit, with a Gaussian prior, by Fisher
    scoring: first for some networks pooled, then for each around the pooled coefficients. All thresholds of a network
    are measured on the same samples, so together they weigh only as many observations as a position has coefficients.
    Grouped samples weigh as many as their effective number, as in Rao & Scott's first-order correction (JASA 76, 1981).

    Args:
        basis: the coefficients to fit.
        exits: exits of n networks on tune.
        thresholds: (T, E − 1) grid.
        effects: (n,) design effects of grouped samples; 1 by default.

    Returns:
        (n, C) coefficients, 0 where an exit does not exist, and (n, C, C) their sampling covariances.
    """
    present = np.array([view.present for view in exits])
    measurements = [view.measure(thresholds) for view in exits]
    counts = np.array([np.concatenate([m.correct, m.leaving - m.correct], axis=1) for m in measurements], dtype=float)
    share = (TERMS_LEAVE + TERMS_EARLY) / max(len(thresholds), TERMS_LEAVE + TERMS_EARLY)
    if effects is not None:
        counts /= effects[:, None, None]
    scoring = Scoring(basis, torch.from_numpy(thresholds), torch.from_numpy(present), torch.from_numpy(share * counts))
    typical = [*TYPICAL_LEAVE * (basis.positions - 1), *TYPICAL_EARLY * (basis.positions - 1), *TYPICAL_LAST]
    values, precision = scoring.fit(scoring.pooled(torch.tensor(typical, dtype=torch.float64)))
    defined = basis.defined(present)
    covariance = torch.linalg.inv(precision).numpy()
    return np.where(defined, values.numpy(), 0.0), covariance
