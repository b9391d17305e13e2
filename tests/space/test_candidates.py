"""Candidates: which of them exact limits reject."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from surrogate_nas.architecture.costing import Costing
from surrogate_nas.exits.limits import Limits
from surrogate_nas.space import moves
from surrogate_nas.space.candidates import Candidates, keeps_exact_limits
from tests.helpers.outputs import SHAPE, problem


@given(st.integers(0, 2**32 - 1), st.floats(3.5, 5.5))
def test_exact_limits_reject_only_what_no_thresholds_could_save(seed: int, log_macs: float) -> None:
    space, cap = problem().space, 10**log_macs
    candidates = Candidates.of_indices(space, moves.sample(space.genes, 3, np.random.default_rng(seed)), Costing(SHAPE))
    possible = []
    for i in range(3):
        settings = [np.array([a, b]) & candidates.present[i, :-1] for a in (False, True) for b in (False, True)]
        reachable = [candidates.cost.macs(on)[i][np.append(on, True)].min() for on in settings]
        possible.append(min(reachable) <= cap)
    assert keeps_exact_limits(candidates.cost, candidates.present, Limits(max_macs=cap)).tolist() == possible
