"""Accounting of costs, and the cost of a single architecture."""

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from surrogate_nas.architecture.amounts import single_amounts
from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.architecture.cost import ChargeHeads, Cost, CostModel, Objective
from surrogate_nas.architecture.given import BackboneSpec
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.architecture.units import Unit, Units, units_of


@dataclass(frozen=True)
class Costing:
    """Accounting of costs: images, charges for branches, and a cost beside MACs."""

    shape: ImageShape
    charge_heads: ChargeHeads = "all"
    backbone: BackboneSpec | None = None
    """Specification of the user's backbone, if the space has one."""
    model: CostModel | None = None
    """Another cost beside MACs, if there is one."""
    objective: Objective = "macs"
    """Cost to minimise."""

    def units(self, architecture: Architecture) -> Units:
        """Units of an architecture; see `units_of`."""
        return units_of(architecture, self.shape, self.backbone)

    def of(self, architecture: Architecture) -> Cost:
        """Cost of a single architecture (n = 1), which need not belong to a space."""
        return self.with_accounting(_cost_of(architecture, self.canonical))

    def heads(self, architecture: Architecture) -> dict[int, Unit]:
        """Branch at each position that has one, including the final classifier: the chosen one of its alternatives."""
        units = self.units(architecture)
        alternatives = single_amounts(units, None).alternatives[0]
        return {e: options[min(alternatives[e], len(options) - 1)] for e, options in enumerate(units.heads) if options}

    @cached_property
    def canonical(self) -> "Costing":
        """Copy with defaults for the fields that do not affect counts, as the cache key of counts."""
        return replace(self, charge_heads="all", objective="macs")

    def with_accounting(self, cost: Cost) -> Cost:
        """Copy of a cost that `canonical` counted, with the charges and the objective of this accounting."""
        return replace(cost, charge_heads=self.charge_heads, objective=self.objective)


@lru_cache(maxsize=4096)
def _cost_of(architecture: Architecture, costing: Costing) -> Cost:
    return single_amounts(costing.units(architecture), costing.model).cost()
