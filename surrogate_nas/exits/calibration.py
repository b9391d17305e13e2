"""Temperatures of exits, and how far confidences are from accuracies."""

import math

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from surrogate_nas.foundation.arrays import Array

LEAST_TEMPERATURE, GREATEST_TEMPERATURE = 0.05, 20.0
BINS = 15


def fit_temperature(logits: Array, labels: npt.NDArray[np.int64]) -> float:
    """The T that minimises the mean cross entropy of logits / T (Guo et al., arXiv 1706.04599, sec. 4.2).

    The loss has a single minimum in T; it is sought between 1/20 and 20.

    Args:
        logits: (N, C).
        labels: (N,).
    """
    z = logits.astype(np.float64)
    z = z - z.max(axis=1, keepdims=True)
    right = z[np.arange(len(labels)), labels]

    def loss(log_temperature: float) -> float:
        T = math.exp(log_temperature)
        return float((np.log(np.exp(z / T).sum(axis=1)) - right / T).mean())

    bounds = (math.log(LEAST_TEMPERATURE), math.log(GREATEST_TEMPERATURE))
    return math.exp(float(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4}).x))


def calibration_error(confidence: Array, correct: npt.NDArray[np.bool_], bins: int = BINS) -> float:
    """Expected calibration error: Σ_b n_b/N |accuracy_b − confidence_b| over bins of equal width (arXiv 1706.04599,
    eq. 3).

    >>> calibration_error(np.array([0.9, 0.9, 0.1, 0.1]), np.array([True, True, False, False])).__round__(6)
    0.1
    """
    bin_of = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    sums = [np.bincount(bin_of, weights=w, minlength=bins) for w in (confidence, correct)]
    return float(np.abs(sums[0] - sums[1]).sum() / len(correct))
