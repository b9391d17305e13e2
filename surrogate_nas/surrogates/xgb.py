"""Gradient-boosted trees: a bootstrap ensemble of multi-output XGBoost models, as a BoTorch model."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import xgboost
from botorch.models.ensemble import EnsembleModel
from botorch.models.model import Model
from torch import Tensor

from surrogate_nas.surrogates.design import DesignMatrix

MEMBERS = 16
ROUNDS = 120
PARAMETERS = {
    "max_depth": 3, "eta": 0.06, "subsample": 0.8, "colsample_bynode": 0.4, "lambda": 1.0, "min_child_weight": 1.0,
    "tree_method": "hist", "multi_strategy": "multi_output_tree", "nthread": 1, "base_score": 0.0, "max_bin": 64,
}  # fmt: skip
NETWORK_VARIANCE = 0.3  # of a unit-variance target: what another seed would change, besides sampling noise


class XGBoostEnsemble(EnsembleModel):  # type: ignore[misc]
    """Boosters that differ by their bootstrap sample of architectures."""

    def __init__(self, boosters: Sequence[xgboost.Booster], trend: npt.NDArray[np.float64]) -> None:
        super().__init__()
        self.boosters = list(boosters)
        self.trend = torch.from_numpy(trend)
        self._num_outputs = trend.shape[1]

    def forward(self, X: Tensor) -> Tensor:
        """(… × n × d) inputs to (… × members × n × m) targets."""
        rows = xgboost.DMatrix(X.reshape(-1, X.shape[-1]).numpy(), nthread=1)
        members = [torch.from_numpy(booster.predict(rows)) for booster in self.boosters]
        said = torch.stack(members).to(X.dtype).reshape(len(members), *X.shape[:-1], self._num_outputs)
        return said.movedim(0, -3) + (X @ self.trend[1:] + self.trend[0]).unsqueeze(-3)


def fit_xgb(design: DesignMatrix, seed: int) -> Model:
    """Weighted least squares on what the costs alone do not explain; a target that is undefined has weight 0."""
    residual = design.Y - design.trend[0] - design.X @ design.trend[1:]
    rng = np.random.default_rng(seed)
    weight = np.where(np.isfinite(design.Yvar), 1 / (design.Yvar + NETWORK_VARIANCE), 0.0)
    weight /= np.maximum(weight.max(axis=0), 1e-12)
    groups = {a: i for i, a in enumerate(dict.fromkeys(design.architectures))}
    group = np.array([groups[a] for a in design.architectures])
    boosters = []
    for member in range(MEMBERS):
        drawn = np.bincount(rng.integers(len(groups), size=len(groups)), minlength=len(groups))[group]
        boosters.append(_booster(design.X, residual, weight * drawn[:, None], seed * MEMBERS + member))
    return XGBoostEnsemble(boosters, design.trend)


def _booster(
    X: npt.NDArray[np.float64], Y: npt.NDArray[np.float64], weight: npt.NDArray[np.float64], seed: int
) -> xgboost.Booster:
    used = weight.any(axis=1)
    rows, target, weight = xgboost.DMatrix(X[used], Y[used], nthread=1), Y[used], weight[used]

    def squared_error(
        predicted: npt.NDArray[np.float32], _: xgboost.DMatrix
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        return weight * (predicted.reshape(target.shape) - target), weight

    return xgboost.train({**PARAMETERS, "seed": seed}, rows, ROUNDS, obj=squared_error)
