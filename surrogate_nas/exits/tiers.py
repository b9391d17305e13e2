"""Operating points of one network for several budgets."""

import numpy as np

from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.measurements import Measurements
from surrogate_nas.foundation.arrays import Floats
from surrogate_nas.foundation.errors import InputError

TIERS = 8


def tiers_of(exits: Exits, limits: Limits, most: int = TIERS) -> tuple[Floats, Measurements]:
    """Operating points between the cheapest and the most accurate, for a device that switches between them by load.

    Budgets of the objective are evenly spaced on a logarithmic scale; each gets the most accurate setting within it,
    and a budget that gets the same setting as the next smaller one is left out.

    Args:
        exits: exits of the network on tune.
        limits: limits that every setting keeps.
        most: largest number of settings, at least 2.

    Returns:
        (T,) budgets and their settings, cheapest first; T = 0 if no setting keeps the limits.

    Raises:
        InputError: for `most` below 2.
    """
    if most < 2:
        raise InputError(f"tiers {most} is too few; allowed: at least 2")
    points = exits.within(limits)
    if not len(points):
        return np.zeros(0), points
    cheapest, dearest = points.objective[0], points.objective[-1]
    budgets = np.geomspace(cheapest, dearest, most).clip(cheapest, dearest)
    budgets[-1] = dearest  # exactly, without a rounding error
    rows = np.searchsorted(points.objective, budgets, side="right") - 1
    new = np.flatnonzero(np.diff(rows, prepend=-1))
    return budgets[new], points[rows[new]]
