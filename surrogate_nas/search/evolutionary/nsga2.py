"""NSGA-II (Deb et al. 2002, doi 10.1109/4235.996017), with pymoo's survival and the moves of the space."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.operators.survival.rank_and_crowding import RankAndCrowding

from surrogate_nas.exits.operating_point import OFF
from surrogate_nas.foundation.arrays import Floats, Ints
from surrogate_nas.search.evolutionary.individuals import (
    Individuals,
    TrainedIndividuals,
    at_genes,
    fill_up,
    new_ones,
    within_limits,
)
from surrogate_nas.search.strategy import History, Suggestion

POPULATION, GENERATIONS = 40, 20
TRIES = 10
"""Largest number of broods to get enough new children."""


@dataclass(frozen=True)
class Survivors:
    """Up to `POPULATION` survivors of n individuals, with rank and crowding distance."""

    index: Ints
    """(m,) indices of the survivors."""
    rank: Ints
    """(m,) number of each survivor's front, from 0."""
    crowding: Floats
    """(m,) crowding distance of each survivor to its neighbours on that front."""

    @classmethod
    def of(cls, values: Floats, rng: np.random.Generator) -> "Survivors":
        """Select by (n, 2) values to minimise; n is at least 1."""
        everyone = Population.new(X=np.arange(len(values))[:, None], F=values)
        most = min(POPULATION, len(values))
        survivors = RankAndCrowding().do(Problem(n_var=1, n_obj=2), everyone, n_survive=most, random_state=rng)
        index = survivors.get("X")[:, 0].astype(np.int64)
        return cls(index, survivors.get("rank").astype(np.int64), survivors.get("crowding").astype(np.float64))

    def parents(self, n: int, rng: np.random.Generator) -> Ints:
        """(n,) winners of binary tournaments, as indices of the survivors: by rank, then by crowding."""
        a, b = rng.integers(len(self.index), size=(2, n))
        closer = (self.rank[a] == self.rank[b]) & (self.crowding[a] >= self.crowding[b])
        return np.asarray(np.where((self.rank[a] < self.rank[b]) | closer, a, b))


def brood(history: History, population: Individuals, standing: Survivors, rng: np.random.Generator) -> Individuals:
    """Up to `POPULATION` children of the survivors within the exact limits, distinct and different from them."""
    alive = population[standing.index]
    left, right = standing.parents(POPULATION, rng), standing.parents(POPULATION, rng)
    children = within_limits(history, alive.children(history.problem.space, left, right, rng))
    keys, index = set(alive.keys()), list[int]()
    for i, key in enumerate(children.keys()):
        if key not in keys:
            keys.add(key)
            index.append(i)
    return children[np.array(index, dtype=np.int64)]


def evolve(
    history: History, start: Individuals, values: Callable[[Individuals], Floats], rng: np.random.Generator
) -> Individuals:
    """Run NSGA-II; returns the last population, the best fronts first.

    Args:
        history: source of the space and the exact limits, which every child keeps.
        start: the first population, at least one individual.
        values: function of n individuals that returns the (n, 2) values to minimise.
        rng: generator of all random draws.
    """
    population, objectives = start, values(start)
    for _ in range(GENERATIONS):
        standing = Survivors.of(objectives, rng)
        children = brood(history, population, standing, rng)
        population, objectives = population[standing.index], objectives[standing.index]
        if len(children):
            population, objectives = population.concatenate(children), np.concatenate([objectives, values(children)])
    return population[Survivors.of(objectives, rng).index]


def nsga2(history: History, q: int) -> Sequence[Suggestion]:
    """The strategy named `nsga2`: children of the best networks by measured error and log₁₀ cost; no surrogate."""
    rng, space = np.random.default_rng(history.seed), history.problem.space
    trained = TrainedIndividuals.of(history, at_genes)
    candidates = trained.individuals[:0]
    if len(trained):
        standing = Survivors.of(np.stack([trained.error, trained.log_cost], axis=1), rng)
        for _ in range(TRIES):
            candidates = new_ones(history, candidates.concatenate(brood(history, trained.individuals, standing, rng)))
            if len(candidates) >= q:
                break
    chosen = fill_up(history, candidates, q, rng)
    proposal_predictions = predictions(history, "nsga2", chosen)
    return [Suggestion(a, p) for a, p in zip(space.architectures(chosen.rows), proposal_predictions, strict=True)]


def predictions(history: History, strategy: str, individuals: Individuals) -> list[dict[str, object]]:
    """Predictions to store with proposals, without surrogate predictions; `None` means off."""
    common = {"strategy": strategy, "policy": history.problem.policy}
    if not individuals.thresholds.shape[1]:
        return [dict(common) for _ in range(len(individuals))]
    genes = individuals.thresholds.tolist()
    return [{**common, "thresholds": [None if t == OFF else t for t in row]} for row in genes]
