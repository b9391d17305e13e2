"""Linear regression on costs alone: the baseline that a surrogate has to beat."""

import numpy as np
import torch
from torch import Tensor

from surrogate_nas.foundation.arrays import Floats
from surrogate_nas.surrogates.normal_model import NormalModel
from surrogate_nas.surrogates.training_set import TrainingSet

FEWEST_ROWS = 2
"""Fewest rows of a position for it to have a trend of its own; otherwise it has that of all rows."""


class BySize(NormalModel):
    """Linear trends of each target on the costs, one for each position of exits, with their residual variances."""

    positions: Tensor
    trend: Tensor
    variance: Tensor

    def __init__(self, training: TrainingSet) -> None:
        super().__init__()
        self.place = training.columns("position")
        at = training.X[:, self.place]
        own = [row for row in np.unique(at, axis=0) if self.place and (at == row).all(1).sum() >= FEWEST_ROWS]
        parts = [training, *(training.rows(np.flatnonzero((at == row).all(1))) for row in own)]
        self.register_buffer("positions", torch.from_numpy(np.array(own).reshape(len(own), len(self.place))))
        trends = [part.trend("cost", "passes") for part in parts]
        variances = [_residual_variance(part, trend) for part, trend in zip(parts, trends, strict=True)]
        self.register_buffer("trend", torch.from_numpy(np.array(trends)))
        self.register_buffer("variance", torch.from_numpy(np.array(variances)))

    @property
    def num_outputs(self) -> int:
        """Number m of targets."""
        return self.trend.shape[-1]

    def joint(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """(…, q, m) means and (…, m, q, q) covariances at (…, q, d) inputs: errors are independent."""
        mean = X @ self.trend[0, 1:] + self.trend[0, 0]
        variance = self.variance[0].expand_as(mean)
        for k, position in enumerate(self.positions, start=1):
            here = (X[..., self.place] == position).all(-1, keepdim=True)
            mean = torch.where(here, X @ self.trend[k, 1:] + self.trend[k, 0], mean)
            variance = torch.where(here, self.variance[k], variance)
        return mean, torch.diag_embed(variance.mT)


def _residual_variance(training: TrainingSet, trend: Floats) -> Floats:
    defined = training.defined
    beyond = np.where(defined, training.Y - trend[0] - training.X @ trend[1:], 0.0)
    return np.asarray((beyond**2).sum(axis=0) / defined.sum(axis=0).clip(1))
