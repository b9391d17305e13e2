"""Kernels of the Gaussian processes: two views of an encoding."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal

import torch
from gpytorch.constraints import GreaterThan
from gpytorch.kernels import AdditiveKernel, Kernel, MaternKernel, RBFKernel, ScaleKernel
from gpytorch.priors import LogNormalPrior
from torch import Tensor

from surrogate_nas.surrogates.inputs import Inputs

View = Literal["ordinal", "hamming"]
SMALLEST = 1e-6
"""Lower bound of hyperparameters, which must be positive."""
TYPICAL_SLOPE = 1.0
"""Median of the logarithm of a slope's variance, for inputs in [0, 1]."""
TYPICAL_EFFECT = -2.0
"""Median of the logarithm of the variance of a choice's effects."""


class HammingKernel(Kernel):  # type: ignore[misc]
    """exp(− Σ 1 / (c ℓ_i)) over the choices i in which two architectures differ, of c choices with length scales ℓ_i.

    BoTorch's `CategoricalKernel`, computed as a product of one-hot matrices.
    """

    has_lengthscale = True

    def __init__(self, inputs: Inputs, batch: torch.Size) -> None:
        super().__init__(
            ard_num_dims=inputs.choices,
            batch_shape=batch,
            lengthscale_prior=LogNormalPrior(0.0, 1.0),
            lengthscale_constraint=GreaterThan(SMALLEST),
        )
        self.hot, self.choice = inputs.hot, inputs.choice
        self.lengthscale = 1.0

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **options: object) -> Tensor:
        """(…, n, n') covariances, or their (…, n) diagonal if `diag`."""
        if diag:
            return torch.ones(*self.batch_shape, x1.shape[-2], dtype=x1.dtype)
        weight = 1 / (self.lengthscale * self.ard_num_dims)
        shared = (x1[..., self.hot] * weight[..., self.choice]) @ x2[..., self.hot].mT
        covariance: Tensor = (shared - weight.sum(-1, keepdim=True)).exp()
        return covariance


class TrendKernel(Kernel):  # type: ignore[misc]
    """1 + Σ v_j (x_j − ½) (x'_j − ½) over costs and counts j: a line and an intercept, neither of them known."""

    def __init__(self, inputs: Inputs, batch: torch.Size) -> None:
        super().__init__(batch_shape=batch)
        self.trended = inputs.trended
        self.register_parameter("raw_slopes", torch.nn.Parameter(torch.zeros(*batch, 1, len(self.trended))))
        self.register_constraint("raw_slopes", GreaterThan(SMALLEST))
        self.register_prior("slopes_prior", LogNormalPrior(TYPICAL_SLOPE, 2.0), lambda kernel: kernel.slopes)
        self.initialize(raw_slopes=self.raw_slopes_constraint.inverse_transform(torch.tensor(math.exp(TYPICAL_SLOPE))))

    @property
    def slopes(self) -> Tensor:
        """(…, 1, c) variance v of the slope along each of them."""
        variance: Tensor = self.raw_slopes_constraint.transform(self.raw_slopes)
        return variance

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **options: object) -> Tensor:
        """(…, n, n') covariances, or their (…, n) diagonal if `diag`."""
        left, right = (_without_batch(x)[..., self.trended] - 0.5 for x in (x1, x2))
        left = left[..., None, :, :] * self.slopes
        if diag:
            return 1 + (left * right[..., None, :, :]).sum(-1)
        covariance: Tensor = 1 + left @ right[..., None, :, :].mT
        return covariance


