"""Limits: the table of them, values against them, and the best operating point within them."""

import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrogate_nas.architecture.cost import Objective
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.exits.best import best_first, wants_cheapest, wants_cheapest_network
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.limit_table import LIMITS, Limit, Quantity, exact_text, kept_text, on_expected
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.measurements import Measurements
from surrogate_nas.exits.operating_point import OFF
from surrogate_nas.foundation.errors import InputError, JobError
from surrogate_nas.foundation.fields import parse
from surrogate_nas.space.candidates import Candidates, keeps_exact_limits, least_excess
from surrogate_nas.space.costs import costing_for
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.spec import preset
from tests.exits.test_exits import some_exits
from tests.helpers.spaces import table_of

CONFIGURATION = (Path(__file__).parents[2] / "docs/reference/configuration.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0])
@pytest.mark.parametrize("name", list(Limits.model_fields))
def test_a_limit_is_a_positive_finite_number(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"limits: {name}: .*, got {value}"):
        parse(Limits, {name: value}, "limits")


def test_limits_say_what_they_are() -> None:
    assert str(Limits(max_macs=2e5, min_accuracy=0.9)) == "expected MACs ≤ 200,000, accuracy ≥ 0.9"
    assert str(Limits()) == "no limits"


@pytest.mark.parametrize("amount", ["macs", "cost"])
def test_a_limit_on_the_average_above_that_on_the_worst_case_is_redundant(amount: str) -> None:
    worst = {f"max_worst_{amount}": 1e5}
    both = parse(Limits, {**worst, f"max_{amount}": 2e5}, "limits")
    for value in (1e5, 1e5 + 1, 3e5):
        values: dict[Quantity, float] = {f"worst_{amount}": value, f"expected_{amount}": 0.9 * value}  # type: ignore[dict-item]
        assert both.keeps(values) == Limits(**worst).keeps(values)


# ---------------------------------------------------------------------- the table

every_limit = pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.name)


def test_every_field_has_a_row_every_row_a_quantity_of_its_own_and_both_are_documented() -> None:
    assert [limit.name for limit in LIMITS] == list(Limits.model_fields)
    assert sorted(limit.quantity for limit in LIMITS) == sorted(get_args(Quantity))
    assert len({limit.words for limit in LIMITS}) == len(LIMITS)
    for limit in LIMITS:
        assert Limits.model_fields[limit.name].description == limit.about
        row = f"| `{limit.name}` | number"
        assert any(line.startswith(row) and line.endswith(f"{limit.about} |") for line in CONFIGURATION.splitlines())


@every_limit
def test_a_limit_holds_up_to_its_amount_and_is_named_where_it_breaks(limit: Limit) -> None:
    amount = 0.75 if limit.of_accuracy else 1500.0
    limits, worse = Limits(**{limit.name: amount}), amount * (1 - 1e-9 if limit.floor else 1 + 1e-9)
    assert [phrase.split()[-1] for phrase in limits.phrases()] == [exact_text(amount)]
    assert str(limits) == f"{limit.words} {limit.sign} {exact_text(amount)}"
    assert limits.keeps({limit.quantity: amount})
    assert not limits.keeps({limit.quantity: worse})
    assert limits.keeps({})
    assert limits.broken({limit.quantity: amount}) == ()
    (broken,) = limits.broken({limit.quantity: worse})
    assert (broken.limit, broken.value, broken.cap, broken.by) == (limit, worse, amount, pytest.approx(1e-9))
    assert str(broken) == f"{limit.words} {worse:,} {'<' if limit.floor else '>'} {exact_text(amount)}"
    for other in LIMITS:
        if other is not limit:
            assert limits.keeps({other.quantity: 0.0 if other.floor else 1e9})


@every_limit
def test_what_costs_tell_of_a_limit_is_held_against_it_before_a_training(limit: Limit) -> None:
    space, shape = SearchSpace(preset("tiny")), ImageShape(1, 8, 10)
    candidates = Candidates.of(
        space, space.sample(5, np.random.default_rng(0)), costing_for(space, shape, "all", table_of(space, shape))
    )
    most = 1 if limit.of_accuracy else 1e9
    tight, loose = (Limits(**{limit.name: amount}) for amount in ([most, 1e-9] if limit.floor else [1e-9, most]))
    assert keeps_exact_limits(candidates.cost, candidates.present, loose).all()
    assert keeps_exact_limits(candidates.cost, candidates.present, tight).any() == limit.of_accuracy
    assert (least_excess(candidates.cost, candidates.present, tight) > 0).any() == (not limit.of_accuracy)


def test_distances_add_up_over_limits() -> None:
    limits = Limits(max_macs=100, max_params=50, min_accuracy=0.5)
    values = {"expected_macs": np.array([90, 150]), "parameters": np.array([60, 50]), "accuracy": np.array([0.4, 0.9])}
    np.testing.assert_allclose(limits.excess(values), [0.2 + 0.2, 0.5])  # type: ignore[arg-type]
    assert Limits().excess(values) == 0  # type: ignore[arg-type]


def test_the_budget_is_the_limit_on_the_expected_cost_that_is_minimised() -> None:
    limits = Limits(max_macs=5, max_cost=7)
    assert (limits.budget("macs"), limits.budget("cost"), Limits().budget("macs")) == (5, 7, None)
    assert limits.with_budget("macs", None) == Limits(max_cost=7)
    assert limits.with_budget("cost", 9) == Limits(max_macs=5, max_cost=9)


# ---------------------------------------------------------------------- values equal to limits


