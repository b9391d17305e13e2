"""Laws of scores, of mixtures, and of what is said of a table's rows."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import kendalltau

from surrogate_nas.surrogates.cross_validation import FittedMember, combine, whole
from surrogate_nas.surrogates.folds import FOLDS, folds
from surrogate_nas.surrogates.metrics import Score, bootstrap_tau, kendall
from surrogate_nas.surrogates.mixture import Mixture, equal_weights, stacking_weights
from surrogate_nas.surrogates.normal_model import NormalModel, marginals
from surrogate_nas.surrogates.registry import MEMBERS, SURROGATES
from surrogate_nas.surrogates.spread import Spread
from surrogate_nas.surrogates.switching import RadialBasis, Switching
from surrogate_nas.surrogates.training_set import TrainingSet
from surrogate_nas.surrogates.validation import widening_of

values = arrays(np.float64, 12, elements=st.sampled_from([0.0, 1.0, 2.0, 3.5]))


@given(values, values)
def test_tau_is_scipys(a: np.ndarray, b: np.ndarray) -> None:
    expected = kendalltau(a, b).statistic
    assert kendall(a, b) == pytest.approx(0.0 if np.isnan(expected) else expected, abs=1e-12)


def test_the_bootstrap_of_tau_spreads_around_it() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=60)
    b = a + rng.normal(size=60)
    draws = bootstrap_tau(a, b, np.arange(60))
    assert np.quantile(draws, 0.05) < kendall(a, b) < np.quantile(draws, 0.95)
    assert abs(draws.mean() - kendall(a, b)) < 0.02
    assert (bootstrap_tau(a, a, np.arange(60)) == 1).all()


def test_a_score_says_what_was_predicted_well() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.7, 0.9, size=(3, 200))
    draws = truth + rng.normal(scale=0.01, size=(500, 3, 200)) + rng.normal(scale=0.01, size=truth.shape)
    score = Score.of("accuracy", truth, Spread.of(draws), np.arange(200), cost=False)
    assert score.n == 200
    assert 0.85 < score.coverage < 0.95
    assert score.rmse == pytest.approx(0.01, rel=0.1)
    assert score.tau_low < score.tau < score.tau_high
    assert 0 <= score.regret < 0.02
    sharper = Score.of("accuracy", truth, Spread.of(draws, 0.3), np.arange(200), cost=False)
    assert sharper.coverage < 0.5
    assert sharper.nll > score.nll  # it claims to know more than it does


def test_what_is_certain_counts_neither_for_coverage_nor_for_likelihood() -> None:
    measured = np.array([[100.0, 200.0, 300.0]])
    draws = np.repeat(measured[None], 50, axis=0)
    draws[:, 0, 2] += np.linspace(-30, 30, 50)
    score = Score.of("expected MACs", measured, Spread.of(draws), np.arange(3), cost=True)
    assert score.coverage == 1
    assert Spread.of(draws).needed_widening(measured, 0.1)[0, :2].tolist() == pytest.approx(
        [np.nan, np.nan], nan_ok=True
    )


def test_widening_covers_nine_in_ten_of_fresh_measurements() -> None:
    rng = np.random.default_rng(1)
    covered = []
    for _ in range(100):
        prediction = Spread.of(rng.normal(scale=0.5, size=(200, 1, 60)))  # half as wide as it should be
        measured = rng.normal(size=(1, 60))
        factor = widening_of(prediction.needed_widening(measured, 0.0)[:, :40])
        fresh = Spread.of(rng.normal(scale=0.5, size=(200, 1, 60)), factor)
        covered.append(np.mean((measured[:, 40:] >= fresh.low[:, 40:]) & (measured[:, 40:] <= fresh.high[:, 40:])))
    assert 0.87 < np.mean(covered) < 0.94


@given(st.integers(0, 1000), st.integers(2, 5))
def test_stacking_weights_are_shares(seed: int, members: int) -> None:
    rng = np.random.default_rng(seed)
    Y, prediction = rng.normal(size=(20, 3)), rng.normal(size=(members, 20, 3))
    Yvar = np.where(rng.random(Y.shape) < 0.2, np.inf, 0.1)
    weights = stacking_weights(prediction, Y, Yvar)
    assert (weights >= 0).all()
    assert np.allclose(weights.sum(axis=0), 1)


def test_stacking_leans_to_what_predicts_held_out_rows_and_few_rows_decide_little() -> None:
    rng = np.random.default_rng(0)
    Y = rng.normal(size=(200, 1))
    prediction = np.stack([Y + 0.1 * rng.normal(size=Y.shape), rng.normal(size=Y.shape)])
    Yvar = np.zeros_like(Y)
    assert stacking_weights(prediction, Y, Yvar)[0, 0] > 0.9
    weights_of_two = stacking_weights(prediction[:, :2], Y[:2], Yvar[:2])
    assert weights_of_two[0, 0] < stacking_weights(prediction, Y, Yvar)[0, 0]
    nothing = np.full_like(Y, np.inf)
    assert (stacking_weights(prediction, Y, nothing) == 0.5).all()


def table(n: int, seed: int = 0) -> tuple[TrainingSet, np.ndarray, np.ndarray]:
    """n rows of six choices and a cost, and 200 others; the last choice has names."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 4, size=(n + 200, 6)) / 3
    cost = X[:, :3].sum(axis=1, keepdims=True) / 3
    y = 2 * cost[:, 0] + X[:, 3] * (X[:, 4] > 0.5) + np.array([0.0, 1.0, -1.0, 0.5])[(X[:, 5] * 3).round().astype(int)]
    y = (y - y.mean()) / y.std()
    inputs = np.concatenate([X, cost], axis=1)
    kinds = ("ordinal",) * 5 + ("nominal", "cost")
    rows = TrainingSet(inputs[:n], kinds, y[:n, None], np.zeros((n, 1)), np.arange(n))
    return rows, inputs[n:], y[n:]


