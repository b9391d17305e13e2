"""Likelihood of one network's counts at T settings, and its derivatives by the coefficients of the network's curves.

Each sample is in one of 2 E cells at each setting: it leaves at one of E exits, with a right answer or a wrong one. The
likelihood of the counts of cells is that of a mixture over levels of easiness, whose second derivatives follow from
those of the levels (Louis, J. Royal Statistical Society B 44, 1982). All arrays are of the exits that the network has.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from scipy.special import expit

from surrogate_nas.exits.exits import Exits
from surrogate_nas.foundation.arrays import Array, Bools, Floats
from surrogate_nas.surrogates.curves import (
    BEND,
    BLUNTNESS,
    LEVELS,
    TERMS_LEAVE,
    CurveBasis,
    easiness_levels,
    leave_logit,
    nines,
)
from surrogate_nas.surrogates.local_dependence import SMALLEST_SHARE

EASINESS: Floats = easiness_levels(torch.float64).numpy()


def cells_of(view: Exits, thresholds: Floats) -> Array:
    """(T, N) cell of each sample at each of (T, E − 1) thresholds, for E − 1 early exits that the network has or not.

    The k-th exit that the network has is cell k for right answers, and cell k + K for wrong ones, with K such exits.
    """
    exits = [*view.early, view.positions - 1]
    cell = (np.arange(len(exits))[:, None] + np.where(view.correct[exits], 0, len(exits))).astype(np.int16)
    cells = np.tile(cell[-1], (len(thresholds), 1))
    on = np.isfinite(thresholds) & view.present[:-1]
    patterns, of = np.unique(on, axis=0, return_inverse=True)
    for i, pattern in enumerate(patterns):
        rows, early = np.flatnonzero(of.ravel() == i), np.flatnonzero(pattern)
        scores, routed = view.compared_scores(early), cells[rows]
        for e in early[::-1]:
            routed = np.where(scores[e] >= thresholds[rows, e, None], cell[exits.index(e)], routed)
        cells[rows] = routed
    return cells


@dataclass(frozen=True)
class Point:
    """Coefficients, with what they say of each cell at each level of easiness."""

    coefficients: Floats
    """(C,)."""
    leaving: Floats
    """(E − 1, T, levels) share g of the samples at each early exit that leaves."""
    right: Floats
    """(E, T, levels) share c of right answers among them."""
    mass: Floats
    """(2, E, T, levels) share of all samples that is in each cell, at each level."""
    cells: Floats
    """(2, E, T) share of all samples that is in each cell."""


@dataclass(frozen=True)
class Derivatives:
    """Derivatives of a log likelihood."""

    gradient: Floats
    """(C,)."""
    curvature: Floats
    """(C, C) negative second derivatives."""
    information: Floats
    """(C, C) sum of the squares of the first derivatives of each sample at each setting: the same if the model is
    right, and never negative."""
    slopes: Floats
    """(2 E T, C) derivatives of the logarithm of each cell's share at each setting."""


