"""Exits: what follows from a choice of thresholds."""

import itertools
import time
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.measurements import Measurements
from surrogate_nas.exits.operating_point import OFF, OperatingPoint
from surrogate_nas.foundation.errors import InputError
from tests.helpers.exits import cost, undominated

fractions = st.floats(0, 1, width=32)


@st.composite
def some_exits(draw: st.DrawFn, most_positions: int = 4) -> Exits:
    E, N = draw(st.integers(2, most_positions)), draw(st.integers(1, 8))
    present = np.array([*draw(st.lists(st.booleans(), min_size=E - 1, max_size=E - 1)), True])
    steps = draw(st.lists(st.integers(1, 20), min_size=E, max_size=E))
    branch = draw(st.lists(st.integers(1, 9), min_size=E - 1, max_size=E - 1))
    return Exits(
        "max_softmax",
        present,
        draw(arrays(np.float32, (E, N), elements=st.sampled_from([0.0, 0.1, 0.5, 0.7, 1.0]) | fractions)),
        draw(arrays(np.bool_, (E, N))),
        cost(np.cumsum(steps).tolist(), [*(b if on else 0 for b, on in zip(branch, present, strict=False)), 0]),
    )


@st.composite
def operating_points(draw: st.DrawFn, exits: Exits) -> OperatingPoint:
    """Thresholds anywhere, off, or exactly at a score."""
    of_scores = st.sampled_from([float(s) for s in exits.scores.ravel()])
    threshold = st.none() | st.floats(0, 1) | of_scores
    return OperatingPoint(tuple(draw(threshold) for _ in range(exits.positions - 1)))


def leave(exits: Exits, point: OperatingPoint, sample: int) -> tuple[int, int]:
    """Where one sample leaves and the MACs it has spent, step by step."""
    total = 0
    for e, threshold in enumerate(point.thresholds):
        if exits.present[e] and threshold is not None:
            total += int(exits.cost.branch[0, e])
            if float(exits.scores[e, sample]) >= threshold:
                return e, total + int(exits.cost.backbone[0, e])
    return exits.positions - 1, total + int(exits.cost.backbone[0, -1])


# ---------------------------------------------------------------------- what happens at given thresholds


@given(data=st.data())
def test_measuring_equals_following_every_sample_by_hand(data: st.DataObject) -> None:
    exits = data.draw(some_exits())
    point = data.draw(operating_points(exits))
    outcomes = [leave(exits, point, sample) for sample in range(exits.scores.shape[1])]
    measurements = exits.at(point)
    assert exits.route(point).tolist() == [e for e, _ in outcomes]
    assert measurements.expected_macs[0] == pytest.approx(np.mean([macs for _, macs in outcomes]))
    assert measurements.accuracy[0] == pytest.approx(
        np.mean([exits.correct[e, i] for i, (e, _) in enumerate(outcomes)])
    )
    assert measurements.leaving[0].tolist() == np.bincount([e for e, _ in outcomes], minlength=exits.positions).tolist()


@given(data=st.data())
def test_exit_rates_sum_to_one_and_accuracy_is_their_mean_of_exit_accuracies(data: st.DataObject) -> None:
    exits = data.draw(some_exits())
    measurements = exits.measure(np.stack([data.draw(operating_points(exits)).array() for _ in range(3)]))
    p, a = measurements.rates, measurements.exit_accuracy
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert (np.isnan(a) == (p == 0)).all()
    np.testing.assert_allclose(np.nansum(p * a, axis=1), measurements.accuracy)
    assert measurements.n == exits.scores.shape[1]


@given(data=st.data())
def test_nobody_leaves_where_there_is_no_exit_or_it_is_off(data: st.DataObject) -> None:
    exits = data.draw(some_exits())
    point = data.draw(operating_points(exits))
    closed = ~exits.present[:-1] | np.isinf(point.array())
    assert (exits.at(point).leaving[0, :-1][closed] == 0).all()


@given(data=st.data())
def test_a_threshold_of_zero_takes_the_first_exit(data: st.DataObject) -> None:
    exits = data.draw(some_exits())
    zeros = OperatingPoint((0.0,) * (exits.positions - 1))
    assert set(exits.route(zeros).tolist()) == {int(exits.present.argmax())}


