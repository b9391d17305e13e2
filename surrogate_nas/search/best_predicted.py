"""The architectures that are predicted best within limits: an evolutionary search on the surrogate, without training.

Like the predictor-based search of FBNetV3 (Dai et al., arXiv 2006.02049): what was trained and samples spread over the
cost are the first population; mutants and children of its best follow until nothing new enters the best n; at last
every neighbour of the best is tried, until none of them is better. Exact limits are kept throughout.
"""

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import torch

from surrogate_nas.exits.best import best_first, wants_cheapest
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.foundation.arrays import Floats, Ints
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.search.bayesian.curve_value import threshold_grid
from surrogate_nas.search.problem import Problem
from surrogate_nas.space import moves
from surrogate_nas.space.candidates import Candidates, untaken
from surrogate_nas.space.sampling import spread_rows
from surrogate_nas.surrogates.behavior import behavior_at
from surrogate_nas.surrogates.predictor import Predictor

EVEN = 0.5
"""Probability that all limits hold from which on an architecture counts as keeping them."""
POPULATION, PARENTS = 512, 64
MUTANTS, CHILDREN = 128, 128
GENERATIONS, PATIENCE = 40, 3
SWEEPS, SWEPT = 10, 16
DRAWS = 128
CHUNK = 512


@dataclass(frozen=True)
class Evaluations:
    """n architectures at their thresholds, with the quantities that rank them."""

    rows: Ints
    """(n, G) choice indices."""
    thresholds: Floats
    """(n, E − 1)."""
    feasible: Floats
    """(n,) probability that all limits hold, over fresh trainings."""
    accuracy: Floats
    """(n,) mean over fresh trainings."""
    objective: Floats
    """(n,) mean over fresh trainings of the expected cost that is to be minimised."""
    excess: Floats
    """(n,) mean over fresh trainings of the sum of relative excesses over the limits."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Ints | slice) -> "Evaluations":
        return Evaluations(*(getattr(self, f.name)[index] for f in fields(self)))

    def sorted(self, limits: Limits) -> "Evaluations":
        """The best first."""
        nearest = self[np.argsort(self.excess, kind="stable")]  # orders those that keep the limits in no draw
        return nearest[ranking(limits, nearest.feasible, nearest.accuracy, nearest.objective)]

    @classmethod
    def concatenate(cls, parts: list["Evaluations"]) -> "Evaluations":
        """The architectures of several, in order."""
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))


def ranking(limits: Limits, feasible: Floats, accuracy: Floats, objective: Floats) -> Ints:
    """(n,) indices, the best first; of equals the earlier.

    First those that keep all limits with a probability of at least a half, by the rule of `best_first`; the others
    follow by that probability.
    """
    beyond = np.full(len(feasible), -1)
    unlikely = np.flatnonzero(feasible < EVEN)
    beyond[unlikely[np.argsort(-feasible[unlikely], kind="stable")]] = np.arange(len(unlikely))
    return best_first(accuracy, objective, beyond, cheapest=wants_cheapest(limits))


def evolve(
    problem: Problem, predictor: Predictor, limits: Limits, start: Ints, n: int, point: OperatingPoint | None = None
) -> Evaluations:
    """Search for the n best; returns all evaluated architectures, the best first.

    Args:
        problem: its seed determines all random draws.
        predictor: of its networks.
        limits: on the architectures and their thresholds.
        start: (k, G) rows to begin with, beside samples.
        n: number of architectures to find.
        point: thresholds for all; by default the predictor's best for each.

    Raises:
        InputError: if no architecture keeps the exact limits; the smallest costs found are named.
    """
    return _Evolution(problem, predictor, limits, n, point).run(start)


class _Evolution:
    def __init__(
        self, problem: Problem, predictor: Predictor, limits: Limits, n: int, point: OperatingPoint | None
    ) -> None:
        self.space, self.costing, self.limits, self.n = problem.space, problem.costing, limits, n
        self.predictor, self.point, self.seed = predictor, point, problem.seed
        self.rng = np.random.default_rng(problem.seed)
        self.taken: set[bytes] = set()

    def run(self, start: Ints) -> Evaluations:
        evaluations = self._extend([], np.concatenate([start, self._samples(start)]))
        still = 0
        for _ in range(GENERATIONS):
            before, evaluations = evaluations, self._extend([evaluations], self._offspring(evaluations.rows[:PARENTS]))
            still = still + 1 if self._same_best(before, evaluations, self.n) else 0
            if still == PATIENCE:
                break
        swept = min(self.n, SWEPT)
        for _ in range(SWEEPS):
            around = [moves.neighbors(self.space.genes, row) for row in evaluations.rows[:swept]]
            before, evaluations = evaluations, self._extend([evaluations], np.concatenate(around))
            if self._same_best(before, evaluations, swept):
                break
        return evaluations

    def _samples(self, start: Ints) -> Ints:
        try:
            return spread_rows(self.space, max(POPULATION, self.n), self.costing, self.limits, self.rng)
        except InputError:
            if len(untaken(self.space, start, self.costing, self.limits, set())) == 0:
                raise
            return start[:0]

    def _offspring(self, parents: Ints) -> Ints:
        """Mutants and mutated children of (k, G) parents."""

        def draw(count: int) -> Ints:
            return parents[self.rng.integers(len(parents), size=count)]

        children = moves.crossover(self.space.genes, draw(CHILDREN), draw(CHILDREN), self.rng)
        mutants = moves.mutate(self.space.genes, draw(MUTANTS), self.rng)
        return np.concatenate([mutants, moves.mutate(self.space.genes, children, self.rng, 0.02)])

    def _extend(self, evaluations: list[Evaluations], rows: Ints) -> Evaluations:
        """Earlier evaluations and those of new rows within the exact limits, the best first."""
        new = untaken(self.space, rows, self.costing, self.limits, self.taken)
        self.taken |= {row.tobytes() for row in new.indices}
        parts = [self._evaluate(new[slice(k, k + CHUNK)]) for k in range(0, len(new), CHUNK)]
        return Evaluations.concatenate([*evaluations, *parts]).sorted(self.limits)

    def _same_best(self, before: Evaluations, after: Evaluations, n: int) -> bool:
        return np.array_equal(before.rows[:n], after.rows[:n])

    @torch.no_grad()
    def _evaluate(self, part: Candidates) -> Evaluations:
        """Evaluate candidates at their thresholds. All share their draws, so that comparisons are less noisy."""
        if self.point is None:
            thresholds = self.predictor.best_thresholds(part, self.limits, self._grid)
        else:
            thresholds = np.where(part.present[:, :-1], self.point.array(), np.inf)
        coefficients = self.predictor.coefficients(part, DRAWS, self.seed, fresh=True)
        behavior = behavior_at(self.predictor.design, part, torch.from_numpy(coefficients), thresholds)
        excess = behavior.excess(self.limits)
        return Evaluations(
            part.indices,
            thresholds,
            (excess <= 0).mean(axis=0),
            behavior.accuracy.mean(axis=0),
            behavior.objective.mean(axis=0),
            excess.mean(axis=0),
        )

    @cached_property
    def _grid(self) -> Floats:
        return threshold_grid(self.predictor.design.basis)
