"""Grid of the thresholds of a curve, and joint histograms over it."""

import math

import numpy as np

from surrogate_nas.foundation.arrays import Array, Floats

DECIMALS = (3, 4, 6, 9, 12)
"""Numbers of decimals of thresholds, tried in turn."""
MAX_SETTINGS = 110_000
LEVELS = (257, 129, 65, 33, 17, 9, 5, 3)
"""Numbers of quantiles of each early exit; the largest with at most `MAX_SETTINGS` settings is used."""


def levels_for(early: int) -> int | None:
    """Number of quantiles in the grid of each early exit: 2ʲ + 1, so that finer grids contain coarser ones; `None` for
    more than eight early exits, for which even the coarsest grid is too large."""
    return next((L for L in LEVELS if (L + 1) ** early <= MAX_SETTINGS), None)


def quantiles(values: Array, shares: Floats) -> Floats:
    """Quantiles of scores as thresholds, rounded to the fewest decimals that leave the same samples on either side."""
    exact = np.clip(np.quantile(values.astype(np.float64), shares), 0, 1)
    sorted_values = np.sort(values.astype(np.float64))
    smaller, result, final = np.searchsorted(sorted_values, exact), exact.copy(), np.zeros(exact.shape, dtype=bool)
    for decimals in DECIMALS:
        for candidate in (exact.round(decimals), np.floor(exact * 10**decimals) / 10**decimals):
            same = ~final & (np.searchsorted(sorted_values, candidate) == smaller)
            result[same], final = candidate[same], final | same
    return result


def cumulative_histogram(level: list[Array], shape: tuple[int, ...], weights: Array | None) -> Floats:
    """Joint cumulative histogram: entry (k₁, …) is the weighted number of samples with level_j ≤ k_j for every j."""
    flat = np.ravel_multi_index(tuple(level), shape)
    histogram: Floats = np.bincount(flat, weights=weights, minlength=math.prod(shape)).reshape(shape).astype(np.float64)
    for axis in range(len(shape)):
        histogram = histogram.cumsum(axis=axis)
    return histogram


def with_axes(array: Array, ndim: int) -> Array:
    """The array with trailing axes of length 1, `ndim` axes in all."""
    return array.reshape(array.shape + (1,) * (ndim - array.ndim))
