"""Limits: what they are called, and the best operating point within them."""

import numpy as np
import pytest

from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.measurements import Measurements
from surrogate_nas.exits.operating_point import OFF
from surrogate_nas.foundation.errors import InputError, JobError
from surrogate_nas.foundation.fields import parse
from surrogate_nas.space.costs import costing_for
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.spec import preset
from tests.helpers.spaces import table_of


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0])
@pytest.mark.parametrize("name", list(Limits.model_fields))
def test_a_limit_is_a_positive_finite_number(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"limits: {name}: .*, got {value}"):
        parse(Limits, {name: value}, "limits")


def test_limits_say_what_they_are() -> None:
    assert str(Limits(max_macs=2e5, min_accuracy=0.9)) == "expected MACs ≤ 200,000, accuracy ≥ 0.9"
    assert str(Limits()) == "no limits"


def curve_of_three() -> Measurements:
    """Accuracy 0.5, 0.8 and 0.9 at 100, 200 and 400 expected MACs; worst cases 450, 440 and 400."""
    thresholds = np.array([[0.1], [0.5], [OFF]])
    leaving, correct = np.array([[10, 0], [8, 2], [0, 10]]), np.array([[5, 0], [6, 2], [0, 9]])
    macs, size = np.array([[100, 450], [140, 440], [100, 400]]), np.full(3, 1000)
    costs, objective = np.full((3, 2), np.nan), np.array([100.0, 200.0, 400.0])
    return Measurements(
        thresholds=thresholds,
        leaving=leaving,
        correct=correct,
        macs=macs,
        costs=costs,
        objective=objective,
        parameters=size,
        weight_bytes=4 * size,
        activation_bytes=size,
    )


@pytest.mark.parametrize(
    ("limits", "best"),
    [
        (Limits(), 2),
        (Limits(max_macs=400), 2),
        (Limits(max_macs=399), 1),
        (Limits(max_worst_macs=445), 2),
        (Limits(max_macs=399, max_worst_macs=445), 1),
        (Limits(max_macs=300, min_accuracy=0.5), 1),
        (Limits(max_worst_macs=445, min_accuracy=0.5), 2),
        (Limits(min_accuracy=0.5), 0),
        (Limits(min_accuracy=0.51), 1),
        (Limits(min_accuracy=0.9), 2),
        (Limits(min_accuracy=0.5, max_params=1000), 0),
    ],
)
def test_best_is_the_most_accurate_within_a_cap_or_the_cheapest_above_a_floor(limits: Limits, best: int) -> None:
    curve = curve_of_three()
    assert curve.best(limits) == best
    assert curve.feasible(limits)[best]


@pytest.mark.parametrize(
    ("limits", "nearest"),
    [
        (Limits(max_macs=50), "no thresholds keep expected MACs ≤ 50; nearest: accuracy 0.5, expected MACs 100 > 50"),
        (Limits(min_accuracy=0.95), "keep accuracy ≥ 0.95; nearest: accuracy 0.9 < 0.95, expected MACs 400"),
        (Limits(max_worst_macs=390), "worst-case MACs 400 > 390"),
        (Limits(max_params=999), "parameters 1,000 > 999"),
    ],
)
def test_limits_that_nothing_keeps_are_an_error_that_shows_the_nearest(limits: Limits, nearest: str) -> None:
    with pytest.raises(JobError) as caught:
        curve_of_three().best(limits)
    assert nearest in str(caught.value)


@pytest.mark.parametrize("charge", ["all", "own"])
@pytest.mark.parametrize(
    "limits",
    [
        {"max_worst_macs": 9e4},
        {"max_p95_macs": 7e4},
        {"max_activation_bytes": 6000},
        {"max_p95_cost": 30.0},
        {"max_cost": 20.0, "min_accuracy": 0.2},
        {"max_worst_cost": 35.0},
    ],
)
def test_the_best_points_within_limits_are_those_of_brute_force(limits: dict[str, float], charge: str) -> None:
    """Limits that do not just cut the unlimited curve, on random exits of real costs."""
    space, shape, rng = SearchSpace(preset("tiny")), ImageShape(1, 8, 10), np.random.default_rng(0)
    architecture = space.decode(np.ones((1, space.dimension)))[0]
    cost = costing_for(space, shape, charge, table_of(space, shape)).of(architecture)  # type: ignore[arg-type]
    scores = rng.uniform(size=(3, 60)).astype(np.float32)
    correct = rng.uniform(size=(3, 60)) < np.array([[0.4], [0.6], [0.8]])
    exits, caps = Exits("max_softmax", np.ones(3, dtype=bool), scores, correct, cost), Limits(**limits)
    points = exits.within(caps)
    levels = [[*np.unique(scores[e]).astype(float), np.inf] for e in (0, 1)]
    every = exits.measure(np.array([[a, b] for a in levels[0] for b in levels[1]]))
    feasible = every[every.feasible(caps)]
    assert (points.feasible(caps)).all()
    best = {
        (round(a, 9), round(c, 6))
        for a, c in zip(feasible.accuracy, feasible.objective, strict=True)
        if not (
            (feasible.accuracy >= a) & (feasible.objective <= c) & ((feasible.accuracy > a) | (feasible.objective < c))
        ).any()
    }
    assert {(round(a, 9), round(c, 6)) for a, c in zip(points.accuracy, points.objective, strict=True)} == best
