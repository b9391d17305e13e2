"""From records to what surrogates learn: the only bridge between the archive and the models.

Signs and transforms live here and nowhere else. A row is one training; its inputs are the architecture's encoding and
its exact costs, its targets the coefficients of its threshold curve, rotated and scaled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from surrogate_nas.candidates import Candidates
from surrogate_nas.config import FEWEST_NETWORKS
from surrogate_nas.cost import Cost, Costing
from surrogate_nas.errors import InputError, JobError
from surrogate_nas.exits import Exits
from surrogate_nas.record import Record
from surrogate_nas.space import Architecture, SearchSpace
from surrogate_nas.surrogates.curves import CurveBasis, Floats, shared_thresholds

GRID_SIZE = 64
TREND_PENALTY = 1.0
TREND_NOISE = 0.5


@dataclass(frozen=True)
class DesignMatrix:
    """n trained networks as inputs X (n, d + costs), targets Y (n, m) and the noise of the targets."""

    basis: CurveBasis
    records: tuple[str, ...]
    """(n,) ids."""
    architectures: tuple[Architecture, ...]
    """(n,) of the same rows; rows of one architecture are never split between folds."""
    candidates: Candidates
    X: Floats
    Y: Floats
    """(n, m), zero mean and unit variance where defined, 0 elsewhere."""
    Yvar: Floats
    """(n, m) sampling variance of the targets, from the number of held-out samples; ∞ where undefined."""
    center: Floats
    """(m,) of the coefficients."""
    rotation: Floats
    """(m, m): coefficients = center + Y @ rotation."""
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
        basis = CurveBasis(space.positions)
        values, covariance = basis.fit(exits, shared_thresholds(space.positions, GRID_SIZE))
        candidates = Candidates.of(space, [r.architecture for r in trained], costing)
        defined = basis.defined(candidates.present)
        center, rotation = _axes(basis, values, covariance, defined)
        inverse = np.linalg.inv(rotation)
        Y = np.where(defined, (values - center) @ inverse, 0.0)
        variance = np.einsum("ji,njk,ki->ni", inverse, covariance, inverse)
        costs = _log_costs(candidates.cost)
        span = (costs.min(axis=0), costs.max(axis=0))
        return cls(
            basis, tuple(r.id for r in trained), tuple(r.architecture for r in trained), candidates,
            _inputs(candidates, span), Y, np.where(defined, variance, np.inf), center, rotation, span,
            exits[0].scores.shape[1],
        )  # fmt: skip

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
            self.basis, tuple(self.records[i] for i in index), tuple(self.architectures[i] for i in index),
            self.candidates[index], self.X[index], self.Y[index], self.Yvar[index],
            self.center, self.rotation, self.cost_range, self.samples,
        )  # fmt: skip

    @cached_property
    def trend(self) -> Floats:
        """(1 + d + costs, m) weights of a ridge regression of the targets on the costs alone, intercept first.

        What size explains is explained by it, also beyond the rows; the surrogates learn the rest.
        """
        X = np.concatenate([np.ones((len(self), 1)), self.X], axis=1)
        use = [0, *range(X.shape[1] - self.basis.positions - 1, X.shape[1])]
        penalty = np.diag([1e-6] + [TREND_PENALTY] * (len(use) - 1))
        weight = np.where(np.isfinite(self.Yvar), 1 / (self.Yvar + TREND_NOISE), 0.0)
        trend = np.zeros((X.shape[1], self.Y.shape[1]))
        for j, w in enumerate(weight.T):
            A = X[:, use]
            trend[use, j] = np.linalg.solve(A.T @ (w[:, None] * A) + penalty, A.T @ (w * self.Y[:, j]))
        return trend


def _axes(
    basis: CurveBasis, values: Floats, covariance: Floats, defined: npt.NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Center and rotation that decorrelate each curve's coefficients over networks, in the metric of their noise.

    Coefficients of one curve trade off against each other, so single ones are ill determined while some of their
    combinations are well determined; these are the axes.
    """
    center, rotation = np.zeros(basis.size), np.eye(basis.size)
    for where in basis.groups:
        rows = np.flatnonzero(defined[:, where.start])
        if len(rows) < 2:
            continue
        V, noise = values[rows, where], covariance[rows, where, where].mean(axis=0)
        center[where] = V.mean(axis=0)
        whiten = np.linalg.cholesky(np.linalg.inv(noise))  # V @ whiten has unit noise
        scores = (V - center[where]) @ whiten
        _, axes = np.linalg.eigh(scores.T @ scores)
        scale = np.maximum((scores @ axes).std(axis=0), 1e-6)
        rotation[where, where] = (axes * scale).T @ np.linalg.inv(whiten)
    return center, rotation


def _log_costs(cost: Cost) -> Floats:
    """(n, E + 1): log₁₀ of MACs through each stage, and of the parameters."""
    logs: Floats = np.log10(np.concatenate([cost.backbone, cost.parameters[:, None]], axis=1))
    return logs


def _inputs(candidates: Candidates, span: tuple[Floats, Floats]) -> Floats:
    low, high = span
    scaled = (_log_costs(candidates.cost) - low) / np.maximum(high - low, 1e-9)
    return np.concatenate([candidates.encoding, scaled], axis=1)
