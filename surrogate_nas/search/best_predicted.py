"""Which architectures are predicted best within limits: an evolutionary search on the surrogate, without training.

As the predictor-based search of FBNetV3 (Dai et al., arXiv 2006.02049): what was trained and samples spread over the
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
from surrogate_nas.surrogates.predictor import Predictor
from surrogate_nas.surrogates.reached import reach

EVEN = 0.5
"""Probability that all limits hold from which on an architecture counts as keeping them."""
POPULATION, PARENTS = 512, 64
MUTANTS, CHILDREN = 128, 128
GENERATIONS, PATIENCE = 40, 3
SWEEPS, SWEPT = 10, 16
DRAWS = 128
CHUNK = 512


@dataclass(frozen=True)
class Evaluated:
    """n architectures at their thresholds, with what decides how good they are."""

    rows: Ints
    """(n, G) choice indices."""
    thresholds: Floats
    """(n, E − 1)."""
    feasible: Floats
    """(n,) probability that all limits hold, over fresh trainings."""
    accuracy: Floats
    """(n,) mean over fresh trainings."""
    spent: Floats
    """(n,) the same of the expected cost that is to be minimised."""
    excess: Floats
    """(n,) the same of the sum of relative excesses over the limits."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Ints | slice) -> "Evaluated":
        return Evaluated(*(getattr(self, f.name)[index] for f in fields(self)))

    def sorted(self, limits: Limits) -> "Evaluated":
        """The best first."""
        nearest = self[np.argsort(self.excess, kind="stable")]  # orders those that keep the limits in no draw
        return nearest[ranking(limits, nearest.feasible, nearest.accuracy, nearest.spent)]

    @classmethod
    def concatenate(cls, parts: list["Evaluated"]) -> "Evaluated":
        """The architectures of several, in order."""
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))


def ranking(limits: Limits, feasible: Floats, accuracy: Floats, spent: Floats) -> Ints:
    """(n,) indices, the best first; of equals the earlier.

    First those that keep all limits with a probability of at least a half, by the rule of `best_first`; the others
    follow by that probability.
    """
    beyond = np.full(len(feasible), -1)
    unlikely = np.flatnonzero(feasible < EVEN)
    beyond[unlikely[np.argsort(-feasible[unlikely], kind="stable")]] = np.arange(len(unlikely))
    return best_first(accuracy, spent, beyond, cheapest=wants_cheapest(limits))


def evolve(
    problem: Problem, predictor: Predictor, limits: Limits, start: Ints, n: int, point: OperatingPoint | None = None
) -> Evaluated:
    """Everything that was evaluated on the way to the n best, the best first.

    Args:
        problem: whose seed decides all chance.
        predictor: of its networks.
        limits: to keep.
        start: (k, G) rows to begin with, beside samples.
        n: how many are wanted.
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

    def run(self, start: Ints) -> Evaluated:
        known = self._joined([], np.concatenate([start, self._samples(start)]))
        still = 0
        for _ in range(GENERATIONS):
            before, known = known, self._joined([known], self._offspring(known.rows[:PARENTS]))
            still = still + 1 if self._same_best(before, known, self.n) else 0
            if still == PATIENCE:
                break
        swept = min(self.n, SWEPT)
        for _ in range(SWEEPS):
            around = [moves.neighbors(self.space.genes, row) for row in known.rows[:swept]]
            before, known = known, self._joined([known], np.concatenate(around))
            if self._same_best(before, known, swept):
                break
        return known

    def _samples(self, start: Ints) -> Ints:
        try:
            return spread_rows(self.space, max(POPULATION, self.n), self.costing, self.limits, self.rng)
        except InputError:
            if len(untaken(self.space, start, self.costing, self.limits, set())) == 0:
                raise
            return start[:0]

    def _offspring(self, parents: Ints) -> Ints:
        """Mutants and mutated children of (k, G) parents."""

        def some(count: int) -> Ints:
            return parents[self.rng.integers(len(parents), size=count)]

        children = moves.crossover(self.space.genes, some(CHILDREN), some(CHILDREN), self.rng)
        mutants = moves.mutate(self.space.genes, some(MUTANTS), self.rng)
        return np.concatenate([mutants, moves.mutate(self.space.genes, children, self.rng, 0.02)])

    def _joined(self, known: list[Evaluated], rows: Ints) -> Evaluated:
        """What is known and those of the rows that are new and within the exact limits, the best first."""
        new = untaken(self.space, rows, self.costing, self.limits, self.taken)
        self.taken |= {row.tobytes() for row in new.indices}
        parts = [self._evaluate(new[slice(k, k + CHUNK)]) for k in range(0, len(new), CHUNK)]
        return Evaluated.concatenate([*known, *parts]).sorted(self.limits)

    def _same_best(self, before: Evaluated, after: Evaluated, n: int) -> bool:
        return np.array_equal(before.rows[:n], after.rows[:n])

    @torch.no_grad()
    def _evaluate(self, part: Candidates) -> Evaluated:
        """At each one's thresholds. All share their draws, so that comparisons are less noisy."""
        if self.point is None:
            thresholds = self.predictor.best_thresholds(part, self.limits, self._grid)
        else:
            thresholds = np.where(part.present[:, :-1], self.point.array(), np.inf)
        drawn = self.predictor.coefficients(part, DRAWS, self.seed, fresh=True)
        reached = reach(self.predictor.design, part, torch.from_numpy(drawn), thresholds)
        excess = reached.excess(self.limits)
        return Evaluated(
            part.indices,
            thresholds,
            (excess <= 0).mean(axis=0),
            reached.accuracy.mean(axis=0),
            reached.objective.mean(axis=0),
            excess.mean(axis=0),
        )

    @cached_property
    def _grid(self) -> Floats:
        return threshold_grid(self.predictor.design.basis)
