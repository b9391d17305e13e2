"""Gradient-boosted trees: a bootstrap ensemble of multi-output XGBoost models, as a BoTorch model."""

import itertools

import numpy as np
import torch
import xgboost
from torch import Tensor

from surrogate_nas.foundation.arrays import Floats, Floats32
from surrogate_nas.surrogates.inputs import Inputs
from surrogate_nas.surrogates.normal_model import NormalModel
from surrogate_nas.surrogates.training_set import TrainingSet

MEMBERS = 8
ROUNDS = 150
PARAMETERS = {
    "max_depth": 3,
    "eta": 0.06,
    "subsample": 0.7,
    "colsample_bynode": 0.4,
    "lambda": 1.0,
    "min_child_weight": 1.0,
    "tree_method": "hist",
    "multi_strategy": "multi_output_tree",
    "nthread": 1,
    "base_score": 0.0,
    "max_bin": 64,
}
NETWORK_VARIANCE = 0.3
"""Variance of a unit-variance target over training seeds, without sampling noise."""


class XGBoostEnsemble(NormalModel):
    """Ensemble of boosters, each fitted to a bootstrap sample of architectures, for the residuals of a linear trend on
    the costs."""

    trend: Tensor

    def __init__(self, training: TrainingSet) -> None:
        super().__init__()
        self.inputs = Inputs(training)
        self.register_buffer("trend", torch.from_numpy(training.trend))
        self.boosters: list[xgboost.Booster] = []

    @property
    def num_outputs(self) -> int:
        """Number m of targets."""
        return self.trend.shape[1]

    def members(self, X: Tensor) -> Tensor:
        """(members, n, m) predictions of each member at (n, d) inputs."""
        matrix = xgboost.DMatrix(self.inputs(X)[:, self.inputs.ordinal].numpy(), nthread=1)
        predictions = np.stack([booster.predict(matrix).reshape(len(X), -1) for booster in self.boosters])
        return torch.from_numpy(predictions).to(X.dtype) + X @ self.trend[1:] + self.trend[0]

    def marginals(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """(n, m) means and variances over members at (n, d) inputs."""
        predictions = self.members(X)
        return predictions.mean(0), predictions.var(0)

    def joint(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """(…, q, m) means and (…, m, q, q) covariances over members at (…, q, d) inputs."""
        predictions = self.members(X.reshape(-1, X.shape[-1])).reshape(len(self.boosters), *X.shape[:-1], -1)
        mean = predictions.mean(0)
        deviation = (predictions - mean).movedim(0, -1).movedim(-2, -3)  # (…, m, q, members)
        return mean, deviation @ deviation.mT / (len(self.boosters) - 1)

    def get_extra_state(self) -> Tensor:
        """The boosters in XGBoost's own format: their number and lengths in bytes as int64, then the bytes."""
        raw = [bytes(booster.save_raw("ubj")) for booster in self.boosters]
        lengths = np.array([len(raw), *map(len, raw)], dtype="<i8").tobytes()
        return torch.frombuffer(bytearray(b"".join([lengths, *raw])), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Restore the boosters from the result of `get_extra_state`."""
        content = state.numpy().tobytes()
        count = int(np.frombuffer(content, "<i8", 1)[0])
        ends = 8 * (count + 1) + np.cumsum(np.frombuffer(content, "<i8", count, 8))
        self.boosters = []
        for start, end in itertools.pairwise([8 * (count + 1), *ends.tolist()]):
            booster = xgboost.Booster({"nthread": 1})
            booster.load_model(bytearray(content[start:end]))
            self.boosters.append(booster)

    def fit(self, training: TrainingSet, seed: int) -> "XGBoostEnsemble":
        """Fit by weighted least squares to the residuals of the trend on the costs; undefined targets have weight 0."""
        rng = np.random.default_rng(seed)
        weight = np.where(training.defined, 1 / (training.Yvar + NETWORK_VARIANCE), 0.0)
        weight /= np.maximum(weight.max(axis=0), 1e-12)
        groups = int(training.group.max()) + 1
        X = self.inputs(torch.from_numpy(training.X))[:, self.inputs.ordinal].numpy()
        for member in range(MEMBERS):
            counts = np.bincount(rng.integers(groups, size=groups), minlength=groups)[training.group]
            self.boosters.append(
                _booster(X, training.beyond_trend(), weight * counts[:, None], seed * MEMBERS + member)
            )
        return self


def _booster(X: Floats, Y: Floats, weight: Floats, seed: int) -> xgboost.Booster:
    has_weight = weight.any(axis=1)
    rows, target, weight = xgboost.DMatrix(X[has_weight], Y[has_weight], nthread=1), Y[has_weight], weight[has_weight]

    def squared_error(predicted: Floats32, _: xgboost.DMatrix) -> tuple[Floats, Floats]:
        return weight * (predicted.reshape(target.shape) - target), weight

    return xgboost.train({**PARAMETERS, "seed": seed}, rows, ROUNDS, obj=squared_error)
