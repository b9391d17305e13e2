"""Acquisition value of an architecture: the joint hypervolume improvement of all its operating points.

Changing thresholds needs no training, so a pool is scored by the exact hypervolume improvement of sampled curves. Until
a trained network keeps the limits, candidates are scored first by the probability that their curve keeps them.
"""

import itertools
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from botorch.models import ModelList
from botorch.models.deterministic import GenericDeterministicModel
from botorch.models.model import Model
from torch import Tensor

from surrogate_nas.architecture.cost import Cost, Objective, costs_of_leaving
from surrogate_nas.exits.front import Front
from surrogate_nas.exits.limit_table import Limit, on_expected
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.measurements import Spending
from surrogate_nas.exits.operating_point import OFF
from surrogate_nas.foundation.arrays import Array, Bools, Floats, Ints
from surrogate_nas.foundation.threads import side_by_side
from surrogate_nas.search.bayesian.acquisition import Outcomes
from surrogate_nas.search.goals import UNIT, toward
from surrogate_nas.settings import GoalName
from surrogate_nas.space.candidates import Candidates
from surrogate_nas.surrogates.behavior import behavior_at
from surrogate_nas.surrogates.curves import CurveBasis, ExitBehavior
from surrogate_nas.surrogates.normal_model import NormalModel, moments
from surrogate_nas.surrogates.predictor import Predictor

RANDOM_THRESHOLDS = 48
EQUAL_THRESHOLDS = (0.3, 0.5, 0.65, 0.8, 0.9, 0.95, 0.98)
CURVE_SAMPLES = 16
MOST_IN_ALL_SUBSETS = 8
"""Largest number of early exits for which the grid of settings contains every subset of them."""
SUBSETS_OF_MORE = 63
"""Number of subsets in the grid for more early exits: evaluating it takes no longer than for eight."""
COMPOSED_AT_ONCE = 16
"""Number of architectures whose sampled curves fit into a processor's cache."""
WORTHLESS = -1.0  # an accuracy below every reference: such a point improves nothing


def threshold_grid(basis: CurveBasis) -> Floats:
    """(T, E − 1) settings at which sampled curves are evaluated: equal thresholds for subsets of exits, and others."""
    early = basis.positions - 1
    equal = [np.where(subset, t**basis.power, OFF) for subset in exit_subsets(early) for t in EQUAL_THRESHOLDS]
    return np.concatenate([np.stack([*equal, np.full(early, OFF)]), basis.spread(RANDOM_THRESHOLDS)])


def exit_subsets(early: int) -> Bools:
    """(S, early) distinct non-empty subsets of early exits.

    Up to eight early exits, every subset. Beyond, the full set, each exit alone, and random subsets of every size.
    """
    if early <= MOST_IN_ALL_SUBSETS:
        return np.array(list(itertools.product([True, False], repeat=early)), dtype=bool)[:-1]
    rng = np.random.default_rng(0)
    subsets = {row.tobytes(): row for row in [np.ones(early, dtype=bool), *np.eye(early, dtype=bool)]}
    while len(subsets) < SUBSETS_OF_MORE:
        row = rng.permutation(early) < rng.integers(2, early)
        subsets[row.tobytes()] = row
    return np.array(list(subsets.values()))


