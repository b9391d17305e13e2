"""The search of this package: constrained multi-objective Bayesian optimisation over architectures.

A pool is scored by the exact hypervolume improvement of sampled curves (`curve_value`). Finalists are chosen greedily,
each by its improvement over the curves of earlier finalists and of trainings in flight, and scored again at their best
operating points by qLogNEHVI (`acquisition`). A network on the front, whose measurements may be partly luck, replaces a
finalist if training it again is worth more (`repeats`).
"""

from dataclasses import dataclass

import numpy as np
import torch

from surrogate_nas.exits.front import Front, pareto_order
from surrogate_nas.exits.measurements import Measurements
from surrogate_nas.foundation.arrays import Floats, Ints, evenly
from surrogate_nas.foundation.threads import one_thread
from surrogate_nas.search.bayesian.acquisition import greedily, greedily_by_nehvi, safe
from surrogate_nas.search.bayesian.curve_value import CurveValue, OperatingPoints, threshold_grid
from surrogate_nas.search.bayesian.pool import Pool
from surrogate_nas.search.bayesian.repeats import worth_repeating
from surrogate_nas.search.goals import toward
from surrogate_nas.search.strategy import FitSurrogate, History, Suggestion
from surrogate_nas.search.wanted import wanted_limits
from surrogate_nas.space.candidates import Candidates
from surrogate_nas.surrogates.predictor import Predictor
from surrogate_nas.surrogates.spread import Spread

SEMIFINALISTS = 128
FINALISTS_PER_PICK = 3
BASELINE = 48
"""Number of points of the front, evenly spaced, that form the baseline of qLogNEHVI."""


@dataclass(frozen=True)
class KnownFront:
    """The feasible front of the trained networks, with its architectures and thresholds."""

    front: Front
    parents: Ints
    """(k, G) architectures on the front, or those closest to the limits if the front is empty."""
    points: Candidates
    """Architectures of the K front points, one row per point."""
    thresholds: Floats
    """(K, E − 1) thresholds of the front points."""
    feasible: int
    """Number of trained networks that keep the limits at some thresholds."""


def known_front(history: History) -> KnownFront:
    """Compute the feasible front of the trained networks."""
    problem, views, rows = history.problem, history.trained, history.networks
    limits = wanted_limits(problem)
    within = [exits.within(limits) for _, exits in views]
    owner = np.concatenate([np.full(len(m), i) for i, m in enumerate(within)])
    points = Measurements.concatenate(within)
    thresholds, cost, accuracy = points.thresholds, np.log10(points.objective), points.accuracy
    reference_cost, reference_accuracy = problem.reference(history.records)
    cost, accuracy = toward(problem.settings.goal, cost, accuracy, (reference_cost, reference_accuracy))
    counts = (cost < reference_cost) & (accuracy > reference_accuracy)
    on_front = np.flatnonzero(counts)[pareto_order(accuracy[counts], cost[counts])]
    front = Front(cost[on_front], accuracy[on_front], reference_cost, reference_accuracy)
    best = np.unique(owner[on_front])
    if len(best) == 0:
        nearest = [exits.curve.violation(limits).min() for _, exits in views]
        best = np.argsort(nearest, kind="stable")[:4]
    feasible = sum(len(m) > 0 for m in within)
    return KnownFront(front, rows.indices[best], rows[owner[on_front]], thresholds[on_front], feasible)


@dataclass(frozen=True)
class Bayesian:
    """The strategy named `bayesian`.

    Raises:
        JobError: if fewer than four networks have been trained.
    """

    fit: FitSurrogate
    """Function that fits the surrogate to the records so far."""
    curves: bool = True
    """Whether an architecture is scored by its whole curve, instead of by its best operating point alone."""

    def __call__(self, history: History, q: int) -> list[Suggestion]:
        """Up to q suggestions, each with its prediction."""
        predictor = self.fit(history.records).predictor.at(history.passes or history.problem.passes)
        with one_thread():
            choices = _Selection(history, predictor, joint=self.curves).best(q)
            return [_suggestion(history, predictor, *choice) for choice in choices]


