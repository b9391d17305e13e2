"""Greedy selection of the next trainings by hypervolume improvement, conditioned on the trainings in flight.

This module knows no networks: candidates are sampled outcomes, or points of a model. It needs no gradients, so any
BoTorch model can be used.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from botorch.acquisition.multi_objective import logei
from botorch.acquisition.multi_objective.objective import GenericMCMultiOutputObjective
from botorch.acquisition.multi_objective.utils import prune_inferior_points_multi_objective
from botorch.models.model import Model
from botorch.sampling.get_sampler import get_sampler
from linear_operator.utils.warnings import NumericalWarning
from torch import Tensor

from surrogate_nas.exits.front import Front, Staircases
from surrogate_nas.foundation.arrays import Bools, Floats

ACQUISITION_SAMPLES = 64
SAFE = 0.9
FEASIBLE_ENOUGH = 20
PRUNING_SAMPLES = 256


def safe(probability: Floats, feasible: int, q: int) -> Bools:
    """(n,) whether each candidate is likely enough to keep the limits to be trained.

    Improvements over a good front lie just beyond the limits, where most trainings would be wasted. So once enough
    trained networks keep the limits, candidates must be likely to keep them, unless fewer than q are.

    Args:
        probability: (n,) probability of keeping the limits.
        feasible: number of trained networks that keep them.
        q: number of candidates to choose.
    """
    likely = probability >= SAFE
    return likely if feasible >= FEASIBLE_ENOUGH and likely.sum() >= q else np.ones_like(likely)


def greedily(
    front: Front, cost: Floats, accuracy: Floats, count: int, pending: tuple[Floats, Floats] | None = None
) -> list[int]:
    """Indices of up to `count` of n candidates, chosen greedily by their improvement of the sampled fronts.

    Sampled fronts contain the candidates chosen before. Candidates share their draws, so that one similar to an earlier
    one adds little.

    Args:
        front: the front of the trained networks.
        cost: (S, n, T) sampled log₁₀ costs at the T settings of each candidate.
        accuracy: (S, n, T) sampled accuracies at these settings.
        count: number of candidates to choose.
        pending: (S, k, T) costs and (S, k, T) accuracies of k candidates in flight.
    """
    fronts, picks = [front] * len(cost), list[int]()
    if pending is not None and pending[0].shape[1]:
        fronts = [f.with_points(c.ravel(), a.ravel()) for f, c, a in zip(fronts, *pending, strict=True)]
    steps = [Staircases.of(c, a, front.reference_cost) for c, a in zip(cost, accuracy, strict=True)]
    for _ in range(min(count, cost.shape[1])):
        gain = np.mean([f.improvement_by(s) for f, s in zip(fronts, steps, strict=True)], axis=0)
        gain[picks] = -1
        picks.append(int(gain.argmax()))
        i = picks[-1]
        fronts = [f.with_points(c[i], a[i]) for f, c, a in zip(fronts, cost, accuracy, strict=True)]
    return picks


@dataclass(frozen=True)
class Outcomes:
    """A model, with objectives and constraints as functions of samples of its outputs."""

    model: Model
    objectives: Callable[[Tensor], Tensor]
    """Function of (…, outputs) samples that returns (…, 2) values, both maximised."""
    constraints: Sequence[Callable[[Tensor], Tensor]]
    """Functions of (…, outputs) samples that return (…) values, at most 0 where the constraint is satisfied."""
    reference: tuple[float, float]
    """Reference point of the two objectives."""


@torch.no_grad()
def greedily_by_nehvi(
    outcomes: Outcomes, baseline: Tensor, points: Tensor, count: int, seed: int, pending: Tensor | None = None
) -> list[int]:
    """Indices of up to `count` of n points, chosen greedily by BoTorch's qLogNEHVI.

    Daulton et al., arXiv 2105.08195; Ament et al., arXiv 2310.20708.

    Args:
        outcomes: the model, with objectives and constraints.
        baseline: (K, d) points of trained networks.
        points: (n, d) points to choose from.
        count: number of points to choose.
        seed: seed of all draws.
        pending: (k, d) points in flight.
    """
    none = points[:0] if pending is None else pending
    picks: list[int] = []
    with _plain_qlognehvi(), warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore", NumericalWarning)
        torch.manual_seed(seed)  # pruning the baseline draws from the global generator
        model = outcomes.model
        sampler = get_sampler(model.posterior(baseline), torch.Size([ACQUISITION_SAMPLES]), seed=seed)
        objective = GenericMCMultiOutputObjective(lambda samples, X=None: outcomes.objectives(samples))
        constraints = list(outcomes.constraints) or None
        reference = baseline.new_tensor(outcomes.reference)
        promising = prune_inferior_points_multi_objective(
            model, baseline, reference, objective, constraints, PRUNING_SAMPLES
        )
        baseline = promising if len(promising) else baseline
        for _ in range(min(count, len(points))):
            before = torch.cat([none, points[picks]])
            acquisition = logei.qLogNoisyExpectedHypervolumeImprovement(
                model,
                list(outcomes.reference),
                baseline,
                sampler=sampler,
                objective=objective,
                constraints=constraints,
                X_pending=before if len(before) else None,
                cache_root=False,
            )
            value = acquisition(points[:, None, :]).numpy()
            value[picks] = -np.inf
            picks.append(int(value.argmax()))
    return picks


@contextmanager
def _plain_qlognehvi() -> Iterator[None]:
    """Prevent BoTorch from compiling a C++ kernel at first use.

    Compiling takes longer than these small problems, and a machine with a compiler would propose other networks than
    one without.
    """
    before = getattr(logei, "_load_attempted", None)
    logei._load_attempted = True
    try:
        yield
    finally:
        if before is not None:
            logei._load_attempted = before
