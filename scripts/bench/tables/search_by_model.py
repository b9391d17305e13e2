"""Searches by a model of the target: this package's acquisition on its surrogates, and plain BoTorch."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from botorch.fit import fit_gpytorch_mll
from botorch.models import ModelList, SingleTaskGP
from botorch.models.deterministic import GenericDeterministicModel
from botorch.models.model import Model
from botorch.posteriors import Posterior
from gpytorch.mlls import ExactMarginalLogLikelihood
from scipy.stats import norm
from search_table import Ints, TableProblem
from search_warp import Warp
from torch import Tensor

from surrogate_nas.exits.front import Front
from surrogate_nas.foundation.arrays import Floats
from surrogate_nas.search.bayesian.acquisition import Outcomes, greedily, greedily_by_nehvi, safe
from surrogate_nas.surrogates.cross_validation import fit_whole
from surrogate_nas.surrogates.normal_model import marginals
from surrogate_nas.surrogates.registry import DEFAULT, SURROGATES

SAMPLES = 64
SEMIFINALISTS = 128
FINALISTS_PER_PICK = 3
MOST, SOME = 20_000, 5_000
"""Above this number of untaken rows, only a sample and the rows near the front are scored."""
NEAR = 200
"""Neighbours of each row on the front."""


@dataclass(frozen=True)
class Fitted:
    """A model of the standardised target of all rows, perhaps warped."""

    model: Model
    X: Tensor
    """(N, d) the model's inputs."""
    center: float
    scale: float
    warp: Warp | None = None

    def target(self, samples: Tensor) -> Tensor:
        """Standardised, from samples of the model."""
        return samples if self.warp is None else self.warp.back(samples)

    def as_sampled(self, y: float) -> float:
        """A standardised target in the model's units."""
        return y if self.warp is None else float(self.warp(np.array([y]))[0])

    def standard(self, y: float) -> float:
        """A target in the table's units, standardised."""
        return (y - self.center) / self.scale


Fit = Callable[[TableProblem, list[int], int], Fitted]


def fit_surrogate(problem: TableProblem, rows: list[int], seed: int, name: str) -> Fitted:
    """One of this package's, weighted by held-out rows as the package does."""
    evaluated, surrogate = np.array(rows), SURROGATES[name]
    y = problem.table.y[evaluated]
    center, scale = float(y.mean()), float(y.std()) or 1.0
    standard = (problem.table.y - center) / scale
    warp = Warp.of(standard[evaluated])
    training, X, _ = replace(problem.table, y=warp(standard)).training_set(evaluated)
    model = fit_whole(training, surrogate, seed)
    return Fitted(model, torch.from_numpy(X), center, scale, warp)


def fit_plain(problem: TableProblem, rows: list[int], seed: int) -> Fitted:
    """BoTorch's SingleTaskGP as it comes, on one-hot names and scaled numbers."""
    columns = []
    for codes, levels, nominal in zip(problem.codes.T, problem.levels, problem.nominal, strict=True):
        last = len(levels) - 1
        columns.append(np.eye(last + 1)[codes] if nominal else codes[:, None] / last)
    X = torch.from_numpy(np.concatenate(columns, axis=1))
    y = problem.table.y[rows]
    center, scale = float(y.mean()), float(y.std()) or 1.0
    gp = SingleTaskGP(X[rows], torch.from_numpy((y - center) / scale)[:, None], outcome_transform=None)
    fit_gpytorch_mll(ExactMarginalLogLikelihood(gp.likelihood, gp))
    return Fitted(gp, X, center, scale)


class _FirstColumns(Model):  # type: ignore[misc]
    """A model that reads all columns but the last, which is the cost."""

    num_outputs = 1
    batch_shape = torch.Size()

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def posterior(self, X: Tensor, **options: object) -> Posterior:
        """Posterior of the target."""
        return self.model.posterior(X[..., :-1], **options)


class ByModel:
    """Fit, score all rows by the hypervolume improvement of sampled targets, choose jointly among the best."""

    def __init__(self, problem: TableProblem, seed: int, fit: Fit, *, curves: bool) -> None:
        """`curves=False` leaves all the choosing to qLogNEHVI."""
        self.problem, self.seed, self.fit, self.curves = problem, seed, fit, curves

    def __call__(self, evaluated: list[int], q: int) -> list[int]:
        round_ = self.seed * 10_000 + len(evaluated)
        fitted = self.fit(self.problem, evaluated, self.seed)
        return _Round(self.problem, evaluated, fitted, round_).best(q, curves=self.curves)


