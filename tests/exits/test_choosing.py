"""Thresholds by the papers' methods, tiers, and bootstrap intervals."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from surrogate_nas.exits.choosing import AEBNAS_GRID, METHODS, NACHOS_SWEEP, by_aebnas, by_nachos
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.intervals import bootstrap
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.operating_point import OFF
from surrogate_nas.exits.tiers import tiers_of
from surrogate_nas.foundation.errors import InputError, JobError
from tests.exits.test_exits import sensible, some_exits
from tests.helpers.exits import cost


def gradual() -> Exits:
    """Ten samples; a later exit is right more often, and each sweep value parts them at both early exits."""
    score = np.tile(np.linspace(0.05, 0.95, 10, dtype=np.float32), (3, 1))
    right = np.array([[False] * 10, [True] * 5 + [False] * 5, [True] * 9 + [False]])
    return Exits("gate", np.ones(3, bool), score, right, cost([100, 200, 400], [0, 0, 0]))


def test_nachos_takes_the_most_accurate_of_its_sweep_where_that_keeps_the_limits() -> None:
    exits = gradual()
    swept = exits.measure(np.array([[t, t] for t in NACHOS_SWEEP]))
    point = by_nachos(exits, Limits())
    assert point.accuracy[0] == swept.accuracy.max()
    assert point.thresholds.tolist() == [[0.8, 0.8]]


def test_nachos_repairs_from_the_last_early_exit_backwards() -> None:
    """Two leave at the first exit while its threshold is 0.8; how many of the others leave at the second is up to the
    second's, which is lowered to its end before the first is touched."""
    exits = gradual()
    assert by_nachos(exits, Limits(max_macs=340)).expected_macs[0] == 340  # as swept: 2 at 100, none at 200, 8 at 400
    assert by_nachos(exits, Limits(max_macs=339)).thresholds.tolist() == [[0.8, 0.7]]
    assert by_nachos(exits, Limits(max_macs=250)).thresholds.tolist() == [[0.8, 0.3]]
    assert by_nachos(exits, Limits(max_macs=200)).thresholds.tolist() == [[0.8, 0.1]]
    assert by_nachos(exits, Limits(max_macs=185)).thresholds.tolist() == [[0.6, 0.1]]


def test_nachos_says_how_near_it_came() -> None:
    with pytest.raises(JobError, match="no thresholds keep expected MACs ≤ 100; the closest setting has accuracy"):
        by_nachos(gradual(), Limits(max_macs=100))
    with pytest.raises(
        JobError, match=r"no thresholds keep expected MACs ≤ 200, accuracy ≥ 0\.9; the closest setting has accuracy"
    ):
        by_nachos(gradual(), Limits(max_macs=200, min_accuracy=0.9))


def test_aebnas_maximises_accuracy_minus_a_tenth_of_the_deviation() -> None:
    exits = sensible(3, 400, 0)
    for target in (60.0, 120.0, 200.0):
        point = by_aebnas(exits, Limits(max_macs=target))
        every = exits.measure(np.array(list(itertools.product(AEBNAS_GRID, repeat=3))))
        value = 100 * every.accuracy - 0.1 * 100 * np.abs(every.expected_macs - target) / target
        got = 100 * point.accuracy[0] - 0.1 * 100 * abs(point.expected_macs[0] - target) / target
        assert got == pytest.approx(value.max())


def test_aebnas_needs_a_target() -> None:
    with pytest.raises(InputError, match="method aebnas needs a target of expected MACs, got no max_macs"):
        by_aebnas(gradual(), Limits(min_accuracy=0.5))


@given(exits=some_exits(most_positions=3), share=st.floats(0.05, 1))
def test_no_method_beats_the_curve(exits: Exits, share: float) -> None:
    budget = exits.curve.expected_macs[0] + share * (exits.curve.expected_macs[-1] - exits.curve.expected_macs[0])
    limits = Limits(max_macs=float(budget) + 1e-6)
    best = METHODS["curve"](exits, limits)
    for name in ("nachos", "aebnas"):
        try:
            point = METHODS[name](exits, limits)  # type: ignore[index]
        except JobError:
            continue
        if point.expected_macs[0] <= limits.max_macs:  # type: ignore[operator]
            assert point.accuracy[0] <= best.accuracy[0]


# ---------------------------------------------------------------------- tiers


@given(exits=some_exits(most_positions=4), tiers=st.integers(2, 12))
def test_tiers_rise_within_their_budgets_from_one_end_of_the_curve_to_the_other(exits: Exits, tiers: int) -> None:
    budgets, settings = tiers_of(exits, Limits(), tiers)
    assert 1 <= len(settings) <= tiers
    assert (settings.expected_macs <= budgets + 1e-6).all()
    assert (np.diff(settings.accuracy) > 0).all()
    assert settings.expected_macs[0] == exits.curve.expected_macs[0]
    assert settings.accuracy[-1] == exits.curve.accuracy[-1]
    for budget, accuracy in zip(budgets, settings.accuracy, strict=True):
        assert accuracy == exits.curve.accuracy[exits.curve.expected_macs <= budget + 1e-6].max()


def test_tiers_keep_limits_and_are_at_least_two() -> None:
    exits = sensible(3, 500, 1)
    _, settings = tiers_of(exits, Limits(max_worst_macs=float(exits.curve.worst_macs.min()), min_accuracy=0.3), 5)
    assert (settings.worst_macs <= exits.curve.worst_macs.min()).all()
    assert len(tiers_of(exits, Limits(min_accuracy=1.0))[1]) == 0
    with pytest.raises(InputError, match="tiers 1 is too few; allowed: at least 2"):
        tiers_of(exits, Limits(), 1)


# ---------------------------------------------------------------------- bootstrap


def test_the_bootstrap_is_near_wilson_for_accuracy_and_near_the_normal_interval_for_macs() -> None:
    leaving, correct, macs = np.array([600, 300, 100]), np.array([570, 240, 60]), np.array([100, 200, 900])
    accuracy, expected_macs = bootstrap(leaving, correct, macs, 0.95)
    wilson = binomtest(870, 1000).proportion_ci(0.95, method="wilson")
    assert accuracy == pytest.approx((wilson.low, wilson.high), abs=0.004)
    values = np.repeat(macs, leaving)
    reach = 1.96 * values.std() / np.sqrt(1000)
    assert expected_macs == pytest.approx((values.mean() - reach, values.mean() + reach), rel=0.02)


def test_the_bootstrap_is_narrower_for_more_samples_and_nothing_where_nothing_varies() -> None:
    leaving, correct, macs = np.array([60, 40]), np.array([50, 30]), np.array([100, 300])
    few, many = (bootstrap(k * leaving, k * correct, macs, 0.95)[1] for k in (1, 100))
    assert (few[1] - few[0]) / (many[1] - many[0]) == pytest.approx(10, rel=0.25)
    assert bootstrap(np.array([0, 50]), np.array([0, 50]), macs, 0.95) == ((1.0, 1.0), (300.0, 300.0))


def test_an_exit_that_is_off_is_in_no_tier_of_a_network_without_early_exits() -> None:
    exits = gradual()
    last_only = Exits("gate", np.array([False, False, True]), exits.scores, exits.correct, exits.cost)
    budgets, settings = tiers_of(last_only, Limits())
    assert budgets.tolist() == [400]
    assert (settings.thresholds == OFF).all()