class CurveValue:
    """Acquisition function: mean hypervolume improvement of the front by a candidate's sampled curves.

    The value is mean_s HVI({(log₁₀ c_s(t), a_s(t)) : t}), over draws s and those settings t of the grid that keep the
    limits. Scores are cached by architecture.
    """

    def __init__(
        self,
        predictor: Predictor,
        front: Front,
        limits: Limits,
        grid: Floats,
        seed: int,
        *,
        goal: GoalName = "front",
        joint: bool = True,
    ) -> None:
        """Build for a front, as the goal counts it, and (T, E − 1) settings; `joint=False` scores the best single
        setting, not the curve."""
        self.predictor, self.front, self.limits, self.grid, self.seed = predictor, front, limits, grid, seed
        self.goal, self.joint = goal, joint
        self._scores: dict[bytes, tuple[float, int, float]] = {}

    def __call__(self, pool: Candidates) -> tuple[Floats, Ints]:
        """(n,) values, and (n,) index of the grid setting with the largest improvement by itself."""
        keys = [row.tobytes() for row in pool.indices]
        new = np.array([i for i, key in enumerate(keys) if key not in self._scores], dtype=np.int64)
        new = new[np.lexsort(pool.present[new].T)]  # exits that none of a chunk has cost no time
        coefficients = self._coefficients(pool[new]) if len(new) else np.zeros((0, 0, 0))
        chunks = _chunks(len(new))
        parts = side_by_side(lambda chunk: self._score(pool[new[chunk]], coefficients[:, chunk]), chunks)
        for chunk, scores in zip(chunks, parts, strict=True):
            for i, value, setting, feasible in zip(new[chunk], *scores, strict=True):
                self._scores[keys[i]] = (float(value), int(setting), float(feasible))
        all_scores = [self._scores[key] for key in keys]
        return np.array([v for v, _, _ in all_scores]), np.array([s for _, s, _ in all_scores], dtype=np.int64)

    def feasible(self, pool: Candidates) -> Floats:
        """(n,) probabilities that some grid setting keeps the limits; the candidates must have been scored."""
        return np.array([self._scores[row.tobytes()][2] for row in pool.indices])

    def curves(self, part: Candidates) -> tuple[Floats, Floats, Floats]:
        """(S, n, T) sampled log₁₀ costs and accuracies as the goal counts them, and violations of the limits, of the
        mean over trainings.

        A point that violates the limits has accuracy −1, so that it improves no front.
        """
        return self.curves_of(part, self._coefficients(part))

    def curves_of(self, part: Candidates, coefficients: Floats) -> tuple[Floats, Floats, Floats]:
        """Result of `curves` for given (S, n, C) curve coefficients, in single precision."""
        chunks = side_by_side(lambda c: self._compose(part[c], coefficients[:, c]), _chunks(len(part)))
        cost, accuracy, violation = zip(*chunks, strict=True)
        return np.concatenate(cost, axis=1), np.concatenate(accuracy, axis=1), np.concatenate(violation, axis=1)

    def _coefficients(self, part: Candidates) -> Floats:
        """(S, n, C) sampled curve coefficients."""
        return self.predictor.coefficients(part, CURVE_SAMPLES, self.seed, fresh=False)

    def _compose(self, part: Candidates, coefficients: Floats) -> tuple[Floats, Floats, Floats]:
        curve_coefficients = torch.from_numpy(coefficients.astype(np.float32))[:, :, None]
        behavior = behavior_at(self.predictor.design, part, curve_coefficients, self.grid[None].astype(np.float32))
        violation = behavior.excess(self.limits)
        accuracy = np.where(violation <= 0, behavior.accuracy, WORTHLESS)
        reference = self.front.reference_cost, self.front.reference_accuracy
        return *toward(self.goal, np.log10(behavior.objective), accuracy, reference), violation

    def _score(self, part: Candidates, coefficients: Floats) -> tuple[Floats, Ints, Floats]:
        cost, accuracy, violation = self._compose(part, coefficients)
        alone = self.front.improvement_by_each(cost, accuracy).mean(axis=0)  # (n, T)
        gain = self.front.improvement(cost, accuracy).mean(axis=0) if self.joint else alone.max(axis=1)
        setting = np.where(alone.max(axis=1) > 0, alone.argmax(axis=1), violation.mean(axis=0).argmin(axis=1))
        feasible = (violation <= 0).any(axis=-1).mean(axis=0)
        if len(self.front.cost):
            return gain, setting, feasible
        nearest = violation.min(axis=-1).mean(axis=0)
        return feasible + 1e-3 * gain - 1e-6 * nearest, setting, feasible


def _chunks(n: int) -> list[slice]:
    return [slice(k, k + COMPOSED_AT_ONCE) for k in range(0, n, COMPOSED_AT_ONCE)]


