"""Exact costs of many architectures of a space at once, and the distinct units of a space."""

from dataclasses import dataclass, replace

import numpy as np

from surrogate_nas.architecture.cost import ChargeHeads, Cost, CostModel, Objective
from surrogate_nas.architecture.cost_table import CostTable
from surrogate_nas.architecture.costing import Costing
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.architecture.units import AnyUnit
from surrogate_nas.foundation.arrays import Floats, Ints
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.space.cost_tables import tables_for
from surrogate_nas.space.space import SearchSpace

CHUNK = 4096
"""Number of encodings counted at a time, so that look-ups stay in the processor's cache."""


def costing_for(
    space: SearchSpace,
    shape: ImageShape,
    charge_heads: ChargeHeads | None = None,
    model: CostModel | None = None,
    objective: Objective = "macs",
) -> Costing:
    """Accounting of costs in a space; `charge_heads` overrides the space's default."""
    return Costing(shape, charge_heads or space.spec.charge_heads, space.spec.backbone, model, objective)


def cost_of_indices(space: SearchSpace, indices: Ints, costing: Costing) -> Cost:
    """Cost of (n, G) choice indices; the indices of genes that do not apply are ignored."""
    return costing.with_accounting(tables_for(space, costing.canonical).cost(indices))


def cost_of_encodings(space: SearchSpace, X: Floats, costing: Costing) -> Cost:
    """Cost of (n, d) vector encodings, computed in parts that fit the processor's cache.

    Raises:
        InputError: for a wrong number of coordinates, or one outside [0, 1].
    """
    tables, whole = tables_for(space, costing.canonical), None
    for start in range(0, max(len(X), 1), CHUNK):
        part = X[start : start + CHUNK]
        space.check_encodings(part)
        cost = tables.cost(space.nearest_indices(part))
        whole = cost.allocate(len(X)) if whole is None else whole
        whole.fill(start, cost)
    assert whole is not None
    return costing.with_accounting(whole)


@dataclass(frozen=True, eq=False)
class _Recorder:
    """A cost model that returns 0 and records the units it is called with."""

    units: dict[str, AnyUnit]
    name: str = "nothing"

    def cost(self, unit: AnyUnit) -> float:
        self.units[str(unit)] = unit
        return 0.0


def units_in(space: SearchSpace, costing: Costing) -> list[AnyUnit]:
    """Every distinct unit of the networks of a space, sorted by text form."""
    recorder = _Recorder({})
    cost_of_indices(space, np.zeros((1, len(space.genes)), dtype=np.int64), replace(costing, model=recorder))
    return [unit for _, unit in sorted(recorder.units.items())]


def require_all(table: CostTable, space: SearchSpace, costing: Costing) -> None:
    """Raise `InputError` if the table lacks units of the space; the message has their number and the first of them."""
    units = units_in(space, costing)
    if missing := table.missing(units):
        raise InputError(
            f"{table.source} has no row for {len(missing)} of the {len(units)} units of space {space.spec.name!r}, "
            f"such as {str(missing[0])!r}; `surrogate-nas spaces measure` measures them"
        )