@pytest.mark.parametrize("objective", ["macs", "cost"])
def test_what_is_measured_keeps_the_limits_that_equal_it_also_as_text(objective: Objective) -> None:
    """Sums of floats differ by their order: without a tolerance some of these break by the last place."""
    space, shape, rng = SearchSpace(preset("tiny")), ImageShape(1, 8, 10), np.random.default_rng(1)
    costing = costing_for(space, shape, "all", table_of(space, shape), objective)
    architecture, n = space.decode(np.ones((1, space.dimension)))[0], 1437
    scores = rng.uniform(size=(3, n)).astype(np.float32)
    correct = rng.uniform(size=(3, n)) < np.array([[0.4], [0.6], [0.8]])
    exits = Exits("max_softmax", np.ones(3, dtype=bool), scores, correct, costing.of(architecture))
    curve, last_place = exits.curve, 0
    assert len(curve) > 100
    for i in range(len(curve)):
        point = curve[np.array([i])]
        stated = {
            "max_macs": point.expected_macs.item(),
            "max_worst_macs": point.worst_macs.item(),
            "max_p95_macs": point.figures.macs.p95.item(),
            "max_cost": float((point.leaving * point.costs).sum() / point.n),
            "max_params": point.parameters.item(),
            "min_accuracy": point.accuracy.item(),
            **({"max_drop": drop} if (drop := point.drop.item()) > 0 else {}),
        }
        last_place += point.figures.macs.expected.item() > stated["max_macs"]
        for name, value in stated.items():
            limits = Limits(**{name: float(repr(value))})
            assert point.feasible(limits).all(), limits
        best = exits.best(Limits(**{on_expected(objective).name: point.objective.item()}))
        assert best.accuracy >= point.accuracy
    assert last_place > 0


# ---------------------------------------------------------------------- the best


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
        last_correct=np.full(3, 9),
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
        (Limits(max_drop=0.1), 1),
        (Limits(max_drop=0.05), 2),
        (Limits(max_drop=0.4), 0),
    ],
)
def test_best_is_the_most_accurate_within_a_cap_or_the_cheapest_above_a_floor(limits: Limits, best: int) -> None:
    curve = curve_of_three()
    assert curve.best(limits) == best
    assert curve.feasible(limits)[best]


@pytest.mark.parametrize(
    ("limits", "nearest"),
    [
        (
            Limits(max_macs=50),
            "no thresholds keep expected MACs ≤ 50; the closest setting has accuracy 0.5, expected MACs 100 > 50",
        ),
        (
            Limits(min_accuracy=0.95),
            "keep accuracy ≥ 0.95; the closest setting has accuracy 0.9 < 0.95, expected MACs 400",
        ),
        (Limits(max_worst_macs=390), "worst-case MACs 400 > 390"),
        (Limits(max_params=999), "parameters 1,000 > 999"),
    ],
)
def test_limits_that_nothing_keeps_are_an_error_that_shows_the_nearest(limits: Limits, nearest: str) -> None:
    with pytest.raises(JobError) as caught:
        curve_of_three().best(limits)
    assert nearest in str(caught.value)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=9), st.booleans()
)
def test_the_best_first_keep_the_limits_then_are_better_then_spend_better_then_stand_before(
    points: list[tuple[int, int, int]], cheapest: bool
) -> None:
    accuracy, spent, beyond = np.array(points, dtype=float).T

    def key(i: int) -> tuple[float, float, float, int]:
        a, c, over = points[i]
        return (over, c, -a, i) if cheapest else (over, -a, c, i)

    order = sorted(range(len(points)), key=key)
    assert best_first(accuracy, spent, beyond, cheapest=cheapest).tolist() == order
    rows = best_first(np.stack([accuracy] * 2), np.stack([spent] * 2), np.stack([beyond] * 2), cheapest=cheapest)
    assert rows.tolist() == [order, order]


@every_limit
def test_the_cheapest_is_wanted_where_thresholds_have_a_floor_alone(limit: Limit) -> None:
    amount = 0.5 if limit.of_accuracy else 9.0
    alone, with_floor = Limits(**{limit.name: amount}), Limits(**{limit.name: amount, "min_accuracy": 0.5})
    assert wants_cheapest(alone) == limit.of_accuracy
    assert wants_cheapest_network(alone) == limit.floor
    for wants in (wants_cheapest, wants_cheapest_network):
        assert wants(with_floor) == (limit.of_accuracy or limit.depends_on == "network")


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


# ---------------------------------------------------------------------- limits as printed


@given(value=st.floats(1e-6, 1e15), floor=st.booleans())
def test_a_value_keeps_the_limit_that_is_printed_of_it(value: float, floor: bool) -> None:
    printed = float(kept_text(value, floor=floor).replace(",", ""))
    assert printed <= value if floor else printed >= value
    assert printed == pytest.approx(value, rel=2e-3)


@given(exits=some_exits(), budget=st.floats(0.2, 0.95))
def test_the_nearest_thresholds_keep_the_limits_that_are_printed_of_them(exits: Exits, budget: float) -> None:
    cheapest = float(exits.curve.expected_macs[0])
    with pytest.raises(JobError) as raised:
        exits.best(Limits(max_macs=budget * cheapest))
    accuracy, macs = re.findall(
        r"the closest setting has accuracy ([\d.e-]+), expected MACs ([\d.,]+)", str(raised.value)
    )[0]
    floor = float(accuracy)
    again = Limits(max_macs=float(macs.strip(",").replace(",", "")), **({"min_accuracy": floor} if floor else {}))
    assert exits.best(again).feasible(again).all()
