"""Targets of surrogates: the coefficients of threshold curves, rotated and scaled.

All early exits have the same axes, so that a target means the same at every position.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from surrogate_nas.exits.exits import Exits
from surrogate_nas.foundation.arrays import Bools, Floats, Ints
from surrogate_nas.surrogates.curve_cache import curves_of
from surrogate_nas.surrogates.curve_fit import (
    POOLED_PRIOR_SD,
    PRIOR_SD,
    TYPICAL_EARLY,
    TYPICAL_LAST,
    TYPICAL_LEAVE,
    FittedCurves,
    effect_of_groups,
)
from surrogate_nas.surrogates.curves import CurveBasis, power_for
from surrogate_nas.surrogates.local_dependence import learned_dependence
from surrogate_nas.surrogates.overthinking import largest_gain

GRID_SIZE = 64
SMALLEST_SIGNAL = 2.0
"""Smallest variance over networks of a direction of coefficients that is learned, in units of its sampling variance."""
FEWEST_ARCHITECTURES = 2
"""Fewest architectures with an exit for its coefficients to be learned: one does not show how architectures differ."""
PRIOR_POSITIONS = 1.0
"""Positions that the prior variance between positions weighs as much as."""


@dataclass(frozen=True)
class Axes:
    """The directions in which the coefficients of a kind of curve differ by more than sampling noise."""

    center: Floats
    """(c,) center of the coefficients."""
    forward: Floats
    """(k, c) change of the coefficients per unit of each target."""
    back: Floats
    """(c, k) coefficients to targets."""
    is_learned: bool
    """Whether enough architectures have such a curve; otherwise axes and center are those of typical curves."""

    @property
    def count(self) -> int:
        """Number k of axes."""
        return len(self.forward)


@dataclass(frozen=True, repr=False)
class Targets:
    """The measured part of a design matrix; the rest follows from the architectures."""

    power: float
    """Power p of the curve basis; see `CurveBasis.power`."""
    samples: int
    """Number of held-out samples that each network was measured on; of grouped ones, the effective number."""
    Y: Floats
    """(n, m) targets, of about zero mean and unit variance where defined, 0 elsewhere: those of the first position's
    exit, of the second's, and so on."""
    Yvar: Floats
    """(n, m) sampling variance, from the number of held-out samples; ∞ where a target is undefined."""
    center: Floats
    """(C,) center of the curve coefficients."""
    rotation: Floats
    """(m, C): coefficients = center + Y @ rotation."""
    unknown: Floats
    """(m,) variance between positions, for the targets of exits that too few architectures have to learn what is
    special about their position; 0 for the others."""
    learned: Bools
    """(m,) whether there is anything to learn a target from, at its position or at others."""

    dependence: Floats
    """(2, E, 5) how exits depend on each other beyond their curves; see `local_dependence`."""
    gain: float
    """How much more accurate networks are with early exits than without, at most; see `overthinking`."""
    early: int
    """Number of targets of each early exit."""

    def __repr__(self) -> str:
        """Short text, without the arrays."""
        return "<Targets: {1} of {0} networks>".format(*self.Y.shape)

    @classmethod
    def of(cls, exits: Sequence[Exits], group: Ints, folder: Path | None = None) -> "Targets":
        """Build from the exits of n networks on tune, and the (n,) number of each network's architecture; fitted curves
        are kept in `folder`, if it is given."""
        present = np.array([view.present for view in exits])
        basis = CurveBasis(present.shape[1], power_for(exits))
        grid = basis.spread(GRID_SIZE)
        effects = np.array([effect_of_groups(view, grid) for view in exits])
        parts = _Parts(basis, curves_of(basis, exits, grid, folder), present, group, grid)
        early, last = range(basis.positions - 1), basis.positions - 1
        leave = parts.axes([basis.leave[e] for e in early], TYPICAL_LEAVE)
        right = parts.axes([basis.right[e] for e in early], TYPICAL_EARLY)
        columns = [place for e in early for place in ((basis.leave[e], leave), (basis.right[e], right))]
        columns.append((basis.right[last], parts.axes([basis.right[last]], TYPICAL_LAST)))
        without = np.array([view.correct[-1].mean() for view in exits])
        gain = largest_gain(parts.curves.counts, without)
        return parts.targets(columns, max(round(exits[0].samples / float(effects.mean())), 1), gain)


