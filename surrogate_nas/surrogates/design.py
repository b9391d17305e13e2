"""The design matrix: inputs and targets of surrogates, from records.

Signs and transforms live here and in `targets`, and nowhere else. A row is one training; its inputs are the
architecture's encoding and its exact costs, its targets the coefficients of its threshold curve, rotated and scaled.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.architecture.cost import Cost
from surrogate_nas.architecture.costing import Costing
from surrogate_nas.archive.record import Record
from surrogate_nas.exits.exits import Exits
from surrogate_nas.foundation.arrays import Floats, Ints
from surrogate_nas.foundation.errors import InputError, JobError
from surrogate_nas.settings import FEWEST_NETWORKS
from surrogate_nas.space.candidates import Candidates
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.surrogates.curves import CurveBasis
from surrogate_nas.surrogates.targets import FEWEST_ARCHITECTURES, Targets
from surrogate_nas.surrogates.training_set import InputKind, TrainingSet


@dataclass(frozen=True, kw_only=True, repr=False)
class DesignMatrix:
    """Inputs and targets of n trained networks."""

    basis: CurveBasis
    records: tuple[str, ...]
    """(n,) ids of the records."""
    architectures: tuple[Architecture, ...]
    """(n,) architecture of each record; records of one architecture are never split between folds."""
    candidates: Candidates
    training: TrainingSet
    """Inputs (n, d + costs), targets Y (n, m) and their sampling variance, from the number of held-out samples."""
    center: Floats
    """(C,) center of the curve coefficients."""
    rotation: Floats
    """(m, C): coefficients = center + Y @ rotation."""
    prior_sd: Floats
    """(C,) standard deviation of coefficients without a target, those of exits that at most one architecture has; else
    0."""
    cost_range: tuple[Floats, Floats]
    """Smallest and largest log₁₀ costs of the rows. They scale the cost inputs: to [0, 1] for the rows, and beyond for
    cheaper or costlier candidates."""
    samples: int
    """Number of held-out samples that each row was measured on; of grouped ones, the effective number."""

    def __repr__(self) -> str:
        """Short text, without the arrays."""
        return f"<DesignMatrix of {len(self)} networks, {self.training.outputs} targets>"

    @classmethod
    def build(cls, views: Sequence[tuple[Record, Exits]], space: SearchSpace, costing: Costing) -> "DesignMatrix":
        """Build from records that have outputs, each with its exits on tune.

        Raises:
            JobError: if fewer than eight networks, or only one architecture, have been trained.
            InputError: if their fidelities differ.
        """
        trained = [record for record, _ in views]
        require_enough(trained)
        group = _groups([r.architecture for r in trained])
        return cls.of(trained, Targets.of([exits for _, exits in views], group), space, costing)

    @classmethod
    def of(cls, trained: Sequence[Record], targets: Targets, space: SearchSpace, costing: Costing) -> "DesignMatrix":
        """Build from n records and their targets; outputs are not read."""
        architectures = tuple(r.architecture for r in trained)
        candidates = Candidates.of(space, architectures, costing)
        costs = _log_costs(candidates.cost)
        span = (costs.min(axis=0), costs.max(axis=0))
        training = TrainingSet(
            _inputs(candidates, span),
            (*space.genes.kinds, *_cost_kinds(costs.shape[1])),
            targets.Y,
            targets.Yvar,
            _groups(architectures),
        )
        return cls(
            basis=CurveBasis(space.positions, targets.power),
            records=tuple(r.id for r in trained),
            architectures=architectures,
            candidates=candidates,
            training=training,
            center=targets.center,
            rotation=targets.rotation,
            prior_sd=targets.prior_sd,
            cost_range=span,
            samples=targets.samples,
        )

    @property
    def targets(self) -> Targets:
        """The targets, in the form that `of` takes."""
        training = self.training
        return Targets(
            self.basis.power, self.samples, training.Y, training.Yvar, self.center, self.rotation, self.prior_sd
        )

    def __len__(self) -> int:
        return len(self.records)

    def inputs(self, candidates: Candidates) -> Floats:
        """(n, d + costs) model inputs of n candidates."""
        return _inputs(candidates, self.cost_range)

    def coefficients(self, Y: Floats) -> Floats:
        """(…, C) curve coefficients of (…, m) targets."""
        return np.asarray(self.center + Y @ self.rotation)

    def drawn(self, Y: Floats, seed: int) -> Floats:
        """(S, n, C) coefficients of (S, n, m) drawn targets. Coefficients without a target are drawn from their prior;
        architectures share these draws."""
        deviation = np.random.default_rng([seed, 1]).standard_normal((len(Y), 1, len(self.center)))
        return self.coefficients(Y) + deviation * self.prior_sd

    def rows(self, index: Ints) -> "DesignMatrix":
        """Design matrix of some of the rows, with the same transforms."""
        return DesignMatrix(
            basis=self.basis,
            records=tuple(self.records[i] for i in index),
            architectures=tuple(self.architectures[i] for i in index),
            candidates=self.candidates[index],
            training=self.training.rows(index),
            center=self.center,
            rotation=self.rotation,
            prior_sd=self.prior_sd,
            cost_range=self.cost_range,
            samples=self.samples,
        )


def require_enough(trained: Sequence[Record]) -> None:
    """Raise `JobError` for fewer than eight trained networks or a single architecture, and `InputError` for networks of
    several fidelities."""
    if len(fidelities := {r.proposal.fidelity for r in trained}) > 1:
        raise InputError(f"surrogates need records of a single fidelity, got {len(fidelities)}: {fidelities}")
    if len(trained) < FEWEST_NETWORKS:
        raise JobError(f"surrogates need at least {FEWEST_NETWORKS} trained networks, the archive has {len(trained)}")
    if len({r.architecture for r in trained}) < FEWEST_ARCHITECTURES:
        raise JobError(
            f"surrogates need trained networks of at least {FEWEST_ARCHITECTURES} architectures, the archive has one"
        )


def _groups(architectures: Sequence[Architecture]) -> Ints:
    """(n,) number of each row's architecture, from 0 in the order of their first rows."""
    number = {a: i for i, a in enumerate(dict.fromkeys(architectures))}
    return np.array([number[a] for a in architectures])


def _cost_kinds(count: int) -> tuple[InputKind, ...]:
    kinds: list[InputKind] = ["cost"] * count
    return tuple(kinds)


def _log_costs(cost: Cost) -> Floats:
    """(n, E + 1) log₁₀ of the MACs through each stage, and of the parameters."""
    logs: Floats = np.log10(np.concatenate([cost.backbone, cost.parameters[:, None]], axis=1))
    return logs


def _inputs(candidates: Candidates, span: tuple[Floats, Floats]) -> Floats:
    low, high = span
    scaled = (_log_costs(candidates.cost) - low) / np.maximum(high - low, 1e-9)
    return np.concatenate([candidates.encoding, scaled], axis=1)
