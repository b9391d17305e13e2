"""Intervals of shares, of samples in groups, and of paired differences."""

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrogate_nas.exits.clusters import cell_counts, design_effect
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.intervals import (
    CONFIDENCE,
    accuracy_intervals,
    bootstrap,
    paired_bootstrap,
    share_interval,
    wilson,
)
from surrogate_nas.exits.measurements import Measurements
from tests.helpers.exits import cost


@given(st.integers(1, 10_000), st.data())
def test_the_ends_of_wilsons_interval_solve_its_equation(n: int, data: st.DataObject) -> None:
    """Wilson (1927): (p̂ − p)² = z² p (1 − p) / n at both ends, which lie within 0 and 1 and around the share."""
    successes = data.draw(st.integers(0, n))
    low, high = wilson(successes, n)
    share, z = successes / n, NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    assert 0 <= low <= share <= high <= 1
    for p in (low, high):
        assert (share - p) ** 2 == pytest.approx(z**2 * p * (1 - p) / n, rel=1e-6, abs=1e-12)


def test_wilsons_interval_is_wider_for_more_confidence() -> None:
    assert wilson(5, 20, 0.99)[0] < wilson(5, 20)[0] < 0.25 < wilson(5, 20)[1] < wilson(5, 20, 0.99)[1]


# ---------------------------------------------------------------------- groups


def exits_of(seed: int, N: int, *, copies: int = 1, groups: np.ndarray | None = None) -> Exits:
    """Three exits, with each sample `copies` times in a row."""
    rng = np.random.default_rng(seed)
    scores, right = rng.random((3, N)).astype(np.float32), rng.random((3, N)) < 0.8
    scores, right = np.repeat(scores, copies, axis=1), np.repeat(right, copies, axis=1)
    return Exits("max_softmax", np.ones(3, bool), scores, right, cost([100, 200, 400], [10, 20, 0]), groups)


def both(exits: Exits, thresholds: np.ndarray) -> tuple[tuple[float, float], tuple[float, float]]:
    leaving, m = exits.leave(thresholds), exits.measure(thresholds[None])
    return bootstrap(m.leaving[0], m.correct[0], m.macs[0], CONFIDENCE, exits.group_counts(leaving))


AT = np.array([0.6, 0.4])


@given(st.integers(0, 50), st.integers(2, 60))
def test_groups_of_one_sample_each_change_nothing(seed: int, N: int) -> None:
    plain, single = exits_of(seed, N), exits_of(seed, N, groups=np.random.default_rng(seed).permutation(N) + 7)
    assert both(single, AT) == both(plain, AT)
    right = plain.right(plain.leave(AT))
    assert share_interval(right, single.clusters) == wilson(int(right.sum()), N)
    points = plain.measure(np.array([AT, [0.2, 0.9], [np.inf, np.inf]]))
    assert accuracy_intervals(single, points) == accuracy_intervals(plain, points)
    one_by_one = cell_counts(np.arange(N), right.astype(np.int64), 2)
    if 0 < right.sum() < N:
        assert design_effect(one_by_one) == pytest.approx(1)


