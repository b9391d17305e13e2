"""Targets of surrogates: the coefficients of threshold curves, rotated and scaled."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from surrogate_nas.exits.exits import Exits
from surrogate_nas.foundation.arrays import Bools, Floats, Ints
from surrogate_nas.surrogates.curve_fit import (
    POOLED_PRIOR_SD,
    PRIOR_SD,
    TYPICAL_EARLY,
    TYPICAL_LEAVE,
    effect_of_groups,
    fit_curves,
)
from surrogate_nas.surrogates.curves import CurveBasis, power_for

GRID_SIZE = 64
SMALLEST_SIGNAL = 2.0
"""Smallest variance over networks of a direction of coefficients that is learned, in units of its sampling variance."""
FEWEST_ARCHITECTURES = 2
"""Fewest architectures with an exit for its coefficients to be learned: one does not show how architectures differ."""
UNLEARNED_SD = 2**0.5 * PRIOR_SD
"""Standard deviation of a network's coefficients at an exit that is not learned: that of the exit among exits, and that
of the network at its exit, each with `PRIOR_SD`."""


@dataclass(frozen=True, repr=False)
class Targets:
    """The measured part of a design matrix; the rest follows from the architectures."""

    power: float
    """Power p of the curve basis; see `CurveBasis.power`."""
    samples: int
    """Number of held-out samples that each network was measured on; of grouped ones, the effective number."""
    Y: Floats
    """(n, m) targets, of about zero mean and unit variance where defined, 0 elsewhere."""
    Yvar: Floats
    """(n, m) sampling variance, from the number of held-out samples; ∞ where a target is undefined."""
    center: Floats
    """(C,) center of the curve coefficients."""
    rotation: Floats
    """(m, C): coefficients = center + Y @ rotation."""
    prior_sd: Floats
    """(C,) standard deviation around the center of coefficients without a target; 0 for the others."""

    def __repr__(self) -> str:
        """Short text, without the arrays."""
        return "<Targets: {1} of {0} networks>".format(*self.Y.shape)

    @classmethod
    def of(cls, exits: Sequence[Exits], group: Ints) -> "Targets":
        """Build from the exits of n networks on tune, and the (n,) number of each network's architecture."""
        present = np.array([view.present for view in exits])
        basis = CurveBasis(present.shape[1], power_for(exits))
        grid = basis.spread(GRID_SIZE)
        effects = np.array([effect_of_groups(view, grid) for view in exits])
        curves = fit_curves(basis, exits, grid)
        defined = basis.defined(present)
        unlearned = _unlearned(basis, defined, group)
        center, axes = _axes(basis, curves.values, curves.nominal, defined, unlearned)
        rotation, inverse = axes.rotation, axes.inverse
        target_defined = defined[:, axes.first]
        Y = np.where(target_defined, (curves.values - center) @ inverse, 0.0)
        variance = np.einsum("ji,njk,ki->ni", inverse, curves.covariance, inverse)
        return cls(
            power=basis.power,
            samples=max(round(exits[0].samples / float(effects.mean())), 1),
            Y=Y,
            Yvar=np.where(target_defined, variance, np.inf),
            center=center,
            rotation=rotation,
            prior_sd=np.where(unlearned, UNLEARNED_SD, 0.0),
        )


def _unlearned(basis: CurveBasis, defined: Bools, group: Ints) -> Bools:
    """(C,) whether each coefficient exists in too few architectures to be learned."""
    unlearned = np.zeros(basis.size, dtype=bool)
    for where in basis.groups:
        unlearned[where] = len(np.unique(group[defined[:, where.start]])) < FEWEST_ARCHITECTURES
    return unlearned


@dataclass(frozen=True)
class _Axes:
    """The m directions of the C coefficients in which networks differ by more than sampling noise."""

    rotation: Floats
    """(m, C): change of the coefficients per unit of each target."""
    inverse: Floats
    """(C, m): coefficients to targets."""
    first: Ints
    """(m,) index of the first coefficient of each target's curve."""


def _axes(
    basis: CurveBasis, values: Floats, covariance: Floats, defined: Bools, unlearned: Bools
) -> tuple[Floats, _Axes]:
    """Center of the coefficients, and the axes that decorrelate those of each curve, in the metric of their noise.

    Coefficients of one curve trade off against each other, so single ones are ill determined while some of their
    combinations are well determined. Along the other directions, networks differ only by sampling noise: there is
    nothing to learn, and the center is the prediction. An exit that is not learned has no axes, and the center of all
    early exits.
    """
    center, early = np.zeros(basis.size), basis.positions - 1
    for curves, typical in ((basis.leave, TYPICAL_LEAVE), (basis.right[:early], TYPICAL_EARLY)):
        pooled = _pooled(curves, np.array(typical), values, covariance, defined)
        for where in curves:
            center[where] = pooled
    rotation, inverse, first = list[Floats](), list[Floats](), list[int]()
    for where in basis.groups:
        if unlearned[where.start]:
            continue
        rows = np.flatnonzero(defined[:, where.start])
        V, precision = values[rows, where], np.linalg.inv(covariance[rows, where, where])
        center[where] = np.linalg.solve(precision.sum(axis=0), np.einsum("nij,nj->i", precision, V))
        whiten = np.linalg.cholesky(precision.mean(axis=0))  # V @ whiten has about unit noise
        scores = (V - center[where]) @ whiten
        eigenvalues, axes = np.linalg.eigh(scores.T @ scores / len(rows))
        for k in np.flatnonzero(eigenvalues >= min(SMALLEST_SIGNAL, eigenvalues[-1]))[::-1]:
            scale = np.sqrt(eigenvalues[k])
            forward, back = np.zeros(basis.size), np.zeros(basis.size)
            forward[where] = np.linalg.solve(whiten.T, axes[:, k]) * scale
            back[where] = whiten @ axes[:, k] / scale
            rotation.append(forward)
            inverse.append(back)
            first.append(where.start)
    return center, _Axes(np.array(rotation), np.array(inverse).T, np.array(first))


def _pooled(curves: Sequence[slice], typical: Floats, values: Floats, covariance: Floats, defined: Bools) -> Floats:
    """Coefficients of a curve, fitted to all measured exits together, around the typical ones."""
    precision = np.eye(len(typical)) / POOLED_PRIOR_SD**2
    moment = precision @ typical
    for where in curves:
        rows = defined[:, where.start]
        weights = np.linalg.inv(covariance[rows, where, where])
        precision = precision + weights.sum(axis=0)
        moment = moment + np.einsum("nij,nj->i", weights, values[rows, where])
    pooled: Floats = np.linalg.solve(precision, moment).astype(np.float64)
    return pooled
