"""Confidence intervals of shares, and of accuracy and expected cost at thresholds.

Samples of one group, such as photographs of one object, are not independent: where there are groups, they are drawn.
"""

import math

import numpy as np
import numpy.typing as npt
from scipy.stats import norm, t

from surrogate_nas.exits.clusters import cell_counts, design_effect
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.measurements import Measurements
from surrogate_nas.foundation.arrays import Bools, Floats, Ints

CONFIDENCE = 0.95
DRAWS = 1000


def wilson(successes: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's interval of the share `successes` / n of independent samples.

    >>> [round(end, 3) for end in wilson(9, 10)]
    [0.596, 0.982]
    """
    return _wilson(int(successes), n, n, confidence)


def _wilson(successes: int, n: int, effective: float, confidence: float) -> tuple[float, float]:
    """Wilson's interval of `successes` / n as that of an effective number of independent samples: both p at which
    (p̂ − p)² = z² p (1 − p) / `effective`."""
    share, z2 = successes / n, float(norm.ppf((1 + confidence) / 2)) ** 2 / effective
    middle, reach = share + z2 / 2, math.sqrt(share * (1 - share) * z2 + z2**2 / 4)
    low = 0.0 if successes == 0 else (middle - reach) / (1 + z2)  # exactly, against rounding
    return low, 1.0 if successes == n else (middle + reach) / (1 + z2)


def share_interval(is_so: Bools, clusters: Ints | None = None, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Interval of the share of samples for which something is so: Wilson's; with groups at the effective number.

    The effective number is n / deff · (t_{n−1} / t_{G−1})², where deff is the design effect and the ratio of Student's
    quantiles allows for the G groups that it is estimated from: Korn & Graubard, "Confidence intervals for proportions
    with small expected number of positive counts estimated from survey data", Survey Methodology 24 (1998). Wilson's
    interval at that number: Franco, Little, Louis & Slud, J. Survey Statistics and Methodology 7 (2019).

    Args:
        is_so: (N,).
        clusters: (N,) as `Exits.clusters`.
        confidence: probability that the interval covers the true share.
    """
    n, successes = len(is_so), int(is_so.sum())
    if clusters is None:
        return wilson(successes, n, confidence)
    wrong_right = cell_counts(clusters, is_so.astype(np.int64), 2)
    groups = len(wrong_right)
    if groups == 1:
        return 0.0, 1.0
    tail = (1 + confidence) / 2
    effective = n / design_effect(wrong_right) * float(t.ppf(tail, n - 1) / t.ppf(tail, groups - 1)) ** 2
    return _wilson(successes, n, effective, confidence)


def accuracy_intervals(exits: Exits, measurements: Measurements) -> list[tuple[float, float]]:
    """95 % interval of the accuracy at each of T operating points at which the exits were measured."""
    if exits.clusters is None:
        return [wilson(correct, measurements.n) for correct in measurements.correct.sum(axis=1)]
    return [share_interval(exits.right(exits.leave(row)), exits.clusters) for row in measurements.thresholds]


def bootstrap(
    leaving: Ints,
    correct: Ints,
    costs: npt.NDArray[np.generic],
    confidence: float,
    group_counts: Ints | None = None,
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Bootstrap percentile intervals of accuracy and expected cost.

    Only where a sample leaves and whether it is right matter, so drawing samples is drawing from 2 E cells. Groups are
    drawn as a whole (Field & Welsh, "Bootstrapping clustered data", J. Royal Statistical Society B 69, 2007), which is
    drawing from their distinct counts.

    Args:
        leaving: (E,) samples that leave at each position.
        correct: (E,) of those, the ones classified correctly.
        costs: (E,) cost of leaving at each position.
        confidence: probability that the interval covers the true value.
        group_counts: (G, 2 E) as `Exits.group_counts`; `None` for independent samples.
    """
    n, E, rng = int(leaving.sum()), len(leaving), np.random.default_rng(0)
    if group_counts is None:
        draws = rng.multinomial(n, np.concatenate([correct, leaving - correct]) / n, size=DRAWS)
    else:
        kinds, groups = np.unique(group_counts, axis=0, return_counts=True)
        draws = rng.multinomial(len(group_counts), groups / len(group_counts), size=DRAWS) @ kinds
    drawn = draws.sum(axis=1)
    accuracy = draws[:, :E].sum(axis=1) / drawn
    cost = (draws[:, :E] + draws[:, E:]) @ costs.astype(np.float64) / drawn
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = np.quantile(np.stack([accuracy, cost]), tails, axis=1)
    return (float(low[0]), float(high[0])), (float(low[1]), float(high[1]))


def paired_bootstrap(
    values: Floats, clusters: Ints | None = None, confidence: float = CONFIDENCE
) -> list[tuple[float, float]]:
    """Bootstrap percentile intervals of the means of K values of each sample, which are drawn together.

    Drawing samples is drawing from their distinct rows, of which there are few: right or wrong, times the exits. Groups
    are drawn as a whole, as in `bootstrap`.

    Args:
        values: (N, K), such as the difference of two networks on each sample.
        clusters: (N,) as `Exits.clusters`; `None` for independent samples.
        confidence: probability that an interval covers the true mean.
    """
    sums = np.column_stack([values, np.ones(len(values))])
    if clusters is not None:
        sums = np.column_stack([np.bincount(clusters, weights=column) for column in sums.T])
    rows, counts = np.unique(sums, axis=0, return_counts=True)
    drawn = np.random.default_rng(0).multinomial(len(sums), counts / len(sums), size=DRAWS) @ rows
    means = drawn[:, :-1] / drawn[:, -1:]
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    return [(float(low), float(high)) for low, high in np.quantile(means, tails, axis=0).T]
