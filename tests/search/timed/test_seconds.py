"""Predicted seconds of trainings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrogate_nas.archive.record import Failure, Record
from surrogate_nas.search.proposals import initial_proposals, promotions
from surrogate_nas.search.timed.clock import Clock
from surrogate_nas.search.timed.seconds import LATEST, Timing, TrainingSeconds, Work, timings_of, work_of
from tests.helpers.outputs import problem, verify

HELD_OUT = 300
WORK = Work(1e6, 1e5)


@given(
    begin=st.floats(0, 10),
    each=st.floats(1e-6, 1e-3),
    of_macs=st.floats(1e-12, 1e-8),
    of_activations=st.floats(1e-11, 1e-7),
    seed=st.integers(0, 1000),
)
def test_seconds_that_follow_the_formula_are_found_again(
    begin: float, each: float, of_macs: float, of_activations: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    macs, activations, passes = rng.uniform(1e5, 5e6, 20), rng.uniform(1e4, 5e5, 20), rng.uniform(1e3, 1e6, 20)
    work = np.stack([macs, activations], axis=1)
    seconds = begin + passes * (each + of_macs * macs + of_activations * activations)
    timings = [Timing(Work(*w), p, s) for w, p, s in zip(work, passes, seconds, strict=True)]
    fitted = TrainingSeconds.of(timings, HELD_OUT)
    np.testing.assert_allclose(fitted(work, passes - HELD_OUT / 3), seconds, rtol=1e-4)
    assert fitted.passes_in(float(fitted(work, passes)[0]), work[:1]) == pytest.approx(passes[0], rel=1e-6)


@given(seconds=st.lists(st.floats(0.01, 1e4), min_size=1, max_size=8), seed=st.integers(0, 100))
def test_no_part_of_the_seconds_is_negative(seconds: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    timings = [Timing(Work(rng.uniform(1e5, 5e6), rng.uniform(1e4, 5e5)), rng.uniform(1e3, 1e6), s) for s in seconds]
    fitted = TrainingSeconds.of(timings, HELD_OUT)
    parts = fitted.begin, fitted.each, fitted.of_macs, fitted.of_activations
    assert min(parts) >= 0
    assert sum(parts) > 0


@given(seed=st.integers(0, 1000))
def test_seconds_that_scatter_are_not_predicted_too_short(seed: int) -> None:
    seconds = np.random.default_rng(seed).lognormal(0, 0.4, LATEST)
    fitted = TrainingSeconds.of([Timing(WORK, 1e4, s) for s in seconds], 0)
    np.testing.assert_allclose(fitted(np.array(WORK), np.array(1e4)), seconds.mean(), rtol=0.01)


def test_the_latest_timings_count() -> None:
    slow = [Timing(WORK, 1e4, 100.0)] * 10
    fast = [Timing(WORK, 1e4, 1.0)] * LATEST
    predicted = TrainingSeconds.of([*slow, *fast], 0)(np.array([WORK]), np.array([1e4]))
    np.testing.assert_allclose(predicted, 1.0)


def test_timings_are_of_the_passes_that_were_computed() -> None:
    of = problem()
    first = initial_proposals(of, 3, [], 0)
    records = verify(promotions(first, 9_000, 1))
    timed = [Record(r.proposal, r.outputs, None, 5.0, {"image_passes": 6_000}) for r in records[:2]]
    failed = Record(records[2].proposal, None, Failure("error", "?"), 1.0, {})
    timings = timings_of([*timed, failed, *verify(first)], of.costing, HELD_OUT)  # the last are of no ladder
    assert [(t.passes, t.seconds) for t in timings] == [(6_000 + HELD_OUT / 3, 5.0)] * 2
    assert [t.work.macs for t in timings] == [of.costing.of(r.architecture).macs()[0, -1] for r in timed]


def test_activations_are_the_outputs_of_all_layers() -> None:
    of = problem()
    architecture = initial_proposals(of, 1, [], 0)[0].architecture
    [(_, activations)] = work_of([architecture], of.costing)
    units, heads = of.costing.units(architecture), of.costing.heads(architecture)
    blocks = [unit for segment in units.segments for unit in segment]
    assert activations == sum(unit.activations for unit in [*blocks, *heads.values()])
    assert all(unit.activations >= unit.output.elements for unit in blocks)
    assert work_of([], of.costing).shape == (0, 2)


def test_a_network_that_was_slow_is_expected_to_be_half_as_slow_again() -> None:
    seconds = TrainingSeconds(0.0, 1e-3, 0.0, 0.0, HELD_OUT)
    as_predicted = float(seconds(np.array(WORK), np.array(1e3)))
    timings = [Timing(WORK, 1e3 + HELD_OUT / 3, factor * as_predicted) for factor in (1, 4, 0.25)]
    np.testing.assert_allclose(seconds.paces(timings), [1, 2, 0.5])
    assert seconds.paces([]).shape == (0,)


def test_steps_are_of_the_passes_between_rungs() -> None:
    seconds = TrainingSeconds(0.0, 1e-3, 0.0, 0.0, 0)
    steps = Clock(1, 1, 1, seconds, 2).steps(np.array([WORK, WORK]), (1_000, 3_000, 9_000))
    np.testing.assert_allclose(steps, [[1, 2], [1, 2]])
