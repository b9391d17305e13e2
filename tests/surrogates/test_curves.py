"""Laws of the curve basis."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit

from surrogate_nas.exits.exits import Exits
from surrogate_nas.surrogates.curves import POWERS, CurveBasis, power_for
from surrogate_nas.surrogates.local_dependence import learned_dependence, locally_dependent
from surrogate_nas.surrogates.overthinking import largest_gain
from tests.helpers.outputs import problem, records, tune_exits

threshold = st.one_of(st.just(np.inf), st.floats(0, 1))


def curve_cases(E: int) -> st.SearchStrategy[tuple]:
    """Coefficients however wild, thresholds, which early exits exist, and their dependence, for E positions."""
    coefficients = arrays(np.float64, CurveBasis(E).size, elements=st.floats(-1e6, 1e6))
    early = st.lists(st.booleans(), min_size=E - 1, max_size=E - 1)
    dependence = st.none() | arrays(np.float64, (2, E, 5), elements=st.floats(-3, 3))
    return st.tuples(coefficients, st.lists(threshold, min_size=E - 1, max_size=E - 1), early, dependence)


@given(st.integers(1, 6).flatmap(curve_cases))
def test_exit_probabilities_are_a_distribution_whatever_the_coefficients(case: tuple) -> None:
    coefficients, thresholds, early, dependence = case
    basis, present = CurveBasis(len(early) + 1), torch.tensor([*early, True])
    settings = torch.tensor(thresholds, dtype=torch.float64)
    curve = basis.compose(torch.from_numpy(coefficients), settings, present, dependence)
    assert abs(float(curve.rates.sum()) - 1) < 1e-12
    assert ((curve.rates >= 0) & (curve.rates <= 1)).all()
    assert ((curve.exit_accuracy >= 0) & (curve.exit_accuracy <= 1)).all()
    off = [e for e, t in enumerate(thresholds) if np.isinf(t) or not early[e]]
    assert (curve.rates[off] == 0).all()


@given(st.integers(2, 6).flatmap(curve_cases), st.data())
def test_a_higher_threshold_never_lets_more_samples_leave(case: tuple, data: st.DataObject) -> None:
    coefficients, thresholds, early, dependence = case
    basis, present = CurveBasis(len(early) + 1), torch.tensor([*early, True])
    e = data.draw(st.integers(0, len(early) - 1))
    low, high = sorted([data.draw(threshold), data.draw(threshold)])
    rows = torch.tensor(thresholds, dtype=torch.float64).repeat(2, 1)
    rows[:, e] = torch.tensor([low, high])
    rates = basis.compose(torch.from_numpy(coefficients), rows, present, dependence).rates[:, e]
    assert rates[1] <= rates[0] + 1e-15


def test_another_network_changes_the_power_only_where_the_median_crosses_a_step() -> None:
    view = tune_exits(records(problem(), 2))[0]

    def network(median: float) -> Exits:
        return replace(view, scores=np.full_like(view.scores, median))

    powers = [power_for([network(m)]) for m in np.linspace(0.01, 1, 200)]
    assert set(powers) == set(POWERS)
    assert powers == sorted(powers, reverse=True)
    assert power_for([network(m) for m in (0.56, 0.3, 0.9)]) == power_for([]) == 1
    assert power_for([network(0.6**p) for p in (2, 2.1, 1.9)]) == 2


def test_dependence_is_learned_from_what_curves_leave_unexplained() -> None:
    rng = np.random.default_rng(0)
    by_curves = torch.from_numpy(rng.dirichlet([2.0, 2.0, 1.0], size=400).T)
    right = torch.from_numpy(rng.uniform(0.2, 0.95, (3, 400)))
    true = rng.uniform(-0.3, 0.3, (2, 3, 5))
    rates, accuracy = locally_dependent(by_curves, right, true)
    counts = 1e6 * torch.stack([rates * accuracy, rates * (1 - accuracy)])
    learned = learned_dependence(by_curves.T[None].numpy(), right.T[None].numpy(), counts[None].numpy())
    again = locally_dependent(by_curves, right, learned)
    torch.testing.assert_close(again, (rates, accuracy), atol=1e-4, rtol=0)


def test_the_first_exit_depends_on_no_other_and_a_missing_one_keeps_all() -> None:
    rates, accuracy = torch.tensor([[0.3], [0.0], [0.7]]), torch.tensor([[0.9], [0.5], [0.6]])
    dependence = np.full((2, 3, 5), 0.2)
    dependence[:, :, 0] = 0
    leaving, right = locally_dependent(rates, accuracy, dependence)
    torch.testing.assert_close(leaving, rates)
    torch.testing.assert_close(right[0], accuracy[0])
    log_reach, log_odds = np.log(0.7), np.log(0.6 / 0.4)  # of the last exit, which no exit comes just before
    expected = expit(log_odds * (1 + 0.2 * log_reach) + 0.2 * log_reach)
    np.testing.assert_allclose(right[2], [expected], rtol=1e-5)


def test_no_network_gains_more_than_is_allowed_and_others_stay_as_they_are() -> None:
    basis, rng = CurveBasis(3), np.random.default_rng(0)
    coefficients = torch.from_numpy(rng.normal(0, 2, (500, basis.size)))
    thresholds, present = torch.from_numpy(rng.uniform(0.2, 1, (500, 2))), torch.ones(3, dtype=torch.bool)
    dependence = rng.uniform(-0.3, 0.3, (2, 3, 5))

    def accuracy(setting: torch.Tensor, gain: float) -> torch.Tensor:
        return basis.compose(coefficients, setting, present, dependence, gain).accuracy

    off, free = (accuracy(t, np.inf) for t in (torch.full_like(thresholds, torch.inf), thresholds))
    torch.testing.assert_close(accuracy(thresholds, 0.01), torch.minimum(free, off + 0.01), atol=1e-9, rtol=0)
    assert ((free > off + 0.01).float().mean() - 0.5).abs() < 0.4


def test_the_largest_gain_is_that_of_nine_in_ten_trained_networks() -> None:
    right = np.zeros((11, 2, 2, 3))  # 11 networks of two exits, with 100 samples at three settings
    right[:, 0, 0], right[:, 0, 1] = 40, np.arange(11)[:, None] + [[10, 20, 0]]
    right[:, 1, 1] = 100 - right[:, 0].sum(axis=1)
    assert largest_gain(right, np.full(11, 0.5)) == pytest.approx(0.6 + 0.09 - 0.5)
    assert largest_gain(right, np.full(11, 0.9)) == 0
