"""Bounds of the networks that are sampled and proposed: the limits, and what is worth training within them.

A limit on expected MACs says which networks are worth training before there was any: on the tables in `data`, the most
accurate within it had at least 0.6 times as many MACs to their last exit, and nearly all at most twice as many
(`scripts/bench/tables/near_limits.py`).
"""

import numpy as np

from surrogate_nas.architecture.costing import Costing
from surrogate_nas.exits.limit_table import Limit
from surrogate_nas.exits.limits import Limits
from surrogate_nas.settings import Settings
from surrogate_nas.space.costs import cost_of_indices
from surrogate_nas.space.sampling import some_rows
from surrogate_nas.space.space import SearchSpace

MOST_WORST = 2.0
"""Largest worst-case MACs of networks that are worth training, as a multiple of a limit on expected MACs."""
LEAST_WORST = 0.5
"""Smallest worst-case MACs of networks that may be the most accurate, as a multiple of a limit on MACs."""
SAMPLED = 256
"""Networks whose median bounds `LEAST_WORST`, so that a limit that hardly limits leaves half of the networks."""
_LEAST = Limit(
    "min_worst_macs",
    "worst_macs",
    "worst-case MACs",
    "MACs",
    "exits",
    "Smallest number of MACs of an image that goes to the last exit.",
    floor=True,
)


class Bounds(Limits):
    """Limits, and the smallest networks that are worth training."""

    min_worst_macs: float | None = None
    """Smallest number of MACs of an image that goes to the last exit."""

    @property
    def active(self) -> list[tuple[Limit, float]]:
        """Limits that are set, each with its amount."""
        least = self.min_worst_macs
        return super().active + ([] if least is None else [(_LEAST, least)])


def bounds_on_a_ladder(space: SearchSpace, costing: Costing, settings: Settings) -> Limits:
    """Bounds on networks that are trained rung by rung; the limits alone where they would leave none."""
    limits = settings.limits
    caps = [cap for cap in (limits.max_macs, limits.max_worst_macs) if cap is not None]
    if not caps:
        return limits
    bounded = limits.model_copy(update={"max_worst_macs": limits.max_worst_macs or MOST_WORST * caps[0]})
    rows = some_rows(space, SAMPLED, costing, bounded, np.random.default_rng(0), set())
    if not len(rows):
        return limits
    if settings.goal != "accuracy":
        return bounded
    worst = cost_of_indices(space, rows, costing).backbone[:, -1]
    least = min(LEAST_WORST * min(caps), float(np.median(worst)))
    return Bounds(**bounded.model_dump(), min_worst_macs=least)
