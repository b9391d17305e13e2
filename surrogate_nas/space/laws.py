"""Laws that every search space keeps, tested on random architectures of a space."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.architecture.cost import Cost
from surrogate_nas.architecture.costing import Costing
from surrogate_nas.foundation.arrays import Bools, Ints
from surrogate_nas.space import moves
from surrogate_nas.space.costs import cost_of_indices, costing_for
from surrogate_nas.space.genes import Genes
from surrogate_nas.space.space import SearchSpace

Generator = np.random.Generator
FEW = 20
"""Number of architectures on which slow laws are tested."""
GROWS = ("depth", "width", "kernel", "expansion")


@dataclass(frozen=True, slots=True)
class LawResult:
    """Result of testing a law."""

    law: str
    """The law in words."""
    cases: int
    """Number of cases that were tested."""
    counterexample: str | None = None
    """Architectures in the first case that violates the law; `None` if there is none."""

    @property
    def holds(self) -> bool:
        """Whether the law holds in all cases."""
        return self.counterexample is None


@dataclass(frozen=True)
class _Cases:
    """Random architectures of a space, and a generator for more."""

    space: SearchSpace
    costing: Costing
    rows: Ints
    rng: Generator

    @property
    def genes(self) -> Genes:
        """Genes of the space."""
        return self.space.genes

    def names(self, rows: Ints) -> str:
        """Text of the architectures."""
        return " and ".join(str(a) for a in self.space.architectures(rows))

    def first(self, law: str, rows: Ints, holds: Bools, others: Ints | None = None) -> LawResult:
        """Result of a law, with the first of the (n, G) rows for which it does not hold."""
        if holds.all():
            return LawResult(law, len(rows))
        bad = int(np.flatnonzero(~holds)[0])
        pair = rows[bad : bad + 1] if others is None else np.stack([rows[bad], others[bad]])
        return LawResult(law, len(rows), self.names(pair))

    def cost(self, rows: Ints) -> Cost:
        """Costs of rows, with every branch charged."""
        return cost_of_indices(self.space, rows, self.costing)


def check_laws(space: SearchSpace, costing: Costing, rng: Generator, n: int = 200) -> list[LawResult]:
    """Test every law on n random architectures, and slow laws on the first few of them.

    Args:
        space: the space to test.
        costing: accounting for images that the space is meant for.
        rng: random generator.
        n: number of architectures.
    """
    whole = costing_for(space, costing.shape, "all", costing.model)
    cases = _Cases(space, whole, moves.sample(space.genes, n, rng), rng)
    return [law(cases) for law in LAWS]


def _encodings(c: _Cases) -> LawResult:
    """decode(encode(a)) == a"""
    again = c.space.decode_indices(c.space.encode_indices(c.rows))
    return c.first("decode(encode(a)) == a", c.rows, (again == c.rows).all(axis=1))


def _texts(c: _Cases) -> LawResult:
    architectures = c.space.architectures(c.rows)
    same = [Architecture.parse(str(a)) == a for a in architectures]
    rows = (c.space.indices(architectures) == c.rows).all(axis=1)
    return c.first("parsing the text form returns the architecture", c.rows, np.array(same) & rows)


def _equality(c: _Cases) -> LawResult:
    """Test pairs that differ in one gene, whether or not it applies, and random pairs."""
    mutants = c.rows.copy()
    gene = c.rng.integers(len(c.genes), size=len(mutants))
    for row, g in zip(mutants, gene, strict=True):
        row[g] = c.rng.integers(len(c.genes[g].values))
    mutants = np.where(c.genes.valid(mutants)[:, None], mutants, c.rows)
    others = np.concatenate([mutants, c.rng.permutation(c.rows)])
    rows = np.concatenate([c.rows, c.rows])
    equal = np.array([a == b for a, b in zip(c.space.architectures(rows), c.space.architectures(others), strict=True)])
    same_encoding = (c.space.encode_indices(rows) == c.space.encode_indices(c.genes.canonical(others))).all(axis=1)
    return c.first("architectures are equal exactly if their encodings are", rows, equal == same_encoding, others)


def _neighbours(c: _Cases) -> LawResult:
    law = "neighbours are distinct, canonical, and never the architecture itself"
    for row in c.rows[:FEW]:
        neighbours = moves.neighbors(c.genes, row)
        distinct = len(np.unique(np.concatenate([neighbours, row[None]]), axis=0)) == len(neighbours) + 1
        if (
            not distinct
            or not (c.genes.canonical(neighbours) == neighbours).all()
            or not c.genes.valid(neighbours).all()
        ):
            return LawResult(law, FEW, c.names(row[None]))
    return LawResult(law, FEW)


def _symmetry(c: _Cases) -> LawResult:
    law = "the relation between neighbours is symmetric"
    for row in c.rows[:FEW]:
        neighbours = moves.neighbors(c.genes, row)
        neighbour = neighbours[c.rng.integers(len(neighbours))] if len(neighbours) else None
        if neighbour is not None and not (moves.neighbors(c.genes, neighbour) == row).all(axis=1).any():
            return LawResult(law, FEW, c.names(np.stack([row, neighbour])))
    return LawResult(law, FEW)


def _reach(c: _Cases) -> LawResult:
    """Test that neighbours reach every value, except that no exit is removed where their number is the smallest."""
    law = "an architecture and its neighbours include every value of every gene that applies"
    for row in c.rows[:FEW]:
        around = np.concatenate([row[None], moves.neighbors(c.genes, row)])
        applies, last = c.genes.active(around), set(c.genes.exits.values())
        fewest = row[list(last)].sum() <= c.space.spec.exits.at_least
        for g in c.genes.encoded:
            values = set(range(len(c.genes[g].values))) - ({0} if g in last and fewest else set())
            if applies[0, g] and not values <= set(around[applies[:, g], g].tolist()):
                return LawResult(law, FEW, f"{c.genes[g].name} around {c.names(row[None])}")
    return LawResult(law, FEW)


def _crossover(c: _Cases) -> LawResult:
    left, right = c.rows, c.rng.permutation(c.rows)
    children = moves.crossover(c.genes, left, right, c.rng)
    groups = np.array([gene.group for gene in c.genes])
    whole = np.ones(len(children), dtype=bool)
    for group in np.unique(groups):
        of = groups == group
        from_left, from_right = ((children[:, of] == parent[:, of]).all(axis=1) for parent in (left, right))
        whole &= from_left | from_right
    return c.first("crossover takes an exit and its branch from one parent", children, whole & c.genes.valid(children))


def _growth(c: _Cases) -> LawResult:
    law = "the backbone's MACs never decrease when a depth, width, kernel or expansion increases"
    cases = 0
    for g, gene in enumerate(c.genes):
        if gene.key[0] != "stage" or gene.key[2] not in GROWS or len(gene.values) == 1:
            continue
        can = c.genes.active(c.rows)[:, g] & (c.rows[:, g] < len(gene.values) - 1)
        before, after = c.rows[can], c.rows[can].copy()
        after[:, g] += 1
        cases += len(before)
        holds = np.asarray((c.cost(after).backbone >= c.cost(before).backbone).all(axis=1))
        if not holds.all():
            return c.first(law, before, holds, c.genes.canonical(after))
    return LawResult(law, cases)


def _order(c: _Cases) -> LawResult:
    rises = np.asarray((np.diff(c.cost(c.rows).macs(), axis=1) > 0).all(axis=1))
    return c.first("leaving at a later position costs more, with every branch charged", c.rows, rises)


def _accounting(c: _Cases) -> LawResult:
    own = cost_of_indices(c.space, c.rows, costing_for(c.space, c.costing.shape, "own"))
    holds = np.asarray((c.cost(c.rows).macs() >= own.macs()).all(axis=1))
    return c.first("charging every branch costs at least as much as charging a sample's own", c.rows, holds)


def _off(c: _Cases) -> LawResult:
    cost, on = c.cost(c.rows), c.rng.random((len(c.rows), c.space.positions - 1)) < 0.5
    cheaper = (cost.macs(on) <= cost.macs()).all(axis=1) & (cost.memory(on) <= cost.memory())
    return c.first("switching exits off increases neither MACs nor memory", c.rows, cheaper)


def _single(c: _Cases) -> LawResult:
    rows = c.rows[:FEW]
    together, apart = c.cost(rows), [c.costing.of(a) for a in c.space.architectures(rows)]
    one = Cost.concatenate(apart)
    names = ("backbone", "branch", "parameters", "weight_bytes", "backbone_memory", "branch_memory")
    same = [(getattr(one, n) == getattr(together, n)).reshape(len(rows), -1).all(axis=1) for n in names]
    return c.first("costs of many architectures at once equal those of each by itself", rows, np.all(same, axis=0))


def _sizes(c: _Cases) -> LawResult:
    cost = c.cost(c.rows)
    positive = (cost.parameters > 0) & (cost.weight_bytes > 0) & (cost.memory() > 0) & (cost.backbone > 0).all(axis=1)
    return c.first("parameters, bytes and MACs of every network are positive", c.rows, positive)


LAWS: tuple[Callable[[_Cases], LawResult], ...] = (
    _encodings,
    _texts,
    _equality,
    _neighbours,
    _symmetry,
    _reach,
    _crossover,
    _growth,
    _order,
    _accounting,
    _off,
    _single,
    _sizes,
)
