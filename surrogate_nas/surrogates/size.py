"""Linear regression on costs alone: the baseline that a surrogate has to beat."""

import torch
from torch import Tensor

from surrogate_nas.surrogates.normal_model import NormalModel
from surrogate_nas.surrogates.training_set import TrainingSet


class BySize(NormalModel):
    """Linear trend of each target on the costs, with its residual variance."""

    trend: Tensor
    variance: Tensor

    def __init__(self, training: TrainingSet) -> None:
        super().__init__()
        self.register_buffer("trend", torch.from_numpy(training.trend))
        counts = training.defined.sum(axis=0).clip(1)
        self.register_buffer("variance", torch.from_numpy((training.beyond_trend() ** 2).sum(axis=0) / counts))

    @property
    def num_outputs(self) -> int:
        """Number m of targets."""
        return self.trend.shape[1]

    def joint(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """(…, q, m) means and (…, m, q, q) covariances at (…, q, d) inputs: errors are independent."""
        covariance = self.variance[:, None, None] * torch.eye(X.shape[-2], dtype=X.dtype)
        return X @ self.trend[1:] + self.trend[0], covariance.expand(*X.shape[:-2], -1, -1, -1)
