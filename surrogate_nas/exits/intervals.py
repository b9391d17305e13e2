"""Confidence intervals of shares, and of accuracy and expected cost at thresholds."""

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from surrogate_nas.foundation.arrays import Floats, Ints

CONFIDENCE = 0.95
DRAWS = 1000


def wilson(successes: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's interval of the share `successes` / n.

    >>> [round(end, 3) for end in wilson(9, 10)]
    [0.596, 0.982]
    """
    interval = binomtest(int(successes), n).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def bootstrap(
    leaving: Ints, correct: Ints, costs: npt.NDArray[np.generic], confidence: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Bootstrap percentile intervals of accuracy and expected cost.

    Only where a sample leaves and whether it is right matter, so drawing samples is drawing from 2 E cells.

    Args:
        leaving: (E,) samples that leave at each position.
        correct: (E,) of those, the ones classified correctly.
        costs: (E,) cost of leaving at each position.
        confidence: probability that the interval covers the true value.
    """
    n, E = int(leaving.sum()), len(leaving)
    cells = np.concatenate([correct, leaving - correct]) / n
    draws = np.random.default_rng(0).multinomial(n, cells, size=DRAWS)
    accuracy = draws[:, :E].sum(axis=1) / n
    cost = (draws[:, :E] + draws[:, E:]) @ costs.astype(np.float64) / n
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = np.quantile(np.stack([accuracy, cost]), tails, axis=1)
    return (float(low[0]), float(high[0])), (float(low[1]), float(high[1]))


def paired_bootstrap(values: Floats, confidence: float = CONFIDENCE) -> list[tuple[float, float]]:
    """Bootstrap percentile intervals of the means of K values of each sample, which are drawn together.

    Drawing samples is drawing from their distinct rows, of which there are few: right or wrong, times the exits.

    Args:
        values: (N, K), as the difference of two networks on each sample.
        confidence: probability that an interval covers the true mean.
    """
    rows, counts = np.unique(values, axis=0, return_counts=True)
    n = len(values)
    means = np.random.default_rng(0).multinomial(n, counts / n, size=DRAWS) @ rows / n
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    return [(float(low), float(high)) for low, high in np.quantile(means, tails, axis=0).T]