class EffectsKernel(Kernel):  # type: ignore[misc]
    """Σ v_j over the positions and additive choices j that two exits have in common: each value has an effect."""

    def __init__(self, inputs: Inputs, batch: torch.Size) -> None:
        super().__init__(batch_shape=batch)
        self.effects = inputs.effects
        self.register_parameter("raw_variances", torch.nn.Parameter(torch.zeros(*batch, 1, len(self.effects))))
        self.register_constraint("raw_variances", GreaterThan(SMALLEST))
        self.register_prior("variances_prior", LogNormalPrior(TYPICAL_EFFECT, 2.0), lambda kernel: kernel.variances)
        typical = torch.tensor(math.exp(TYPICAL_EFFECT))
        self.initialize(raw_variances=self.raw_variances_constraint.inverse_transform(typical))

    @property
    def variances(self) -> Tensor:
        """(…, 1, c) variance v of the effects of each choice."""
        variance: Tensor = self.raw_variances_constraint.transform(self.raw_variances)
        return variance

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **options: object) -> Tensor:
        """(…, n, n') covariances, or their (…, n) diagonal if `diag`."""
        if diag:
            return self.variances.sum(-1).expand(*self.batch_shape, x1.shape[-2])
        left, right = (_without_batch(x)[..., self.effects] for x in (x1, x2))
        same = (left[..., :, None, :] == right[..., None, :, :]).to(x1.dtype)  # (…, n, n', c)
        covariance: Tensor = (same[..., None, :, :, :] @ self.variances.mT[..., None, :, :])[..., 0]
        return covariance


def _without_batch(x: Tensor) -> Tensor:
    """Inputs without the batch dimension of targets, along which they repeat."""
    return x if x.dim() == 2 else x[..., 0, :, :]


def _ordinal(inputs: Inputs, batch: torch.Size) -> Kernel:
    kernel = _scaled(_smooth(partial(MaternKernel, nu=2.5), inputs.ordinal, batch), batch)
    return kernel + TrendKernel(inputs, batch) if inputs.trended and inputs.effects else kernel


def _hamming(inputs: Inputs, batch: torch.Size) -> Kernel:
    if not inputs.hot:
        return _ordinal(inputs, batch)
    kernel = _scaled(HammingKernel(inputs, batch), batch) + TrendKernel(inputs, batch)
    if inputs.numbers:
        kernel = kernel + _scaled(_smooth(RBFKernel, inputs.numbers, batch), batch)
    return kernel + EffectsKernel(inputs, batch) if inputs.effects else kernel


def _smooth(kernel: Callable[..., Kernel], columns: Sequence[int], batch: torch.Size) -> Kernel:
    """A stationary kernel with a length scale for each column: typically √(e k), of k of them in [0, 1]."""
    typical = 0.5 * math.log(len(columns)) + 0.5
    smooth = kernel(
        active_dims=columns,
        ard_num_dims=len(columns),
        batch_shape=batch,
        lengthscale_prior=LogNormalPrior(typical, 1.0),
        lengthscale_constraint=GreaterThan(SMALLEST),
    )
    smooth.lengthscale = math.exp(typical)
    return smooth


class _Scaled(ScaleKernel):  # type: ignore[misc]
    """One scale for each kernel of the batch.

    GPyTorch broadcasts batch shapes by torch, which imports SymPy; here all kernels have the same shape.
    """

    @property
    def batch_shape(self) -> torch.Size:
        """Batch shape shared by the kernels."""
        return self._batch_shape

    @batch_shape.setter
    def batch_shape(self, shape: torch.Size) -> None:
        self._batch_shape = shape


def _scaled(kernel: Kernel, batch: torch.Size) -> Kernel:
    scaled = _Scaled(
        kernel,
        batch_shape=batch,
        outputscale_prior=LogNormalPrior(-1.0, 2.0),
        outputscale_constraint=GreaterThan(SMALLEST),
    )
    scaled.outputscale = 0.5
    return scaled


VIEWS: Mapping[View, Callable[[Inputs, torch.Size], Kernel]] = {
    "ordinal": _ordinal,
    "hamming": _hamming,
}


def covariances(kernel: Kernel, x1: Tensor, x2: Tensor, *, diag: bool = False) -> Tensor:
    """(…, n, n') covariances of a kernel of `VIEWS`, or their (…, n) diagonal if `diag`.

    The values equal those of GPyTorch's lazy tensors, which cost time here.
    """
    if isinstance(kernel, AdditiveKernel):
        return sum((covariances(k, x1, x2, diag=diag) for k in kernel.kernels), torch.zeros(()))
    if kernel.active_dims is not None:
        x1, x2 = x1[..., kernel.active_dims], x2[..., kernel.active_dims]
    covariance: Tensor = kernel.forward(x1, x2, diag=diag)
    return covariance
