"""Wilson's interval of a share."""

from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrogate_nas.exits.intervals import CONFIDENCE, wilson


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
