"""Architectures with all that is known of them without training: valid, distinct, untrained, within exact limits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.architecture.cost import Cost
from surrogate_nas.architecture.costing import Costing
from surrogate_nas.exits.limits import Limits
from surrogate_nas.foundation.arrays import Floats, Ints
from surrogate_nas.space.costs import cost_of_indices
from surrogate_nas.space.space import SearchSpace


@dataclass(frozen=True)
class Candidates:
    """n architectures with all that is known of them without training."""

    indices: Ints
    """(n, G) choice indices."""
    encoding: Floats
    """(n, d) in [0, 1]."""
    cost: Cost
    present: npt.NDArray[np.bool_]
    """(n, E) which exits exist."""

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: npt.NDArray[np.int64] | slice) -> "Candidates":
        return Candidates(self.indices[index], self.encoding[index], self.cost[index], self.present[index])

    @classmethod
    def of_indices(cls, space: SearchSpace, indices: Ints, costing: Costing) -> "Candidates":
        """From (n, G) canonical choice indices."""
        cost = cost_of_indices(space, indices, costing)
        return cls(indices, space.encode_indices(indices), cost, space.genes.present(indices))

    @classmethod
    def of(cls, space: SearchSpace, architectures: Sequence[Architecture], costing: Costing) -> "Candidates":
        """From architectures of the space."""
        return cls.of_indices(space, space.indices(architectures), costing)


def keeps_exact_limits(cost: Cost, present: npt.NDArray[np.bool_], limits: Limits) -> npt.NDArray[np.bool_]:
    """(n,) whether some operating point can keep the limits, as far as costs alone can tell.

    The cheapest average is that of everyone leaving at one exit with the other exits off; the cheapest worst case has
    every early exit off.
    """
    off = np.zeros(present.shape[1] - 1, dtype=bool)
    sizes = (
        (cost.parameters, limits.max_params),
        (cost.weight_bytes, limits.max_weight_bytes),
        (cost.memory(off), limits.max_activation_bytes),
    )
    keeps = np.ones(len(cost), dtype=bool)
    for size, cap in sizes:
        if cap is not None:
            keeps &= size <= cap
    for spent, name in (((cost.backbone, cost.branch), "macs"), (cost.other, "cost")):
        if spent is None:
            continue
        alone = np.where(present, spent[0] + spent[1], np.inf).min(axis=1)
        least = {"max": alone, "max_p95": alone, "max_worst": spent[0][:, -1]}
        for statistic, value in least.items():
            cap = getattr(limits, f"{statistic}_{name}")
            if cap is not None:
                keeps &= value <= cap
    return keeps


def untaken(space: SearchSpace, indices: Ints, costing: Costing, limits: Limits, taken: set[bytes]) -> Candidates:
    """Those of (n, G) canonical rows that are distinct, not taken, and keep the exact limits, in their order."""
    _, first = np.unique(indices, axis=0, return_index=True)
    rows = indices[np.sort(first)]
    rows = rows[[row.tobytes() not in taken for row in rows]]
    found = Candidates.of_indices(space, rows, costing)
    return found[np.flatnonzero(keeps_exact_limits(found.cost, found.present, limits))]


def taken_rows(space: SearchSpace, architectures: list[Architecture]) -> set[bytes]:
    """Rows of architectures that must not be proposed again."""
    return {row.tobytes() for row in space.indices(architectures)}


def least_excess(candidates: Candidates, limits: Limits) -> Floats:
    """(n,) sum of relative excesses over the limits that cost alone decides, at each network's cheapest."""
    cost, present = candidates.cost, candidates.present
    off = np.zeros(present.shape[1] - 1, dtype=bool)
    values: list[tuple[npt.NDArray[Any], float | None]] = [
        (cost.parameters, limits.max_params),
        (cost.weight_bytes, limits.max_weight_bytes),
        (cost.memory(off), limits.max_activation_bytes),
    ]
    for spent, name in (((cost.backbone, cost.branch), "macs"), (cost.other, "cost")):
        if spent is not None:
            alone = np.where(present, spent[0] + spent[1], np.inf).min(axis=1)
            values += [
                (alone, getattr(limits, f"max_{name}")),
                (alone, getattr(limits, f"max_p95_{name}")),
                (spent[0][:, -1], getattr(limits, f"max_worst_{name}")),
            ]
    over = [np.maximum(value / cap - 1, 0) for value, cap in values if cap is not None]
    return np.asarray(sum(over, np.zeros(len(candidates))))
