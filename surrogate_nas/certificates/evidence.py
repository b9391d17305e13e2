"""Evidence of images about limits: p-values and bounds for one network at one operating point."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from surrogate_nas.architecture.cost import Cost, costs_of_leaving
from surrogate_nas.certificates import bounds
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.limit_table import Limit
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.measurements import P95
from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.foundation.arrays import Array, Bools, Floats, Ints

STEPS = 40
"""Halvings of the interval in which the bound of a mean is searched for."""


@dataclass(frozen=True)
class Evidence:
    """A network at one operating point, on images that chose neither.

    Where images come in groups, a group is one draw: statements are then about an image of a group drawn at random.
    """

    exits: Exits
    point: OperatingPoint

    @cached_property
    def leaving(self) -> Ints:
        """(N,) position at which each image leaves."""
        return self.exits.route(self.point)

    @cached_property
    def right(self) -> Bools:
        """(N,) whether each image is classified correctly."""
        return self.exits.right(self.leaving)

    @property
    def last_right(self) -> Bools:
        """(N,) whether the last exit classifies each image correctly."""
        return np.asarray(self.exits.correct[-1])

    @property
    def worse(self) -> int:
        """Number of images that only the last exit classifies correctly."""
        return int(np.count_nonzero(self.last_right & ~self.right))

    @property
    def better(self) -> int:
        """Number of images that the last exit classifies wrong, and this operating point correctly."""
        return int(np.count_nonzero(self.right & ~self.last_right))

    @property
    def answers(self) -> str:
        """Digest of where each image leaves, and of whether it is classified correctly there and by the last exit."""
        parts = self.leaving.astype(np.int64), self.right, self.last_right
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()[:16]

    def costs(self, limit: Limit) -> tuple[Floats, Floats]:
        """(N,) cost of each image, of the kind that a limit bounds, and (E,) costs that an image can have."""
        on = np.isfinite(self.point.array()) & self.exits.present[:-1]
        charged = charged_by(limit, self.exits.cost, on[None])[0]
        return charged[self.leaving], charged[np.append(on, True)]

    # ------------------------------------------------------------------ p-values

    def p_value(self, limits: Limits) -> float:
        """p-value of "some limit on what images do is broken": the largest of theirs (Berger, "Multiparameter
        hypothesis testing and acceptance sampling", Technometrics 24, 1982); 0 without such a limit."""
        return max((self.p_of(limit, cap) for limit, cap in learned(limits)), default=0.0)

    def p_of(self, limit: Limit, cap: float) -> float:
        """p-value of "this limit is broken"; 0 or 1 where every exit, or none, keeps a limit on costs."""
        if not limit.of_accuracy:
            possible = self.costs(limit)[1]
            if possible.max() <= cap or possible.min() > cap:
                return float(possible.max() > cap)
        if self.exits.clusters is None:
            n = self.exits.samples
            if limit.quantity == "accuracy":
                return bounds.floor_p(int(self.right.sum()), n, cap)
            if limit.quantity == "drop":
                return bounds.drop_p(self.worse, self.better, n, cap)
            if limit.statistic == "p95":
                return bounds.floor_p(int((self.costs(limit)[0] <= cap).sum()), n, P95)
        nothing = np.zeros(0)
        costs, possible = (nothing, nothing) if limit.of_accuracy else self.costs(limit)
        values, mean = as_mean(limit, cap, self.right, self.last_right, costs, possible)
        return bounds.mean_p(self._drawn(values), mean)

    def _drawn(self, values: Floats) -> Floats:
        """Values of the draws, in an order that does not depend on them: images, or the means of groups."""
        clusters = self.exits.clusters
        if clusters is not None:
            values = np.bincount(clusters, weights=values) / np.bincount(clusters)
        return values[np.random.default_rng(0).permutation(len(values))]

    # ------------------------------------------------------------------ bounds

    def bound(self, limit: Limit, delta: float) -> float:
        """Value that the quantity of a limit keeps on new images with probability 1 − δ: a lower bound of accuracy, an
        upper bound of anything else.

        It is the tightest limit that is refuted to be broken; for a 95th percentile, one of the costs of the exits.
        """
        if self.exits.clusters is None:
            n = self.exits.samples
            if limit.quantity == "accuracy":
                return bounds.floor_bound(int(self.right.sum()), n, delta)
            if limit.quantity == "drop":
                return bounds.drop_bound(self.worse, self.better, n, delta)
        if limit.quantity == "accuracy":
            return 1 - _least(lambda x: self.p_of(limit, 1 - x) <= delta, 0.0, 1.0)
        if limit.quantity == "drop":
            return _least(lambda x: self.p_of(limit, x) <= delta, 0.0, 1.0)
        possible = np.unique(self.costs(limit)[1])
        if limit.statistic == "p95":
            return float(next((c for c in possible if self.p_of(limit, c) <= delta), possible[-1]))
        return _least(lambda x: self.p_of(limit, x) <= delta, float(possible[0]), float(possible[-1]))


def as_mean(
    limit: Limit, cap: float, right: Bools, last_right: Bools, costs: Array, possible: Array
) -> tuple[Floats, float]:
    """(N,) values in [0, 1] of images, and the mean in (0, 1) that they exceed where a limit is kept.

    Args:
        limit: limit on what images do.
        cap: its amount; of a cost, between the least and the largest possible one.
        right: (N,) whether each image is classified correctly.
        last_right: (N,) whether the last exit classifies it correctly.
        costs: (N,) its cost; not read for limits of accuracy.
        possible: costs that an image can have.
    """
    if limit.quantity == "accuracy":
        return right.astype(np.float64), cap
    if limit.quantity == "drop":
        return (1 - (last_right.astype(np.float64) - right)) / 2, (1 - cap) / 2
    if limit.statistic == "p95":
        return (costs <= cap).astype(np.float64), P95
    least, most = float(possible.min()), float(possible.max())
    return (most - costs) / (most - least), (most - cap) / (most - least)


def charged_by(limit: Limit, cost: Cost, on: Bools) -> Floats:
    """(T, E) cost of leaving at each position, of the kind that a limit bounds, with (T, E − 1) early exits on."""
    if not limit.needs_cost_table:
        return costs_of_leaving(cost.backbone, cost.branch, on, cost.charge_heads).astype(np.float64)
    assert cost.other is not None
    return costs_of_leaving(*cost.other, on, cost.charge_heads)


def learned(limits: Limits) -> list[tuple[Limit, float]]:
    """Limits on what images do, which only images can show to be kept; the others are exact."""
    return [(limit, cap) for limit, cap in limits.active if not limit.exact]


def exact_part(limits: Limits) -> Limits:
    """The limits whose values are known before a training."""
    return limits.model_copy(update={limit.name: None for limit, _ in learned(limits)})


def implies(certified: Limits, limits: Limits) -> bool:
    """Whether certified limits are at least as tight as every limit that only images can show to be kept."""
    caps = {limit.name: cap for limit, cap in learned(certified)}
    return all(
        limit.name in caps and (caps[limit.name] >= cap if limit.floor else caps[limit.name] <= cap)
        for limit, cap in learned(limits)
    )


def _least(holds: Callable[[float], bool], low: float, high: float) -> float:
    """The least x for which a property holds that holds for all larger ones, rounded up; `high` is taken to have it."""
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
