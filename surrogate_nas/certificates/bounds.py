"""p-values and one-sided bounds that are valid at any number of images, for one network at one operating point.

A p-value here is of the hypothesis that a limit is broken: below δ with a probability of at most δ where it is.
"""

import numpy as np
from scipy.special import bdtrc, betaincinv

from surrogate_nas.foundation.arrays import Floats, Ints

NUISANCE = 0.005
"""Probability, part of every p-value of a drop, that more images are answered differently than is assumed."""
HALVINGS = 20
"""Steps by which a bound is searched for; each halves the interval."""
AIMED = 0.1
"""p-value that bets are made for."""
ANY_STAKES = np.geomspace(0.005, 0.95, 16)
"""Shares of the capital that the bettors of an e-value can lose at most by one value."""
LARGEST_BET = 0.75
"""Share of the capital that a bet can lose at most."""


def floor_p(right: int, n: int, floor: float) -> float:
    """p-value of "the accuracy is below the floor": P(Bin(n, floor) ≥ right).

    Exact for independent images. It holds also where the number of images of each class was fixed: of all sums of n
    independent trials with the same mean, the binomial has the largest tail beyond its mean (Hoeffding, "On the
    distribution of the number of successes in independent trials", Ann. Math. Statist. 27, 1956).

    Args:
        right: number of images that are classified correctly.
        n: number of images.
        floor: least accuracy, in (0, 1].

    >>> round(floor_p(95, 100, 0.9), 4)
    0.0576
    """
    return 1.0 if n == 0 else _at_least(right, n, floor)


def _at_least(count: int, n: int, p: float) -> float:
    """P(Bin(n, p) ≥ count)."""
    return 1.0 if count <= 0 else float(bdtrc(count - 1, n, p))


def enough(n: int, floor: float, delta: float) -> int:
    """The fewest right answers of n images that refute "the accuracy is below the floor" at δ; n + 1 if none do.

    >>> enough(100, 0.9, 0.1)
    95
    """
    low, high = 0, n + 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if floor_p(middle, n, floor) <= delta else (middle + 1, high)
    return low


def floor_bound(right: int, n: int, delta: float) -> float:
    """Lower bound of the accuracy that holds with probability 1 − δ: Clopper & Pearson, Biometrika 26 (1934).

    >>> round(floor_bound(95, 100, 0.1), 4)
    0.9092
    """
    return 0.0 if right == 0 else float(betaincinv(right, n - right + 1, delta))


def ceiling_bound(count: int, n: int, delta: float) -> float:
    """Upper bound of a share of which `count` of n images were counted, that holds with probability 1 − δ."""
    return 1.0 if count == n else float(betaincinv(count + 1, n - count, 1 - delta))


def drop_p(worse: int, better: int, n: int, drop: float) -> float:
    """p-value of "the accuracy is more than `drop` below that of the last exit", for independent images.

    With S = worse − better, and p₊ and p₋ the probabilities of a worse and a better answer, the null is
    p₊ − p₋ ≥ drop. Its largest P(S ≤ s) is at p₊ = p₋ + drop, and grows with p₋ as long as s lies below the mode of S:
    adding ε to both changes it by n ε [P(S' = s + 1) − P(S' = s)], where S' has one image fewer, and S' has one mode,
    less than 1 from its mean, where p₀² ≥ 4 p₊ p₋ (it is then a sum of 2 (n − 1) independent trials; Darroch, Ann.
    Math. Statist. 35, 1964). So P(S ≤ s) is taken at the largest p₋ that is plausible: p₊ + p₋ is at most the upper
    bound of the share of images that are answered differently, but for a probability γ, which is added (Berger & Boos,
    JASA 89, 1994):

        p = γ + P(S ≤ s | p₋ = (D_γ − drop) / 2, p₊ = p₋ + drop)

    Args:
        worse: number of images that the last exit classifies correctly and the operating point does not.
        better: number of images for which it is the other way round.
        n: number of images.
        drop: largest drop that keeps the limit, in [0, 1).

    Returns:
        the p-value; 1 where the conditions do not hold.
    """
    s = worse - better
    if n < 2 or s > (n - 1) * drop - 2:
        return 1.0
    p_better = max((ceiling_bound(worse + better, n, NUISANCE) - drop) / 2, 0.0)
    p_worse = p_better + drop
    same = 1 - p_better - p_worse
    if same <= 0 or same**2 < 4 * p_better * p_worse:
        return 1.0
    return min(NUISANCE + _at_most(s, n, p_better, p_worse), 1.0)


