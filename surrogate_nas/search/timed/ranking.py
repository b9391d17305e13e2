"""Order of networks that were trained equally far: which of them are worth training on."""

from collections.abc import Sequence

import numpy as np

from surrogate_nas.archive.record import Record
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.front import Front
from surrogate_nas.foundation.arrays import Floats
from surrogate_nas.search.goals import toward
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.wanted import wanted_limits

Networks = Sequence[tuple[Record, Exits]]


class Curves:
    """Threshold curves of n networks on tune, as the goal counts them."""

    def __init__(self, problem: Problem, networks: Networks, reference: tuple[float, float]) -> None:
        """Build from networks that were trained to one rung, and the reference point of the hypervolume."""
        limits, goal = wanted_limits(problem), problem.settings.goal
        self.front = Front.of(np.zeros(0), np.zeros(0), *reference)
        self.points: list[tuple[Floats, Floats]] = []
        """(T,) costs and accuracies of each network's points within the limits; empty if there are none."""
        for _, exits in networks:
            within = exits.within(limits)
            cost, accuracy = toward(goal, np.log10(within.objective), within.accuracy, reference)
            best = self.front.with_points(cost, accuracy)
            self.points.append((best.cost, best.accuracy))
        self.excess = [
            0.0 if len(cost) else float(exits.curve.violation(limits).min())
            for (cost, _), (_, exits) in zip(self.points, networks, strict=True)
        ]
        """Excess over the limits of networks without points."""

    @property
    def hypervolumes(self) -> Floats:
        """(n,) hypervolume of each network alone."""
        return self.front.improvement(*self._padded())

    def best_first(self) -> list[int]:
        """Indices of the networks, the best first.

        Next is always the network that most improves the hypervolume of those before it; once none does, those before
        it are left out of account. Networks that cannot keep the limits are last.
        """
        cost, accuracy = self._padded()
        front, order = self.front, list[int]()
        left = [i for i, (points, _) in enumerate(self.points) if len(points)]
        while left:
            gains = front.improvement(cost[left], accuracy[left])
            if gains.max() <= 0 and len(front.cost):
                front = self.front
                continue
            best = left.pop(int(gains.argmax()))
            order.append(best)
            front = front.with_points(*self.points[best])
        beyond = [i for i, (points, _) in enumerate(self.points) if not len(points)]
        return order + sorted(beyond, key=lambda i: self.excess[i])

    def _padded(self) -> tuple[Floats, Floats]:
        """(n, T) costs and accuracies; points in excess of a network's own are worth nothing."""
        most = max((len(cost) for cost, _ in self.points), default=0)
        costs = np.full((len(self.points), max(most, 1)), self.front.reference_cost)
        accuracies = np.full(costs.shape, -1.0)
        for i, (cost, accuracy) in enumerate(self.points):
            costs[i, : len(cost)], accuracies[i, : len(cost)] = cost, accuracy
        return costs, accuracies
