"""Goals of a search: the whole front, the most accurate network within the limits, or the cheapest.

A goal other than the front makes one of the two coordinates of all points the same. The hypervolume is then the height
of the best point alone, and everything that improves a hypervolume follows the goal.
"""

import numpy as np

from surrogate_nas.foundation.arrays import Floats
from surrogate_nas.settings import GoalName

UNIT = 1.0
"""Distance to the reference of a coordinate that does not count."""


def toward(goal: GoalName, cost: Floats, accuracy: Floats, reference: tuple[float, float]) -> tuple[Floats, Floats]:
    """(…) log₁₀ costs and accuracies of points, as a goal counts them.

    Args:
        goal: the goal.
        cost: (…) log₁₀ costs.
        accuracy: (…) accuracies; negative for points that break limits, which count for no goal.
        reference: log₁₀ cost and accuracy of the reference point, which points must improve on both.

    >>> cost, accuracy = np.array([5.0, 5.5, 5.2]), np.array([0.8, 0.9, -1.0])
    >>> [part.tolist() for part in toward("accuracy", cost, accuracy, (6.0, 0.1))]
    [[5.0, 5.0, 6.0], [0.8, 0.9, -1.0]]
    >>> [part.tolist() for part in toward("cost", cost, accuracy, (6.0, 0.1))]
    [[5.0, 5.5, 5.2], [1.1, 1.1, -1.0]]
    """
    inside = (cost < reference[0]) & (accuracy > reference[1])
    match goal:
        case "front":
            return cost, accuracy
        case "accuracy":
            return np.where(inside, reference[0] - UNIT, reference[0]), accuracy
        case "cost":
            return cost, np.where(inside, reference[1] + UNIT, accuracy)