def _at_most(s: int, n: int, p_better: float, p_worse: float) -> float:
    """P(S ≤ s) of a sum of n independent steps of −1, 0 or 1: the coefficients of (p₋ + p₀ z + p₊ z²)ⁿ, by a discrete
    Fourier transform."""
    size = 2 * n + 1
    z = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    values = (p_better + (1 - p_better - p_worse) * z + p_worse * z**2) ** n
    return float(np.clip(np.fft.irfft(values, size)[: s + n + 1].sum(), 0, 1))


def drop_bound(worse: int, better: int, n: int, delta: float) -> float:
    """Upper bound of the drop below the last exit that holds with probability 1 − δ: the least drop that `drop_p`
    refutes at δ; 1 where none is."""
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if drop_p(worse, better, n, middle) <= delta else (middle, high)
    return high


def mean_p(values: Floats, mean: float) -> float:
    """p-value of "the mean of values in [0, 1] is at most `mean`", by betting on the values in their order: 1 / max K.

    K is a supermartingale under the null, so this holds at whatever number of values one stops (Ville).

    Args:
        values: (n,) independent values in [0, 1], in an order that does not depend on them.
        mean: mean under the null, in [0, 1).
    """
    return float(1 / max(capital(values, mean).max(initial=0.0), 1.0))


def capital(values: Floats, mean: float) -> Floats:
    """(n,) capital Kᵢ = Π (1 + λᵢ (xᵢ − mean)) of a bettor against "the mean is at most `mean`".

    A bet λᵢ depends on earlier values alone: those of Waudby-Smith & Ramdas, "Estimating means of bounded random
    variables by betting", J. Royal Statistical Society B 86 (2024), for n values:

        λᵢ = min(√(2 log(1 / α) / (n σ̂²)), c / mean)

    where σ̂² is the variance of the values before, with one of 1/4 before the first.
    """
    n = len(values)
    count = np.arange(1, n + 1)
    means = (0.5 + np.cumsum(values)) / (count + 1)
    variances = (0.25 + np.cumsum((values - means) ** 2)) / (count + 1)
    before = np.concatenate([[0.25], variances[:-1]])
    bets = np.sqrt(2 * np.log(1 / AIMED) / (max(n, 1) * before))
    most = LARGEST_BET / mean if mean > 0 else np.inf
    return np.asarray(np.exp(np.cumsum(np.log1p(np.minimum(bets, most) * (values - mean)))))


def e_value(values: Floats, counts: Ints, mean: float) -> float:
    """Evidence against "the mean of values in [0, 1] is at most `mean`", which may be looked at after every value.

    The mean over stakes c of the capital Π (1 + c (x / mean − 1)) of bettors: a supermartingale under the null, so that
    it ever reaches 1 / δ with a probability of at most δ (Ville). It is a confidence sequence as a test (Waudby-Smith &
    Ramdas, 2024), and the same for any order of the values.

    Args:
        values: (K,) distinct values.
        counts: (K,) how often each was seen.
        mean: mean under the null, in (0, 1).

    >>> round(e_value(np.array([0.0, 1.0]), np.array([5, 95]), 0.8), 1)
    735.7
    """
    logs = np.log1p(ANY_STAKES[:, None] * (values / mean - 1)) @ counts
    return float(np.exp(np.logaddexp.reduce(logs) - np.log(len(logs))))
