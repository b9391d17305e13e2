"""Methods of choosing thresholds: the best point of a network's curve, and published methods for comparison."""

import itertools
from collections.abc import Callable
from typing import Literal

import numpy as np

from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.measurements import Measurements
from surrogate_nas.exits.operating_point import OFF
from surrogate_nas.foundation.arrays import Floats
from surrogate_nas.foundation.errors import InputError

MethodName = Literal["curve", "nachos", "aebnas"]
"""Way of choosing thresholds: from the whole `curve`, or as published."""
NACHOS_SWEEP = (0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.8)
AEBNAS_GRID = (0.1, 0.2, OFF)
AEBNAS_WEIGHT = 0.1
"""Percentage points of accuracy per percent of deviation from the target."""
MOST_IN_AEBNAS_GRID = 10
"""Largest number of early exits for which every setting is tried."""


def by_curve(exits: Exits, limits: Limits) -> Measurements:
    """Best point of the whole curve within limits (T = 1); see `Measurements.best`.

    Raises:
        JobError: if no point keeps the limits; the message describes the closest point.
    """
    return exits.best(limits)


def by_nachos(exits: Exits, limits: Limits) -> Measurements:
    """NACHOS's sweep and repair (arXiv 2401.13330), T = 1.

    One threshold for all early exits is swept over `NACHOS_SWEEP`, and the most accurate setting is taken, whatever it
    costs. It is repaired where it breaks the limits: from the last early exit backwards, each threshold is lowered
    along the sweep until they hold.

    Raises:
        JobError: if they never hold; the message describes the closest point.
    """
    sweep = exits.measure(np.repeat(np.array(NACHOS_SWEEP)[:, None], exits.positions - 1, axis=1))
    row = sweep.thresholds[int(np.lexsort((sweep.objective, -sweep.accuracy))[0])].copy()
    steps = [row.copy()]
    for e in reversed(exits.early):
        for threshold in sorted(t for t in NACHOS_SWEEP if t < row[e])[::-1]:
            row[e] = threshold
            steps.append(row.copy())
    candidates = exits.measure(np.stack(steps))
    keeps = np.flatnonzero(candidates.feasible(limits))
    if not len(keeps):
        candidates.best(limits)  # raises, and names the limits that the closest point exceeds
    return candidates[keeps[:1]]


def by_aebnas(exits: Exits, limits: Limits) -> Measurements:
    """AEBNAS's adaptive thresholds (arXiv 2512.10671), T = 1: the setting, of {0.1, 0.2, off} per early exit, that
    maximises accuracy in % − 0.1 · |deviation of expected MACs from the target in %|.

    The target is the limit on expected MACs; deviations below and above it are penalised alike, and other limits are
    ignored. With more than ten early exits, not all settings are tried: from each setting with equal thresholds, one
    threshold is changed at a time until no change is better.

    Raises:
        InputError: without a limit on expected MACs.
    """
    if limits.max_macs is None:
        raise InputError("method aebnas needs a target of expected MACs, got no max_macs")
    target = limits.max_macs

    def best(settings: Floats) -> tuple[float, Measurements]:
        measurements = exits.measure(settings)
        deviation = 100 * np.abs(measurements.expected_macs / target - 1)
        value = 100 * measurements.accuracy - AEBNAS_WEIGHT * deviation
        i = int(value.argmax())
        return float(value[i]), measurements[i : i + 1]

    if len(exits.early) <= MOST_IN_AEBNAS_GRID:
        grid = np.full((len(AEBNAS_GRID) ** len(exits.early), exits.positions - 1), OFF)
        grid[:, list(exits.early)] = list(itertools.product(AEBNAS_GRID, repeat=len(exits.early)))
        return best(grid)[1]
    equal = (best(np.full((1, exits.positions - 1), threshold)) for threshold in AEBNAS_GRID)
    return max((_climb(best, *start) for start in equal), key=lambda end: end[0])[1]


def _climb(
    best: Callable[[Floats], tuple[float, Measurements]], value: float, at: Measurements
) -> tuple[float, Measurements]:
    """Local search: change one threshold at a time, to the best value, as long as the value grows."""
    early = at.thresholds.shape[1]
    while True:
        around = np.repeat(at.thresholds, early * len(AEBNAS_GRID), axis=0)
        around[np.arange(len(around)), np.repeat(np.arange(early), len(AEBNAS_GRID))] = np.tile(AEBNAS_GRID, early)
        better, there = best(around)
        if better <= value:
            return value, at
        value, at = better, there


METHODS: dict[MethodName, Callable[[Exits, Limits], Measurements]] = {
    "curve": by_curve,
    "nachos": by_nachos,
    "aebnas": by_aebnas,
}