class _Tabulated(NormalModel):
    """The posterior of a model at n points; inputs are their indices."""

    def __init__(self, model: Model, inputs: Floats) -> None:
        super().__init__()
        with torch.no_grad():
            self.mean, self.covariance = moments(model, torch.from_numpy(inputs))

    @property
    def num_outputs(self) -> int:
        """Number m of targets."""
        return self.mean.shape[-1]

    def joint(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """(…, q, m) means and (…, m, q, q) covariances at (…, q, 1) indices."""
        index = _index(X)
        return self.mean[index], self.covariance[:, index[..., :, None], index[..., None, :]].movedim(0, -3)


def _index(X: Tensor) -> Tensor:
    """Integers of (…, 1) indices, which BoTorch takes as real numbers."""
    return X[..., 0].long()


def _caps(limits: Limits, objective: Objective) -> list[tuple[Limit, float]]:
    """Limits on spending that depend on exit probabilities, except the limit on the minimised expected cost.

    Worst-case limits are exact, and already applied when curves are scored.
    """
    least = on_expected(objective)
    return [(row, cap) for row, cap in limits.active if not (row.exact or row.of_accuracy or row is least)]


def _charges(limit: Limit, cost: Cost) -> tuple[Array, Array]:
    """Costs that a limit on spending bounds: (n, E) of the backbone, and (n, E) of the branches."""
    if not limit.needs_cost_table:
        return cost.backbone, cost.branch
    assert cost.other is not None
    return cost.other


class OperatingPoints:
    """Architectures at single operating points, as points of a BoTorch model: a point is its index among them.

    Their joint posterior is computed once. Exact costs and the presence of exits are deterministic outputs of the
    model, besides the surrogate's, so that accuracy and expected cost are functions of its samples.
    """

    def __init__(self, predictor: Predictor, limits: Limits, candidates: Candidates, thresholds: Floats) -> None:
        """Build from n architectures at (n, E − 1) thresholds."""
        self.design, self.limits, self.objective = predictor.design, limits, candidates.cost.objective
        self.model, self.caps = (
            _Tabulated(predictor.model, self.design.inputs(candidates)),
            _caps(limits, self.objective),
        )
        cost, on = candidates.cost, np.isfinite(thresholds) & candidates.present[:, :-1]
        costs = [cost.objective_costs, *(_charges(limit, cost) for limit, _ in self.caps)]
        charges = [costs_of_leaving(backbone, branch, on, cost.charge_heads) for backbone, branch in costs]
        self.exact = torch.from_numpy(np.concatenate([thresholds, candidates.present, *charges], axis=1))
        """(n, (3 + K) E − 1) thresholds, presence, the minimised cost, and K limited costs."""

    def outcomes(self, front: Front, goal: GoalName = "front") -> Outcomes:
        """The composite model, with the limits as constraints on its samples, and objectives as the goal counts them;
        see `goals.toward`."""
        limits, exact = self.limits, self.exact
        costs = GenericDeterministicModel(lambda X: exact[_index(X)], num_outputs=exact.shape[1])
        constraints: list[Callable[[Tensor], Tensor]] = []
        if (floor := limits.min_accuracy) is not None:
            constraints.append(lambda samples: floor - self._objectives(samples)[..., 0])
        if (most := limits.max_drop) is not None:
            constraints.append(lambda samples: self._curve_and_costs(samples)[0].drop - most)
        if (cheapest := limits.budget(self.objective)) is not None:
            log_cap = float(np.log10(cheapest))
            constraints.append(lambda samples: -self._objectives(samples)[..., 1] - log_cap)
        constraints += [partial(self._over, k) for k in range(len(self.caps))]
        reference = front.reference_accuracy, -front.reference_cost

        def objectives(samples: Tensor) -> Tensor:
            both = self._objectives(samples)
            if goal == "accuracy":
                both[..., 1] = reference[1] + UNIT
            elif goal == "cost":
                both[..., 0] = reference[0] + UNIT
            return both

        return Outcomes(ModelList(self.model, costs), objectives, constraints, reference)

    def _curve_and_costs(self, samples: Tensor) -> tuple[ExitBehavior, list[Tensor]]:
        """The curve, followed by the minimised cost and the limited costs."""
        design, E = self.design, self.design.basis.positions
        parts = [len(design.targets.learned), E - 1, E, *[E] * (1 + len(self.caps))]
        targets, setting, present, *costs = torch.split(samples, parts, dim=-1)
        coefficients = torch.from_numpy(design.targets.center) + targets @ torch.from_numpy(design.targets.rotation)
        return design.compose(coefficients, setting, present > 0), costs

    def _objectives(self, samples: Tensor) -> Tensor:
        """(…, 2) accuracy and −log₁₀ of the expected cost, from curve targets and exact outputs."""
        curve, costs = self._curve_and_costs(samples)
        return torch.stack([curve.accuracy, -curve.expected(costs[0]).log10()], dim=-1)

    def _over(self, k: int, samples: Tensor) -> Tensor:
        """Relative excess of limited cost k over its limit; negative within the limit."""
        curve, costs = self._curve_and_costs(samples)
        (limit, cap), spent = self.caps[k], Spending(curve.rates.numpy(), costs[1 + k].numpy())
        return torch.from_numpy(getattr(spent, limit.statistic) / cap - 1)
