"""Laws of the boosted trees."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xgboost

from surrogate_nas.foundation import threads
from surrogate_nas.foundation.arrays import Floats
from surrogate_nas.surrogates import xgb
from surrogate_nas.surrogates.metrics import kendall
from surrogate_nas.surrogates.normal_model import marginals
from surrogate_nas.surrogates.training_set import InputKind, TrainingSet
from surrogate_nas.surrogates.xgb import XGBoostEnsemble

CHOICES = 24
KINDS: tuple[InputKind, ...] = (*["ordinal"] * (CHOICES - 4), *["nominal"] * 4, "cost")
PLAIN = {"max_depth": 4, "eta": 0.05, "subsample": 0.7, "colsample_bytree": 0.4, "nthread": 1}


def table(n: int, seed: int = 0, *, noise: float = 0.5, m: int = 1) -> tuple[TrainingSet, Floats, Floats]:
    """n rows of choices with interactions, a cost and noise; and the inputs and noisy targets of 300 others."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, size=(n + 300, CHOICES))
    cost = np.log1p(codes[:, :6]).mean(axis=1, keepdims=True)
    X = np.concatenate([codes / 3, cost], axis=1)
    effects, pairs = rng.normal(size=(m, CHOICES, 4)), rng.normal(size=(m, CHOICES // 2, 4, 4))
    effects *= rng.gamma(0.5, size=(m, CHOICES, 1))
    y = np.array([effects[j, np.arange(CHOICES), codes].sum(axis=1) for j in range(m)])
    y += 0.3 * np.array([p[np.arange(CHOICES // 2), codes[:, ::2], codes[:, 1::2]].sum(axis=1) for p in pairs])
    y = (y - y.mean(axis=1, keepdims=True)) / y.std(axis=1, keepdims=True) + noise * rng.normal(size=y.shape)
    Y = (y / y.std(axis=1, keepdims=True)).T
    return TrainingSet(X[:n], KINDS, Y[:n], np.zeros((n, m)), np.arange(n)), X[n:], Y[n:]


def predicted(training: TrainingSet, X: Floats, seed: int = 0) -> tuple[Floats, Floats]:
    mean, variance = marginals(XGBoostEnsemble(training).fit(training, seed), torch.from_numpy(X))
    return mean.numpy(), variance.numpy()


def plain(training: TrainingSet, X: Floats) -> Floats:
    """Mean of five boosters on the inputs as they are."""
    rows = xgboost.DMatrix(training.X, training.Y[:, 0], nthread=1)
    boosters = [xgboost.train({**PLAIN, "seed": seed}, rows, 400) for seed in range(5)]
    return np.mean([booster.predict(xgboost.DMatrix(X, nthread=1)) for booster in boosters], axis=0, dtype=np.float64)


def test_noisy_tables_are_ranked_at_least_as_well_as_by_plain_boosters() -> None:
    lead = []
    for seed in range(4):
        training, X, y = table(100, seed)
        lead.append(kendall(predicted(training, X)[0][:, 0], y[:, 0]) - kendall(plain(training, X), y[:, 0]))
    assert np.mean(lead) > 0


def test_the_number_of_cores_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    training, _, _ = table(40, m=3)
    states = []
    for cores in (1, 4):
        monkeypatch.setattr(threads, "available_cores", lambda cores=cores: cores)
        states.append(XGBoostEnsemble(training).fit(training, 7).state_dict())
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_one_member_knows_nothing_of_an_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xgb, "ROUNDS", 20)
    monkeypatch.setattr(xgb, "BLOCK", 20)  # the rounds are fixed: those that were left out would decide them
    training, X, _ = table(40)
    doubled = replace(training.rows(np.repeat(np.arange(40), 2)), group=np.repeat(np.arange(40), 2))
    Y = doubled.Y.copy()
    Y[:2] += 5
    before, after = (
        XGBoostEnsemble(rows).fit(rows, 0).members(torch.from_numpy(X)) for rows in (doubled, replace(doubled, Y=Y))
    )
    unmoved = [torch.equal(a, b) for a, b in zip(before, after, strict=True)]
    assert sum(unmoved) == 1


def test_noise_ends_boosting_earlier_than_signal() -> None:
    clean, _, _ = table(120, noise=0.0)
    noise = replace(clean, Y=np.random.default_rng(0).normal(size=clean.Y.shape))
    rounds = [XGBoostEnsemble(t).fit(t, 0).boosters[0][0].num_boosted_rounds() for t in (clean, noise)]
    assert rounds[0] > 2 * rounds[1]


def test_undefined_targets_and_other_targets_change_nothing() -> None:
    training, X, _ = table(60, m=2)
    Yvar = np.where(np.arange(60)[:, None] % 3 == 0, np.inf, training.Yvar)
    nonsense = np.where(np.isinf(Yvar), 1e3, training.Y)
    nonsense[:, 1] *= -1
    before, after = (predicted(replace(training, Y=Y, Yvar=Yvar), X) for Y in (training.Y, nonsense))
    assert (before[0][:, 0] == after[0][:, 0]).all()
    assert (before[1][:, 0] == after[1][:, 0]).all()


def test_a_noisy_row_counts_less() -> None:
    training, X, _ = table(60)
    Y = training.Y.copy()
    Y[:10] += 3
    moved = []
    for noise in (0.0, 30.0):
        Yvar = np.where(np.arange(60)[:, None] < 10, noise, 0.0)
        clean, wrong = (predicted(replace(training, Y=target, Yvar=Yvar), X)[0] for target in (training.Y, Y))
        moved.append(np.abs(wrong - clean).mean())
    assert moved[1] < 0.3 * moved[0]


def test_the_spread_is_larger_where_errors_are() -> None:
    ratios, shares = [], []
    for seed in range(10):
        training, X, y = table(150, seed, noise=0.0)
        mean, variance = (part[:, 0] for part in predicted(training, X))
        error = (y[:, 0] - mean) ** 2
        low, high = np.quantile(variance, [1 / 3, 2 / 3])
        ratios.append(error[variance > high].mean() / error[variance < low].mean())
        shares.append(variance.mean() / error.mean())
    assert np.mean(ratios) > 1.1
    assert 0.1 < np.mean(shares) < 2


@pytest.mark.parametrize("architectures", [1, 2, 3])
def test_few_architectures_give_finite_predictions(architectures: int) -> None:
    training, X, _ = table(architectures, m=2)
    lacking = replace(training, Yvar=np.where([True, False], np.inf, training.Yvar))
    for rows in (training, lacking):
        mean, variance = predicted(rows, X)
        assert np.isfinite(mean).all()
        assert np.isfinite(variance).all()
