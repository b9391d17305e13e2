"""Each rung of a ladder has its own network variance, which borrows from its neighbours."""

import numpy as np
import pytest

from surrogate_nas.foundation.arrays import Floats, Ints
from surrogate_nas.surrogates.calibration import SMALLEST_OF_A_RUNG, Calibration

AXES = np.array([0, 0, 1])
TRUE = np.array([0.02, 0.1, 0.5])
"""Network variance of each rung."""


def calibration(rung: Ints, seed: int = 0) -> Calibration:
    """From residuals with the variance of their rung, beside known ones."""
    rng = np.random.default_rng(seed)
    variance, sampling = (np.full((len(rung), 3), v) for v in (0.01, 0.02))
    residual = rng.standard_normal((len(rung), 3)) * np.sqrt(0.03 + TRUE[rung, None])
    return Calibration.of(residual, variance, sampling, AXES, rung, len(TRUE))


def variances(rung: Ints) -> Floats:
    return np.mean([calibration(rung, seed).network_variance for seed in range(8)], axis=0)


@pytest.mark.parametrize("counts", [(400, 400, 400), (800, 400, 40), (400, 400, 0)])
def test_the_variance_of_a_rung_is_a_mean_over_rows_by_how_near_their_rungs_are(counts: tuple[int, int, int]) -> None:
    measured = variances(np.repeat(np.arange(3), counts))
    weight = 0.25 ** np.abs(np.arange(3)[:, None] - np.arange(3)) * counts  # what is known is the same for all rows
    expected = (weight @ TRUE) / weight.sum(axis=1)
    np.testing.assert_allclose(measured, np.repeat(expected[:, None], 3, axis=1), rtol=0.15)
    np.testing.assert_array_equal(measured[:, 0], measured[:, 1])  # one axis


@pytest.mark.parametrize("at", [0, 2])
def test_draws_have_the_variance_of_the_rung_that_they_are_for(at: int) -> None:
    of = calibration(np.repeat(np.arange(3), 400))
    draws = of.fresh(np.zeros((2, 3)), np.full((2, 3), 0.01), 4000, 0, at)
    np.testing.assert_allclose(draws.var(axis=0), np.tile(0.01 + of.network_variance[at], (2, 1)), rtol=0.15)
    by_rows = of.fresh(np.zeros((2, 3)), np.full((2, 3), 0.01), 4000, 0, np.array([at, at]))
    np.testing.assert_array_equal(draws, by_rows)


def test_residuals_that_are_smaller_than_what_is_known_leave_the_least_variance() -> None:
    rung = np.repeat(np.arange(3), 50)
    known = np.ones((150, 3))
    of = Calibration.of(np.full((150, 3), 0.1), known, known, AXES, rung, 3)
    np.testing.assert_array_equal(of.network_variance, SMALLEST_OF_A_RUNG)
