"""Moves in a space: sampling, mutation, crossover and neighbours, as functions of its genes and rows of choice indices.

The order of random draws is fixed, so that a study with the same seed proposes the same architectures.
"""

import math
from collections.abc import Iterator

import numpy as np

from surrogate_nas.foundation.arrays import Bools, Floats, Ints
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.space.genes import Genes

RARE = 1 / 64
"""Share of draws with enough early exits below which sets of exits are drawn directly, instead of by rejection."""


def sample(genes: Genes, n: int, rng: np.random.Generator) -> Ints:
    """(n, G) canonical rows, each gene uniform over its values; rows may repeat."""
    drawn = _draw(genes, n, rng)
    if _share_with_enough_exits(genes) < RARE:
        drawn[:, list(genes.exits.values())] = _draw_enough_exits(genes, n, rng)
    rows = genes.canonical(drawn)
    while len(bad := np.flatnonzero(~genes.valid(rows))):
        rows[bad] = genes.canonical(_draw(genes, len(bad), rng))
    return rows


def _share_with_enough_exits(genes: Genes) -> float:
    places, least = len(genes.exits), genes.spec.exits.at_least
    return float(sum(math.comb(places, k) for k in range(least, places + 1)) / 2**places)


def _draw_enough_exits(genes: Genes, n: int, rng: np.random.Generator) -> Bools:
    """(n, places) which early exits exist, uniform over the subsets that are large enough."""
    places, least = len(genes.exits), genes.spec.exits.at_least
    weights = np.array([math.comb(places, k) for k in range(least, places + 1)], dtype=np.float64)
    counts = rng.choice(np.arange(least, places + 1), size=n, p=weights / weights.sum())
    return np.asarray(rng.permuted(np.tile(np.arange(places), (n, 1)), axis=1) < counts[:, None])


def _draw(genes: Genes, n: int, rng: np.random.Generator) -> Ints:
    """(n, G) uniform choice indices of every gene, whether or not it applies."""
    return np.stack([rng.integers(len(gene.values), size=n) for gene in genes], axis=1)


def distinct(genes: Genes, n: int, rng: np.random.Generator, *, draw: int) -> Iterator[Ints]:
    """n distinct canonical rows in parts of at most `draw`; for n ≤ `draw` they do not depend on `draw`.

    Rows drawn before are recognised by 64-bit fingerprints: sums modulo 2⁶⁴ with random weights. Two of a million
    rows have the same fingerprint with a probability below 10⁻⁶; then the later row is left out.

    Raises:
        InputError: if the space has fewer.
    """
    if not 0 <= n <= genes.size:
        raise InputError(f"cannot sample {n} distinct architectures; space {genes.spec.name!r} has {genes.size}")
    weights = np.random.default_rng(0).integers(2**64, size=len(genes), dtype=np.uint64) | np.uint64(1)
    earlier = np.zeros(0, dtype=np.uint64)
    while len(earlier) < n:
        rows = sample(genes, min(n - len(earlier), draw), rng)
        prints = (rows.astype(np.uint64) * weights).sum(axis=1, dtype=np.uint64)
        _, first = np.unique(prints, return_index=True)
        new = np.sort(first[~np.isin(prints[first], earlier)])
        earlier = np.concatenate([earlier, prints[new]])
        yield rows[new]


def mutate(genes: Genes, rows: Ints, rng: np.random.Generator, rate: float = 0.1) -> Ints:
    """(n, G) mutants: each gene is redrawn with probability `rate`, and one gene that applies is always changed.

    Genes that newly apply after a change are drawn uniformly. A row in which nothing can change stays as it is.
    """
    mutants = _mutate_once(genes, rows, rng, rate)
    fixed = ~_changeable(genes, rows)[:, ~_required(genes)].any(axis=1)
    mutants[fixed] = rows[fixed]
    while len(bad := np.flatnonzero(~genes.valid(mutants))):
        mutants[bad] = _mutate_once(genes, rows[bad], rng, rate)
    return mutants


