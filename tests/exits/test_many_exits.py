"""Exits in any number: none, and more than a grid of all their settings has room for."""

import itertools
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from surrogate_nas.exits import choosing
from surrogate_nas.exits import exits as exits_module
from surrogate_nas.exits.choosing import AEBNAS_GRID, METHODS, by_aebnas
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.grid import LEVELS, MAX_SETTINGS, levels_for
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.measurements import Measurements
from surrogate_nas.exits.operating_point import OFF, OperatingPoint
from surrogate_nas.exits.policies import PolicyName
from surrogate_nas.exits.tiers import tiers_of
from tests.exits.test_exits import gap, sensible
from tests.helpers.exits import cost

POLICIES: tuple[PolicyName, ...] = ("max_softmax", "cumulative_gate")
MOST_BYTES = 64 * 2**20


def hypervolume(curve: Measurements, reference: float) -> float:
    """Under the staircase of the curve, up to a cost."""
    return float((curve.accuracy * np.diff(np.append(curve.expected_macs, reference))).sum())


# ---------------------------------------------------------------------- none


@pytest.mark.parametrize("policy", POLICIES)
def test_a_network_of_one_stage_is_a_single_point_under_every_method(policy: PolicyName) -> None:
    right = np.array([[True, False, True, True]])
    exits = Exits(policy, np.ones(1, bool), np.zeros((1, 4), np.float32), right, cost([100], [0]))
    point = OperatingPoint.parse("", positions=1, policy=policy)
    assert exits.route(point).tolist() == [0] * 4
    assert str(point) == ""
    limits = Limits(max_macs=100, max_worst_macs=100)
    tiers = tiers_of(exits, limits)[1]
    for point in (exits.curve, exits.within(limits), tiers, *(method(exits, limits) for method in METHODS.values())):
        assert (point.accuracy.tolist(), point.expected_macs.tolist()) == ([0.75], [100])
        assert point.thresholds.shape == (1, 0)
    assert not len(exits.within(Limits(max_worst_macs=99)))


# ---------------------------------------------------------------------- many


def test_a_grid_is_used_for_up_to_eight_exits_and_is_never_larger_than_allowed() -> None:
    levels = [levels_for(early) for early in range(40)]
    assert [x is not None for x in levels] == [early <= 8 for early in range(40)]
    assert all((x + 1) ** early <= MAX_SETTINGS for early, x in enumerate(levels) if x is not None)
    assert set(levels) <= {*LEVELS, None}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("seed", range(3))
def test_the_search_by_coordinates_is_near_the_grid_of_all_settings(
    policy: PolicyName, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four to six exits, anywhere among 15 positions; with the limits that a grid keeps too."""
    rng, few = np.random.default_rng(seed), 4 + seed
    many = sensible(15, 500, seed)
    present = np.zeros(16, dtype=bool)
    present[[*rng.choice(15, few, replace=False), 15]] = True
    branch = np.where(present, many.cost.branch, 0)
    one = Exits(policy, present, many.scores, many.correct, replace(many.cost, branch=branch, branch_memory=branch))
    worst = float(one.cost.macs()[0, -1])
    limits = Limits(max_worst_macs=0.995 * worst, max_p95_macs=0.9 * worst)
    by_grid, within_by_grid = one.curve, one.within(limits)
    monkeypatch.setattr(exits_module, "levels_for", lambda early: None)
    other = replace(one)  # which has no curve yet
    assert hypervolume(other.curve, worst) >= 0.995 * hypervolume(by_grid, worst)
    assert gap(other, by_grid) <= 0.02
    within = other.within(limits)
    assert within.feasible(limits).all()
    assert hypervolume(within, worst) >= 0.99 * hypervolume(within_by_grid, worst)


def test_sixteen_exits_have_a_curve_in_little_memory() -> None:
    exits = sensible(15, 150, 0)
    tracemalloc.start()
    curve, peak = exits.curve, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= MOST_BYTES
    assert (np.diff(curve.expected_macs) > 0).all()
    assert (np.diff(curve.accuracy) > 0).all()
    assert curve.expected_macs[0] == exits.cost.macs(np.eye(15, dtype=bool)[:1])[0, 0]
    rng = np.random.default_rng(0)
    drawn = exits.measure(np.where(rng.random((5000, 15)) < 0.5, np.inf, rng.random((5000, 15))))
    assert gap(exits, drawn) <= 3 / 150


def test_many_cumulative_gates_have_a_curve() -> None:
    exits = replace(sensible(10, 60, 0), policy="cumulative_gate")
    again = exits.measure(exits.curve.thresholds)
    np.testing.assert_array_equal(again.leaving, exits.curve.leaving)
    assert (np.diff(exits.curve.accuracy) > 0).all()
    assert hypervolume(exits.curve, 1e3) > hypervolume(exits.measure(np.full((1, 10), OFF)), 1e3)


def test_limits_that_no_start_keeps_are_reached_by_coordinates() -> None:
    """Only the first, the eighth and the last early exit, all on, are both cheap and right often enough."""
    E, N = 13, 90
    scores, right = np.zeros((E, N), np.float32), np.zeros((E, N), bool)
    for i, e in enumerate((0, 7, 11)):
        scores[e, 30 * i : 30 * i + 30], right[e, 30 * i : 30 * i + 30] = 1.0, True
    exits = Exits(
        "max_softmax", np.ones(E, bool), scores, right, cost([*range(10, 10 * E, 10), 10 * E], [1] * 12 + [0])
    )
    limits = Limits(min_accuracy=0.99, max_worst_macs=10 * E + 3)
    point = exits.best(limits)
    assert point.accuracy[0] == 1
    assert np.flatnonzero(np.isfinite(point.thresholds[0])).tolist() == [0, 7, 11]


def test_aebnas_climbs_where_its_grid_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    def value(exits: Exits, point: Measurements, target: float) -> float:
        return float((100 * point.accuracy - 10 * np.abs(point.expected_macs / target - 1))[0])

    exits = sensible(15, 300, 0)
    target = 0.4 * float(exits.cost.macs()[0, -1])
    point = by_aebnas(exits, Limits(max_macs=target))
    assert set(point.thresholds.ravel()) <= set(AEBNAS_GRID)
    draws = exits.measure(np.random.default_rng(0).choice(AEBNAS_GRID, (5000, 15)))
    assert value(exits, point, target) >= max(value(exits, draws[np.array([i])], target) for i in range(5000))
    for seed, early in itertools.product(range(3), (3, 6)):
        few = sensible(early, 300, seed)
        whole = by_aebnas(few, Limits(max_macs=target))
        with monkeypatch.context() as patched:
            patched.setattr(choosing, "MOST_IN_AEBNAS_GRID", 0)
            climbed = by_aebnas(few, Limits(max_macs=target))
        assert value(few, climbed, target) >= value(few, whole, target) - 0.5
