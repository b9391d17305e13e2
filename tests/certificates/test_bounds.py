"""p-values and bounds: they hold at least as often as they say, at any number of images."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mapie.risk_control.methods import compute_hoeffding_bentkus_p_value
from scipy.stats import binomtest

from surrogate_nas.certificates import bounds
from surrogate_nas.foundation.arrays import Floats, Ints

DRAWS = 10_000
LEVELS = (0.01, 0.05, 0.1, 0.2)
ERROR = 3 * np.sqrt(0.25 / DRAWS)
"""Three standard errors of a share of the draws."""


def of_counts(counts: Ints, function: Callable[..., float]) -> Floats:
    """(DRAWS,) values of a function of (DRAWS, K) counts, computed once for equal ones."""
    distinct, place = np.unique(counts, axis=0, return_inverse=True)
    return np.array([function(*row) for row in distinct.tolist()])[place.ravel()]


def within(values: Floats, level: float) -> float:
    return float((values <= level).mean())


@pytest.mark.parametrize("n", [5, 144, 500])
@pytest.mark.parametrize("accuracy", [0.5, 0.9, 0.99])
def test_a_floor_at_the_truth_is_rarely_refuted_and_its_bound_is_rarely_above(n: int, accuracy: float) -> None:
    right = np.random.default_rng(0).binomial(n, accuracy, (DRAWS, 1))
    p = of_counts(right, lambda k: bounds.floor_p(k, n, accuracy))
    bound = of_counts(right, lambda k: bounds.floor_bound(k, n, 0.1))
    for level in LEVELS:
        assert within(p, level) <= level + ERROR * np.sqrt(level)
    assert (bound > accuracy).mean() <= 0.1 + ERROR / 2


@pytest.mark.parametrize("n", [5, 50, 500])
def test_floors_hold_where_the_images_of_each_class_are_fixed(n: int) -> None:
    rng, of_class = np.random.default_rng(1), np.array([0.99, 0.9, 0.6])
    per_class = np.array([n // 3 + (c < n % 3) for c in range(3)])
    accuracy = float(of_class @ per_class / n)
    right = rng.binomial(per_class, of_class, (DRAWS, 3)).sum(axis=1, keepdims=True)
    assert within(of_counts(right, lambda k: bounds.floor_p(k, n, accuracy)), 0.1) <= 0.1 + ERROR / 2


@pytest.mark.parametrize("n", [5, 144, 500, 2000])
@pytest.mark.parametrize(("better", "drop"), [(0, 0.01), (0.01, 0.01), (0.05, 0.02), (0.2, 0.05), (0.3, 0.3), (0, 0.3)])
def test_a_drop_at_the_truth_is_rarely_refuted_and_its_bound_is_rarely_below(
    n: int, better: float, drop: float
) -> None:
    cells = [better + drop, better, 1 - 2 * better - drop]
    counts = np.random.default_rng(2).multinomial(n, cells, DRAWS)[:, :2]
    p = of_counts(counts, lambda worse, better: bounds.drop_p(worse, better, n, drop))
    for level in LEVELS:
        assert within(p, level) <= level + ERROR * np.sqrt(level)
    some = counts[:500]
    bound = of_counts(some, lambda worse, better: bounds.drop_bound(worse, better, n, 0.1))
    assert (bound < drop).mean() <= 0.1 + 3 * np.sqrt(0.09 / len(some))


@given(data=st.data(), n=st.integers(2, 400), drop=st.floats(0.001, 0.5))
def test_a_drop_is_surer_the_fewer_answers_are_worse_and_the_larger_the_limit(
    data: st.DataObject, n: int, drop: float
) -> None:
    different = data.draw(st.integers(0, n))
    worse = data.draw(st.integers(0, different))
    p = bounds.drop_p(worse, different - worse, n, drop)
    assert 0 <= p <= 1
    if worse:
        assert bounds.drop_p(worse - 1, different - worse + 1, n, drop) <= p + 1e-9
    assert bounds.drop_p(worse, different - worse, n, min(drop * 1.5, 0.99)) <= p + 1e-9


def test_a_drop_is_refuted_about_as_often_as_by_a_known_variance() -> None:
    n, better, worse, drop = 2000, 0.02, 0.02, 0.01
    counts = np.random.default_rng(3).multinomial(n, [worse, better, 1 - worse - better], DRAWS)[:, :2]
    power = within(of_counts(counts, lambda w, b: bounds.drop_p(w, b, n, drop)), 0.1)
    z = (drop - (counts[:, 0] - counts[:, 1]) / n) / np.sqrt((worse + better) / n)
    assert power > 0.75 * (z > 1.2816).mean()


@pytest.mark.parametrize("n", [5, 144, 1000])
@pytest.mark.parametrize("draw", ["binary", "costs", "constant"])
def test_a_mean_at_the_truth_is_rarely_refuted(n: int, draw: str) -> None:
    rng = np.random.default_rng(4)
    values = {
        "binary": rng.binomial(1, 0.7, (DRAWS // 10, n)).astype(float),
        "costs": rng.choice([0.0, 0.4, 1.0], p=[0.5, 0.3, 0.2], size=(DRAWS // 10, n)),
        "constant": np.full((DRAWS // 10, n), 0.3),
    }[draw]
    mean = {"binary": 0.7, "costs": 0.32, "constant": 0.3}[draw]
    p = np.array([bounds.mean_p(row, mean) for row in values])
    for level in LEVELS:
        assert within(p, level) <= level + 3 * np.sqrt(level / len(p))


def test_an_e_value_may_be_looked_at_after_every_image() -> None:
    rng, n, mean = np.random.default_rng(5), 2000, 0.9
    right = np.cumsum(rng.binomial(1, mean, (1000, n)), axis=1)
    seen = np.arange(20, n, 20)
    largest = np.zeros(len(right))
    for k in seen:
        counts = np.stack([k - right[:, k - 1], right[:, k - 1]])
        values = np.array([bounds.e_value(np.array([0.0, 1.0]), c, mean) for c in counts.T])
        largest = np.maximum(largest, values)
    for level in LEVELS:
        assert (largest >= 1 / level).mean() <= level + 3 * np.sqrt(level / len(right))


@given(n=st.integers(1, 300), data=st.data(), floor=st.floats(0.05, 0.99))
def test_floors_are_those_of_other_packages_or_tighter(n: int, data: st.DataObject, floor: float) -> None:
    right = data.draw(st.integers(0, n))
    p = bounds.floor_p(right, n, floor)
    assert p == pytest.approx(binomtest(right, n, floor, "greater").pvalue, abs=1e-9)
    wrong, risk = np.array([(n - right) / n]), np.array([1 - floor])
    bentkus = compute_hoeffding_bentkus_p_value(wrong, n, risk, binary=True)
    assert p <= bentkus.item() + 1e-9 or bentkus.item() > 0.5
    low = binomtest(right, n).proportion_ci(0.8, "exact").low
    assert bounds.floor_bound(right, n, 0.1) == pytest.approx(low, abs=1e-9)


def test_nothing_is_refuted_by_no_images_and_no_errors_by_few() -> None:
    assert bounds.floor_p(0, 0, 0.9) == 1
    assert bounds.drop_p(0, 0, 0, 0.1) == 1
    assert bounds.drop_p(0, 0, 5, 0.01) == 1
    assert bounds.mean_p(np.zeros(0), 0.5) == 1
    assert bounds.floor_p(5, 5, 0.9) == pytest.approx(0.9**5)
    assert bounds.drop_bound(0, 0, 2, 0.1) == bounds.drop_bound(5, 0, 5, 0.1) == 1
    assert 0.5 < bounds.drop_bound(0, 0, 5, 0.1) < 0.6
    assert bounds.floor_bound(0, 5, 0.1) == 0
