"""Wilson's interval of a share, and bootstrap intervals of paired differences."""

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrogate_nas.exits.intervals import CONFIDENCE, paired_bootstrap, wilson


@given(st.integers(1, 10_000), st.data())
def test_the_ends_of_wilsons_interval_solve_its_equation(n: int, data: st.DataObject) -> None:
    """Wilson (1927): (p̂ − p)² = z² p (1 − p) / n at both ends, which lie within 0 and 1 and around the share."""
    successes = data.draw(st.integers(0, n))
    low, high = wilson(successes, n)
    share, z = successes / n, NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    assert 0 <= low <= share <= high <= 1
    for p in (low, high):
        assert (share - p) ** 2 == pytest.approx(z**2 * p * (1 - p) / n, rel=1e-6, abs=1e-12)


def test_wilsons_interval_is_wider_for_more_confidence() -> None:
    assert wilson(5, 20, 0.99)[0] < wilson(5, 20)[0] < 0.25 < wilson(5, 20)[1] < wilson(5, 20, 0.99)[1]


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=60))
def test_paired_intervals_are_around_the_mean_and_within_the_values(values: list[float]) -> None:
    ((low, high),) = paired_bootstrap(np.array(values)[:, None])
    assert min(values) <= low <= np.mean(values) + 1e-12
    assert np.mean(values) - 1e-12 <= high <= max(values)


def test_a_paired_interval_is_of_the_difference_and_not_of_either_value() -> None:
    """Two networks that are right on the same images differ by nothing, however few images there are."""
    right = np.random.default_rng(0).random(50) < 0.8
    (single, difference) = paired_bootstrap(np.stack([right, right.astype(float) - right], axis=1))
    assert single[0] < single[1]
    assert difference == (0, 0)


def test_a_paired_interval_covers_as_often_as_it_says() -> None:
    rng, p, covered = np.random.default_rng(1), np.array([0.05, 0.85, 0.1]), 0
    for _ in range(300):
        ((low, high),) = paired_bootstrap(rng.choice([-1.0, 0.0, 1.0], size=(200, 1), p=p))
        covered += low <= p[2] - p[0] <= high
    assert 0.9 <= covered / 300 <= 0.99
