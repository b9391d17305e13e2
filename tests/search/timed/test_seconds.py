"""Predicted seconds of trainings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrogate_nas.archive.record import Failure, Record
from surrogate_nas.search.proposals import initial_proposals, promotions
from surrogate_nas.search.timed.clock import Clock
from surrogate_nas.search.timed.seconds import LATEST, Timing, TrainingSeconds, timings_of
from tests.helpers.outputs import problem, verify

HELD_OUT = 300


@given(begin=st.floats(0, 10), each=st.floats(1e-6, 1e-3), of_macs=st.floats(1e-12, 1e-8), seed=st.integers(0, 1000))
def test_seconds_that_follow_the_formula_are_found_again(begin: float, each: float, of_macs: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    macs, passes = rng.uniform(1e5, 5e6, 20), rng.uniform(1e3, 1e6, 20)
    seconds = begin + passes * (each + of_macs * macs)
    timings = [Timing(*row) for row in zip(macs, passes, seconds, strict=True)]
    fitted = TrainingSeconds.of(timings, HELD_OUT)
    np.testing.assert_allclose(fitted(macs, passes - HELD_OUT / 3), seconds, rtol=1e-4)
    assert fitted.passes_in(float(fitted(macs, passes)[0]), macs[0]) == pytest.approx(passes[0], rel=1e-6)


@given(seconds=st.lists(st.floats(0.01, 1e4), min_size=1, max_size=8), seed=st.integers(0, 100))
def test_no_part_of_the_seconds_is_negative(seconds: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    timings = [Timing(rng.uniform(1e5, 5e6), rng.uniform(1e3, 1e6), s) for s in seconds]
    fitted = TrainingSeconds.of(timings, HELD_OUT)
    assert min(fitted.begin, fitted.each, fitted.of_macs) >= 0
    assert fitted.begin + fitted.each + fitted.of_macs > 0


def test_the_latest_timings_count() -> None:
    slow = [Timing(1e6, 1e4, 100.0)] * 10
    fast = [Timing(1e6, 1e4, 1.0)] * LATEST
    predicted = TrainingSeconds.of([*slow, *fast], 0)(np.array([1e6]), np.array([1e4]))
    np.testing.assert_allclose(predicted, 1.0)


def test_timings_are_of_the_passes_that_were_computed() -> None:
    of = problem()
    first = initial_proposals(of, 3, [], 0)
    records = verify(promotions(first, 9_000, 1))
    timed = [Record(r.proposal, r.outputs, None, 5.0, {"image_passes": 6_000}) for r in records[:2]]
    failed = Record(records[2].proposal, None, Failure("error", "?"), 1.0, {})
    timings = timings_of([*timed, failed, *verify(first)], of.costing, HELD_OUT)  # the last are of no ladder
    assert [(t.passes, t.seconds) for t in timings] == [(6_000 + HELD_OUT / 3, 5.0)] * 2
    assert [t.macs for t in timings] == [of.costing.of(r.architecture).macs()[0, -1] for r in timed]


def test_a_network_that_was_slow_is_expected_to_be_half_as_slow_again() -> None:
    seconds = TrainingSeconds(0.0, 1e-3, 0.0, HELD_OUT)
    as_predicted = float(seconds(np.array(1e6), np.array(1e3)))
    timings = [Timing(1e6, 1e3 + HELD_OUT / 3, factor * as_predicted) for factor in (1, 4, 0.25)]
    np.testing.assert_allclose(seconds.paces(timings), [1, 2, 0.5])
    assert seconds.paces([]).shape == (0,)


def test_steps_are_of_the_passes_between_rungs() -> None:
    seconds = TrainingSeconds(0.0, 1e-3, 0.0, 0)
    steps = Clock(1, 1, 1, seconds, 2).steps(np.array([1e6, 2e6]), (1_000, 3_000, 9_000))
    np.testing.assert_allclose(steps, [[1, 2], [1, 2]])