@dataclass(frozen=True)
class CurveLikelihood:
    """Log likelihood Σ n log p of the numbers of one network's samples in each cell, by the coefficients."""

    basis: CurveBasis
    """Coefficients of the network's E exits."""
    thresholds: Floats
    """(T, E − 1) thresholds of its early exits, ∞ for off."""
    counts: Floats
    """(2, E, T) weighted number of samples in each cell: right answers at each exit, then wrong ones."""
    _on: Bools = field(init=False, repr=False)
    _t: Floats = field(init=False, repr=False)
    _bent: Floats = field(init=False, repr=False)
    _u: Floats = field(init=False, repr=False)

    def __post_init__(self) -> None:
        on = np.isfinite(self.thresholds.T)[..., None]  # (E − 1, T, 1), as the others
        t = self.basis.root(torch.from_numpy(np.where(on, self.thresholds.T[..., None], 1.0)))
        for name, value in (("_on", on), ("_t", t.numpy()), ("_bent", (t**BEND).numpy()), ("_u", nines(t).numpy())):
            object.__setattr__(self, name, value)

    @cached_property
    def _features(self) -> Floats:
        """(C, T, levels) derivatives of logits by the coefficients, but for the slope of x⁻."""
        basis, d = self.basis, EASINESS
        features = np.empty((basis.size, self.counts.shape[-1], LEVELS))
        for e, (leave, right) in enumerate(zip(basis.leave, basis.right, strict=False)):
            t, bent, u = self._t[e], self._bent[e], self._u[e]
            for row, feature in zip(features[leave], (1.0, t, t * d, bent, u, d), strict=True):
                row[:] = feature
            for row, feature in zip(features[right], (1.0, d, t, u), strict=True):
                row[:] = feature
        features[basis.right[-1]] = np.stack([np.ones(LEVELS), d])[:, None]
        return features

    def _leave(self, coefficients: Floats) -> Floats:
        """(6, E − 1, 1, 1) coefficients β."""
        return coefficients[self.basis.leave_terms][..., None, None]

    def at(self, coefficients: Floats) -> Point:
        """Shares of cells at (C,) coefficients."""
        basis, d, early = self.basis, EASINESS, self.basis.positions - 1
        constant, of_level, slope = leave_logit(self._leave(coefficients), self._bent, self._u, d)
        leaving = expit(constant + of_level + slope * self._t) * self._on
        c = coefficients[basis.right_terms][..., None, None]
        last = coefficients[basis.right[-1]]
        shape = self.counts.shape[-1], LEVELS
        right, mass = np.empty((early + 1, *shape)), np.empty((2, early + 1, *shape))
        right[:-1] = expit(c[0] + c[1] * d + c[2] * self._t + c[3] * self._u)
        right[-1] = expit(last[0] + last[1] * d)
        inside: Floats = np.full(shape, 1 / LEVELS)
        for e in range(early):
            mass[1, e] = inside * leaving[e]
            inside = inside - mass[1, e]
        mass[1, -1] = inside
        mass[0] = mass[1] * right
        mass[1] -= mass[0]
        return Point(coefficients, leaving, right, mass, np.maximum(mass.sum(-1), SMALLEST_SHARE))

    def value(self, point: Point) -> float:
        """Log likelihood."""
        return float((self.counts * np.log(point.cells)).sum())

    def derivatives(self, point: Point) -> Derivatives:
        """Gradient, curvature and slopes."""
        first, second = self._bends(point.coefficients)
        features = self._features * first[:, None]
        expected = point.mass * (self.counts / point.cells)[..., None]  # samples in each cell, by level
        here = expected.sum(0)
        reached = here[::-1].cumsum(0)[::-1]
        by_logit = np.concatenate([here[:-1] - reached[:-1] * point.leaving, expected[0] - here * point.right])
        weighted = np.empty_like(features)
        for where, by in zip(self.basis.groups, by_logit, strict=True):
            weighted[where] = features[where] * by
        curvature = self._curvature_of_levels(point, features, weighted, by_logit)
        for e, leave in enumerate(self.basis.leave):
            curvature[leave, leave] -= self._curvature_of_bends(e, by_logit[e], second[leave])
        slopes = self._slopes(point, first)
        information = (slopes.T * self.counts.ravel()) @ slopes
        return Derivatives(weighted.sum((1, 2)), curvature + information, information, slopes)

    def _bends(self, coefficients: Floats) -> tuple[Floats, Floats]:
        """(C, levels) first and second derivatives of x⁻, by the x of each coefficient; 1 and 0 for those without."""
        first, second = np.ones((len(coefficients), LEVELS)), np.zeros((len(coefficients), LEVELS))
        early, end = self.basis.positions - 1, self.basis.right[0].start
        b = self._leave(coefficients)[..., 0]  # (6, E − 1, 1)
        x = np.empty((early, 4, LEVELS))
        x[:, :2] = (b[1] + b[2] * EASINESS)[:, None]
        x[:, 2:] = b[3:5].swapaxes(0, 1)
        root = np.sqrt(x * x + BLUNTNESS**2)
        first[:end].reshape(early, TERMS_LEAVE, LEVELS)[:, 1:5] = (1 - x / root) / 2
        second[:end].reshape(early, TERMS_LEAVE, LEVELS)[:, 1:5] = -(BLUNTNESS**2) / (2 * root**3)
        return first, second

    def _curvature_of_levels(self, point: Point, features: Floats, weighted: Floats, by_logit: Floats) -> Floats:
        """(C, C) expected negative second derivatives if levels were known, less the mean square of the first ones."""
        flat = len(features), -1
        rows, by = features.reshape(flat), weighted.reshape(flat)
        result: Floats = np.zeros((len(rows), len(rows)))
        shares = np.concatenate([point.leaving, point.right])
        for where, own in zip(self.basis.groups, by_logit * (2 * shares - 1), strict=True):
            result[where, where] = (rows[where] * own.ravel()) @ rows[where].T
        end = self.basis.right[0].start
        for e, (leave, right) in enumerate(zip(self.basis.leave, self.basis.right, strict=False)):
            cross = (rows[leave] * point.leaving[e].ravel()) @ by.T
            cross[:, right] -= rows[leave] @ by[right].T
            for others in (slice(leave.stop, end), slice(right.start, None)):
                result[leave, others] += cross[:, others]
                result[others, leave] += cross[:, others].T
        return result

    def _curvature_of_bends(self, e: int, by_logit: Floats, second: Floats) -> Floats:
        """(6, 6) second derivatives of the logit of g at an early exit, weighed by the derivatives by that logit."""
        d, result = EASINESS, np.zeros((len(second), len(second)))
        by_slope = (by_logit * self._t[e]).sum(0) * second[1]
        result[1:3, 1:3] = [[by_slope.sum(), by_slope @ d], [by_slope @ d, by_slope @ d**2]]
        result[3, 3] = (by_logit * self._bent[e]).sum(0) @ second[3]
        result[4, 4] = (by_logit * self._u[e]).sum(0) @ second[4]
        return result

    def _slopes(self, point: Point, first: Floats) -> Floats:
        """Slopes; features are products of one that depends on the threshold and one that depends on the level."""
        slopes = np.zeros((*self.counts.shape, len(first)))
        plain = np.stack([np.ones(LEVELS), EASINESS], axis=1)
        by_right = (point.mass[0] * (1 - point.right)) @ plain
        for e, right in enumerate(self.basis.right):
            one, d = by_right[e].T
            columns = [one, d] if e == len(self._t) else [one, d, one * self._t[e, :, 0], one * self._u[e, :, 0]]
            slopes[0, e, :, right] = np.stack(columns, axis=1)
            slopes[1, e, :, right] = -slopes[0, e, :, right]
        for e, leave in enumerate(self.basis.leave):
            by_leaving = point.mass[:, e:] * -point.leaving[e]
            by_leaving[:, 0] += point.mass[:, e]
            falls, later = first[leave.start + 1], slopes[:, e:]
            sums = by_leaving @ np.column_stack([plain, falls, falls * EASINESS])
            bent, nines_of = self._bent[e] * first[leave.start + 3, 0], self._u[e] * first[leave.start + 4, 0]
            later[..., leave.start] = sums[..., 0]
            later[..., leave.start + 1 : leave.start + 3] = sums[..., 2:] * self._t[e]
            later[..., leave.start + 3 : leave.start + 5] = sums[..., :1] * np.concatenate([bent, nines_of], axis=1)
            later[..., leave.start + 5] = sums[..., 1]
        slopes /= point.cells[..., None]
        return slopes.reshape(-1, len(first))
