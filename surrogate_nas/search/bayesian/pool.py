"""The pool that a round chooses from: samples, mutants and children of parents, and neighbours of the best."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from surrogate_nas.foundation.arrays import Floats, Ints
from surrogate_nas.search.strategy import History
from surrogate_nas.space import moves
from surrogate_nas.space.candidates import Candidates

POOL_SAMPLES, POOL_MUTANTS, POOL_CHILDREN = 512, 256, 128
WHOLE_SPACE = 1024
"""Largest number of architectures that are the pool as a whole."""
CLIMBERS = 4
MOST_NEIGHBORS = 4096
"""Most neighbours scored in a round: a number, not a time, so that proposals do not depend on the machine."""


@dataclass(frozen=True)
class Pool:
    """How the pool of a round is made."""

    history: History
    parents: Ints
    """(k, G) architectures whose mutants and children are in the pool."""
    value: Callable[[Candidates], Floats]
    """Function that returns the (n,) values of candidates."""
    best_first: Callable[[Candidates], Ints]
    """Function that returns the indices of the candidates that may be chosen, the most valuable first."""

    def candidates(self, rng: np.random.Generator) -> Candidates:
        """All architectures if there are few; else samples, mutants and children of the parents, and neighbours of the
        best."""
        history, genes = self.history, self.history.problem.space.genes
        if history.size <= WHOLE_SPACE:
            return history.sample(history.size, rng)

        def parents(n: int) -> Ints:
            return self.parents[rng.integers(len(self.parents), size=n)]

        children = moves.crossover(genes, parents(POOL_CHILDREN), parents(POOL_CHILDREN), rng)
        mutants = [moves.mutate(genes, parents(POOL_MUTANTS), rng), moves.mutate(genes, children, rng, 0.02)]
        return self._climb(history.new(np.concatenate([history.sample(POOL_SAMPLES, rng).indices, *mutants])))

    def _climb(self, pool: Candidates) -> Candidates:
        """Extend the pool by neighbours of its best, until none is better or `MOST_NEIGHBORS` have been added."""
        most, climbed = len(pool) + MOST_NEIGHBORS, set[bytes]()
        while 0 < len(pool) < most:
            best = pool.indices[self.best_first(pool)[:CLIMBERS]]
            starts = [row for row in best if row.tobytes() not in climbed]
            if not starts:
                break
            near = [moves.neighbors(self.history.problem.space.genes, row) for row in starts]
            self.value(self.history.new(np.concatenate(near))[: most - len(pool)])  # at once takes less time
            for row, neighbors in zip(starts, near, strict=True):
                climbed.add(row.tobytes())
                around = self._around(row, neighbors, most - len(pool))
                pool = self.history.new(np.concatenate([pool.indices, around]))[:most]
        return pool

    def _around(self, row: Ints, neighbors: Ints, most: int) -> Ints:
        """Up to `most` of the neighbours of a (G,) row, followed by rows that combine the steps of the better ones."""
        genes = self.history.problem.space.genes
        start, near = self.history.new(row[None]), self.history.new(neighbors)[:most]
        best = near[self.best_first(near)]
        better = best.indices[self.value(best) > self.value(start)[0]]
        return np.concatenate([near.indices, moves.together(genes, row, better)])
