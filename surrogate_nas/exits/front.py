"""Pareto front of accuracy (maximised) and log₁₀ expected cost (minimised), and exact hypervolume improvement of whole
curves."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from surrogate_nas.foundation.arrays import Array, Floats, Ints


@dataclass(frozen=True)
class Front:
    """A Pareto front as a staircase, the best accuracy within each cost, with the reference point that bounds it."""

    cost: Floats
    """(K,) ascending log₁₀ expected costs, all below the reference cost."""
    accuracy: Floats
    """(K,) ascending, all above the reference accuracy."""
    reference_cost: float
    reference_accuracy: float

    @classmethod
    def of(cls, cost: Floats, accuracy: Floats, reference_cost: float, reference_accuracy: float) -> "Front":
        """Front of (n,) points; those beyond the reference point are ignored."""
        inside = (cost < reference_cost) & (accuracy > reference_accuracy)
        cost, accuracy = cost[inside], accuracy[inside]
        order = pareto_order(accuracy, cost)
        return cls(cost[order], accuracy[order], reference_cost, reference_accuracy)

    def with_points(self, cost: Floats, accuracy: Floats) -> "Front":
        """Front of its own points and (n,) others."""
        both = np.append(self.cost, cost), np.append(self.accuracy, accuracy)
        return Front.of(*both, self.reference_cost, self.reference_accuracy)

    @property
    def hypervolume(self) -> float:
        """Area that the front dominates: Σ_k (a_k − a₀)(c_{k+1} − c_k), with the reference (c_{K+1}, a₀).

        >>> front = Front.of(np.array([1.0, 2.0]), np.array([0.5, 0.9]), 3.0, 0.1)
        >>> round(front.hypervolume, 6)
        1.2
        """
        widths = np.diff(np.append(self.cost, self.reference_cost))
        return float(((self.accuracy - self.reference_accuracy) * widths).sum())

    @cached_property
    def _knots(self) -> tuple[Floats, Floats]:
        """Costs, and ∫ of the staircase from the first of them; below the first step it is the reference accuracy."""
        levels = np.concatenate([[self.reference_accuracy], self.accuracy])
        x = np.concatenate([[min(self.cost.min(initial=self.reference_cost), self.reference_cost) - 100], self.cost])
        areas = levels * np.diff(np.append(x, self.reference_cost))
        return np.append(x, self.reference_cost), np.concatenate([[0.0], np.cumsum(areas)])

    def improvement(self, cost: Floats, accuracy: Floats) -> Floats:
        """(…) exact hypervolume improvement by sets of T points, from (…, T) costs and accuracies."""
        return self.improvement_by(Staircases.of(cost, accuracy, self.reference_cost))

    def improvement_by(self, steps: "Staircases") -> Floats:
        """(…) exact hypervolume improvement by staircases.

        Over each step the improvement is ∫ max(level − front, 0), and as the front rises with cost, the integrand is
        positive up to the first front point that reaches the level.
        """
        x, area = self._knots
        reach = x[1:][np.searchsorted(self.accuracy, steps.level, side="left")]
        end = np.maximum(np.minimum(steps.end, reach), steps.cost)
        gain = steps.level * (end - steps.cost) - (np.interp(end, x, area) - np.interp(steps.cost, x, area))
        return np.asarray(np.where(steps.level > self.reference_accuracy, np.maximum(gain, 0), 0).sum(axis=-1))

    def improvement_by_each(self, cost: Floats, accuracy: Floats) -> Floats:
        """(…) exact hypervolume improvement by each of (…) points alone, several times faster than by sets of one."""
        x, area = self._knots
        reached = np.searchsorted(self.accuracy, accuracy, side="left")  # the first front point as accurate as it
        better = (accuracy > self.reference_accuracy) & (cost < x[1:][reached])
        c, a, end = cost[better], accuracy[better], reached[better] + 1
        gain = np.zeros(cost.shape)
        gain[better] = np.maximum(a * (x[end] - c) - (area[end] - np.interp(c, x, area)), 0)
        return gain


@dataclass(frozen=True, slots=True)
class Staircases:
    """Sets of T points, each with the best accuracy within each cost: arrays of shape (…, T), in order of cost."""

    cost: Floats
    """Costs at which steps begin, at most the reference cost."""
    end: Floats
    """Costs at which they end."""
    level: Floats

    @classmethod
    def of(cls, cost: Floats, accuracy: Floats, reference_cost: float) -> "Staircases":
        """Staircases of (…, T) points up to a reference cost."""
        order = np.argsort(cost, axis=-1)
        cost = np.minimum(np.take_along_axis(cost, order, axis=-1), reference_cost)
        level = np.maximum.accumulate(np.take_along_axis(accuracy, order, axis=-1), axis=-1)
        end = np.concatenate([cost[..., 1:], np.full((*cost.shape[:-1], 1), reference_cost)], axis=-1)
        return cls(cost, end, level)


def pareto_order(gain: Array, cost: Array) -> Ints:
    """Indices of the Pareto-optimal points (gain maximised, cost minimised), cheapest first; one of several equals."""
    order = np.lexsort((-gain, cost))
    best_before = np.concatenate([[-np.inf], np.maximum.accumulate(gain[order])[:-1]])
    return np.asarray(order[gain[order] > best_before], dtype=np.int64)