@dataclass(frozen=True)
class _Parts:
    """Coefficients of n networks, with their sampling covariances."""

    basis: CurveBasis
    curves: FittedCurves
    present: Bools
    """(n, E) exits of the networks."""
    group: Ints
    grid: Floats
    """(T, E − 1) settings that the curves were fitted to."""

    @cached_property
    def defined(self) -> Bools:
        """(n, C) whether each coefficient exists."""
        return self.basis.defined(self.present)

    @property
    def values(self) -> Floats:
        """(n, C) coefficients."""
        return self.curves.values

    def axes(self, curves: Sequence[slice], typical: Sequence[float]) -> Axes:
        """Axes of curves that have the same coefficients, in the metric of their noise.

        Coefficients of one curve trade off against each other, so single ones are ill determined while some of their
        combinations are well determined. Along the other directions, networks differ only by sampling noise: there is
        nothing to learn, and the center is the prediction.
        """
        measured = [(row, where) for where in curves for row in np.flatnonzero(self.defined[:, where.start])]
        if len({self.group[row] for row, _ in measured}) < FEWEST_ARCHITECTURES:
            scale = PRIOR_SD * np.eye(len(typical))
            return Axes(np.array(typical, dtype=np.float64), scale, np.eye(len(typical)) / PRIOR_SD, is_learned=False)
        V = np.array([self.values[row, where] for row, where in measured])
        precision = np.linalg.inv(np.array([self.curves.nominal[row, where, where] for row, where in measured]))
        prior = np.eye(len(typical)) / POOLED_PRIOR_SD**2
        moment = prior @ np.array(typical) + np.einsum("nij,nj->i", precision, V)
        center: Floats = np.linalg.solve(prior + precision.sum(axis=0), moment).astype(np.float64)
        whiten = np.linalg.cholesky(precision.mean(axis=0))  # V @ whiten has about unit noise
        scores = (V - center) @ whiten
        eigenvalues, axes = np.linalg.eigh(scores.T @ scores / len(V))
        signal = np.flatnonzero(eigenvalues >= min(SMALLEST_SIGNAL, eigenvalues[-1]))[::-1]
        scale = np.sqrt(eigenvalues[signal])
        return Axes(
            center,
            np.asarray(np.linalg.solve(whiten.T, axes[:, signal]).T * scale[:, None], dtype=np.float64),
            whiten @ axes[:, signal] / scale,
            is_learned=True,
        )

    def targets(self, columns: Sequence[tuple[slice, Axes]], samples: int, gain: float) -> Targets:
        """Targets of the curves at these places of the coefficients, each along its axes."""
        n, m = len(self.values), sum(axes.count for _, axes in columns)
        Y, Yvar, unknown, learned = np.zeros((n, m)), np.full((n, m), np.inf), np.zeros(m), np.zeros(m, dtype=bool)
        center, rotation, start = np.zeros(self.basis.size), np.zeros((m, self.basis.size)), 0
        for where, axes in columns:
            own, rows = slice(start, start + axes.count), self.defined[:, where.start]
            start = own.stop
            center[where], rotation[own, where], learned[own] = axes.center, axes.forward, axes.is_learned
            if axes.is_learned:
                Y[rows, own] = (self.values[rows, where] - axes.center) @ axes.back
                Yvar[rows, own] = np.einsum(
                    "ji,njk,ki->ni", axes.back, self.curves.covariance[rows, where, where], axes.back
                )
            if len(np.unique(self.group[rows])) < FEWEST_ARCHITECTURES:
                unknown[own] = self._between(columns, axes)
        dependence = self._dependence(center + Y @ rotation)
        early = sum(axes.count for _, axes in columns[:2]) if len(columns) > 1 else 0
        return Targets(self.basis.power, samples, Y, Yvar, center, rotation, unknown, learned, dependence, gain, early)

    def _dependence(self, coefficients: Floats) -> Floats:
        """(2, E, 5) local dependence that (n, C) coefficients leave unexplained."""
        coefficient, threshold = torch.from_numpy(coefficients[:, None]), torch.from_numpy(self.grid[None])
        curve = self.basis.compose(coefficient, threshold, torch.from_numpy(self.present[:, None]))
        return learned_dependence(curve.rates.numpy(), curve.exit_accuracy.numpy(), self.curves.counts)

    def _between(self, columns: Sequence[tuple[slice, Axes]], axes: Axes) -> Floats:
        """(k,) variance of targets between positions: that of their means, and of a prior."""
        prior = PRIOR_SD**2 * np.square(axes.back).sum(axis=0)
        known = [where for where, other in columns if other is axes and axes.is_learned]
        known = [
            where for where in known if len(np.unique(self.group[self.defined[:, where.start]])) >= FEWEST_ARCHITECTURES
        ]
        means = [((self.values[self.defined[:, w.start], w] - axes.center) @ axes.back).mean(axis=0) for w in known]
        spread = np.square(np.array(means) - np.mean(means, axis=0)).sum(axis=0) if means else np.zeros(axes.count)
        return np.asarray((PRIOR_POSITIONS * prior + spread) / (PRIOR_POSITIONS + max(len(means) - 1, 0)))
