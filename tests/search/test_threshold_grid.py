"""The settings at which sampled curves are read."""

import itertools

import numpy as np
import pytest

from surrogate_nas.search.bayesian.curve_value import exit_subsets, threshold_grid
from surrogate_nas.surrogates.curves import CurveBasis


@pytest.mark.parametrize("early", range(1, 9))
def test_every_subset_of_up_to_eight_exits_is_read(early: int) -> None:
    subsets = {tuple(row) for row in exit_subsets(early).tolist()}
    assert subsets == set(itertools.product([True, False], repeat=early)) - {(False,) * early}


@pytest.mark.parametrize("early", [9, 15, 80])
def test_of_more_exits_all_each_alone_and_no_more_settings_than_eight_have_are_read(early: int) -> None:
    subsets = exit_subsets(early)
    assert len(np.unique(subsets, axis=0)) == len(subsets)
    for must in (np.ones(early, bool), *np.eye(early, dtype=bool)):
        assert (subsets == must).all(axis=1).any()
    assert subsets.any(axis=1).all()
    assert len(threshold_grid(CurveBasis(early + 1))) <= len(threshold_grid(CurveBasis(9)))


def test_a_static_network_has_no_threshold_to_read_at() -> None:
    grid = threshold_grid(CurveBasis(1))
    assert grid.shape[1] == 0
    assert len(grid) >= 1
