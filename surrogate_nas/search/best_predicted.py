"""Architectures with the best predictions within limits, by an evolutionary search on the surrogate, without training.

Like the predictor-based search of FBNetV3 (Dai et al., arXiv 2006.02049): the first population is the trained networks
and samples spread over the cost; mutants and children of the best are added until the best n no longer change; finally
all neighbours of the best are evaluated until none is better. Every candidate keeps the exact limits.
"""

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import torch

from surrogate_nas.exits.best import best_first, wants_cheapest_network
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
"""Smallest probability that all limits hold, for an architecture to count as keeping them."""
POPULATION, PARENTS = 512, 64
MUTANTS, CHILDREN = 128, 128
GENERATIONS, PATIENCE = 40, 3
SWEEPS, SWEPT = 10, 16
DRAWS = 128
CHUNK = 512


@dataclass(frozen=True)
class Evaluations:
    """Predictions for n architectures at their thresholds, by which they are ranked."""

    rows: Ints
    """(n, G) choice indices."""
    thresholds: Floats
    """(n, E − 1) thresholds, ∞ for off."""
    feasible: Floats
    """(n,) probability that all limits hold in a new training."""
    accuracy: Floats
    """(n,) mean accuracy over new trainings."""
    objective: Floats
    """(n,) mean expected cost, of the kind that is minimised, over new trainings."""
    excess: Floats
    """(n,) mean sum of relative excesses over the limits, over new trainings."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Ints | slice) -> "Evaluations":
        return Evaluations(*(getattr(self, f.name)[index] for f in fields(self)))

    def sorted(self, limits: Limits) -> "Evaluations":
        """Sorted, the best first; see `ranking`."""
        nearest = self[np.argsort(self.excess, kind="stable")]  # orders architectures that keep the limits in no draw
        return nearest[ranking(limits, nearest.feasible, nearest.accuracy, nearest.objective)]

    @classmethod
    def concatenate(cls, parts: list["Evaluations"]) -> "Evaluations":
        """Join several evaluations, in order."""
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))


def ranking(limits: Limits, feasible: Floats, accuracy: Floats, objective: Floats) -> Ints:
    """(n,) indices, the best first; ties keep their order.

    Architectures that keep all limits with a probability of at least a half come first, in the order of `best_first`;
    the others follow by that probability.
    """
    beyond = np.full(len(feasible), -1)
    unlikely = np.flatnonzero(feasible < EVEN)
    beyond[unlikely[np.argsort(-feasible[unlikely], kind="stable")]] = np.arange(len(unlikely))
    return best_first(accuracy, objective, beyond, cheapest=wants_cheapest_network(limits))


def evolve(
    problem: Problem, predictor: Predictor, limits: Limits, start: Ints, n: int, point: OperatingPoint | None = None
) -> Evaluations:
    """Search for the n best architectures; returns all evaluated ones, the best first.

    Args:
        problem: the search problem; its seed determines all random draws.
        predictor: fitted surrogate of the problem's networks.
        limits: limits on the architectures and their operating points.
        start: (k, G) rows of the first population, besides samples.
        n: number of architectures to find.
        point: operating point for all architectures; by default the predicted best of each.

    Raises:
        InputError: if no architecture keeps the exact limits; the message names the smallest costs.
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
        """Rows of mutants and mutated children of (k, G) parents."""

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
        """Evaluate candidates at their thresholds. They share their draws, so that comparisons are less noisy."""
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
