"""Laws of the curve basis, and of curves fitted to measurements."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from surrogate_nas.exits.exits import Exits
from surrogate_nas.surrogates.curve_fit import Scoring, effect_of_groups, fit_curves
from surrogate_nas.surrogates.curves import CurveBasis, shared_thresholds
from surrogate_nas.surrogates.targets import Targets
from tests.helpers.outputs import SAMPLES, problem, records, tune_exits

threshold = st.one_of(st.just(np.inf), st.floats(0, 1))


def curve_cases(E: int) -> st.SearchStrategy[tuple]:
    """Coefficients however wild, thresholds, and which early exits exist, for E positions."""
    coefficients = arrays(np.float64, CurveBasis(E).size, elements=st.floats(-1e6, 1e6))
    early = st.lists(st.booleans(), min_size=E - 1, max_size=E - 1)
    return st.tuples(coefficients, st.lists(threshold, min_size=E - 1, max_size=E - 1), early)


@given(st.integers(1, 6).flatmap(curve_cases))
def test_exit_probabilities_are_a_distribution_whatever_the_coefficients(case: tuple) -> None:
    coefficients, thresholds, early = case
    basis, present = CurveBasis(len(early) + 1), torch.tensor([*early, True])
    curve = basis.compose(torch.from_numpy(coefficients), torch.tensor(thresholds, dtype=torch.float64), present)
    assert abs(float(curve.rates.sum()) - 1) < 1e-12
    assert ((curve.rates >= 0) & (curve.rates <= 1)).all()
    assert ((curve.exit_accuracy >= 0) & (curve.exit_accuracy <= 1)).all()
    off = [e for e, t in enumerate(thresholds) if np.isinf(t) or not early[e]]
    assert (curve.rates[off] == 0).all()


@given(st.integers(2, 6).flatmap(curve_cases), st.data())
def test_a_higher_threshold_never_lets_more_samples_leave(case: tuple, data: st.DataObject) -> None:
    coefficients, thresholds, early = case
    basis, present = CurveBasis(len(early) + 1), torch.tensor([*early, True])
    e = data.draw(st.integers(0, len(early) - 1))
    low, high = sorted([data.draw(threshold), data.draw(threshold)])
    rows = torch.tensor(thresholds, dtype=torch.float64).repeat(2, 1)
    rows[:, e] = torch.tensor([low, high])
    rates = basis.compose(torch.from_numpy(coefficients), rows, present).rates[:, e]
    assert rates[1] <= rates[0] + 1e-15


def test_slopes_of_the_counts_are_their_derivatives() -> None:
    basis, rng = CurveBasis(4), np.random.default_rng(0)
    at = torch.from_numpy(rng.normal(size=(3, basis.size)))
    present = torch.tensor([[True, True, True, True], [True, False, True, True], [False, False, False, True]])
    scoring = Scoring(basis, torch.from_numpy(shared_thresholds(4, 10)), present, torch.ones(3, 10, 8))
    _, slopes = scoring.slopes(at, slice(0, 3))
    for j in range(basis.size):
        nudge = torch.zeros(basis.size).double()
        nudge[j] = 1e-6
        above, below = (scoring.slopes(at + sign * nudge, slice(0, 3))[0] for sign in (1, -1))
        assert torch.allclose(slopes[..., j], (above - below) / 2e-6, atol=1e-6)


def repeated(exits: Exits, copies: int, *, grouped: bool) -> Exits:
    """Each sample several times in a row, as a group or as if they were independent."""
    groups = np.repeat(np.arange(exits.samples), copies) if grouped else None
    scores, correct = (np.repeat(array, copies, axis=1) for array in (exits.scores, exits.correct))
    return replace(exits, scores=scores, correct=correct, groups=groups)


def test_copies_in_groups_leave_the_noise_of_targets_as_it_was() -> None:
    exits = tune_exits(records(problem(), 12))
    group = np.arange(len(exits))
    plain = Targets.of(exits, group)
    single = Targets.of([repeated(e, 1, grouped=True) for e in exits], group)
    for name in ("samples", "Y", "Yvar", "center", "rotation", "prior_sd"):  # to the last digit
        np.testing.assert_array_equal(getattr(single, name), getattr(plain, name))

    naive, grouped = (Targets.of([repeated(e, 5, grouped=g) for e in exits], group) for g in (False, True))
    assert (plain.samples, naive.samples) == (SAMPLES, 5 * SAMPLES)
    assert grouped.samples == pytest.approx(SAMPLES, rel=0.01)
    basis = CurveBasis(3)
    grid = basis.spread(64)
    effects = np.array([effect_of_groups(repeated(e, 5, grouped=True), grid) for e in exits])
    assert effects == pytest.approx(5, rel=0.01)
    plain_noise, grouped_noise = (
        fit_curves(basis, [repeated(e, k, grouped=False) for e in exits], grid, of)[1]
        for k, of in ((1, None), (5, effects))
    )
    np.testing.assert_allclose(grouped_noise.diagonal(0, 1, 2), plain_noise.diagonal(0, 1, 2), rtol=0.05)


def test_the_fitted_curves_give_back_what_was_measured() -> None:
    basis, exits = CurveBasis(3), tune_exits(records(problem(), 41))
    values, _ = fit_curves(basis, exits, shared_thresholds(3, 64))
    grid = shared_thresholds(3, 50, seed=1)
    present = torch.from_numpy(np.array([e.present for e in exits]))
    curve = basis.compose(torch.from_numpy(values)[:, None], torch.from_numpy(grid)[None], present[:, None])
    measured = np.array([e.measure(grid).accuracy for e in exits])
    rates = np.array([e.measure(grid).rates for e in exits])
    assert np.sqrt(np.mean((curve.accuracy.numpy() - measured) ** 2)) < 0.015
    assert np.sqrt(np.mean((curve.rates.numpy() - rates) ** 2)) < 0.025
