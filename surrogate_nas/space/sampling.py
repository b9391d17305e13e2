"""Sampling of architectures within exact limits: uniform, stratified by cost, or space-filling.

Uniform over choices is not uniform over cost: most networks of a space cost about the same. Limits may leave one
network in a million, too few for plain rejection.
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.architecture.costing import Costing
from surrogate_nas.exits.limits import Limits
from surrogate_nas.foundation.arrays import Floats, Ints
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.space import moves
from surrogate_nas.space.candidates import Candidates, least_excess, untaken
from surrogate_nas.space.costs import cost_of_indices
from surrogate_nas.space.space import SearchSpace

SamplingName = Literal["uniform", "stratified", "space-filling"]
BATCH = 4096
BATCHES, QUICK_BATCHES = 50, 4
POOL = 2048
"""Number of networks from which a sample is selected, independent of how many are requested."""
STRATA = 16
CLIMBS, CLIMBERS, STEPS_OF_CLIMBERS = 40, 32, 8
POPULATION = 1024
LEVEL = 0.1
"""Share of a population that defines the next level."""
STEPS_PER_LEVEL = 12
MOST_LEVELS = 80
MOST_STEPS = 2000


def sample_within(
    space: SearchSpace,
    n: int,
    costing: Costing,
    limits: Limits,
    rng: np.random.Generator,
    taken: set[bytes],
    kind: SamplingName = "uniform",
) -> list[Architecture]:
    """n distinct architectures that keep the exact limits. The k-th of them does not depend on n.

    Args:
        space: the space to sample.
        n: number of architectures.
        costing: accounting of costs.
        limits: limits, of which the exact ones are checked.
        rng: random generator.
        taken: rows that must not be drawn.
        kind: `uniform` over choices; `stratified`, evenly over the logarithm of the MACs to the last exit;
            `space-filling`, each as far as possible from those before it.

    Raises:
        InputError: if fewer are found within these limits; the message has the smallest costs that were found.
    """
    if n == 0:
        return []
    draws = _Draws(space, costing, limits, rng, set(taken))
    if kind == "uniform":
        rows = draws.take(n)
    else:
        pool = draws.take(POOL, least=n)
        order = _stratify if kind == "stratified" else _fill_space
        rows = order(draws, pool)[:n]
    return space.architectures(rows)


def spread_rows(space: SearchSpace, most: int, costing: Costing, limits: Limits, rng: np.random.Generator) -> Ints:
    """Up to `most` distinct rows within the exact limits, evenly over the logarithm of the MACs to the last exit.

    Raises:
        InputError: if none is found; the message has the limits and the smallest costs that were found.
    """
    draws = _Draws(space, costing, limits, rng, set())
    return _stratify(draws, draws.take(POOL, least=1, patient=space.size > BATCH))[:most]


def some_rows(
    space: SearchSpace, most: int, costing: Costing, limits: Limits, rng: np.random.Generator, taken: set[bytes]
) -> Ints:
    """Up to `most` distinct rows within the exact limits and not in `taken`, uniform over choices; possibly none.

    In a space that is small enough to enumerate, no remaining row is missed.
    """
    if space.genes.everything is not None:
        return rng.permutation(untaken(space, space.genes.everything, costing, limits, taken).indices)[:most]
    try:
        return _Draws(space, costing, limits, rng, set(taken)).take(most, least=1, patient=False)
    except InputError:
        return np.zeros((0, len(space.genes)), dtype=np.int64)


class _Draws:
    """A sampler of distinct rows within the limits: by rejection, then by subset simulation if that finds too few."""

    def __init__(
        self, space: SearchSpace, costing: Costing, limits: Limits, rng: np.random.Generator, taken: set[bytes]
    ) -> None:
        self.space, self.costing, self.limits, self.rng, self.taken = space, costing, limits, rng, taken

    def take(self, n: int, least: int | None = None, *, patient: bool = True) -> Ints:
        """(n, G) rows; fewer, but at least `least`, if there are no more, or if they are rare and not `patient`."""
        rows: list[Ints] = []
        least = n if least is None else least
        for count, batch in enumerate(self._batches(), 1):
            new = self.new(batch, n - len(rows))
            rows += new
            if len(rows) == n:
                return np.stack(rows)
            if rows and not patient and (not new or count >= QUICK_BATCHES):
                break
            if len(rows) < least and len(self.taken) >= self.space.size:  # no draw can find another
                break
        if len(rows) < least:
            raise InputError(
                f"only {len(rows)} of {least} new architectures of space "
                f"{self.space.spec.name!r} were found within {self.limits}; smallest found: {self._smallest()}"
            )
        return np.stack(rows)

    def new(self, rows: Ints, most: int) -> list[Ints]:
        """Up to `most` of the rows that keep the limits and are not taken; these are marked as taken."""
        new_rows = untaken(self.space, rows, self.costing, self.limits, self.taken).indices[:most]
        self.taken |= {row.tobytes() for row in new_rows}
        return list(new_rows)

    def _batches(self) -> Iterator[Ints]:
        for _ in range(BATCHES):
            yield moves.sample(self.space.genes, BATCH, self.rng)
        yield from self._simulate()

    def _simulate(self) -> Iterator[Ints]:
        """Populations within the limits, by subset simulation (Au & Beck 2001, doi 10.1016/S0266-8920(01)00019-4).

        The excess over the limits is lowered level by level; within a level, rows move by Metropolis steps of one
        gene. Their stationary distribution is that of uniform choices within the level.
        """
        rows, best, stuck = moves.sample(self.space.genes, POPULATION, self.rng), np.inf, 0
        excess = self.excess(rows)
        for _ in range(MOST_LEVELS):
            level = float(np.quantile(excess, LEVEL, method="lower"))
            if level == 0:
                break
            stuck = stuck + 1 if level >= best else 0
            if stuck > 3:  # no progress
                return
            best = min(best, level)
            rows, excess = self._metropolis(rows, excess, level)
        for _ in range(MOST_STEPS // STEPS_PER_LEVEL):
            rows, excess = self._metropolis(rows, excess, 0.0)
            yield rows[excess <= 0]

    def _metropolis(self, rows: Ints, excess: Floats, level: float) -> tuple[Ints, Floats]:
        """Resample as many rows from those within the level, and take Metropolis steps that stay within it."""
        within = np.flatnonzero(excess <= level)
        if len(within) == 0:
            return rows, excess
        start = within[self.rng.integers(len(within), size=len(rows))]
        rows, excess = rows[start], excess[start]
        for _ in range(STEPS_PER_LEVEL):
            proposals, ratio = moves.step(self.space.genes, rows, self.rng)
            over = self.excess(proposals)
            accept = (over <= level) & (self.rng.random(len(rows)) < ratio) & self.space.genes.valid(proposals)
            rows = np.where(accept[:, None], proposals, rows)
            excess = np.where(accept, over, excess)
        return rows, excess

    def excess(self, rows: Ints) -> Floats:
        """(n,) excess of the cheapest operating points of each network over the limits; 0 within."""
        candidates = Candidates.of_indices(self.space, rows, self.costing)
        return least_excess(candidates.cost, candidates.present, self.limits)

    def _smallest(self) -> str:
        """Costs of the cheapest networks found by descent from random ones, as text."""
        cost = Candidates.of_indices(self.space, self.climb(-1.0, within_limits=False), self.costing).cost
        alone = np.where(cost.branch > 0, cost.backbone + cost.branch, cost.backbone)
        return (
            f"{alone.min():,} MACs to an exit, {cost.backbone[:, -1].min():,} to the last exit, "
            f"{cost.parameters.min():,} parameters"
        )

    def climb(self, sign: float, *, within_limits: bool, start: Ints | None = None) -> Ints:
        """All rows visited on the way to the most expensive networks (sign 1) or the cheapest (−1)."""
        rows = moves.sample(self.space.genes, POPULATION, self.rng) if start is None else start
        visited = [rows]
        for _ in range(CLIMBS):
            size = sign * self.log_cost(rows)
            rows = rows[np.argsort(-size, kind="stable")[:CLIMBERS]]
            mutants = moves.mutate(self.space.genes, np.repeat(rows, STEPS_OF_CLIMBERS, axis=0), self.rng, rate=0.02)
            if within_limits:
                mutants = mutants[self.excess(mutants) <= 0]
            visited.append(mutants)
            rows = np.concatenate([rows, mutants])
        return np.concatenate(visited)

    def log_cost(self, rows: Ints) -> Floats:
        """(n,) log₁₀ of the MACs to the last exit."""
        return np.asarray(np.log10(cost_of_indices(self.space, rows, self.costing).macs()[:, -1]))


def _stratify(draws: _Draws, pool: Ints) -> Ints:
    """Order the pool, with further rows towards both ends of the cost, such that it visits the strata evenly."""
    ends = [draws.climb(sign, within_limits=True, start=pool) for sign in (-1.0, 1.0)]
    more = (np.array(draws.new(end, len(end)), dtype=np.int64).reshape(-1, pool.shape[1]) for end in ends)
    rows = np.concatenate([pool, *more])
    rows = rows[draws.rng.permutation(len(rows))]
    size = draws.log_cost(rows)
    low, high = size.min(), size.max()
    stratum = np.minimum(((size - low) / max(high - low, 1e-12) * STRATA).astype(np.int64), STRATA - 1)
    waiting = [np.flatnonzero(stratum == s).tolist() for s in range(STRATA)]
    turn = sorted(range(STRATA), key=lambda s: int(f"{s:04b}"[::-1], 2))  # van der Corput: far strata first
    order: list[int] = []
    while len(order) < len(rows):
        order += [waiting[s].pop(0) for s in turn if waiting[s]]
    return rows[order]


def _fill_space(draws: _Draws, pool: Ints) -> Ints:
    """Order the pool such that each row is the farthest from those before it (Gonzalez 1985, doi
    10.1016/0304-3975(85)90224-5)."""
    X = draws.space.encode_indices(pool)
    X = np.concatenate([X, draws.space.genes.active(pool)[:, list(draws.space.genes.encoded)]], axis=1)
    order = [0]
    distance = np.abs(X - X[0]).sum(axis=1)
    for _ in range(len(pool) - 1):
        order.append(int(distance.argmax()))
        distance = np.minimum(distance, np.abs(X - X[order[-1]]).sum(axis=1))
        distance[order[-1]] = -1.0
    return pool[order]
