"""Weighted mixtures of models, and stacking weights from held-out rows."""

from collections.abc import Sequence

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor

from surrogate_nas.foundation.arrays import Floats
from surrogate_nas.surrogates.normal_model import NormalModel
from surrogate_nas.surrogates.training_set import NETWORK_VARIANCE

WEIGHT_SD = 0.125
"""Prior standard deviation of a weight around its share."""


class Mixture(NormalModel):
    """Normal approximation of a mixture of models, with separate weights for each target."""

    weights: Tensor

    def __init__(self, members: Sequence[NormalModel], weights: Floats) -> None:
        """Build from K members and (K, m) weights, which sum to 1 over the members."""
        super().__init__()
        self.members: Sequence[NormalModel] = torch.nn.ModuleList(members)  # type: ignore[assignment]
        self.register_buffer("weights", torch.from_numpy(weights))

    @property
    def num_outputs(self) -> int:
        """Number m of targets."""
        return self.weights.shape[1]

    def joint(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """(…, q, m) means and (…, m, q, q) covariances at (…, q, d) inputs."""
        parts = [member.joint(X) for member in self.members]
        mean = sum(w * mu for w, (mu, _) in zip(self.weights, parts, strict=True))
        total = torch.zeros(())
        for w, (mu, covariance) in zip(self.weights, parts, strict=True):
            off = (mu - mean).mT[..., None]
            total = total + w[:, None, None] * (covariance + off @ off.mT)
        return mean, total

    def marginals(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """(n, m) means and variances at (n, d) inputs."""
        parts = [member.marginals(X) for member in self.members]
        mean, variance = (torch.stack(part) for part in zip(*parts, strict=True))
        return mix(self.weights[:, None], mean, variance)

    def subset_output(self, idcs: Sequence[int]) -> "Mixture":
        """A mixture of some of the targets, which shares what its members learned."""
        return Mixture([member.subset_output(idcs) for member in self.members], self.weights[:, list(idcs)].numpy())


def mix(weights: Tensor, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Mean μ = Σ_k w_k μ_k and variance Σ_k w_k (v_k + (μ_k − μ)²) of a mixture, from its members' (K, …) moments."""
    mixture_mean = (weights * mean).sum(0)
    return mixture_mean, (weights * (variance + (mean - mixture_mean) ** 2)).sum(0)


def equal_weights(members: int, targets: int) -> Floats:
    """(K, m) equal weights."""
    return np.full((members, targets), 1 / members)


def stacking_weights(predicted: Floats, Y: Floats, Yvar: Floats) -> Floats:
    """(K, m) non-negative weights that minimise the held-out errors (Breiman, Stacked regressions, 1996).

    A normal prior of standard deviation 0.125 shrinks them towards equal ones, so that a few rows do not decide.

    Args:
        predicted: (K, n, m) held-out means of each member.
        Y: (n, m) targets.
        Yvar: (n, m) sampling variance of the targets; ∞ where undefined.
    """
    K, _, m = predicted.shape
    weights = equal_weights(K, m)
    for j in range(m):
        defined = np.isfinite(Yvar[:, j])
        if not defined.any():
            continue
        v = 1 / (Yvar[defined, j] + NETWORK_VARIANCE)
        means, y = predicted[:, defined, j].T, Y[defined, j]
        noise = float(np.mean(v * (means.mean(axis=1) - y) ** 2)) + 1e-12
        pull = np.sqrt(noise) / WEIGHT_SD
        A = np.concatenate([np.sqrt(v)[:, None] * means, pull * np.eye(K)])
        b = np.concatenate([np.sqrt(v) * y, pull * weights[:, j]])
        solution, _ = nnls(A, b)
        if solution.sum() > 0:
            weights[:, j] = solution / solution.sum()
    return weights
