"""Operating points to certify, in the order of how surely they are expected to pass, judged by images that choose."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from surrogate_nas.certificates.evidence import charged_by, exact_part, learned
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.grid import quantiles
from surrogate_nas.exits.limit_table import Limit
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.measurements import P95, Measurements
from surrogate_nas.foundation.arrays import Bools, Floats, Ints

CAUTION = (0.1, 0.2, 0.3, 0.5, 0.7, 0.85)
"""Shares of the samples above a threshold's quantile by which more cautious settings raise it."""
ADDED = 1.0
"""Images, added to those counted, on which an answer differs or is wrong: no rare event is taken to be impossible."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Operating points of one network."""

    points: Measurements
    """T operating points, measured on the images that choose."""
    margin: Floats
    """(T,) how many standard errors, on the images that certify, the limits are expected to be kept by."""

    def __len__(self) -> int:
        return len(self.margin)


def candidates_of(exits: Exits, limits: Limits, images: int) -> Candidates:
    """Operating points of a network that may keep the limits, and their margins.

    They are the points of the accuracy–cost curve, and more cautious ones, whose thresholds are raised: the curve has
    the settings that were lucky with the images that chose them. With all exits off no drop is possible, so that this
    setting is none for a limit on it.

    Args:
        exits: exits of the network on the images that choose.
        limits: limits to certify.
        images: number of images that certify.
    """
    curve = exits.curve
    settings = np.unique(
        np.concatenate([curve.thresholds, *(_raised(exits, curve.thresholds, s) for s in CAUTION)]), axis=0
    )
    points = exits.measure(settings)
    points = points[points.feasible(exact_part(limits))]
    if limits.max_drop is not None:
        points = points[np.flatnonzero(np.isfinite(points.thresholds).any(axis=1))]
    margins = [_margin(exits, points, limit, cap, images) for limit, cap in learned(limits)]
    return Candidates(points, np.min(margins, axis=0) if margins else np.full(len(points), np.inf))


def in_order(candidates: Sequence[Candidates]) -> list[tuple[int, int]]:
    """Network and operating point of each candidate worth a test, by their numbers, the surest first.

    A candidate is worth one if it is expected to keep the limits, and cheaper or more accurate than every surer one.
    """
    owner = np.concatenate([np.full(len(c), i) for i, c in enumerate(candidates)])
    place = np.concatenate([np.arange(len(c)) for c in candidates])
    margin, cost, accuracy = (
        np.concatenate([getattr(part, name) for part in parts])
        for parts, name in (
            (candidates, "margin"),
            ([c.points for c in candidates], "objective"),
            ([c.points for c in candidates], "accuracy"),
        )
    )
    order = np.lexsort([cost, -accuracy, -margin])
    order = order[margin[order] > 0]
    is_best = _below_all_before(cost[order]) | _below_all_before(-accuracy[order])
    return [(int(owner[i]), int(place[i])) for i in order[is_best]]


def _below_all_before(values: Floats) -> Bools:
    """(n,) whether each value is less than all before it."""
    return np.asarray(values < np.minimum.accumulate(np.append(np.inf, values))[:-1])


def _raised(exits: Exits, thresholds: Floats, share: float) -> Floats:
    """(T, E − 1) thresholds, each raised by a share of the samples whose scores are above it."""
    raised = thresholds.copy()
    for e in exits.early:
        scores, on = np.sort(exits.scores[e]), np.isfinite(thresholds[:, e])
        below = np.searchsorted(scores, thresholds[on, e]) / exits.samples
        raised[on, e] = quantiles(scores, below + (1 - below) * share)
    return raised


def _margin(exits: Exits, points: Measurements, limit: Limit, cap: float, images: int) -> Floats:
    """(T,) distances from a limit in standard errors of as many images."""
    n = exits.samples
    if limit.quantity == "drop":
        different = _different(exits, points.thresholds)
        drop = np.maximum(points.drop, 0)  # with early exits hardly any network is more accurate; see `overthinking`
        deviation = np.sqrt((different + ADDED) / n - drop**2)
        distance = cap - drop
    elif limit.quantity == "accuracy":
        accuracy = points.correct.sum(axis=1) / (n + ADDED)
        distance, deviation = accuracy - cap, np.sqrt(accuracy * (1 - accuracy))
    else:
        costs = charged_by(limit, exits.cost, np.isfinite(points.thresholds))
        if limit.statistic == "p95":
            share = (points.rates * (costs <= cap)).sum(axis=1) * n / (n + ADDED)
            distance, deviation = share - P95, np.sqrt(share * (1 - share))
        else:
            mean = (points.rates * costs).sum(axis=1)
            deviation = np.sqrt((points.rates * (costs - mean[:, None]) ** 2).sum(axis=1) + cap**2 * ADDED / n)
            distance = cap - mean
    return np.asarray(distance / np.maximum(deviation, np.finfo(float).tiny) * np.sqrt(images))


def _different(exits: Exits, thresholds: Floats) -> Ints:
    """(T,) numbers of samples that are right with early exits and wrong without, or the other way round."""
    last = exits.correct[-1]
    return np.array([np.count_nonzero(exits.right(exits.leave(row)) != last) for row in thresholds])