@pytest.mark.parametrize("name", [m for m in MEMBERS if m != "size"])
def test_members_learn_tables_and_give_variances_that_fit(name: str) -> None:
    rows, X, y = table(80)
    mean, variance = marginals(MEMBERS[name].fit(rows, 0), torch.from_numpy(X))
    assert mean.shape == variance.shape == (200, 1)
    assert (variance > 0).all()
    assert kendall(mean[:, 0].numpy(), y) > 0.75


@pytest.mark.parametrize("name", list(MEMBERS))
def test_joint_and_marginal_predictions_agree(name: str) -> None:
    rows, X, _ = table(40)
    model = MEMBERS[name].fit(rows, 0)
    assert isinstance(model, NormalModel)
    with torch.no_grad():
        mean, covariance = model.joint(torch.from_numpy(X[:12]).reshape(3, 4, -1))
    at, variance = marginals(model, torch.from_numpy(X[:12]))
    assert torch.allclose(mean.reshape(12, 1), at, atol=1e-3)
    alone = covariance.diagonal(dim1=-2, dim2=-1).mT.reshape(12, 1)
    assert torch.allclose(alone.clamp_min(1e-3), variance.clamp_min(1e-3), atol=1e-3)
    assert (torch.linalg.eigvalsh(covariance) > -1e-6).all()


def test_a_mixture_of_one_model_with_itself_is_that_model() -> None:
    rows, X, _ = table(40)
    model = MEMBERS["gp-hamming"].fit(rows, 0)
    assert isinstance(model, NormalModel)
    both = marginals(Mixture([model, model], equal_weights(2, 1)), torch.from_numpy(X))
    for ours, its in zip(both, marginals(model, torch.from_numpy(X)), strict=True):
        assert torch.allclose(ours, its)


@pytest.mark.slow
def test_the_stack_is_never_much_worse_than_its_best_member() -> None:
    lacking = []
    for seed in range(3):
        rows, X, y = table(60, seed)
        fold = folds(rows.group, 0)
        assert set(fold) == set(range(FOLDS))
        surrogate = SURROGATES["stack"]
        members = {name: FittedMember.of(rows, fold, name, 0) for name in surrogate.members}
        alone = [
            kendall(marginals(member.model, torch.from_numpy(X))[0][:, 0].numpy(), y) for member in members.values()
        ]
        stack = marginals(whole(rows, surrogate, members), torch.from_numpy(X))[0][:, 0].numpy()
        lacking.append(max(alone) - kendall(stack, y))
        assert combine(rows, fold, surrogate, members).mean.shape == rows.Y.shape
    assert np.mean(lacking) < 0.01


def test_switching_names_what_it_took_and_refits_to_the_same() -> None:
    rows, X, _ = table(40)
    once, again = (Switching(rows, seed=0) for _ in range(2))
    assert once.names == again.names
    assert torch.equal(once.marginals(torch.from_numpy(X))[0], again.marginals(torch.from_numpy(X))[0])


def test_radial_basis_functions_interpolate_even_rows_that_coincide() -> None:
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.random((30, 3)), np.ones((30, 1))], axis=1)  # the last input never varies
    y = X[:, 0] - X[:, 1] ** 2
    twice = RadialBasis().fit(np.concatenate([X, X]), np.concatenate([y, y + 0.2]))
    assert np.allclose(twice.predict(X), y + 0.1, atol=1e-6)
