"""Gaussian processes: one per target, fitted together as one batched BoTorch model, under three views of the inputs.

Two architectures are similar if their choices have near values (`ordinal`), if they share many choices (`same`), or if
they share the choices that matter, by a length scale per choice (`hamming`). No single view is best on all data, and
their errors differ: their mean is more accurate than each of them. `same` and `hamming` model the residuals of a linear
trend on the costs, which extrapolates beyond the costs of the training rows; `ordinal` does not, since a trend lowers
its accuracy within their range.
"""

import copy
import warnings
from functools import cached_property

import numpy as np
import torch
from botorch.exceptions.warnings import InputDataWarning, OptimizationWarning
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from gpytorch.constraints import GreaterThan
from gpytorch.kernels import Kernel
from gpytorch.likelihoods import FixedNoiseGaussianLikelihood
from gpytorch.mlls import ExactMarginalLogLikelihood
from gpytorch.priors import LogNormalPrior
from linear_operator.utils.warnings import NumericalWarning
from torch import Tensor

from surrogate_nas.surrogates.inputs import Inputs
from surrogate_nas.surrogates.kernels import SMALLEST, VIEWS, View, covariances
from surrogate_nas.surrogates.normal_model import NormalModel
from surrogate_nas.surrogates.training_set import TrainingSet

ON_TREND: tuple[View, ...] = ("same", "hamming")
"""Views that model the residuals of a linear trend on the costs."""
UNDEFINED_NOISE = 1e4
SMALLEST_NOISE = 1e-3
FIT_ITERATIONS = 60
MOST_TO_LEARN = 150


class GaussianProcesses(NormalModel):
    """m Gaussian processes over the same rows.

    The noise variance of a row is its known sampling variance plus a learned part, which covers training with another
    seed. An undefined target has so much noise that it has no influence.
    """

    trend: Tensor

    def __init__(self, training: TrainingSet, view: View, inputs: Inputs | None = None) -> None:
        """Build an unfitted model; `inputs` default to those of the training rows."""
        super().__init__()
        self.inputs = inputs or Inputs(training)
        trend = training.trend if view in ON_TREND else np.zeros_like(training.trend)
        self.register_buffer("trend", torch.from_numpy(trend))
        batch = torch.Size([training.outputs])
        noise = torch.from_numpy(training.Yvar).clamp(SMALLEST_NOISE, UNDEFINED_NOISE)
        likelihood = FixedNoiseGaussianLikelihood(
            noise=noise.T.contiguous(),
            learn_additional_noise=True,
            batch_shape=batch,
            noise_prior=LogNormalPrior(-3.0, 2.0),
            noise_constraint=GreaterThan(SMALLEST),
        )
        likelihood.second_noise_covar.noise = 0.05
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputDataWarning)  # targets are standardised over the rows that define them
            columns = self.inputs(torch.from_numpy(training.X))
            targets = torch.from_numpy(training.beyond_trend() if view in ON_TREND else training.Y)
            self.gp = SingleTaskGP(
                columns.expand(*batch, *columns.shape),
                targets.T[..., None],
                likelihood=likelihood,
                covar_module=VIEWS[view](self.inputs, batch),
                outcome_transform=None,
            )

    @property
    def num_outputs(self) -> int:
        """Number m of targets."""
        return self.trend.shape[1]

    @classmethod
    def fit(cls, training: TrainingSet, view: View) -> "GaussianProcesses":
        """Fit hyperparameters by maximum a posteriori to at most 150 rows; predictions are conditioned on all rows."""
        model = learner = cls(training, view)
        if len(training) > MOST_TO_LEARN:
            subset = np.linspace(0, len(training) - 1, MOST_TO_LEARN).astype(np.int64)
            learner = cls(training.rows(subset), view, model.inputs)
        learner._learn()
        for name in ("covar_module", "mean_module"):
            getattr(model.gp, name).load_state_dict(getattr(learner.gp, name).state_dict())
        noise = learner.gp.likelihood.second_noise_covar.state_dict()
        model.gp.likelihood.second_noise_covar.load_state_dict(noise)
        model.eval()
        return model

    def _learn(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OptimizationWarning)  # a fit cut at the iteration limit is good enough
            warnings.simplefilter("ignore", NumericalWarning)  # jitter on lattices of inputs is normal
            fit_gpytorch_mll(
                ExactMarginalLogLikelihood(self.gp.likelihood, self.gp),
                optimizer_kwargs={"options": {"maxiter": FIT_ITERATIONS}},
                max_attempts=1,
            )

    def joint(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """(…, q, m) means and (…, m, q, q) covariances at (…, q, d) inputs."""
        root, weights = self._solution
        kernel, columns = self.gp.covar_module, self.inputs(X)[..., None, :, :]
        cross = covariances(kernel, columns, self._rows)
        explained = cross @ root
        within = covariances(kernel, columns, columns) - explained @ explained.mT
        return self._mean(X, cross @ weights), within

    def marginals(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """(n, m) means and variances at (n, d) inputs, in single precision: several times faster, errors of 10⁻⁵."""
        kernel, rows, root, weights = self._single
        columns = self.inputs(X).float()
        cross = covariances(kernel, columns, rows)
        variance = covariances(kernel, columns, columns, diag=True) - (cross @ root).square().sum(-1)
        return self._mean(X, (cross @ weights).double()), variance.clamp_min(SMALLEST_NOISE).mT.double()

    def _mean(self, X: Tensor, beyond: Tensor) -> Tensor:
        """(…, q, m) means, from (…, m, q, 1) predictions beyond the trend."""
        mean: Tensor = beyond[..., 0] + self.gp.mean_module.constant[:, None]
        return mean.mT + self.trend[0] + X @ self.trend[1:]

    @property
    def _rows(self) -> Tensor:
        """(n, columns) input columns of the training rows."""
        rows: Tensor = self.gp.train_inputs[0][0]
        return rows

    @cached_property
    def _solution(self) -> tuple[Tensor, Tensor]:
        """(m, n, n) factor R, where R Rᵀ is the inverse covariance of the rows including their noise, and the (m, n, 1)
        product of that inverse and the targets."""
        likelihood = self.gp.likelihood
        noise = likelihood.noise_covar.noise + likelihood.second_noise_covar.noise
        covariance = covariances(self.gp.covar_module, self._rows, self._rows) + torch.diag_embed(noise)
        factor = torch.linalg.cholesky(covariance).detach()
        root = torch.linalg.solve_triangular(factor, torch.eye(len(self._rows), dtype=factor.dtype), upper=False).mT
        beyond = self.gp.train_targets - self.gp.mean_module.constant[:, None]
        return root.contiguous(), root @ (root.mT @ beyond[..., None].detach())

    @cached_property
    def _single(self) -> tuple[Kernel, Tensor, Tensor, Tensor]:
        """Kernel, training rows and `_solution`, in single precision."""
        root, weights = self._solution
        return copy.deepcopy(self.gp.covar_module).float(), self._rows.float(), root.float(), weights.float()
