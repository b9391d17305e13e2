"""Thresholds as tables print them: with the digits that matter. Documents, files and manifests keep exact values."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.foundation.arrays import Array

FEWEST, MOST = 2, 17
"""Decimals tried; 17 are more than a float in [0, 1] has."""
SLACK = 0.01


def shortest(point: OperatingPoint, splits: Sequence[Exits]) -> OperatingPoint:
    """The operating point with the fewest decimals, two at least, that routes every image of the splits alike.

    Only the images that reach an exit count there. Of equally short decimals the nearest is taken. Typed back, they
    give the same figures on these splits. Nothing is chosen by them, and no labels are read.

    Args:
        point: thresholds of E − 1 early exits.
        splits: exits of one network under the point's policy, on any number of splits.
    """
    thresholds = list(point.thresholds)
    for e, scores in _reaching(point, splits):
        exact = point.thresholds[e]
        assert exact is not None
        stays, leaves = scores[scores < exact], scores[scores >= exact]
        thresholds[e] = _shortest_between(exact, stays.max(initial=-1.0), leaves.min(initial=1.0))
    return replace(point, thresholds=tuple(thresholds))


def approximate(point: OperatingPoint) -> OperatingPoint:
    """The operating point with the fewest decimals, two at least, that are within 1 % of each threshold's distance from
    0 and from 1: for predictions, which vary smoothly with thresholds.

    >>> str(approximate(OperatingPoint((0.6035745522584268, None, 0.99997312))))
    '0.6,off,0.999973'
    """
    return replace(point, thresholds=tuple(None if t is None else _nearby(t) for t in point.thresholds))


def _nearby(exact: float) -> float:
    slack = SLACK * min(exact, 1 - exact)
    return _shortest_between(exact, exact - slack, exact + slack)


def _reaching(point: OperatingPoint, splits: Sequence[Exits]) -> Iterator[tuple[int, Array]]:
    """Each early exit with a threshold, and the scores there of all images that reach it, of all splits."""
    on = [e for e, threshold in enumerate(point.thresholds) if threshold is not None]
    network_on = [e for e in on if splits[0].present[e]]
    scores = np.concatenate([exits.compared_scores(network_on) for exits in splits], axis=1).astype(np.float64)
    route = np.concatenate([exits.route(point) for exits in splits])
    for e in on:
        yield e, scores[e, route >= e] if e in network_on else np.zeros(0)


def _shortest_between(exact: float, below: float, above: float) -> float:
    """The shortest decimal in (below, above] and [0, 1], the nearest to the exact threshold of equally short ones.

    >>> _shortest_between(0.85732, 0.8, 0.9), _shortest_between(0.99997, 0.99994, 0.99998), _shortest_between(1, 0.9, 1)
    (0.86, 0.99997, 1.0)
    """
    for decimals in range(FEWEST, MOST + 1):
        unit = 10.0**decimals
        texts = {round(float(exact), decimals), np.floor(exact * unit) / unit, np.ceil(exact * unit) / unit}
        fitting = [float(t) for t in texts if below < t <= above and 0 <= t <= 1]
        if fitting:
            return min(fitting, key=lambda t: (abs(t - exact), t))
    return exact
