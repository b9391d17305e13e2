"""Mean, deviation and interval of predicted distributions."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from surrogate_nas.foundation.arrays import Floats

INTERVAL = 0.9
"""Nominal coverage of intervals."""
CERTAIN = 1e-9
"""Relative standard deviation up to which a quantity counts as certain."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Distributions of predicted measurements."""

    mean: Floats
    sd: Floats
    """Standard deviation."""
    low: Floats
    """Lower bound of the 90 % interval."""
    high: Floats
    """Upper bound of the 90 % interval."""

    @classmethod
    def of(
        cls, draws: Floats, widening: float | Floats = 1.0, *, within: tuple[Any, Any] = (-np.inf, np.inf)
    ) -> "Spread":
        """Build from (S, …) draws: multiply deviations from the mean by `widening`, and clip bounds to `within`."""
        tail = (1 - INTERVAL) / 2
        mean = draws.mean(axis=0)
        low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
        low, high = mean - widening * (mean - low), mean + widening * (high - mean)
        return cls(mean, widening * draws.std(axis=0), np.clip(low, *within), np.clip(high, *within))

    def needed_widening(self, measured: Floats, resolution: float | Floats) -> Floats:
        """Factors by which intervals must be widened to reach the measured values; NaN where a value is undefined or
        its prediction is certain.

        A distance of half the resolution of a measurement is tolerated.
        """
        off = np.abs(measured - self.mean) - 0.5 * resolution
        side = np.where(measured > self.mean, self.high - self.mean, self.mean - self.low)
        certain = self.sd <= CERTAIN * np.maximum(np.abs(self.mean), CERTAIN)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(certain, np.nan, np.maximum(off, 0) / np.maximum(side, 0.5 * resolution))
