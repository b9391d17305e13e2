"""Rule for the best operating point within limits, among one network's thresholds or among networks."""

import numpy as np

from surrogate_nas.exits.limits import Limits
from surrogate_nas.foundation.arrays import Array, Floats, Ints


def wants_cheapest(limits: Limits) -> bool:
    """Whether the best operating point of a network is the cheapest, because accuracy or its drop is limited and no
    cost that depends on thresholds is. Otherwise it is the most accurate."""
    return limits.limits_accuracy and not limits.limits_spending


def wants_cheapest_network(limits: Limits) -> bool:
    """Whether the best network is the cheapest, as `wants_cheapest`; a limit on the drop alone does not ask for it,
    since networks that are hardly better than chance keep it too."""
    return limits.min_accuracy is not None and not limits.limits_spending


def best_first(accuracy: Floats, cost: Floats, excess: Array, *, cheapest: bool) -> Ints:
    """(…, n) indices along the last axis, the best first.

    Ordered by the excess over the limits, then by accuracy or cost, then by the other of the two, then by index.

    Args:
        accuracy: (…, n).
        cost: (…, n) expected cost to minimise.
        excess: (…, n) excess over the limits, equal for all points that keep them.
        cheapest: whether cost comes before accuracy; see `wants_cheapest`.
    """
    merit, other = (cost, -accuracy) if cheapest else (-accuracy, cost)
    return np.asarray(np.lexsort(np.broadcast_arrays(other, merit, excess), axis=-1))
