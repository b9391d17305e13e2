"""Operating points of one network for several budgets."""

import numpy as np

from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.measurements import Measurements
from surrogate_nas.foundation.arrays import Floats
from surrogate_nas.foundation.errors import InputError

RUNGS = 8


def ladder(exits: Exits, limits: Limits, rungs: int = RUNGS) -> tuple[Floats, Measurements]:
    """Operating points between the cheapest and the most accurate, for a device that switches between them by load.

    Budgets of the objective are evenly spaced on a logarithmic scale; each gets the most accurate setting within it,
    and a budget that gets the same setting as the next smaller one is left out.

    Args:
        exits: exits of the network on tune.
        limits: limits that every rung keeps.
        rungs: largest number of rungs.

    Returns:
        (T,) budgets and their settings, cheapest first; T = 0 if no setting keeps the limits.

    Raises:
        InputError: for fewer than two rungs.
    """
    if rungs < 2:
        raise InputError(f"a ladder has at least 2 rungs, got {rungs}")
    points = exits.within(limits)
    if not len(points):
        return np.zeros(0), points
    cheapest, dearest = points.objective[0], points.objective[-1]
    budgets = np.geomspace(cheapest, dearest, rungs).clip(cheapest, dearest)
    budgets[-1] = dearest  # exactly, without a rounding error
    rows = np.searchsorted(points.objective, budgets, side="right") - 1
    new = np.flatnonzero(np.diff(rows, prepend=-1))
    return budgets[new], points[rows[new]]
