"""How many images a certificate would take."""

import math
from collections.abc import Callable

from scipy.special import ndtri

from surrogate_nas.certificates.bounds import drop_p, enough, floor_p
from surrogate_nas.certificates.evidence import learned
from surrogate_nas.exits.limit_table import Limit
from surrogate_nas.exits.limits import Limits

POWER = 0.8
"""Probability with which a network that keeps a limit should pass."""
MOST = 10_000_000
"""Number of images above which nothing is computed."""


def for_floor(accuracy: float, floor: float, delta: float) -> int | None:
    """Number of images by which a network of an accuracy passes a floor with probability `POWER`; `None` at or below
    the floor.

    >>> [for_floor(a, 0.9, 0.1) for a in (0.95, 0.92)], for_floor(0.9, 0.9, 0.1)
    ([128, 996], None)
    """
    if accuracy <= floor:
        return None
    return _least(lambda n: _power(n, accuracy, floor, delta) >= POWER)


def _power(n: int, accuracy: float, floor: float, delta: float) -> float:
    """Probability that n images refute "the accuracy is below the floor" at δ."""
    fewest = enough(n, floor, delta)
    return floor_p(fewest, n, accuracy) if fewest <= n else 0.0


def for_drop(drop: float, different: float, most: float, delta: float) -> int | None:
    """Number of images by which thresholds that lose `drop` pass a limit on it, by the normal approximation; `None` at
    or above the limit.

    Args:
        drop: accuracy lost below the last exit.
        different: share of images that are right with early exits and wrong without, or the other way round.
        most: limit on the drop.
        delta: level of the test.
    """
    if drop >= most:
        return None
    reach = float(-ndtri(delta) + ndtri(POWER))
    return math.ceil(reach**2 * max(different - drop**2, 0.0) / (most - drop) ** 2)


def at_best(limits: Limits, delta: float) -> int:
    """Least number of images that certify limits on the accuracy at δ, if a network answers all of them correctly.

    >>> at_best(Limits(min_accuracy=0.9), 0.075), at_best(Limits(max_drop=0.05), 0.075), at_best(Limits(), 0.075)
    (25, 73, 1)
    """
    return _least(lambda n: all(_possible(limit, cap, n, delta) for limit, cap in learned(limits)))


def _possible(limit: Limit, cap: float, n: int, delta: float) -> bool:
    """Whether n images without an error can show that a limit is kept."""
    if limit.quantity == "accuracy":
        return enough(n, cap, delta) <= n
    return limit.quantity != "drop" or drop_p(0, 0, n, cap) <= delta


def _least(do: Callable[[int], bool]) -> int:
    """The least number, up to `MOST`, found by doubling and halving."""
    high = 1
    while high < MOST and not do(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if do(middle) else (middle, high)
    return high
