"""Laws of curves fitted to measurements, and of the covariance of their errors."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import expit

from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.operating_point import OFF
from surrogate_nas.exits.policies import PolicyName
from surrogate_nas.foundation.arrays import Floats
from surrogate_nas.surrogates.curve_fit import PRIOR_SD, effect_of_groups, fit_curve, fit_curves
from surrogate_nas.surrogates.curve_likelihood import CurveLikelihood, cells_of
from surrogate_nas.surrogates.curves import CurveBasis, shared_thresholds
from surrogate_nas.surrogates.targets import Targets
from tests.helpers.outputs import SAMPLES, problem, records, tune_exits

BASIS = CurveBasis(3)
GRID = BASIS.spread(64)


def drawn_images(rng: np.random.Generator, n: int, *, members: int = 1) -> Exits:
    """Images drawn anew for one network, whose scores follow no curve of the basis; `members` of a group have equal
    hardness and errors."""
    easy, noise = np.repeat(rng.normal(size=n // members), members), np.repeat(rng.random(n // members), members)
    sure = easy + np.array([[-0.5], [0.3], [1.0]]) + 0.6 * rng.normal(size=(3, n))
    right = noise < 0.2 + 0.75 * expit(1.5 * sure + 1)
    scores = (0.1 + 0.9 * expit(2 * sure)).astype(np.float32)
    view = tune_exits(records(problem(), 2))[0]
    groups = np.arange(n) // members
    return Exits("max_softmax", np.ones(3, dtype=bool), scores, right, view.cost, groups)


@pytest.mark.parametrize("policy", ["max_softmax", "cumulative_gate"])
@pytest.mark.parametrize("present", [(True, True, True), (False, True, True), (False, False, True)])
def test_cells_are_where_samples_leave_and_whether_they_are_right(
    policy: PolicyName, present: tuple[bool, ...]
) -> None:
    view = replace(drawn_images(np.random.default_rng(0), 200), policy=policy, present=np.array(present))
    exits = np.flatnonzero(present)
    for row, cells in zip(GRID, cells_of(view, GRID), strict=True):
        leaving = view.leave(row)
        np.testing.assert_array_equal(exits[cells % len(exits)], leaving)
        np.testing.assert_array_equal(cells < len(exits), view.right(leaving))


@pytest.mark.parametrize("positions", [1, 2, 4])
def test_derivatives_of_the_likelihood_are_those_of_its_value(positions: int) -> None:
    basis, rng = CurveBasis(positions), np.random.default_rng(positions)
    thresholds = shared_thresholds(positions, 10)
    counts = rng.integers(0, 50, (2, positions, len(thresholds))).astype(np.float64)
    counts[:, :-1] *= np.isfinite(thresholds.T)  # nobody leaves where an exit is off
    likelihood, at = CurveLikelihood(basis, thresholds, counts), rng.normal(size=basis.size)
    derivatives = likelihood.derivatives(likelihood.at(at))
    for j, nudge in enumerate(1e-5 * np.eye(basis.size)):
        above, below = likelihood.at(at + nudge), likelihood.at(at - nudge)
        slope = (likelihood.value(above) - likelihood.value(below)) / 2e-5
        assert derivatives.gradient[j] == pytest.approx(slope, rel=1e-6, abs=1e-5)
        bend = (likelihood.derivatives(above).gradient - likelihood.derivatives(below).gradient) / 2e-5
        np.testing.assert_allclose(derivatives.curvature[j], -bend, rtol=1e-5, atol=1e-4)
        logs = (np.log(above.cells) - np.log(below.cells)) / 2e-5
        np.testing.assert_allclose(derivatives.slopes[:, j], logs.ravel(), rtol=1e-5, atol=1e-6)


def test_cells_of_the_likelihood_are_those_of_the_composed_curve() -> None:
    at = np.random.default_rng(0).normal(size=BASIS.size)
    cells = CurveLikelihood(BASIS, GRID, np.zeros((2, 3, 64))).at(at).cells
    curve = BASIS.compose(torch.from_numpy(at), torch.from_numpy(GRID), torch.ones(3, dtype=torch.bool))
    np.testing.assert_allclose(cells.sum(0).T, curve.rates.numpy().clip(2e-9), atol=1e-12)
    np.testing.assert_allclose(cells[0].T, (curve.rates * curve.exit_accuracy).numpy().clip(1e-9), atol=1e-9)


@pytest.mark.parametrize("members", [1, 4])
def test_the_covariance_is_that_of_the_estimates_over_samples_drawn_anew(members: int) -> None:
    rng, members_of_all = np.random.default_rng(0), 1200 // members
    population = drawn_images(rng, 1200, members=members)
    covariance = fit_curve(BASIS, population, GRID).covariance
    estimates = []
    for _ in range(80):
        groups = rng.integers(members_of_all, size=members_of_all)
        images = (members * groups[:, None] + np.arange(members)).ravel()
        scores, correct = population.scores[:, images], population.correct[:, images]
        numbers = np.repeat(np.arange(members_of_all), members)
        estimates.append(
            fit_curve(BASIS, replace(population, scores=scores, correct=correct, groups=numbers), GRID).values
        )
    variances, axes = np.linalg.eigh(covariance)
    ratio = np.var(np.array(estimates) @ axes, axis=0) / variances
    assert variances[7] < 0.01 * PRIOR_SD**2
    assert 0.8 < ratio[:8].mean() < 1.2  # of the best-determined directions
    assert ((ratio[:8] > 0.6) & (ratio[:8] < 1.6)).all()
    assert 0.7 < np.median(ratio[variances < 0.05 * PRIOR_SD**2]) < 1.3
    assert (ratio[variances > 0.5 * PRIOR_SD**2] < 0.5).all()  # known by the prior alone


def test_where_nobody_leaves_the_coefficients_are_as_unknown_as_the_prior_says() -> None:
    view = drawn_images(np.random.default_rng(0), 600)
    scores = view.scores.copy()
    scores[0] = 0.0
    deviations = np.sqrt(fit_curve(BASIS, replace(view, scores=scores), GRID).covariance.diagonal())
    assert (deviations[BASIS.right[0]] > 0.9 * PRIOR_SD).all()
    assert (deviations[BASIS.right[2]] < 0.3 * PRIOR_SD).all()
    absent = fit_curve(BASIS, replace(view, present=np.array([False, True, True])), GRID)
    assert (absent.values[BASIS.right[0]] == 0).all()
    np.testing.assert_array_equal(absent.covariance[BASIS.leave[0], BASIS.leave[0]], np.eye(6) * PRIOR_SD**2)


def test_the_fit_of_a_network_is_the_same_bits_whatever_other_networks_there_are() -> None:
    exits = tune_exits(records(problem(), 8))
    together = fit_curves(BASIS, exits, GRID)
    for i in (0, 3):
        alone = fit_curves(BASIS, exits[i : i + 1], GRID)
        for name in ("values", "covariance", "nominal"):
            np.testing.assert_array_equal(getattr(alone, name)[0], getattr(together, name)[i])


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
    for name in ("samples", "Y", "Yvar", "center", "rotation", "unknown"):  # to the last digit
        np.testing.assert_array_equal(getattr(single, name), getattr(plain, name))

    naive, grouped = (Targets.of([repeated(e, 5, grouped=g) for e in exits], group) for g in (False, True))
    assert (plain.samples, naive.samples) == (SAMPLES, 5 * SAMPLES)
    assert grouped.samples == pytest.approx(SAMPLES, rel=0.01)
    effects = np.array([effect_of_groups(repeated(e, 5, grouped=True), GRID) for e in exits])
    assert effects == pytest.approx(5, rel=0.01)
    plain_noise, grouped_noise, naive_noise = (
        fit_curves(BASIS, of, GRID).covariance.diagonal(0, 1, 2)
        for of in (exits, *([repeated(e, 5, grouped=g) for e in exits] for g in (True, False)))
    )
    np.testing.assert_allclose(grouped_noise, plain_noise, rtol=0.02)
    known = plain_noise < 1.0
    assert (naive_noise < 0.5 * plain_noise)[known].mean() > 0.8


def rmse_of(values: Floats, exits: list[Exits], grid: Floats) -> tuple[float, float]:
    """Root mean square errors of composed accuracies and exit rates."""
    present = torch.from_numpy(np.array([e.present for e in exits]))
    curve = BASIS.compose(torch.from_numpy(values)[:, None], torch.from_numpy(grid)[None], present[:, None])
    measured = [e.measure(grid) for e in exits]
    accuracy, rates = np.array([m.accuracy for m in measured]), np.array([m.rates for m in measured])
    errors = curve.accuracy.numpy() - accuracy, curve.rates.numpy() - rates
    return float(np.sqrt(np.mean(errors[0] ** 2))), float(np.sqrt(np.mean(errors[1] ** 2)))


def test_the_fitted_curves_give_back_what_was_measured() -> None:
    exits = tune_exits(records(problem(), 41))
    accuracy, rates = rmse_of(fit_curves(BASIS, exits, GRID).values, exits, shared_thresholds(3, 50, seed=1))
    assert accuracy < 0.015
    assert rates < 0.025


def test_a_network_without_early_exits_is_fitted_too() -> None:
    view = drawn_images(np.random.default_rng(0), 600)
    alone = replace(view, present=np.array([False, False, True]))
    values = fit_curve(BASIS, alone, GRID).values
    curve = BASIS.compose(
        torch.from_numpy(values), torch.full((2,), OFF, dtype=torch.float64), torch.from_numpy(alone.present)
    )
    assert float(curve.accuracy) == pytest.approx(view.correct[-1].mean(), abs=0.01)
