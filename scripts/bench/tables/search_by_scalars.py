"""The ablation of curves: the same acquisition on two surrogates, of accuracy and of log₁₀ expected cost, whose inputs
are an architecture and thresholds."""

from collections.abc import Sequence

import numpy as np
import torch
from botorch.fit import fit_gpytorch_mll
from botorch.models import ModelListGP, SingleTaskGP
from botorch.models.transforms import Standardize
from gpytorch.mlls import SumMarginalLogLikelihood

from surrogate_nas.foundation.arrays import Floats, evenly
from surrogate_nas.foundation.threads import one_thread
from surrogate_nas.search.bayesian.acquisition import Outcomes, greedily_by_nehvi
from surrogate_nas.search.bayesian.curve_value import threshold_grid
from surrogate_nas.search.bayesian.strategy import known_front
from surrogate_nas.search.strategy import History, Suggestion
from surrogate_nas.space.candidates import Candidates
from surrogate_nas.surrogates.design import DesignMatrix

POINTS_PER_NETWORK = 4
"""Number of points, evenly along the network's own front."""
SETTINGS_PER_NETWORK = 16
BASELINE, FINALISTS = 48, 128


def by_scalars(history: History, q: int) -> Sequence[Suggestion]:
    """Up to q suggestions; each network of the pool stands at the best of some settings."""
    with one_thread():
        return _by_scalars(history, q)


def _by_scalars(history: History, q: int) -> Sequence[Suggestion]:
    problem, rng = history.problem, np.random.default_rng(history.seed)
    design = DesignMatrix.build(history.trained, problem.space, problem.costing)

    def inputs(part: Candidates, thresholds: Floats) -> torch.Tensor:
        off = ~np.isfinite(thresholds) | ~part.present[:, :-1]
        scaled = np.where(off, 1.0, np.where(off, 1.0, thresholds) ** (1 / design.basis.power))
        return torch.from_numpy(np.concatenate([design.inputs(part), scaled, off], axis=1))

    X, Y = [], []
    for i, (_, exits) in enumerate(history.trained):
        curve = exits.within(problem.settings.limits)
        some = curve[evenly(len(curve), POINTS_PER_NETWORK)]
        X.append(inputs(history.networks[np.full(len(some), i)], some.thresholds))
        Y.append(np.stack([some.accuracy, -np.log10(some.objective)], axis=1))
    rows, targets = torch.cat(X), torch.from_numpy(np.concatenate(Y))
    model = ModelListGP(*(SingleTaskGP(rows, targets[:, [j]], outcome_transform=Standardize(1)) for j in range(2)))
    fit_gpytorch_mll(SumMarginalLogLikelihood(model.likelihood, model))

    current_front, pool = known_front(history), history.sample(problem.space.size, rng)
    grid = threshold_grid(design.basis)
    queries = pool[np.repeat(np.arange(len(pool)), SETTINGS_PER_NETWORK)]
    settings = grid[rng.integers(len(grid), size=len(queries))]
    points = inputs(queries, settings)
    with torch.no_grad():
        means = torch.cat([model.posterior(part).mean for part in points.split(2048)]).numpy()
    gain = current_front.front.improvement(-means[:, 1:], means[:, :1]).reshape(len(pool), -1)
    gain += 1e-9 * rng.random(gain.shape)
    best = gain.argmax(axis=1) + np.arange(len(pool)) * SETTINGS_PER_NETWORK
    best = best[np.argsort(-gain.max(axis=1), kind="stable")[:FINALISTS]]
    K = len(current_front.points)
    along = evenly(K, BASELINE)
    baseline = inputs(current_front.points[along], current_front.thresholds[along])
    reference = current_front.front.reference_accuracy, -current_front.front.reference_cost
    outcomes = Outcomes(model, lambda samples: samples, [], reference)
    chosen_rows = best[greedily_by_nehvi(outcomes, baseline, points[best], q, history.seed)]
    return [Suggestion(a) for a in problem.space.architectures(queries.indices[chosen_rows])]
