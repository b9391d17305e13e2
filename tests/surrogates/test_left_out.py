"""Predictions of training rows from the rows of other groups, without other fits."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from surrogate_nas.surrogates import gp, xgb
from surrogate_nas.surrogates.folds import folds
from surrogate_nas.surrogates.gp import GaussianProcesses
from surrogate_nas.surrogates.kernels import VIEWS, View
from surrogate_nas.surrogates.training_set import TrainingSet
from surrogate_nas.surrogates.xgb import XGBoostEnsemble


def rows(seed: int, *, noise: bool = False) -> TrainingSet:
    """90 rows of 30 groups, with six choices, a cost and two targets, one of them undefined in every fourth row."""
    rng = np.random.default_rng(seed)
    X = np.concatenate([rng.integers(0, 3, size=(90, 6)) / 2, rng.random((90, 1))], axis=1)
    Y = np.stack([X[:, 0] + X[:, 6] - X[:, 3] * X[:, 2], X[:, 1] - 2 * X[:, 6]], axis=1)
    Y = rng.normal(size=Y.shape) if noise else (Y - Y.mean(axis=0)) / Y.std(axis=0) + 0.3 * rng.normal(size=Y.shape)
    Yvar = np.full(Y.shape, 0.05)
    Yvar[::4, 1] = np.inf
    return TrainingSet(X, ("ordinal",) * 5 + ("nominal", "cost"), Y, Yvar, np.repeat(np.arange(30), 3))


@pytest.mark.parametrize("few", [True, False])
@pytest.mark.parametrize("view", VIEWS)
def test_closed_form_is_a_process_of_the_other_rows_with_hyperparameters_of_other_folds(
    view: View, few: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = rows(0)
    fold = folds(training.group, 0)
    whole = GaussianProcesses.fit(training, view)
    if not few:
        monkeypatch.setattr(gp, "MOST_TO_LEARN", 60)  # of many rows, a fold hardly moves the hyperparameters
    mean, variance = whole.left_out(training.group, fold)
    for group in (0, 7, 29):
        out = training.group == group
        others = GaussianProcesses(training.rows(np.flatnonzero(~out)), view)
        for block, fitted, part, index in zip(others.blocks, whole.blocks, whole.parts, whole.rows, strict=True):
            block.adopt(fitted.relearned(part, (fold != fold[out][0])[index]) if few else fitted)
        expected = others.eval().joint(torch.from_numpy(training.X[out])[:, None])
        defined = training.defined[out]
        np.testing.assert_allclose(mean[out][defined], expected[0][:, 0].detach().numpy()[defined], atol=1e-6)
        np.testing.assert_allclose(
            variance[out][defined], expected[1][..., 0, 0].detach().numpy()[defined], rtol=1e-4, atol=1e-6
        )


def test_a_booster_says_nothing_of_a_group_that_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xgb, "ROUNDS", 20)
    monkeypatch.setattr(xgb, "BLOCK", 20)  # the rounds are fixed: those that were left out would decide them
    training = rows(0)
    Y = training.Y.copy()
    Y[:3] += 5
    before, after = (left_out(replace(training, Y=target))[0] for target in (training.Y, Y))
    own = training.defined & (training.group == 0)[:, None]
    assert (before[own] == after[own]).all()
    assert (before[~own] != after[~own]).any()


@pytest.mark.parametrize("seed", range(3))
def test_pure_noise_is_not_foretold(seed: int) -> None:
    training = rows(seed, noise=True)
    process = GaussianProcesses.fit(training, "hamming")
    for mean, _ in (left_out(training), process.left_out(training.group, folds(training.group, seed))):
        defined = training.defined
        assert np.mean((training.Y - mean)[defined] ** 2) > 0.9 * np.mean(training.Y[defined] ** 2)


def left_out(training: TrainingSet) -> tuple[np.ndarray, np.ndarray]:
    result = XGBoostEnsemble(training).fit(training, 0).left_out(training.group, folds(training.group, 0))
    assert result is not None
    return result


def test_the_variance_of_a_row_that_a_booster_left_out_does_not_know_its_error() -> None:
    result = XGBoostEnsemble(rows(0)).fit(rows(0), 0).left_out(rows(0).group, rows(0).group)
    assert result is not None
    assert np.ptp(result[1], axis=0).max() == 0
