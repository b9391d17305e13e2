"""Indices that are spread evenly."""

import re
from pathlib import Path

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


def test_signatures_name_array_types_by_their_aliases() -> None:
    """But for what is copied into exports, which imports nothing of the package."""
    package = Path(__file__).parents[2] / "surrogate_nas"
    spelt = re.compile(r"NDArray\[(np\.(float64|float32|int64|bool_)|Any)\]")
    written_out = {
        p.relative_to(package).as_posix() for p in package.rglob("*.py") if spelt.search(p.read_text("utf-8"))
    }
    assert written_out == {"foundation/arrays.py", "export/runtime.py"}
