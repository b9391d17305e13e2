"""A network's whole threshold curve as a few coefficients.

For every exit position e the leave probability given arrival h_e, and the accuracy a_e of those who leave, are
logistic curves:

    logit h_e = (1, t, t², u, r, r·t) · β_e,    logit a_e = (1, h_e, r) · γ_e,    at the last exit (1, r, r²) · γ_E,

where t is the exit's threshold, u = −log₁₀(1.001 − t) / 3 counts its nines, since confidences crowd near 1, and
r = log₁₀ of the share of samples that arrive: the fewer earlier exits left over, the harder they are. Those who leave
are the surest h_e of the arrivals, which says more of their accuracy than the threshold does.

Exit probabilities follow by stick-breaking, p_e = h_e Π_{j<e} (1 − h_j), so they are always a distribution. The m
coefficients of all positions are what the surrogates predict from an encoding; MACs and exit presence are exact.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from surrogate_nas.exits import OFF, Exits
from surrogate_nas.measurements import Measurements

Floats = npt.NDArray[np.float64]

TERMS_LEAVE = 6  # 1, t, t², u, r, r·t
TERMS_EARLY = 3  # 1, h, r
TERMS_LAST = 3  # 1, r, r²
FEWEST_ARRIVALS = 1e-4
PRIOR_SD = 3.0
POOLED_PRIOR_SD = 10.0
NEWTON_STEPS = 12
OFF_SHARE = 0.25


def nines(thresholds: Tensor) -> Tensor:
    """u in [0, 1] of thresholds in [0, 1]: 0.9 is 0.33, 0.99 is 0.65."""
    return -torch.log10(1.001 - thresholds) / 3


def shared_thresholds(positions: int, count: int, seed: int = 0) -> Floats:
    """(count, E − 1) thresholds spread evenly in u, a quarter of them off: the grid that all curves are read at."""
    rng = np.random.default_rng(seed)
    u = rng.uniform(0.0, 1.0, (count, positions - 1))
    thresholds = np.clip(1.001 - 10 ** (-3 * u), 0, 1)
    return np.where(rng.random(thresholds.shape) < OFF_SHARE, OFF, thresholds)


@dataclass(frozen=True, slots=True)
class Reach:
    """What E positions do at thresholds: tensors of shape (…, E)."""

    rates: Tensor
    """Exit probabilities p_e; they sum to 1."""
    exit_accuracy: Tensor
    """a_e; defined by the curves even where p_e is 0."""

    @property
    def accuracy(self) -> Tensor:
        """(…) Σ p_e a_e."""
        return (self.rates * self.exit_accuracy).sum(-1)

    def expected(self, costs: Tensor) -> Tensor:
        """(…) Σ p_e M_e for (…, E) costs of leaving at each position."""
        return (self.rates * costs).sum(-1)

    def measured(self, samples: int, generator: torch.Generator) -> "Reach":
        """What that many held-out samples would show of these probabilities: a draw of the counts.

        Binomial counts are drawn as rounded normal ones. Where nobody leaves, the accuracy stays as it is.
        """
        inside = torch.full_like(self.rates[..., 0], samples)
        ahead = torch.ones_like(inside)
        rates, accuracy = [], []
        for e in range(self.rates.shape[-1]):
            last = e == self.rates.shape[-1] - 1
            share = torch.ones_like(inside) if last else self.rates[..., e] / ahead.clamp_min(1e-12)
            leaving = inside if last else _binomial(inside, share.clamp(0, 1), generator)
            right = _binomial(leaving, self.exit_accuracy[..., e], generator)
            rates.append(leaving / samples)
            accuracy.append(torch.where(leaving > 0, right / leaving.clamp_min(1), self.exit_accuracy[..., e]))
            inside, ahead = inside - leaving, ahead - self.rates[..., e]
        return Reach(torch.stack(rates, -1), torch.stack(accuracy, -1))


@dataclass(frozen=True)
class CurveBasis:
    """The coefficients of networks with E exit positions."""

    positions: int

    @cached_property
    def leave(self) -> list[slice]:
        """Where each early position's h coefficients are."""
        return [slice(e * TERMS_LEAVE, (e + 1) * TERMS_LEAVE) for e in range(self.positions - 1)]

    @cached_property
    def right(self) -> list[slice]:
        """Where each position's a coefficients are."""
        start, early = (self.positions - 1) * TERMS_LEAVE, self.positions - 1
        slices = [slice(start + e * TERMS_EARLY, start + (e + 1) * TERMS_EARLY) for e in range(early)]
        return [*slices, slice(start + early * TERMS_EARLY, start + early * TERMS_EARLY + TERMS_LAST)]

    @property
    def groups(self) -> list[slice]:
        """Coefficients that belong to one curve."""
        return [*self.leave, *self.right]

    @property
    def size(self) -> int:
        """Number m of coefficients."""
        return int(self.right[-1].stop)

    def defined(self, present: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """(n, m) which coefficients exist for networks with (n, E) exits."""
        defined = np.zeros((len(present), self.size), dtype=bool)
        for e in range(self.positions):
            defined[:, self.right[e]] = present[:, e, None]
            if e < self.positions - 1:
                defined[:, self.leave[e]] = present[:, e, None]
        return defined

    def compose(self, coefficients: Tensor, thresholds: Tensor, present: Tensor) -> Reach:
        """Exit probabilities and accuracies from coefficients.

        Args:
            coefficients: (…, m).
            thresholds: (…, E − 1), ∞ for off.
            present: (…, E) booleans. The leading shapes broadcast.
        """
        on = torch.isfinite(thresholds) & present[..., :-1]
        t = torch.where(on, thresholds, 1.0)
        u = nines(t)
        inside = torch.ones_like(coefficients[..., 0] + t.sum(-1) + present[..., -1])
        rates, accuracy = [], []
        for e in range(self.positions):
            r = torch.log10(inside.clamp_min(FEWEST_ARRIVALS))
            right = coefficients[..., self.right[e]]
            if e == self.positions - 1:
                rates.append(inside)
                accuracy.append(_dot(right, (r, r * r)).sigmoid())
                break
            te, ue = t[..., e], u[..., e]
            leave = _dot(coefficients[..., self.leave[e]], (te, te * te, ue, r, r * te)).sigmoid() * on[..., e]
            rates.append(inside * leave)
            accuracy.append(_dot(right, (leave, r)).sigmoid())
            inside = inside * (1 - leave)
        return Reach(torch.stack(rates, -1), torch.stack(accuracy, -1))

    def fit(self, exits: list[Exits], thresholds: Floats) -> tuple[Floats, Floats]:
        """Coefficients of measured networks.

        Binomial regressions by Newton's method with a Gaussian prior, first over all networks pooled, then for each
        around the pooled ones. The rows of one network's curve come from the same samples, so they weigh together as
        many as there are terms.

        Args:
            exits: the n networks' tune outputs.
            thresholds: (T, E − 1) shared grid.

        Returns:
            (n, m) coefficients, 0 where an exit does not exist, and (n, m, m) their sampling covariances.
        """
        measured = [view.measure(thresholds) for view in exits]
        values, covariance = np.zeros((len(exits), self.size)), np.zeros((len(exits), self.size, self.size))
        parts = [(e, self.leave[e], True) for e in range(self.positions - 1)]
        parts += [(e, self.right[e], False) for e in range(self.positions)]
        for e, where, leaving in parts:
            rows = [self._rows(m, e, leaving) if view.present[e] else None
                    for m, view in zip(measured, exits, strict=True)]  # fmt: skip
            usable = [row for row in rows if row is not None and len(row[0])]
            pooled = np.zeros(where.stop - where.start)
            if usable:
                F, hits, trials = (np.concatenate(column) for column in zip(*usable, strict=True))
                pooled, _ = _binomial_regression(F, hits, trials, pooled, POOLED_PRIOR_SD)
            for i, row in enumerate(rows):
                if row is not None:
                    values[i, where], covariance[i, where, where] = _binomial_regression(*row, pooled, PRIOR_SD)
        return values, covariance

    def _rows(self, m: Measurements, e: int, leaving: bool) -> tuple[Floats, Floats, Floats]:
        """(features, hits, trials) of one curve at the thresholds where it is defined."""
        earlier = m.leaving[:, :e].sum(axis=1)
        arriving = m.n - earlier
        r = np.log10(np.maximum(arriving / m.n, FEWEST_ARRIVALS))
        one = np.ones_like(r)
        if e == self.positions - 1:
            F, hits, trials = np.stack([one, r, r * r], 1), m.correct[:, e], m.leaving[:, e]
            use = trials > 0
        else:
            on = np.isfinite(m.thresholds[:, e])
            t = np.where(on, m.thresholds[:, e], 1.0)
            if leaving:
                u = nines(torch.from_numpy(t)).numpy()
                F, hits, trials = np.stack([one, t, t * t, u, r, r * t], 1), m.leaving[:, e], arriving
            else:
                h = m.leaving[:, e] / np.maximum(arriving, 1)
                F, hits, trials = np.stack([one, h, r], 1), m.correct[:, e], m.leaving[:, e]
            use = on & (trials > 0)
        return F[use], hits[use].astype(np.float64), trials[use].astype(np.float64)


def _binomial(trials: Tensor, p: Tensor, generator: torch.Generator) -> Tensor:
    normal = torch.randn(trials.shape, generator=generator, dtype=trials.dtype)
    drawn = (trials * p + (trials * p * (1 - p)).clamp_min(0).sqrt() * normal).round()
    return torch.minimum(drawn.clamp_min(0), trials)


def _dot(weights: Tensor, features: tuple[Tensor, ...]) -> Tensor:
    total = weights[..., 0]
    for i, feature in enumerate(features, start=1):
        total = total + weights[..., i] * feature
    return total


def _binomial_regression(
    F: Floats, hits: Floats, trials: Floats, prior: Floats, prior_sd: float
) -> tuple[Floats, Floats]:
    """Posterior mode and Laplace covariance of logistic-regression weights with prior N(prior, prior_sd² I)."""
    terms = len(prior)
    share = terms / max(len(F), terms)
    beta = prior.copy()
    precision = np.eye(terms) / prior_sd**2
    for _ in range(NEWTON_STEPS):
        p = 1 / (1 + np.exp(-np.clip(F @ beta, -30, 30)))
        hessian = share * F.T @ (F * (trials * p * (1 - p))[:, None]) + precision
        gradient = share * F.T @ (hits - trials * p) - (beta - prior) / prior_sd**2
        step = np.linalg.solve(hessian, gradient)
        beta = beta + step * min(1.0, 3.0 / max(float(np.abs(step).max()), 1e-12))
    return beta, np.asarray(np.linalg.inv(hessian), dtype=np.float64)