class _Selection:
    """The decisions of one round."""

    def __init__(self, history: History, predictor: Predictor, *, joint: bool) -> None:
        problem = history.problem
        self.history, self.predictor, self.limits = history, predictor, wanted_limits(problem)
        self.known, self.rng = known_front(history), np.random.default_rng(history.seed)
        grid = threshold_grid(predictor.design.basis)
        front, goal = self.known.front, problem.settings.goal
        self.value = CurveValue(predictor, front, self.limits, grid, history.seed, goal=goal, joint=joint)

    def pool(self, q: int) -> Pool:
        """How the pool is made from which q are chosen."""
        return Pool(self.history, self.known.parents, lambda p: self.value(p)[0], lambda p: self._best_first(p, q))

    def best(self, q: int) -> list[tuple[Candidates, Floats, bool]]:
        """Up to q architectures (n = 1 each), each with its (E − 1,) most useful thresholds, and whether its training
        is a repeat."""
        pool = self.pool(q).candidates(self.rng)
        picks, thresholds = self._pick(pool, q) if len(pool) else (pool, np.zeros((0, 0)))
        new = [(picks[np.array([i])], thresholds[i], False) for i in range(len(picks))]
        repeats = worth_repeating(self.history, self.value, self.known.parents, picks, q)
        for place, row in repeats:
            again = Candidates.of_indices(self.history.problem.space, row[None], self.history.problem.costing)
            new[place] = again, self.value.grid[self.value(again)[1][0]], True
        return new

    def _pick(self, pool: Candidates, q: int) -> tuple[Candidates, Floats]:
        """Up to q candidates of the pool, with their thresholds."""
        best, setting = self._best_first(pool, q)[:SEMIFINALISTS], self.value(pool)[1]
        pending = self.history.candidates([p.architecture for p in self.history.pending])
        if len(self.known.points):
            cost, accuracy, _ = self.value.curves(pool[best])
            pending_curves = self.value.curves(pending)[:2] if len(pending) else None
            best = best[greedily(self.known.front, cost, accuracy, FINALISTS_PER_PICK * q, pending_curves)]
        else:
            best = best[: FINALISTS_PER_PICK * q]
        finalists, thresholds = pool[best], self.value.grid[setting[best]]
        index = np.arange(len(finalists))[:q]
        if len(self.known.points):
            index = np.array(self._rescore(finalists, thresholds, pending, q), dtype=np.int64)
        return finalists[index], thresholds[index]

    def _rescore(self, finalists: Candidates, thresholds: Floats, pending: Candidates, q: int) -> list[int]:
        """Indices of q finalists, chosen greedily by qLogNEHVI."""
        parts = [(finalists, thresholds)]
        index = evenly(len(self.known.points), BASELINE)
        parts.append((self.known.points[index], self.known.thresholds[index]))
        parts.append((pending, self.value.grid[self.value(pending)[1]]))
        every = np.concatenate([part.indices for part, _ in parts])
        candidates = Candidates.of_indices(self.history.problem.space, every, self.history.problem.costing)
        as_points = OperatingPoints(
            self.predictor, self.limits, candidates, np.concatenate([setting for _, setting in parts])
        )
        numbers = torch.arange(len(every), dtype=torch.float64)[:, None]
        points, baseline, in_flight = torch.split(numbers, [len(part) for part, _ in parts])
        return greedily_by_nehvi(
            as_points.outcomes(self.known.front, self.value.goal), baseline, points, q, self.history.seed, in_flight
        )

    def _best_first(self, pool: Candidates, q: int) -> Ints:
        """Indices of the candidates that are likely enough to keep the limits, the most valuable first; see `safe`."""
        value, _ = self.value(pool)
        is_safe = safe(self.value.feasible(pool), self.known.feasible, q)
        return np.argsort(-np.where(is_safe, value, -np.inf), kind="stable")[: is_safe.sum()]


def _suggestion(
    history: History, predictor: Predictor, candidate: Candidates, thresholds: Floats, again: bool
) -> Suggestion:
    problem = history.problem
    predicted = predictor.predict(candidate, thresholds[None], wanted_limits(problem), history.seed)
    prediction = {
        "surrogate": predictor.kind,
        "policy": problem.policy,
        "thresholds": [None if np.isinf(t) else float(t) for t in thresholds],
        "accuracy": _interval(predicted.accuracy),
        "expected_macs": _interval(predicted.expected_macs),
        "feasible": float(predicted.feasible[0]),
    }
    return Suggestion(problem.space.architectures(candidate.indices)[0], prediction, again)


def _interval(estimate: Spread) -> list[float]:
    return [float(estimate.mean[0]), float(estimate.low[0]), float(estimate.high[0])]