@given(data=st.data())
def test_exits_that_are_off_or_above_every_score_leave_all_to_the_last(data: st.DataObject) -> None:
    exits = data.draw(some_exits())
    off, above = np.full((1, exits.positions - 1), OFF), np.full((1, exits.positions - 1), 1.5)
    for thresholds in (off, above):
        assert exits.measure(thresholds).rates[0].tolist() == [*[0.0] * (exits.positions - 1), 1.0]


def test_a_threshold_a_hair_above_a_score_keeps_the_sample_in() -> None:
    """The hair is too fine for the scores' own precision."""
    score = np.float32(0.3)
    exits = Exits("max_softmax", np.ones(2, bool), np.full((2, 1), score), np.ones((2, 1), bool), cost([1, 2], [1, 0]))
    assert exits.route(OperatingPoint((float(score),))).tolist() == [0]
    assert exits.route(OperatingPoint((float(np.nextafter(float(score), 1)),))).tolist() == [1]


def two_early_exits() -> Exits:
    """Four samples of which the first exit is sure of one and the second of two more."""
    sure = np.array([[0.9, 0.2, 0.2, 0.2], [0.9, 0.9, 0.9, 0.3], [0.5, 0.5, 0.5, 0.5]], dtype=np.float32)
    right = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0]], dtype=bool)
    return Exits("max_softmax", np.ones(3, dtype=bool), sure, right, cost([100, 200, 400], [10, 20, 0]))


@pytest.mark.parametrize(
    ("thresholds", "expected", "worst", "accuracy"),
    [
        ("0.8,0.8", (110 + 2 * 230 + 430) / 4, 430, 2 / 4),
        ("off,0.8", (3 * 220 + 420) / 4, 420, 2 / 4),  # an exit that is off is not charged
        ("0.8,off", (110 + 3 * 410) / 4, 410, 3 / 4),
        ("off,off", 400, 400, 3 / 4),
        ("0.95,0.8", (3 * 230 + 430) / 4, 430, 2 / 4),  # one at which nobody leaves is
        ("0,0.8", 110, 430, 1 / 4),  # and in the worst case, so is one that nobody reaches
    ],
)
def test_branches_are_charged_when_they_are_run(thresholds: str, expected: float, worst: int, accuracy: float) -> None:
    measurements = two_early_exits().at(OperatingPoint.parse(thresholds, 3))
    assert (measurements.expected_macs[0], measurements.worst_macs[0], measurements.accuracy[0]) == (
        expected,
        worst,
        accuracy,
    )


def test_measurements_of_several_networks_stand_one_after_the_other() -> None:
    first, second = two_early_exits().curve, two_early_exits().measure(np.full((2, 2), 0.8))
    both = Measurements.concatenate([first, second])
    assert len(both) == len(first) + 2
    np.testing.assert_equal(asdict(both[: len(first)]), asdict(first))
    np.testing.assert_equal(asdict(both[len(first) :]), asdict(second))


def test_thresholds_for_another_number_of_exits_are_refused() -> None:
    with pytest.raises(InputError, match="3 exits need 2 thresholds, got 1"):
        two_early_exits().at(OperatingPoint((0.5,)))
    with pytest.raises(InputError, match="3 exits need 2 thresholds, got 4"):
        two_early_exits().measure(np.zeros((5, 4)))


# ---------------------------------------------------------------------- the curve


def every_setting(exits: Exits) -> list[OperatingPoint]:
    """One for each way of telling the samples apart: at each exit its scores as thresholds, and off."""
    choices = [
        [*np.unique(scores).astype(float).tolist(), None] if on else [None]
        for scores, on in zip(exits.scores[:-1], exits.present, strict=False)
    ]
    return [OperatingPoint(thresholds) for thresholds in itertools.product(*choices)]


def in_total(exits: Exits, point: OperatingPoint) -> tuple[int, int]:
    """MACs and correct answers over all samples."""
    outcomes = [leave(exits, point, sample) for sample in range(exits.scores.shape[1])]
    return sum(macs for _, macs in outcomes), sum(int(exits.correct[e, i]) for i, (e, _) in enumerate(outcomes))


@settings(max_examples=60)
@given(exits=some_exits(most_positions=3))
def test_the_curve_of_few_samples_equals_brute_force(exits: Exits) -> None:
    curve = exits.curve
    points = zip((curve.expected_macs * curve.n).round().astype(int), curve.correct.sum(axis=1), strict=True)
    assert list(points) == undominated({in_total(exits, point) for point in every_setting(exits)})