class _Round:
    """One batch. Targets are standardised; a target below the floor is below the reference, so it improves nothing."""

    def __init__(self, problem: TableProblem, evaluated: list[int], fitted: Fitted, seed: int) -> None:
        self.problem, self.evaluated, self.fitted, self.seed = problem, evaluated, fitted, seed
        self.rng = np.random.default_rng(seed)
        reference_cost, lowest = problem.reference
        y = (problem.table.y[evaluated] - fitted.center) / fitted.scale
        self.front = Front.of(problem.cost[evaluated], y, reference_cost, fitted.standard(lowest))

    def best(self, q: int, *, curves: bool) -> list[int]:
        """The best q rows."""
        pool = self._pool()
        if not len(self.front.cost):
            return self._feasible(pool, q)
        pool = pool[safe(self._likely(pool), int(self.problem.feasible(self.evaluated).sum()), q)]
        value = self._value(pool)
        some = pool[np.argsort(-value, kind="stable")[: SEMIFINALISTS if curves else 4 * SEMIFINALISTS]]
        if curves:
            draws = self._joint_draws(some)[..., None]
            cost = np.broadcast_to(self.problem.cost[some][:, None], draws.shape)
            some = some[greedily(self.front, cost, draws, FINALISTS_PER_PICK * q)]
        return some[self._by_nehvi(some, q)].tolist()

    def _pool(self) -> Ints:
        free = self.problem.untaken(self.evaluated)
        if len(free) <= MOST:
            return free
        parts = [self.rng.choice(free, SOME, replace=False)]
        for row in self.problem.on_front(self.evaluated):
            distance = self.problem.distance(self.problem.codes[row], free)
            parts.append(free[np.argsort(distance, kind="stable")[:NEAR]])
        return np.unique(np.concatenate(parts))

    def _likely(self, pool: Ints) -> Floats:
        """(n,) probabilities of a target above the floor."""
        return np.ones(len(pool)) if self.problem.floor is None else np.asarray(norm.cdf(self._lead(pool)))

    def _lead(self, pool: Ints) -> Floats:
        """(n,) by how many standard deviations targets are expected to be above the reference."""
        mean, variance = marginals(self.fitted.model, self.fitted.X[pool])
        lead = (mean - self.fitted.as_sampled(self.front.reference_accuracy))[:, 0] / variance[:, 0].sqrt()
        return np.asarray(lead.numpy())

    def _value(self, pool: Ints) -> Floats:
        """(n,) mean improvement over draws that all rows share."""
        mean, variance = marginals(self.fitted.model, self.fitted.X[pool])
        deviation = self.rng.standard_normal((SAMPLES, 1))
        sampled = mean[:, 0] + torch.from_numpy(deviation) * variance[:, 0].sqrt()
        draws = self.fitted.target(sampled).numpy()
        cost = np.broadcast_to(self.problem.cost[pool], draws.shape)
        return self.front.improvement_by_each(cost, draws).mean(axis=0)

    @torch.no_grad()
    def _joint_draws(self, rows: Ints) -> Floats:
        """(S, n) joint draws of standardised targets."""
        posterior = self.fitted.model.posterior(self.fitted.X[rows])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            sampled = posterior.rsample(torch.Size([SAMPLES]))[..., 0]
        return self.fitted.target(sampled).numpy()

    def _by_nehvi(self, rows: Ints, q: int) -> list[int]:
        exact = GenericDeterministicModel(lambda X: X[..., -1:], num_outputs=1)
        outcomes = Outcomes(
            ModelList(_FirstColumns(self.fitted.model), exact),
            self._objectives,
            [],
            (self.front.reference_accuracy, -self.front.reference_cost),
        )
        baseline = self.problem.on_front(self.evaluated)
        return greedily_by_nehvi(outcomes, self._points(baseline), self._points(rows), q, self.seed % 2**31)

    def _objectives(self, samples: Tensor) -> Tensor:
        """(…, 2) target and −cost, both to be large."""
        return torch.stack([self.fitted.target(samples[..., 0]), -samples[..., 1]], dim=-1)

    def _points(self, rows: Ints) -> Tensor:
        return torch.cat([self.fitted.X[rows], torch.from_numpy(self.problem.cost[rows])[:, None]], dim=1)

    def _feasible(self, pool: Ints, q: int) -> list[int]:
        """q rows, of which at least one is likeliest to be above the reference: greedily over joint draws."""
        some = pool[np.argsort(-self._lead(pool), kind="stable")[:SEMIFINALISTS]]
        above = self._joint_draws(some) > self.front.reference_accuracy
        open_, picked = np.ones(SAMPLES, dtype=np.bool_), list[int]()
        for _ in range(min(q, len(some))):
            gain = above[open_].sum(axis=0) - np.arange(len(some)) * 1e-6  # of equals, the likeliest by itself
            gain[picked] = -1
            picked.append(int(gain.argmax()))
            open_ &= ~above[:, picked[-1]]
        return some[picked].tolist()


BY_MODEL: dict[str, Callable[[TableProblem, int], Any]] = {
    **{
        f"ours{suffix}": partial(ByModel, fit=partial(fit_surrogate, name=name), curves=True)
        for suffix, name in (("", DEFAULT), ("-gp", "gp"), ("-xgb", "xgb"))
    },
    "gp-nehvi": partial(ByModel, fit=fit_plain, curves=False),
}
