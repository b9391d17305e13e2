"""The rule for the best operating point within limits, of one network's thresholds or of many networks."""

import numpy as np

from surrogate_nas.exits.limits import Limits
from surrogate_nas.foundation.arrays import Array, Floats, Ints


def wants_cheapest(limits: Limits) -> bool:
    """Whether the cheapest is the best, as nothing that thresholds decide is limited but accuracy; else it is the most
    accurate."""
    return limits.min_accuracy is not None and not limits.limits_spending


def best_first(accuracy: Floats, cost: Floats, excess: Array, *, cheapest: bool) -> Ints:
    """(…, n) indices along the last axis, the best first.

    First comes what keeps the limits best; of that the most accurate or the cheapest, and of equals in that the
    cheaper or the more accurate; then the earlier.

    Args:
        accuracy: (…, n).
        cost: (…, n) expected cost that is minimised.
        excess: (…, n) how far the limits are from being kept, the same for all that keep them.
        cheapest: which is better; see `wants_cheapest`.
    """
    merit, other = (cost, -accuracy) if cheapest else (-accuracy, cost)
    return np.asarray(np.lexsort(np.broadcast_arrays(other, merit, excess), axis=-1))
