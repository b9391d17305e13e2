"""Temperature scaling of exits, and the expected calibration error."""

import math

import numpy as np

from surrogate_nas.foundation.arrays import Array, Bools, Ints

LEAST_TEMPERATURE, GREATEST_TEMPERATURE = 0.05, 20.0
HALVINGS = 24
"""Bisections of the range of log T, for a relative error of T below a millionth."""
BINS = 15


def fit_temperature(logits: Array, labels: Ints) -> float:
    """Temperature T that minimises the mean cross entropy of logits / T (Guo et al., arXiv 1706.04599, sec. 4.2).

    The loss is convex in 1/T, so bisection on the sign of its derivative, mean(E_p[z] − z_y) with p = softmax(z / T),
    gives the minimum between T = 1/20 and 20.

    Args:
        logits: (N, C).
        labels: (N,).
    """
    z = logits.astype(np.float64)
    z = z - z.max(axis=1, keepdims=True)
    right = z[np.arange(len(labels)), labels].mean()
    low, high = math.log(LEAST_TEMPERATURE), math.log(GREATEST_TEMPERATURE)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        p = np.exp(z / math.exp(middle))
        overconfident = ((p * z).sum(axis=1) / p.sum(axis=1)).mean() > right
        low, high = (middle, high) if overconfident else (low, middle)
    return math.exp((low + high) / 2)


def calibration_error(confidence: Array, correct: Bools, bins: int = BINS) -> float:
    """Expected calibration error: Σ_b n_b/N |accuracy_b − confidence_b| over bins of equal width (arXiv 1706.04599,
    eq. 3).

    >>> calibration_error(np.array([0.9, 0.9, 0.1, 0.1]), np.array([True, True, False, False])).__round__(6)
    0.1
    """
    bin_of = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    sums = [np.bincount(bin_of, weights=w, minlength=bins) for w in (confidence, correct)]
    return float(np.abs(sums[0] - sums[1]).sum() / len(correct))
