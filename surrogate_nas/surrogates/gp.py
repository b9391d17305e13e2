"""Gaussian processes: one per target, fitted together as batched BoTorch models, under two views of the inputs.

Two exits are similar if their choices and their place have near values (`ordinal`), or if they share the choices that
matter, by a length scale per choice (`hamming`). No view is best on all data, and their errors differ: their mean is
more accurate than each of them. Both have a linear trend over costs, and of the last exit over the number of exits,
which extrapolates beyond those of the training rows (`ordinal` only if these are exits, whose costs differ more than
those of whole networks); `hamming` also has an effect of each position, and of each other exit that there is.
"""

import copy
import warnings
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import torch
from botorch.exceptions.warnings import InputDataWarning
from botorch.models import SingleTaskGP
from botorch.optim.closures.core import ForwardBackwardClosure
from botorch.optim.core import scipy_minimize
from gpytorch.constraints import GreaterThan
from gpytorch.kernels import Kernel
from gpytorch.likelihoods import FixedNoiseGaussianLikelihood
from gpytorch.means import ZeroMean
from gpytorch.priors import LogNormalPrior
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import logsigmoid

from surrogate_nas.foundation.arrays import Bools, Floats, Ints
from surrogate_nas.surrogates.inputs import Inputs
from surrogate_nas.surrogates.kernels import SMALLEST, VIEWS, View, covariances
from surrogate_nas.surrogates.luck import LastingLuck
from surrogate_nas.surrogates.normal_model import CHUNK, Apart, NormalModel
from surrogate_nas.surrogates.training_set import TrainingSet

UNDEFINED_NOISE = 1e4
SMALLEST_NOISE = 1e-3
FIT_ITERATIONS = 60
REFIT_ITERATIONS = 5
"""Most iterations that start from the hyperparameters of all rows."""
CONVERGED = 2e-3
"""Relative gain of an iteration below which hyperparameters are good enough."""
MOST_TO_LEARN = 150
ROWS_AT_ONCE = 512
"""Rows of a covariance that are computed at once: their parts take several times their memory."""


