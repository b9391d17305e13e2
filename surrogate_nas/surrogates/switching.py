"""Adaptive switching of MSuNAS and the EENN searches based on it: for each target, the one of four regressors whose
ranking is best and most stable over folds (Lu et al., arXiv 2007.10396; EDANAS; NACHOS)."""

import warnings
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
import torch
from scipy.interpolate import RBFInterpolator
from scipy.stats import kendalltau
from sklearn.ensemble import BaggingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern, WhiteKernel
from sklearn.neural_network import MLPRegressor
from torch import Tensor

from surrogate_nas.foundation.arrays import Array, Floats
from surrogate_nas.surrogates.folds import folds
from surrogate_nas.surrogates.inputs import Inputs
from surrogate_nas.surrogates.normal_model import NormalModel
from surrogate_nas.surrogates.training_set import TrainingSet

TREES = 50
MEAN = "mean"


class Regressor(Protocol):
    """A regressor in the sense of scikit-learn."""

    def fit(self, X: Floats, y: Floats) -> "Regressor":
        """Fit to (n, d) inputs and (n,) targets."""

    def predict(self, X: Floats) -> Floats:
        """(n,) predictions at (n, d) inputs."""


class Mean:
    """Mean of the targets, whatever the inputs; 0 without targets."""

    def fit(self, X: Floats, y: Floats) -> "Mean":
        """Fit to (n, d) inputs and (n,) targets."""
        self.mean = float(y.mean()) if len(y) else 0.0
        return self

    def predict(self, X: Floats) -> Floats:
        """(n,) predictions at (n, d) inputs."""
        return np.full(len(X), self.mean)


class RadialBasis:
    """Cubic radial basis functions with a linear tail."""

    def fit(self, X: Floats, y: Floats) -> "RadialBasis":
        """Interpolate; constant inputs are left out, and targets of identical rows are averaged."""
        self.varies = np.ptp(X, axis=0) > 0
        if not self.varies.any():
            self.surface: Callable[[Floats], Floats] = Mean().fit(X, y).predict
            return self
        rows, of = np.unique(X[:, self.varies], axis=0, return_inverse=True)
        mean = np.bincount(of.ravel(), y) / np.bincount(of.ravel())
        tail = np.linalg.matrix_rank(np.c_[np.ones(len(rows)), rows]) == rows.shape[1] + 1
        self.surface = RBFInterpolator(rows, mean, kernel="cubic" if tail else "linear", degree=1 if tail else 0)
        return self

    def predict(self, X: Floats) -> Floats:
        """(n,) predictions at (n, d) inputs."""
        return np.asarray(self.surface(X[:, self.varies]))


REGRESSORS: Mapping[str, Callable[[int], Regressor]] = {
    "RBF": lambda seed: RadialBasis(),
    "CART ensemble": lambda seed: BaggingRegressor(n_estimators=TREES, random_state=seed),
    "MLP": lambda seed: MLPRegressor(
        hidden_layer_sizes=(64, 64), solver="lbfgs", alpha=1e-2, max_iter=200, random_state=seed
    ),
    "GP": lambda seed: GaussianProcessRegressor(
        1.0 * Matern(1.0, nu=2.5) + WhiteKernel(0.1), normalize_y=True, random_state=seed
    ),
}


class Switching(NormalModel):
    """One regressor for each target; its variance is its mean squared held-out error."""

    variances: Tensor

    def __init__(self, training: TrainingSet, seed: int) -> None:
        super().__init__()
        self.inputs = Inputs(training)
        X = self._columns(torch.from_numpy(training.X))
        self.names, self.regressors, variances = list[str](), list[Regressor](), list[float]()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            for j in range(training.outputs):
                defined = training.defined[:, j]
                y, group = training.Y[defined, j], training.group[defined]
                name, regressor, variance = best_regressor(X[defined], y, group, seed)
                self.names.append(name)
                self.regressors.append(regressor)
                variances.append(variance)
        self.register_buffer("variances", torch.tensor(variances, dtype=torch.float64))

    @property
    def num_outputs(self) -> int:
        """Number m of targets."""
        return len(self.regressors)

    def _columns(self, X: Tensor) -> Floats:
        return np.asarray(self.inputs(X)[..., self.inputs.ordinal].numpy())

    def joint(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """(…, q, m) means and (…, m, q, q) covariances at (…, q, d) inputs: errors are independent."""
        columns = self._columns(X.reshape(-1, X.shape[-1]))
        mean = np.stack([np.asarray(r.predict(columns)).ravel() for r in self.regressors], axis=-1)
        eye = torch.eye(X.shape[-2], dtype=X.dtype)
        covariance = (self.variances[:, None, None] * eye).expand(*X.shape[:-2], -1, -1, -1)
        return torch.from_numpy(mean).reshape(*X.shape[:-1], -1), covariance

    def marginals(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """(n, m) means and variances at (n, d) inputs."""
        mean, _ = self.joint(X)
        return mean, self.variances.expand(len(X), -1)


def best_regressor(X: Floats, y: Floats, group: Array, seed: int) -> tuple[str, Regressor, float]:
    """The regressor with the largest mean − standard deviation of τ over folds: its name, fitted to all rows, and its
    mean squared held-out error.

    With fewer than two groups none can be held out: returns the mean, with the variance of a standardised target.
    """
    fold = folds(group, seed)
    names = np.unique(fold)
    if len(names) < 2:
        return MEAN, Mean().fit(X, y), 1.0
    scores: dict[str, tuple[float, float]] = {}
    for name, make in REGRESSORS.items():
        taus, errors = [], []
        for test in (fold == k for k in names):
            prediction = np.asarray(make(seed).fit(X[~test], y[~test]).predict(X[test])).ravel()
            tau = kendalltau(prediction, y[test]).statistic if np.ptp(prediction) > 0 and np.ptp(y[test]) > 0 else 0.0
            taus.append(tau)
            errors.append(np.mean((prediction - y[test]) ** 2))
        scores[name] = float(np.mean(taus) - np.std(taus)), float(np.mean(errors))
    best = max(scores, key=lambda name: scores[name][0])
    return best, REGRESSORS[best](seed).fit(X, y), scores[best][1]