@pytest.mark.parametrize("copies", [2, 4, 9])
def test_copies_in_groups_give_the_intervals_of_the_samples_without_copies(copies: int) -> None:
    """So they are √k wider than those that take copies for independent."""
    N = 500
    plain, naive = exits_of(0, N), exits_of(0, N, copies=copies)
    grouped = exits_of(0, N, copies=copies, groups=np.repeat(np.arange(N), copies))
    right = grouped.right(grouped.leave(AT))

    def width(interval: tuple[float, float]) -> float:
        return interval[1] - interval[0]

    low, high = share_interval(right, grouped.clusters)
    assert (low, high) == pytest.approx(wilson(int(right.sum()) // copies, N), abs=2e-4)
    assert width((low, high)) / width(wilson(int(right.sum()), N * copies)) == pytest.approx(copies**0.5, rel=0.02)
    for ours, as_if, alone in zip(both(grouped, AT), both(naive, AT), both(plain, AT), strict=True):
        assert width(ours) / width(as_if) == pytest.approx(copies**0.5, rel=0.1)
        assert ours == pytest.approx(alone, rel=0.01)


@given(st.integers(2, 300), st.integers(1, 12), st.integers(0, 9))
def test_intervals_of_groups_lie_around_the_share_and_are_never_narrower(N: int, most: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = np.sort(rng.integers(max(N // most, 1), size=N))
    exits = exits_of(seed, N, groups=groups)
    right = rng.random(N) < rng.choice([0.0, 0.5, 0.9, 1.0])
    low, high = share_interval(right, exits.clusters)
    narrow = wilson(int(right.sum()), N)
    assert 0 <= low <= narrow[0] + 1e-12
    assert narrow[1] - 1e-12 <= high <= 1


def test_one_group_tells_nothing() -> None:
    assert share_interval(np.array([True, True, False]), np.zeros(3, np.int64)) == (0.0, 1.0)


def test_samples_that_are_all_right_count_as_one_for_each_group() -> None:
    low, high = share_interval(np.ones(400, bool), np.repeat(np.arange(40), 10))
    assert high == 1
    assert low == pytest.approx(wilson(40, 40)[0], abs=0.01)


def test_intervals_of_groups_cover_the_true_share_and_wilsons_does_not() -> None:
    """Groups of ten whose samples are mostly alike, 40 of them: coverage over 400 drawings."""
    rng, clusters = np.random.default_rng(0), np.repeat(np.arange(40), 10)
    covered, naive = 0, 0
    for _ in range(400):
        right = rng.random(400) < rng.beta(2.4, 0.6, size=40)[clusters]  # mean 0.8
        low, high = share_interval(right, clusters)
        covered += low <= 0.8 <= high
        low, high = wilson(int(right.sum()), 400)
        naive += low <= 0.8 <= high
    assert covered / 400 > 0.92
    assert naive / 400 < 0.8


def test_accuracy_intervals_are_of_each_setting() -> None:
    exits = exits_of(1, 200, groups=np.arange(200) // 5)
    points: Measurements = exits.curve
    intervals = accuracy_intervals(exits, points)
    assert len(intervals) == len(points)
    for row, accuracy, (low, high) in zip(points.thresholds, points.accuracy, intervals, strict=True):
        assert (low, high) == share_interval(exits.right(exits.leave(row)), exits.clusters)
        assert low <= accuracy <= high


# ---------------------------------------------------------------------- paired differences


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=60))
def test_paired_intervals_are_around_the_mean_and_within_the_values(values: list[float]) -> None:
    ((low, high),) = paired_bootstrap(np.array(values)[:, None])
    assert min(values) <= low <= np.mean(values) + 1e-12
    assert np.mean(values) - 1e-12 <= high <= max(values)


def test_a_paired_interval_is_of_the_difference_and_not_of_either_value() -> None:
    """Two networks that are right on the same images differ by nothing, however few images there are."""
    right = np.random.default_rng(0).random(50) < 0.8
    (single, difference) = paired_bootstrap(np.stack([right, right.astype(float) - right], axis=1))
    assert single[0] < single[1]
    assert difference == (0, 0)


def test_a_paired_interval_covers_as_often_as_it_says() -> None:
    rng, p, covered = np.random.default_rng(1), np.array([0.05, 0.85, 0.1]), 0
    for _ in range(300):
        ((low, high),) = paired_bootstrap(rng.choice([-1.0, 0.0, 1.0], size=(200, 1), p=p))
        covered += low <= p[2] - p[0] <= high
    assert 0.9 <= covered / 300 <= 0.99


def test_paired_intervals_draw_groups_as_a_whole() -> None:
    """Copies in groups give the interval of the samples without copies."""
    values = np.random.default_rng(2).choice([-1.0, 0.0, 1.0], size=(100, 2))
    copies, clusters = np.repeat(values, 9, axis=0), np.repeat(np.arange(100), 9)
    for ours, alone in zip(paired_bootstrap(copies, clusters), paired_bootstrap(values), strict=True):
        assert ours == pytest.approx(alone)
    for single, alone in zip(paired_bootstrap(values, np.arange(100)), paired_bootstrap(values), strict=True):
        assert single == pytest.approx(alone)
