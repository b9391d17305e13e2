"""Base class of the surrogates: BoTorch models with normal posteriors."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from botorch.models.model import Model
from botorch.posteriors import GPyTorchPosterior, Posterior
from gpytorch.distributions import MultitaskMultivariateNormal, MultivariateNormal
from torch import Tensor

from surrogate_nas.foundation.arrays import Floats, Ints

CHUNK = 256
"""Rows of which marginals are computed at once."""
SMALLEST_VARIANCE = 1e-8


Apart = tuple[Ints, Ints]
"""Rows to predict, and the rows that predictions must not know, these among them."""


class NormalModel(Model):  # type: ignore[misc]
    """A model with normal posteriors, independent over the m targets."""

    def __repr__(self) -> str:
        """Short text, without the modules of the model."""
        return f"<{type(self).__name__} of {self.num_outputs} targets>"

    @property
    @abstractmethod
    def num_outputs(self) -> int:
        """Number m of targets."""

    @property
    def batch_shape(self) -> torch.Size:
        """Empty shape: this is one model, whatever its number of targets."""
        return torch.Size()

    def left_out(self, group: Ints, fold: Ints) -> tuple[Floats, Floats] | None:
        """(n, m) means and variances of each training row, predicted from rows of other groups, if the model has them
        at less cost than a fit for each of the (n,) folds; by default it has not."""
        return None

    def going_on(self, apart: Sequence[Apart]) -> tuple[Floats, Floats] | None:
        """Means and variances (k, m) of the k rows that are predicted in `apart`, in its order, as of trainings that go
        on; `None` if the model predicts them as fresh ones, which it does by default."""
        return None

    @abstractmethod
    def joint(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """(…, q, m) means and (…, m, q, q) covariances at (…, q, d) inputs."""

    def marginals(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """(n, m) means and variances at (n, d) inputs."""
        parts = [self.joint(rows[:, None]) for rows in torch.split(X, CHUNK)]
        mean, covariance = (torch.cat(part) for part in zip(*parts, strict=True))
        return mean[:, 0], covariance[..., 0, 0]

    def subset_output(self, idcs: Sequence[int]) -> "NormalModel":
        """A model of some of the targets, which shares what was learned; by default it computes the others, too."""
        return Subset(self, idcs)

    def posterior(self, X: Tensor, **options: object) -> Posterior:
        """Joint posterior at (…, q, d) inputs, of shape (…, q, m)."""
        if transform := options.get("posterior_transform"):
            raise NotImplementedError(f"posterior_transform is not supported, got {transform}")
        mean, covariance = self.joint(X)
        covariance = covariance + SMALLEST_VARIANCE * torch.eye(X.shape[-2], dtype=X.dtype)
        each = MultivariateNormal(mean.mT, covariance)
        return GPyTorchPosterior(MultitaskMultivariateNormal.from_batch_mvn(each, task_dim=-1))


class Subset(NormalModel):
    """Some of the targets of a BoTorch model."""

    def __init__(self, model: Model, outputs: Sequence[int]) -> None:
        """Build from a model and the numbers of the targets."""
        super().__init__()
        self.model, self.outputs = model, list(outputs)

    @property
    def num_outputs(self) -> int:
        """Number m of targets."""
        return len(self.outputs)

    def joint(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """(…, q, m) means and (…, m, q, q) covariances at (…, q, d) inputs."""
        mean, covariance = moments(self.model, X)
        return mean[..., self.outputs], covariance[..., self.outputs, :, :]

    def marginals(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """(n, m) means and variances at (n, d) inputs."""
        mean, variance = marginals(self.model, X)
        return mean[:, self.outputs], variance[:, self.outputs]


def subset(model: Model, outputs: Sequence[int]) -> NormalModel:
    """Some of the targets of any BoTorch model."""
    return model.subset_output(outputs) if isinstance(model, NormalModel) else Subset(model, outputs)


@torch.no_grad()
def marginals(model: Model, X: Tensor) -> tuple[Tensor, Tensor]:
    """(n, m) means and variances at (n, d) inputs, of any BoTorch model."""
    if isinstance(model, NormalModel):
        return model.marginals(X)
    posteriors = [model.posterior(rows[:, None]) for rows in torch.split(X, CHUNK)]
    return torch.cat([p.mean[:, 0] for p in posteriors]), torch.cat([p.variance[:, 0] for p in posteriors])


def moments(model: Model, X: Tensor) -> tuple[Tensor, Tensor]:
    """(…, q, m) means and (…, m, q, q) covariances at (…, q, d) inputs, of any BoTorch model; outputs are taken to be
    independent, and so are points where the posterior says no covariances."""
    if isinstance(model, NormalModel):
        return model.joint(X)
    posterior = model.posterior(X)
    mean, normal = posterior.mean, getattr(posterior, "distribution", None)
    q, m = mean.shape[-2:]
    if isinstance(normal, MultitaskMultivariateNormal):
        shape = (q, m, q, m) if normal._interleaved else (m, q, m, q)
        covariance = normal.covariance_matrix.reshape(*mean.shape[:-2], *shape)
        outputs = (-3, -1) if normal._interleaved else (-4, -2)
        return mean, covariance.diagonal(dim1=outputs[0], dim2=outputs[1]).movedim(-1, -3)
    if isinstance(normal, MultivariateNormal):
        return mean, normal.covariance_matrix[..., None, :, :]
    return mean, torch.diag_embed(posterior.variance.mT)