def sensible(early: int, N: int, seed: int) -> Exits:
    """Exits that are surer of what they get right, later ones of more."""
    rng = np.random.default_rng(seed)
    hard = rng.random(N)
    ability = np.linspace(0.5, 0.9, early + 1)[:, None] + rng.normal(0, 0.2, (early + 1, N))
    sure = 1 / (1 + np.exp(-4 * (ability - hard + rng.normal(0, 0.2, (early + 1, N)))))
    steps = np.cumsum(rng.integers(10, 100, early + 1)).tolist()
    branches = [*rng.integers(1, 10, early).tolist(), 0]
    return Exits(
        "max_softmax", np.ones(early + 1, bool), sure.astype(np.float32), ability > hard, cost(steps, branches)
    )


def exhaustive(exits: Exits, levels: int) -> Measurements:
    """All combinations of so many score quantiles of each exit, and off."""
    axes = [np.append(np.quantile(s.astype(np.float64), np.linspace(0, 1, levels)), OFF) for s in exits.scores[:-1]]
    return exits.measure(np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], axis=1))


def gap(exits: Exits, other: Measurements) -> float:
    """How far the curve is below other settings at their cost, at most; negative if it is above all."""
    curve = exits.curve
    best = curve.accuracy[np.searchsorted(curve.expected_macs, other.expected_macs + 1e-9, side="right") - 1]
    return float((other.accuracy - best).max())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("early", [1, 2, 3])
def test_the_curve_is_nowhere_below_exhaustive_search_of_17_quantiles(early: int, seed: int) -> None:
    exits = sensible(early, 1000, seed)
    assert gap(exits, exhaustive(exits, 17)) <= 0.0


def test_the_curve_of_six_exits_is_quick_and_near_to_exhaustive() -> None:
    exits = sensible(5, 10_000, 0)
    start = time.process_time()
    _ = exits.curve
    assert time.process_time() - start < 1.0
    rng, grid = np.random.default_rng(0), np.linspace(0, 1, 17)
    draws = np.stack([np.append(np.quantile(s, grid), OFF)[rng.integers(0, 18, 20_000)] for s in exits.scores[:-1]])
    assert gap(exits, exits.measure(draws.T)) <= 0.001


def test_thresholds_that_cost_the_same_to_the_last_mac_are_one_point_of_the_curve() -> None:
    score = np.array([[0.0, 1.0, 0.0], [1.0, 0.5, 0.5], [0.0, 0.0, 0.0]], dtype=np.float32)
    right = np.array([[0, 1, 0], [1, 0, 1], [1, 0, 1]], dtype=bool)
    curve = Exits("max_softmax", np.ones(3, bool), score, right, cost([3, 8, 13], [3, 4, 0])).curve
    assert (curve.expected_macs * 3).tolist() == [18, 36]
    assert curve.correct.sum(axis=1).tolist() == [1, 3]


@given(exits=some_exits(most_positions=5))
def test_along_the_curve_more_macs_buy_more_accuracy(exits: Exits) -> None:
    curve = exits.curve
    assert (np.diff(curve.expected_macs) > 0).all()
    assert (np.diff(curve.accuracy) > 0).all()


@given(exits=some_exits(most_positions=4))
def test_the_curve_is_what_measuring_its_thresholds_gives(exits: Exits) -> None:
    again = exits.measure(exits.curve.thresholds)
    np.testing.assert_array_equal(again.leaving, exits.curve.leaving)
    assert np.isinf(exits.curve.thresholds[:, ~exits.present[:-1]]).all()


def test_a_network_without_early_exits_is_a_single_point() -> None:
    exits = two_early_exits()
    last_only = Exits("max_softmax", np.array([False, False, True]), exits.scores, exits.correct, exits.cost)
    assert last_only.curve.accuracy.tolist() == [3 / 4]


@pytest.mark.parametrize("early", [5, 9])
def test_many_exits_have_a_curve_too(early: int) -> None:
    rng = np.random.default_rng(0)
    shape = (early + 1, 50)
    exits = Exits(
        "max_softmax",
        np.ones(early + 1, bool),
        rng.random(shape, np.float32),
        rng.random(shape) < 0.7,
        cost(list(range(100, 100 * early + 101, 100)), [*[3] * early, 0]),
    )
    curve = exits.curve
    assert (np.diff(curve.expected_macs) > 0).all()
    assert curve.expected_macs[0] == 103
    assert curve.accuracy[-1] >= exits.correct[-1].mean()
