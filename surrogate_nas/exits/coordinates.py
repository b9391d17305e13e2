"""Settings of networks with many early exits, whose whole grid of thresholds would be too large: the start of a local
search, and the neighbours of a setting, which differ from it in one exit."""

from collections.abc import Iterable
from typing import Protocol

import numpy as np

from surrogate_nas.exits.grid import quantiles
from surrogate_nas.exits.operating_point import OFF
from surrogate_nas.exits.policies import POLICIES, PolicyName
from surrogate_nas.foundation.arrays import Floats, Floats32

LEVELS = 9
"""Number of quantiles of an exit's scores that are tried as thresholds, beside off."""
SUBSETS = 8
"""Number of random subsets of exits, of each size, among the settings at the start."""


class Scored(Protocol):
    """Interface of `Exits` that the search needs."""

    @property
    def policy(self) -> PolicyName:
        """Exit policy."""

    @property
    def positions(self) -> int:
        """Exit positions E."""

    @property
    def early(self) -> tuple[int, ...]:
        """Positions before the last that have an exit."""

    def compared_scores(self, on: Iterable[int]) -> Floats32:
        """(E, N) scores to compare with thresholds where the early exits `on` are on."""


def starts(exits: Scored) -> Floats:
    """(T, E − 1) settings at the start: every exit off; and each exit alone, random subsets of every size and all exits
    together, with thresholds at equal quantiles."""
    rng, early = np.random.default_rng(0), np.array(exits.early)
    subsets = [(e,) for e in exits.early]
    for size in range(2, len(early)):
        subsets += [tuple(np.sort(rng.choice(early, size, replace=False)).tolist()) for _ in range(SUBSETS)]
    off = np.full((1, exits.positions - 1), OFF)
    return np.concatenate([off, *(_at_equal_quantiles(exits, on) for on in [*subsets, exits.early])])


def _at_equal_quantiles(exits: Scored, on: tuple[int, ...]) -> Floats:
    rows = np.full((LEVELS, exits.positions - 1), OFF)
    scores = exits.compared_scores(on)
    for e in on:
        rows[:, e] = quantiles(scores[e], np.linspace(0, 1, LEVELS))
    return rows


def changed(exits: Scored, thresholds: Floats) -> Floats:
    """Settings that differ from one of (T, E − 1) settings in one exit, which is off or at a quantile of its scores."""
    grids: dict[tuple[tuple[int, ...], int], Floats] = {}
    result = []
    for row in thresholds:
        on = frozenset(np.flatnonzero(np.isfinite(row)).tolist())
        for e in exits.early:
            key = tuple(sorted(on | {e})) if POLICIES[exits.policy].cumulative else (e,), e
            if key not in grids:
                scores = exits.compared_scores(key[0])[e]
                grids[key] = np.append(quantiles(scores, np.linspace(0, 1, LEVELS)), OFF)
            others = np.repeat(row[None], LEVELS + 1, axis=0)
            others[:, e] = grids[key]
            result.append(others)
    return np.concatenate(result)
