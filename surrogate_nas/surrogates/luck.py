"""Luck: what the learned noise of rows has in common, because they are of one architecture or of one training."""

import math

import torch
from gpytorch.constraints import GreaterThan
from gpytorch.kernels import Kernel
from gpytorch.priors import LogNormalPrior
from torch import Tensor

from surrogate_nas.surrogates.inputs import Inputs
from surrogate_nas.surrogates.kernels import SMALLEST

TYPICAL_REACH = 0.5
"""Median of the distance in passes, of 1 from the first rung to the top, at which luck has changed."""


class LastingLuck(Kernel):  # type: ignore[misc]
    """Covariance of the learned noise of rows at several rungs, as a share of its variance:

    exp(−|t − t'| / ℓ) [ρ 1(same architecture) + (1 − ρ) λ 1(same exit of one training)]

    with t from 0 at the first rung to 1 at the top. Rungs of one training share its luck and the images that they were
    measured on, the more the nearer they are. Rows with the number 0 are of fresh trainings, and have nothing in
    common.
    """

    def __init__(self, inputs: Inputs, batch: torch.Size) -> None:
        super().__init__(batch_shape=batch)
        self.architecture, self.training_number = inputs.identities
        self.far, self.position = self.architecture - 1, inputs.position
        for name in ("raw_architecture", "raw_lasting"):
            self.register_parameter(name, torch.nn.Parameter(torch.zeros(*batch, 1, dtype=torch.float64)))
        self.register_parameter("raw_reach", torch.nn.Parameter(torch.zeros(*batch, 1, dtype=torch.float64)))
        self.register_constraint("raw_reach", GreaterThan(SMALLEST))
        prior = LogNormalPrior(math.log(TYPICAL_REACH), 1.0)
        self.register_prior("reach_prior", prior, lambda kernel: kernel.reach)
        typical = torch.tensor(TYPICAL_REACH, dtype=torch.float64)
        self.initialize(raw_reach=self.raw_reach_constraint.inverse_transform(typical))

    @property
    def shares(self) -> list[Tensor]:
        """Logits of ρ and λ."""
        return [self.raw_architecture, self.raw_lasting]

    @property
    def reach(self) -> Tensor:
        """(…, 1) distance ℓ."""
        reach: Tensor = self.raw_reach_constraint.transform(self.raw_reach)
        return reach

    def __call__(self, x1: Tensor, x2: Tensor, diag: bool = False, **options: object) -> Tensor:
        """Dense covariances: GPyTorch's lazy tensors cost time here."""
        return self.forward(x1, x2, diag)

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **options: object) -> Tensor:
        """(…, n, n') covariances, or their (…, n) diagonal if `diag`."""
        common = self.raw_architecture.sigmoid()[..., None]
        own = ((1 - self.raw_architecture.sigmoid()) * self.raw_lasting.sigmoid())[..., None]
        if diag:
            known = (x1[..., self.training_number] > 0).to(x1.dtype)
            total: Tensor = (common + own)[..., 0] * known
            return total
        architecture = _same(x1, x2, self.architecture)
        exit = _same(x1, x2, self.training_number)
        for column in self.position:
            exit = exit * (x1[..., :, None, column] == x2[..., None, :, column])
        apart = (x1[..., :, None, self.far] - x2[..., None, :, self.far]).abs()
        covariance: Tensor = (-apart / self.reach[..., None]).exp() * (common * architecture + own * exit)
        return covariance


def _same(a: Tensor, b: Tensor, column: int) -> Tensor:
    """(…, n, n') whether rows have the same number, which is not 0."""
    own, other = a[..., :, None, column], b[..., None, :, column]
    return ((own == other) & (own > 0)).to(a.dtype)
