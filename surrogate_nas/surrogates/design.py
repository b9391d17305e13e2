"""From records to what surrogates learn: the only bridge between the archive and the models.

Signs and transforms live here and nowhere else. A row is one training; its inputs are the architecture's encoding and
its exact costs, its targets the coefficients of its threshold curve, rotated and scaled.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.architecture.cost import Cost
from surrogate_nas.architecture.costing import Costing
from surrogate_nas.archive.record import Record
from surrogate_nas.exits.exits import Exits
from surrogate_nas.foundation.arrays import Floats
from surrogate_nas.foundation.errors import InputError, JobError
from surrogate_nas.settings import FEWEST_NETWORKS
from surrogate_nas.space.candidates import Candidates
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.surrogates.curve_fit import fit_curves
from surrogate_nas.surrogates.curves import CurveBasis, power_for
from surrogate_nas.surrogates.training_set import InputKind, TrainingSet

GRID_SIZE = 64
SMALLEST_SIGNAL = 2.0
"""Variance over networks, in units of the sampling variance, from which on a direction of coefficients is learned."""


@dataclass(frozen=True, kw_only=True)
class DesignMatrix:
    """n trained networks, and what surrogates learn of them."""

    basis: CurveBasis
    records: tuple[str, ...]
    """(n,) ids."""
    architectures: tuple[Architecture, ...]
    """(n,) of the same rows; rows of one architecture are never split between folds."""
    candidates: Candidates
    training: TrainingSet
    """Inputs (n, d + costs), targets Y (n, m) and their sampling variance, from the number of held-out samples."""
    center: Floats
    """(C,) of the curve coefficients."""
    rotation: Floats
    """(m, C): coefficients = center + Y @ rotation."""
    cost_range: tuple[Floats, Floats]
    """Smallest and largest log₁₀ costs among the rows, which scale the cost inputs: to [0, 1] for the rows, and further
    for what is cheaper or costlier than all of them."""
    samples: int
    """Held-out samples that each row was measured on."""

    @classmethod
    def build(cls, views: Sequence[tuple[Record, Exits]], space: SearchSpace, costing: Costing) -> "DesignMatrix":
        """From the records that have outputs, and what their exits do on tune.

        Raises:
            JobError: if fewer than eight networks have been trained.
            InputError: if their fidelities differ.
        """
        trained, exits = [r for r, _ in views], [e for _, e in views]
        if len(fidelities := {r.proposal.fidelity for r in trained}) > 1:
            raise InputError(f"surrogates learn from networks of one fidelity, got {len(fidelities)}: {fidelities}")
        if len(trained) < FEWEST_NETWORKS:
            raise JobError(
                f"surrogates need at least {FEWEST_NETWORKS} trained networks, the archive has {len(trained)}"
            )
        basis = CurveBasis(space.positions, power_for(exits))
        values, covariance = fit_curves(basis, exits, basis.spread(GRID_SIZE))
        candidates = Candidates.of(space, [r.architecture for r in trained], costing)
        defined = basis.defined(candidates.present)
        center, axes = _axes(basis, values, covariance, defined)
        rotation, inverse = axes.rotation, axes.inverse
        known = defined[:, axes.first]
        Y = np.where(known, (values - center) @ inverse, 0.0)
        variance = np.einsum("ji,njk,ki->ni", inverse, covariance, inverse)
        costs = _log_costs(candidates.cost)
        span = (costs.min(axis=0), costs.max(axis=0))
        architectures = tuple(r.architecture for r in trained)
        training = TrainingSet(
            _inputs(candidates, span),
            (*space.genes.kinds, *_cost_kinds(costs.shape[1])),
            Y,
            np.where(known, variance, np.inf),
            _groups(architectures),
        )
        ids = tuple(r.id for r in trained)
        return cls(
            basis=basis,
            records=ids,
            architectures=architectures,
            candidates=candidates,
            training=training,
            center=center,
            rotation=rotation,
            cost_range=span,
            samples=exits[0].samples,
        )

    def __len__(self) -> int:
        return len(self.records)

    def inputs(self, candidates: Candidates) -> Floats:
        """(n, d + costs) model inputs of any architectures."""
        return _inputs(candidates, self.cost_range)

    def coefficients(self, Y: Floats) -> Floats:
        """(…, m) targets back to curve coefficients."""
        return np.asarray(self.center + Y @ self.rotation)

    def rows(self, index: npt.NDArray[np.int64]) -> "DesignMatrix":
        """Some of the rows, with the same transforms."""
        return DesignMatrix(
            basis=self.basis,
            records=tuple(self.records[i] for i in index),
            architectures=tuple(self.architectures[i] for i in index),
            candidates=self.candidates[index],
            training=self.training.rows(index),
            center=self.center,
            rotation=self.rotation,
            cost_range=self.cost_range,
            samples=self.samples,
        )


@dataclass(frozen=True)
class _Axes:
    """The m directions of the C coefficients in which networks differ by more than sampling noise."""

    rotation: Floats
    """(m, C): what one unit of each target adds to the coefficients."""
    inverse: Floats
    """(C, m): coefficients to targets."""
    first: npt.NDArray[np.int64]
    """(m,) the first coefficient of the curve that each target is of."""


def _axes(
    basis: CurveBasis, values: Floats, covariance: Floats, defined: npt.NDArray[np.bool_]
) -> tuple[Floats, _Axes]:
    """Center of the coefficients, and the axes that decorrelate each curve's, in the metric of their noise.

    Coefficients of one curve trade off against each other, so single ones are ill determined while some of their
    combinations are well determined. Along the others networks differ by sampling noise alone: nothing is to be
    learned there, and the center is as good a prediction as any.
    """
    center = np.zeros(basis.size)
    rotation, inverse, first = list[Floats](), list[Floats](), list[int]()
    for where in basis.groups:
        rows = np.flatnonzero(defined[:, where.start])
        if len(rows) < 2:
            continue
        V, precision = values[rows, where], np.linalg.inv(covariance[rows, where, where])
        center[where] = np.linalg.solve(precision.sum(axis=0), np.einsum("nij,nj->i", precision, V))
        whiten = np.linalg.cholesky(precision.mean(axis=0))  # V @ whiten has unit noise, where it is well known
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


def _groups(architectures: Sequence[Architecture]) -> npt.NDArray[np.int64]:
    """(n,) a number for each architecture, from 0 in the order of their first rows."""
    number = {a: i for i, a in enumerate(dict.fromkeys(architectures))}
    return np.array([number[a] for a in architectures])


def _cost_kinds(count: int) -> tuple[InputKind, ...]:
    kinds: list[InputKind] = ["cost"] * count
    return tuple(kinds)


def _log_costs(cost: Cost) -> Floats:
    """(n, E + 1): log₁₀ of MACs through each stage, and of the parameters."""
    logs: Floats = np.log10(np.concatenate([cost.backbone, cost.parameters[:, None]], axis=1))
    return logs


def _inputs(candidates: Candidates, span: tuple[Floats, Floats]) -> Floats:
    low, high = span
    scaled = (_log_costs(candidates.cost) - low) / np.maximum(high - low, 1e-9)
    return np.concatenate([candidates.encoding, scaled], axis=1)
