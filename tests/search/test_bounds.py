"""Bounds of the networks that are sampled and proposed."""

from typing import Any

import numpy as np
import pytest

from surrogate_nas.archive.ladder import Ladder
from surrogate_nas.search.bounds import LEAST_WORST, MOST_WORST
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.proposals import initial_proposals
from surrogate_nas.settings import Settings
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.spec import preset
from tests.helpers.outputs import SHAPE

LADDER = Ladder((1000, 3000, 9000))


def problem(ladder: Ladder | None = LADDER, goal: str = "accuracy", **limits: Any) -> Problem:
    return Problem(
        SearchSpace(preset("tiny")), SHAPE, Settings().updated({"limits": limits, "goal": goal}), 0, ladder=ladder
    )


def worst(of: Problem, n: int = 60) -> list[int]:
    return [int(of.costing.of(p.architecture).backbone[0, -1]) for p in initial_proposals(of, n, [], 0)]


@pytest.mark.parametrize("limit", [4e4, 1e5, 1e9])
def test_the_most_accurate_network_is_looked_for_near_the_limit_but_not_among_giants(limit: float) -> None:
    of = problem(max_macs=limit)
    everything = worst(problem(goal="front", max_macs=limit), 400)
    sampled = worst(of)
    least = of.bounds.model_dump()["min_worst_macs"]
    assert least == pytest.approx(min(LEAST_WORST * limit, float(np.median(everything))), rel=0.2)
    assert least <= min(sampled)
    assert max(sampled) <= MOST_WORST * limit
    assert np.mean(np.array(everything) >= min(sampled)) > 0.4  # at most about half are left out


def test_a_limit_on_the_worst_case_bounds_it_too() -> None:
    of = problem(max_worst_macs=1e5)
    assert 4e4 <= min(worst(of)) <= max(worst(of)) <= 1e5  # at least the median of all
    assert "worst-case MACs ≤ 100,000" in str(of.bounds)
    assert "worst-case MACs ≥ " in str(of.bounds)


@pytest.mark.parametrize("goal", ["front", "cost"])
def test_other_goals_may_end_with_a_small_network(goal: str) -> None:
    of = problem(goal=goal, max_macs=1e5, min_accuracy=0.5)
    assert of.bounds.max_worst_macs == 2e5
    assert min(worst(of)) < 5e4


@pytest.mark.parametrize("limits", [{}, {"min_accuracy": 0.5}, {"max_params": 5000}, {"max_macs": 2.0}])
def test_without_a_limit_on_macs_or_a_network_within_it_the_limits_are_the_bounds(limits: dict[str, Any]) -> None:
    of = problem(**limits)
    assert of.bounds == of.settings.limits


def test_trainings_of_whole_epochs_have_the_limits_alone() -> None:
    of = problem(ladder=None, max_macs=1e5)
    assert of.bounds == of.settings.limits