def _mutate_once(genes: Genes, rows: Ints, rng: np.random.Generator, rate: float) -> Ints:
    unchanged = genes.active(rows) & (rng.random(rows.shape) >= rate)
    mutants = np.where(unchanged, rows, _draw(genes, len(rows), rng))
    gene = np.argmax(np.where(_changeable(genes, rows), rng.random(rows.shape), -1.0), axis=1)
    counts, n = genes.counts[gene], np.arange(len(rows))
    mutants[n, gene] = (rows[n, gene] + rng.integers(1, np.maximum(counts, 2))) % counts
    return genes.canonical(mutants)


def _changeable(genes: Genes, rows: Ints) -> Bools:
    """(n, G) whether each gene applies and has another value."""
    return genes.active(rows) & np.isin(np.arange(len(genes)), genes.encoded)


def _required(genes: Genes) -> Bools:
    """(G,) whether each gene is that of an exit that every network has."""
    required = len(genes.exits) == genes.spec.exits.at_least
    return np.isin(np.arange(len(genes)), list(genes.exits.values())) & required


def step(genes: Genes, rows: Ints, rng: np.random.Generator) -> tuple[Ints, Floats]:
    """Change one gene of each row; return (n, G) rows and (n,) Metropolis–Hastings ratios for a uniform distribution.

    Genes that newly apply are drawn uniformly, so the ratio is the number of genes that could be changed in the row,
    over that number in the changed row. Changed rows need not be valid.
    """
    mutants = _mutate_once(genes, rows, rng, 0.0)
    before, after = (_changeable(genes, of).sum(axis=1) for of in (rows, mutants))
    return mutants, np.asarray(before / np.maximum(after, 1))


def crossover(genes: Genes, left: Ints, right: Ints, rng: np.random.Generator) -> Ints:
    """(n, G) children: each group of genes from either parent, so that an exit and its branch stay together.

    A child that would have too few early exits gets all exits of its left parent.
    """
    groups = np.array([gene.group for gene in genes])
    from_left = rng.random((len(left), groups.max() + 1)) < 0.5
    children = np.where(from_left[:, groups], left, right)
    if len(bad := np.flatnonzero(~genes.valid(children))):
        of_exits = np.isin(groups, groups[list(genes.exits.values())])
        children[bad] = np.where(of_exits, left[bad], children[bad])
    return genes.canonical(children)


def neighbors(genes: Genes, row: Ints) -> Ints:
    """(k, G) neighbours: every row that differs from this (G,) row in one gene; genes that newly apply take any value.

    The relation is symmetric, and no row is its own neighbour.
    """
    parts = []
    for g in np.flatnonzero(_changeable(genes, row[None])[0]):
        others = np.delete(np.arange(genes.counts[g]), row[g])
        rows = np.repeat(row[None], len(others), axis=0)
        rows[:, g] = others
        parts.append(rows)
    if not parts:
        return np.zeros((0, len(genes)), dtype=np.int64)
    around = _complete(genes, np.concatenate(parts), genes.active(row[None])[0])
    return around[genes.valid(around)]


def together(genes: Genes, row: Ints, others: Ints) -> Ints:
    """(≤ k, G) rows that combine the differences from this (G,) row of the first 1, 2, …, k of (k, G) other rows; if
    several change one gene, the first of them counts."""
    rows, changed = [row], np.zeros(len(row), dtype=bool)
    for other in others:
        differs = other != row
        rows.append(np.where(differs & ~changed, other, rows[-1]))
        changed |= differs
    steps = genes.canonical(np.stack(rows)[1:].reshape(-1, len(row)))
    return steps[genes.valid(steps)]


def _complete(genes: Genes, rows: Ints, was: Bools) -> Ints:
    """Copies of each row with every combination of the genes that newly apply to it; other genes stay."""
    active = np.ones(rows.shape, dtype=bool)
    for g, gene in enumerate(genes):
        for parent, allowed in gene.needs:
            active[:, g] &= active[:, parent] & np.isin(rows[:, parent], allowed)
        rows[~active[:, g], g] = 0
        fresh = active[:, g] & ~was[g]
        copies = np.where(fresh, len(gene.values), 1)
        rows, active = np.repeat(rows, copies, axis=0), np.repeat(active, copies, axis=0)
        place = np.arange(len(rows)) - np.repeat(np.cumsum(copies) - copies, copies)
        rows[:, g] = np.where(np.repeat(fresh, copies), place, rows[:, g])
    return rows