class _SideBySide(NormalModel):
    """m Gaussian processes, one for each target, in blocks."""

    def __init__(self, blocks: Sequence["_Block"], columns: Sequence[Ints], targets: Sequence[int]) -> None:
        """Build from blocks, the numbers of the targets of each, and those of the m targets wanted."""
        super().__init__()
        self.blocks: Sequence[_Block] = torch.nn.ModuleList(blocks)  # type: ignore[assignment]
        self.columns = columns
        together = np.concatenate(columns)
        self.order = [int(np.flatnonzero(together == target)[0]) for target in targets]

    @property
    def num_outputs(self) -> int:
        """Number m of targets."""
        return len(self.order)

    def joint(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """(…, q, m) means and (…, m, q, q) covariances at (…, q, d) inputs."""
        means, covariances = zip(*(block.joint(X) for block in self.blocks), strict=True)
        return torch.cat(means, -1)[..., self.order], torch.cat(covariances, -3)[..., self.order, :, :]

    def marginals(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """(n, m) means and variances at (n, d) inputs, in single precision: several times faster, errors of 10⁻⁵."""
        means, variances = zip(*(block.marginals(X) for block in self.blocks), strict=True)
        return torch.cat(means, -1)[:, self.order], torch.cat(variances, -1)[:, self.order]

    def subset_output(self, idcs: Sequence[int]) -> NormalModel:
        """Gaussian processes of some of the targets, of the blocks that have any of them."""
        parts = [part for part in zip(self.blocks, self.columns, strict=True) if np.isin(part[1], idcs).any()]
        blocks, columns = zip(*parts, strict=True)
        return _SideBySide(blocks, columns, idcs)


class GaussianProcesses(_SideBySide):
    """m Gaussian processes, one for each target.

    The noise variance of a row is its known sampling variance plus a learned part, which covers training with another
    seed. The learned parts of the rows of a group are correlated: luck, and what is special about an architecture, show
    at all of its exits. Targets that the same rows define are fitted together.
    """

    def __init__(self, training: TrainingSet, view: View) -> None:
        """Build an unfitted model."""
        patterns, block = np.unique(training.defined.T, axis=0, return_inverse=True)
        columns = [np.flatnonzero(block == b) for b in range(len(patterns))]
        rows = [np.flatnonzero(pattern if pattern.any() else ~pattern) for pattern in patterns]
        parts = [training.targets(t.tolist()).rows(r) for t, r in zip(columns, rows, strict=True)]
        inputs = Inputs(training)
        super().__init__([_Block(part, view, inputs) for part in parts], columns, range(training.outputs))
        self.rows, self.parts = rows, parts

    @classmethod
    def fit(cls, training: TrainingSet, view: View) -> "GaussianProcesses":
        """Fit hyperparameters by maximum a posteriori to at most 150 rows; predictions are conditioned on all rows."""
        model = cls(training, view)
        for block, part in zip(model.blocks, model.parts, strict=True):
            block.learn(part)
        model.eval()
        return model

    def left_out(self, group: Ints, fold: Ints) -> tuple[Floats, Floats]:
        """(n, m) means and variances of each row, predicted from the rows of all other groups, in closed form
        (Rasmussen & Williams, Gaussian processes for machine learning, 5.4.2, for blocks of rows). They are 0 where a
        target is undefined.

        Hyperparameters are those that the rows of other folds have, unless there are so many rows that it does not
        matter: fitted to all of few rows, they would know each of them, and intervals would be too narrow.
        """
        mean, variance = np.zeros((2, len(group), self.num_outputs))
        for block, part, rows, columns in zip(self.blocks, self.parts, self.rows, self.columns, strict=True):
            cells = np.ix_(rows, columns)
            mean[cells], variance[cells] = block.left_out(part, fold[rows])
        return mean, variance

    def going_on(self, apart: Sequence[Apart]) -> tuple[Floats, Floats] | None:
        """Means and variances (k, m) of the k rows that are predicted in `apart`, in its order, in closed form, by all
        others and what these show of the luck of their training; 0 where a target is undefined. `None` if the rows do
        not say which training they are of."""
        if self.blocks[0].luck is None:
            return None
        n = max(int(rows.max()) for rows in self.rows) + 1
        wanted = np.concatenate([rows for rows, _ in apart])
        mean, variance = np.zeros((2, len(wanted), self.num_outputs))
        for block, rows, columns in zip(self.blocks, self.rows, self.columns, strict=True):
            place = np.full(n, -1)
            place[rows] = np.arange(len(rows))
            own = [(place[wanted], place[out]) for wanted, out in apart]
            cells = np.ix_(np.flatnonzero(place[wanted] >= 0), columns)
            mean[cells], variance[cells] = block.going_on([(w[w >= 0], o[o >= 0]) for w, o in own])
        return mean, variance


class _Block(torch.nn.Module):
    """Gaussian processes of targets that are defined by the same rows."""

    def __init__(self, training: TrainingSet, view: View, inputs: Inputs) -> None:
        super().__init__()
        self.inputs, self.view = inputs, view
        group = torch.from_numpy(training.group)
        self.same_group = (group[:, None] == group).double()
        batch = torch.Size([training.outputs])
        self.luck = LastingLuck(inputs, batch) if inputs.identities else None
        if self.luck is None:
            self.raw_correlation = torch.nn.Parameter(torch.zeros(*batch, 1, dtype=torch.float64))
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
            self.gp = SingleTaskGP(
                columns.expand(*batch, *columns.shape),
                torch.from_numpy(training.Y).T[..., None],
                likelihood=likelihood,
                covar_module=VIEWS[view](self.inputs, batch),
                mean_module=ZeroMean(batch),
                outcome_transform=None,
            )

    def learn(self, training: TrainingSet, iterations: int = FIT_ITERATIONS) -> None:
        """Fit the hyperparameters, to at most 150 of the rows."""
        learner = self
        if len(training) > MOST_TO_LEARN:
            subset = _evenly if self.luck is None else _whole_groups
            learner = _Block(training.rows(subset(training)), self.view, self.inputs)
        parameters = {name: p for name, p in learner.named_parameters() if p.requires_grad}
        closure = ForwardBackwardClosure(learner.surprise, parameters)
        scipy_minimize(closure, parameters, options={"maxiter": iterations, "ftol": CONVERGED})
        if learner is not self:
            self.adopt(learner)

    def adopt(self, other: "_Block") -> None:
        """Take the hyperparameters of a block of other rows."""
        self.gp.covar_module.load_state_dict(other.gp.covar_module.state_dict())
        self.gp.likelihood.second_noise_covar.load_state_dict(other.gp.likelihood.second_noise_covar.state_dict())
        if self.luck is None or other.luck is None:
            self.raw_correlation.data.copy_(other.raw_correlation.data)
        else:
            self.luck.load_state_dict(other.luck.state_dict())

    def surprise(self) -> Tensor:
        """Negative log posterior density of the logarithms of the hyperparameters, and of the logit of the correlation,
        which is uniform; without constants, per row.

        (The maximum of their own density would lie at almost no noise and no trend, far below the medians of priors.)

        Dense linear algebra: GPyTorch's lazy tensors cost several times as much for so few rows, and import SymPy.
        """
        factor = torch.linalg.cholesky(self._covariance)
        z = torch.linalg.solve_triangular(factor, self.gp.train_targets[..., None], upper=False)
        value = 0.5 * z.square().sum() + factor.diagonal(dim1=-2, dim2=-1).log().sum()
        for module, prior, of in self._priors:
            value = value + 0.5 * ((of(module).log() - prior.loc) / prior.scale).square().sum()
        for share in self._shares:
            value = value - (logsigmoid(share) + logsigmoid(-share)).sum()
        return torch.as_tensor(value / len(self._rows))

    def joint(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """(…, q, m) means and (…, m, q, q) covariances at (…, q, d) inputs."""
        root, weights = self._solution
        kernel, columns = self.gp.covar_module, self.inputs(X)[..., None, :, :]
        cross = covariances(kernel, columns, self._rows) + self._known_luck(columns, self._rows, self.luck)
        explained = cross @ root
        prior = covariances(kernel, columns, columns) + self._known_luck(columns, columns, self.luck)
        within = prior - explained @ explained.mT
        return (cross @ weights)[..., 0].mT, within

    def marginals(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """(n, m) means and variances at (n, d) inputs, in single precision."""
        kernel, luck, rows, root, weights = self._single
        means, variances = list[Tensor](), list[Tensor]()
        for columns in torch.split(self.inputs(X).float(), CHUNK):
            cross = covariances(kernel, columns, rows) + self._known_luck(columns, rows, luck)
            prior = covariances(kernel, columns, columns, diag=True)
            prior = prior + self._known_luck(columns, columns, luck, diag=True)
            variances.append(prior - (cross @ root).square().sum(-1))
            means.append((cross @ weights)[..., 0])
        variance = torch.cat(variances, -1).clamp_min(SMALLEST_NOISE)
        return torch.cat(means, -1).mT.double(), variance.mT.double()

    def left_out(self, training: TrainingSet, fold: Ints) -> tuple[Floats, Floats]:
        """(n, m) means and variances of each row, predicted from the rows of other groups."""
        if len(training) > MOST_TO_LEARN:
            return self.without(training.group, self._solution)
        mean, variance = np.zeros((2, *training.Y.shape))
        block, parts = _Block(training, self.view, self.inputs), [fold == k for k in np.unique(fold)]
        for own in parts:
            block.adopt(self.relearned(training, ~own))
            mean[own], variance[own] = (values[own] for values in block.without(training.group, block._solve()))
        return mean, variance

    def relearned(self, training: TrainingSet, rows: Bools) -> "_Block":
        """A block of some of the rows, with the hyperparameters that these have."""
        part = training.rows(np.flatnonzero(rows))
        block = _Block(part, self.view, self.inputs)
        block.adopt(self)
        block.learn(part, REFIT_ITERATIONS)
        return block

    @torch.no_grad()
    def without(self, group: Ints, solution: tuple[Tensor, Tensor]) -> tuple[Floats, Floats]:
        """(n, m) means and variances of each row, predicted from the rows of other groups by these hyperparameters,
        from the result of `_solve`."""
        groups = [np.flatnonzero(group == k) for k in np.unique(group)]
        order = np.argsort(np.concatenate(groups), kind="stable")
        mean, variance = self._without([(rows, rows) for rows in groups], solution, self._noise)
        return mean[order], variance[order]

    @torch.no_grad()
    def going_on(self, apart: Sequence[Apart]) -> tuple[Floats, Floats]:
        """(k, m) means and variances of the rows that are predicted in `apart`, in its order."""
        return self._without(apart, self._solution, self._noise - self._shared_noise)

    def _without(self, apart: Sequence[Apart], solution: tuple[Tensor, Tensor], noise: Tensor) -> tuple[Floats, Floats]:
        """(k, m) means and variances of the rows to predict, in order, without a (m, n) part of their noise."""
        root, weights = solution
        targets = self.gp.train_targets
        means, variances = [targets[:, :0]], [targets[:, :0]]
        for wanted, rows in apart:
            own, at = root[:, rows], np.flatnonzero(np.isin(rows, wanted))
            within = torch.linalg.inv(own @ own.mT)
            means.append((targets[:, rows] - (within @ weights[:, rows])[..., 0])[:, at])
            variances.append((within.diagonal(dim1=-2, dim2=-1) - noise[:, rows])[:, at])
        mean, variance = torch.cat(means, dim=1), torch.cat(variances, dim=1)
        return mean.mT.numpy(), variance.clamp_min(SMALLEST_NOISE).mT.numpy()

    @cached_property
    def _priors(self) -> list[tuple[Module, LogNormalPrior, Callable[[Module], Tensor]]]:
        """Hyperparameters with their log-normal priors: each with the module it belongs to, and how to get it."""
        modules = [self.gp] if self.luck is None else [self.gp, self.luck]
        return [(module, prior, of) for own in modules for _, module, prior, of, _ in own.named_priors()]

    @property
    def _rows(self) -> Tensor:
        """(n, columns) input columns of the training rows."""
        rows: Tensor = self.gp.train_inputs[0][0]
        return rows

    @property
    def _learned_noise(self) -> Tensor:
        """(m, 1) variance of the learned part of the noise."""
        noise: Tensor = self.gp.likelihood.second_noise_covar.noise
        return noise

    @property
    def _noise(self) -> Tensor:
        """(m, n) variance of the noise, known and learned."""
        noise: Tensor = self.gp.likelihood.noise_covar.noise + self._learned_noise
        return noise

    @property
    def _covariance(self) -> Tensor:
        """(m, n, n) covariance of the rows, including their noise."""
        parts = [covariances(self.gp.covar_module, part, self._rows) for part in torch.split(self._rows, ROWS_AT_ONCE)]
        shared = self._shared_noise
        in_common = self.same_group if self.luck is None else self.luck(self._rows, self._rows)
        scale = shared if self.luck is None else self._learned_noise
        covariance = torch.cat(parts, dim=-2).add_(scale[..., None] * in_common)
        covariance.diagonal(dim1=-2, dim2=-1).add_(self._noise - shared)
        return covariance

    @property
    def _shared_noise(self) -> Tensor:
        """(m, 1) or (m, n) variance of the learned noise that rows may have in common."""
        if self.luck is None:
            return self.raw_correlation.sigmoid() * self._learned_noise
        shared: Tensor = self._learned_noise * self.luck(self._rows, self._rows, diag=True)
        return shared

    @property
    def _shares(self) -> list[Tensor]:
        """Logits of the shares of the learned noise that rows have in common."""
        return [self.raw_correlation] if self.luck is None else self.luck.shares

    def _known_luck(self, a: Tensor, b: Tensor, luck: LastingLuck | None, *, diag: bool = False) -> Tensor:
        """(…, m, n, n') covariances of the luck that trainings have shown, or their diagonal; 0 for fresh trainings."""
        if luck is None:
            return a.new_zeros(())
        noise = self._learned_noise.detach().to(a.dtype)
        return noise * luck(a, b, diag=True) if diag else noise[..., None] * luck(a, b)

    @cached_property
    def _solution(self) -> tuple[Tensor, Tensor]:
        """The result of `_solve`, for predictions."""
        return self._solve()

    @torch.no_grad()
    def _solve(self) -> tuple[Tensor, Tensor]:
        """(m, n, n) factor R, where R Rᵀ is the inverse covariance of the rows including their noise, and the (m, n, 1)
        product of that inverse and the targets."""
        root = self._covariance
        eye = torch.eye(len(self._rows), dtype=root.dtype)
        for target in root:  # one at a time, in place: the largest arrays that there are
            target.copy_(torch.linalg.solve_triangular(torch.linalg.cholesky(target), eye, upper=False).mT)
        return root, root @ (root.mT @ self.gp.train_targets[..., None])

    @cached_property
    def _single(self) -> tuple[Kernel, LastingLuck | None, Tensor, Tensor, Tensor]:
        """Kernel, luck, training rows and `_solution`, in single precision."""
        root, weights = self._solution
        kernel, luck = copy.deepcopy(self.gp.covar_module).float(), copy.deepcopy(self.luck)
        return kernel, None if luck is None else luck.float(), self._rows.float(), root.float(), weights.float()


def _evenly(training: TrainingSet) -> Ints:
    """150 of the rows, evenly."""
    return np.linspace(0, len(training) - 1, MOST_TO_LEARN).astype(np.int64)


def _whole_groups(training: TrainingSet) -> Ints:
    """About 150 of the rows: all those of some groups, evenly over how many rows a group has. Single rows of a training
    would not show what lasts from rung to rung."""
    names, counts = np.unique(training.group, return_counts=True)
    order = np.argsort(counts, kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, max(MOST_TO_LEARN * len(order) // len(training), 2)).astype(np.int64)]
    return np.flatnonzero(np.isin(training.group, names[chosen]))
