"""Gaussian processes: one per curve coefficient, fitted together as one batched BoTorch model."""

import warnings

import torch
from botorch.exceptions.warnings import InputDataWarning, OptimizationWarning
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.model import Model
from gpytorch.likelihoods import FixedNoiseGaussianLikelihood
from gpytorch.means import Mean
from gpytorch.mlls import ExactMarginalLogLikelihood
from linear_operator.utils.warnings import NumericalWarning
from torch import Tensor

from surrogate_nas.surrogates.design import DesignMatrix

UNDEFINED_NOISE = 1e4
SMALLEST_NOISE = 1e-4
FIT_ITERATIONS = 75


class CostTrend(Mean):  # type: ignore[misc]
    """A fixed linear mean per output: what the costs alone explain."""

    weights: Tensor

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.register_buffer("weights", weights)

    def forward(self, x: Tensor) -> Tensor:
        """(… × n × d) to (… × n), where the last batch dimension is that of the m outputs."""
        weights = self.weights.T  # (m, 1 + d)
        mean: Tensor = (x * weights[:, None, 1:]).sum(-1) + weights[:, :1]
        return mean


def build_gp(design: DesignMatrix) -> SingleTaskGP:
    """An unfitted model of the design's rows.

    The noise of a row is its known sampling variance plus a learned part: that of training with another seed. A
    target that is undefined has so much noise that it says nothing.
    """
    X = torch.from_numpy(design.X)
    Y = torch.from_numpy(design.Y)
    noise = torch.from_numpy(design.Yvar).clamp(SMALLEST_NOISE, UNDEFINED_NOISE)
    likelihood = FixedNoiseGaussianLikelihood(
        noise=noise.T.contiguous(), learn_additional_noise=True, batch_shape=torch.Size([Y.shape[1]])
    )
    trend = CostTrend(torch.from_numpy(design.trend))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputDataWarning)  # targets are standardised over the rows that define them
        return SingleTaskGP(X, Y, likelihood=likelihood, mean_module=trend, outcome_transform=None)


def fit_gp(design: DesignMatrix, seed: int) -> Model:
    """Maximum a posteriori hyperparameters. The seed is not needed: nothing is drawn."""
    del seed
    model = build_gp(design)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizationWarning)  # a fit cut at the iteration limit is good enough
        warnings.simplefilter("ignore", NumericalWarning)  # jitter on lattices of inputs is normal
        fit_gpytorch_mll(
            ExactMarginalLogLikelihood(model.likelihood, model),
            optimizer_kwargs={"options": {"maxiter": FIT_ITERATIONS}}, max_attempts=1,
        )  # fmt: skip
    return model.eval()
