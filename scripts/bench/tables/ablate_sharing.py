"""Ways to model what exits of different positions tell of each other, as surrogates for `eenn_surrogates.py`.

    python scripts/bench/tables/eenn_surrogates.py data/eenn-cifar10 --surrogate gp-hamming
    python scripts/bench/tables/eenn_surrogates.py data/eenn-cifar10 --surrogate ablate_sharing:alone
    python scripts/bench/tables/eenn_surrogates.py data/eenn-cifar10 --surrogate ablate_sharing:pooled
    python scripts/bench/tables/eenn_surrogates.py data/eenn-cifar10 --surrogate ablate_sharing:hierarchical

`gp-hamming` is a part of the package's Gaussian processes: exits of all positions are rows of one table, and the
position is a choice among others, with an effect. Here are, with the same kernel:

- `alone`: exits of each position have a model of their own;
- `pooled`: positions are not told apart, but by the costs and features of their places;
- `hierarchical`: besides what all positions share, each has a function of its own (a coregionalised model whose
  coregionalisation matrix is v 1 1ᵀ + w I).
"""

from dataclasses import replace
from typing import cast

import numpy as np
import torch
from gpytorch.constraints import GreaterThan
from gpytorch.kernels import Kernel, ScaleKernel
from gpytorch.priors import LogNormalPrior
from torch import Tensor

from surrogate_nas.surrogates.gp import GaussianProcesses
from surrogate_nas.surrogates.inputs import Inputs
from surrogate_nas.surrogates.kernels import SMALLEST, VIEWS, HammingKernel, View
from surrogate_nas.surrogates.normal_model import NormalModel
from surrogate_nas.surrogates.training_set import TrainingSet


class Alone(NormalModel):
    """Gaussian processes for each position, of its own rows; elsewhere the prior."""

    def __init__(self, training: TrainingSet) -> None:
        super().__init__()
        (self.column,), self.targets = training.columns("position"), training.outputs
        at = training.X[:, self.column]
        self.models = {
            position: GaussianProcesses.fit(training.rows(np.flatnonzero(at == position)), "hamming")
            for position in np.unique(at)
        }

    @property
    def num_outputs(self) -> int:
        """Number m of targets."""
        return self.targets

    def joint(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """(…, q, m) means and (…, m, q, q) covariances at (…, q, d) inputs."""
        mean = X.new_zeros(*X.shape[:-1], self.targets)
        covariance = torch.eye(X.shape[-2], dtype=X.dtype).expand(*X.shape[:-2], self.targets, -1, -1)
        for position, model in self.models.items():
            here, (own_mean, own) = X[..., self.column] == position, model.joint(X)
            mean = torch.where(here[..., None], own_mean, mean)
            covariance = torch.where((here[..., :, None] & here[..., None, :])[..., None, :, :], own, covariance)
        return mean, covariance


class Pooled(NormalModel):
    """Gaussian processes of all rows, of which none has a position."""

    def __init__(self, training: TrainingSet) -> None:
        super().__init__()
        (self.column,) = training.columns("position")
        X = self._without_position(torch.from_numpy(training.X)).numpy()
        self.model = GaussianProcesses.fit(replace(training, X=X), "hamming")

    @property
    def num_outputs(self) -> int:
        """Number m of targets."""
        return self.model.num_outputs

    def joint(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """(…, q, m) means and (…, m, q, q) covariances at (…, q, d) inputs."""
        return self.model.joint(self._without_position(X))

    def _without_position(self, X: Tensor) -> Tensor:
        return X.index_fill(-1, torch.tensor(self.column), 0.0)


class OfPosition(Kernel):  # type: ignore[misc]
    """A kernel between exits of the same position, 0 between others."""

    def __init__(self, kernel: Kernel, column: int) -> None:
        super().__init__(batch_shape=kernel.batch_shape)
        self.kernel, self.column = kernel, column

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **options: object) -> Tensor:
        """(…, n, n') covariances, or their (…, n) diagonal if `diag`."""
        covariance: Tensor = self.kernel.forward(x1, x2, diag=diag)
        return covariance if diag else covariance * (x1[..., :, None, self.column] == x2[..., None, :, self.column])


def alone(training: TrainingSet, seed: int) -> NormalModel:
    """A model for each position."""
    return Alone(training)


def pooled(training: TrainingSet, seed: int) -> NormalModel:
    """One model of all exits, without their positions."""
    return Pooled(training)


def hierarchical(training: TrainingSet, seed: int) -> NormalModel:
    """A function that all positions share, and one of each position."""
    return GaussianProcesses.fit(training, cast("View", "hierarchical"))


def _with_own_functions(inputs: Inputs, batch: torch.Size) -> Kernel:
    own = ScaleKernel(
        HammingKernel(inputs, batch),
        batch_shape=batch,
        outputscale_prior=LogNormalPrior(-1.0, 2.0),
        outputscale_constraint=GreaterThan(SMALLEST),
    )
    own.outputscale = 0.5
    return VIEWS["hamming"](inputs, batch) + OfPosition(own, inputs.effects[0])  # the position comes first


cast("dict[str, object]", VIEWS)["hierarchical"] = _with_own_functions
