"""Candidates with everything computable without training: encoding, exact costs, exits; and checks of exact limits."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.architecture.cost import Cost, Objective
from surrogate_nas.architecture.costing import Costing
from surrogate_nas.exits.limit_table import Quantity
from surrogate_nas.exits.limits import BrokenLimit, Limits
from surrogate_nas.foundation.arrays import Array, Bools, Floats, Ints
from surrogate_nas.space.costs import cost_of_indices
from surrogate_nas.space.space import SearchSpace


@dataclass(frozen=True, repr=False)
class Candidates:
    """n architectures with everything computable without training."""

    indices: Ints
    """(n, G) choice indices."""
    encoding: Floats
    """(n, d) vector encodings in [0, 1]."""
    cost: Cost
    """Exact costs of all n."""
    present: Bools
    """(n, E) which exits exist."""

    def __repr__(self) -> str:
        """Short text."""
        return f"<Candidates: {len(self)} architectures>"

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Ints | slice) -> "Candidates":
        return Candidates(self.indices[index], self.encoding[index], self.cost[index], self.present[index])

    @classmethod
    def of_indices(cls, space: SearchSpace, indices: Ints, costing: Costing) -> "Candidates":
        """Create from (n, G) canonical choice indices."""
        cost = cost_of_indices(space, indices, costing)
        return cls(indices, space.encode_indices(indices), cost, space.genes.present(indices))

    @classmethod
    def of(cls, space: SearchSpace, architectures: Sequence[Architecture], costing: Costing) -> "Candidates":
        """Create from architectures of the space."""
        return cls.of_indices(space, space.indices(architectures), costing)


def least_excess(cost: Cost, present: Bools, limits: Limits) -> Floats:
    """(n,) sum of relative excesses over the exact limits at each network's cheapest operating points.

    Args:
        cost: costs of n networks.
        present: (n, E) which exits exist.
        limits: limits; those on accuracy are ignored.
    """
    return np.zeros(len(cost)) + limits.excess(_least(cost, present))


def exactly_broken(cost: Cost, present: Bools, limits: Limits) -> tuple[BrokenLimit, ...]:
    """The exact limits that one network exceeds at its cheapest operating points, so at all; see `least_excess`.

    Args:
        cost: cost of one network (n = 1).
        present: (1, E) which exits exist.
        limits: limits; those on accuracy are ignored.
    """
    return limits.broken({quantity: value.item() for quantity, value in _least(cost, present).items()})


def _least(cost: Cost, present: Bools) -> dict[Quantity, Array]:
    """(n,) least values, over all operating points, of the quantities that limits bound.

    The expected cost is least where all samples leave at one exit with the other exits off; the worst case is least
    with every early exit off.
    """
    values: dict[Quantity, Array] = {
        "parameters": cost.parameters,
        "weight_bytes": cost.weight_bytes,
        "activation_bytes": cost.memory(np.zeros(present.shape[1] - 1, dtype=bool)),
    }
    values |= _least_spending("macs", cost.backbone, cost.branch, present)
    return values if cost.other is None else values | _least_spending("cost", *cost.other, present)


def _least_spending(amount: Objective, backbone: Array, branch: Array, present: Bools) -> dict[Quantity, Array]:
    alone = np.where(present, backbone + branch, np.inf).min(axis=1)
    if amount == "macs":
        return {"expected_macs": alone, "p95_macs": alone, "worst_macs": backbone[:, -1]}
    return {"expected_cost": alone, "p95_cost": alone, "worst_cost": backbone[:, -1]}


def keeps_exact_limits(cost: Cost, present: Bools, limits: Limits) -> Bools:
    """(n,) whether some operating point can keep the exact limits."""
    return np.asarray(least_excess(cost, present, limits) <= 0)


def untaken(space: SearchSpace, indices: Ints, costing: Costing, limits: Limits, taken: set[bytes]) -> Candidates:
    """Candidates for the distinct rows among (n, G) canonical ones that are not in `taken` and can keep the exact
    limits, in order."""
    _, first = np.unique(indices, axis=0, return_index=True)
    rows = indices[np.sort(first)]
    rows = rows[[row.tobytes() not in taken for row in rows]]
    candidates = Candidates.of_indices(space, rows, costing)
    return candidates[np.flatnonzero(keeps_exact_limits(candidates.cost, candidates.present, limits))]


def taken_rows(space: SearchSpace, architectures: list[Architecture]) -> set[bytes]:
    """Rows of architectures, as bytes, that must not be proposed again; see `untaken`."""
    return {row.tobytes() for row in space.indices(architectures)}
