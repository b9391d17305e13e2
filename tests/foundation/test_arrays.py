"""Indices that are spread evenly."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from surrogate_nas.foundation.arrays import evenly


@given(st.integers(1, 500), st.integers(2, 80))
def test_evenly_takes_all_that_fit_or_as_many_as_asked_with_both_ends_and_like_steps(n: int, most: int) -> None:
    some = evenly(n, most)
    assert len(some) == min(n, most)
    assert (some[0], some[-1]) == (0, n - 1)
    steps = np.diff(some)
    assert n == 1 or (steps.min() >= 1 and np.ptp(steps) <= 1)


def test_of_nothing_evenly_takes_nothing_and_one_is_the_first() -> None:
    assert evenly(0, 5).tolist() == []
    assert evenly(7, 1).tolist() == [0]
