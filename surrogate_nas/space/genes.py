"""Genes of a space, and everything that is a function of choice indices alone.

n architectures are an (n, G) integer matrix of *choice indices*, one column per gene. A gene may depend on others (an
expansion on an inverted block, a branch on its exit); a gene that does not apply holds index 0 in a *canonical* row, so
that equal architectures have equal rows.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from surrogate_nas.foundation.arrays import Bools, Ints
from surrogate_nas.space.spec import (
    AnyBranchSpec,
    ConvBranchSpec,
    GatedBranchSpec,
    MobileBranchSpec,
    ResizeBranchSpec,
    SpaceSpec,
    StageSpec,
)

MOST_COMBINATIONS = 500_000
"""Largest number of combinations of choices for which a space is enumerated."""
Value = int | str | bool
Key = tuple[str | int, ...]
"""Name of a gene: ("stage", 0, "width") is the first stage's width. Stages, exits and blocks are counted from 0."""


@dataclass(frozen=True, slots=True)
class Gene:
    """One choice of the space."""

    key: Key
    values: tuple[Value, ...]
    group: int
    """Genes of one group (the stem, a stage, an exit with its branch) cross over together."""
    needs: tuple[tuple[int, tuple[int, ...]], ...] = ()
    """Genes that it depends on, each with the indices of the values under which it applies; all must hold."""
    of_each: bool = False
    """Whether each block or module has its own gene."""

    @property
    def name(self) -> str:
        """Name for people: `stage 1 width`, `stage 1 kernel 2`."""
        return name_of(self.key if self.of_each else self.key[:3])


def name_of(key: Key) -> str:
    """Name of a key for people, counted from 1."""
    return " ".join(str(part + 1 if isinstance(part, int) else part) for part in key)


@dataclass(frozen=True)
class Genes:
    """Genes of a space, in order; each comes after those that it depends on.

    >>> from surrogate_nas.space.spec import preset
    >>> genes = Genes(preset("tiny"))
    >>> len(genes), genes[0].name, genes.exits
    (27, 'stem width', {0: 7, 1: 17})
    """

    spec: SpaceSpec

    @cached_property
    def all(self) -> tuple[Gene, ...]:
        """All genes, in order."""
        return _genes_of(self.spec)

    def __len__(self) -> int:
        return len(self.all)

    def __iter__(self) -> Iterator[Gene]:
        return iter(self.all)

    def __getitem__(self, g: int) -> Gene:
        return self.all[g]

    @cached_property
    def at(self) -> Mapping[Key, int]:
        """Index of each gene by its key."""
        return {gene.key: g for g, gene in enumerate(self)}

    @cached_property
    def counts(self) -> Ints:
        """(G,) number of values of each gene."""
        return np.array([len(gene.values) for gene in self], dtype=np.int64)

    @cached_property
    def exits(self) -> dict[int, int]:
        """Index of the gene that decides on an early exit, for each position that may have one."""
        return {e: self.at["exit", e] for e in self.spec.exit_places}

    @cached_property
    def encoded(self) -> tuple[int, ...]:
        """Indices of the d genes with a coordinate in the vector encoding: those with more than one value that can
        apply."""
        return tuple(g for g, gene in enumerate(self) if len(gene.values) > 1 and self._can_apply(g))

    @property
    def kinds(self) -> tuple[Literal["ordinal", "nominal"], ...]:
        """(d,) kinds of the encoded genes: names are nominal, numbers and presence are ordinal."""
        nominal = [any(isinstance(v, str) for v in self[g].values) for g in self.encoded]
        return tuple("nominal" if name else "ordinal" for name in nominal)

    def _can_apply(self, g: int) -> bool:
        return all(allowed and self._can_apply(parent) for parent, allowed in self[g].needs)

    def active(self, indices: Ints) -> Bools:
        """(n, G) whether each gene applies."""
        active = np.ones(indices.shape, dtype=bool, order="F")
        for g, gene in enumerate(self):
            for parent, allowed in gene.needs:
                fits = np.isin(np.arange(self.counts[parent]), allowed)
                active[:, g] &= active[:, parent] & fits[indices[:, parent]]
        return active

    def canonical(self, indices: Ints) -> Ints:
        """(n, G) rows with index 0 for every gene that does not apply."""
        return np.where(self.active(indices), indices, 0)

    def valid(self, indices: Ints) -> Bools:
        """(n,) whether there are at least as many early exits as required."""
        if self.spec.exits.at_least == 0:
            return np.ones(len(indices), dtype=bool)
        return np.asarray(indices[:, list(self.exits.values())].sum(axis=1) >= self.spec.exits.at_least)

    def present(self, indices: Ints) -> Bools:
        """(n, E) which exits exist; the last always does."""
        present = np.zeros((len(indices), self.spec.positions), dtype=bool)
        present[:, -1] = True
        for e, g in self.exits.items():
            present[:, e] = indices[:, g] == 1
        return present

    @cached_property
    def everything(self) -> Ints | None:
        """(size, G) every canonical row; `None` for a space that is too large to enumerate."""
        counts = self.counts.tolist()
        if math.prod(counts) > MOST_COMBINATIONS:
            return None
        rows = np.stack(np.unravel_index(np.arange(math.prod(counts)), counts), axis=1).astype(np.int64)
        rows = np.unique(self.canonical(rows), axis=0)
        return rows[self.valid(rows)]

    @cached_property
    def size(self) -> int:
        """Number of distinct architectures."""
        total = 1
        exits = set(self.exits.values())
        for group in self._independent_groups:
            if not exits & set(group):
                total *= self._count(group)
        return total * self._count_exits()

    @cached_property
    def _independent_groups(self) -> list[list[int]]:
        """Groups of genes that depend on each other, directly or through other genes."""
        of = list(range(len(self)))
        for g, gene in enumerate(self):
            for parent, _ in gene.needs:
                old, new = of[g], of[parent]
                of = [new if root == old else root for root in of]
        return [[g for g, root in enumerate(of) if root == r] for r in sorted(set(of))]

    def _count(self, group: Sequence[int], fixed: Mapping[int, int] | None = None) -> int:
        """Number of distinct canonical combinations of choices in a group of genes."""

        def completions(place: int, chosen: dict[int, int]) -> int:
            if place == len(group):
                return 1
            g = group[place]
            if not all(chosen[parent] in allowed for parent, allowed in self[g].needs):
                return completions(place + 1, {**chosen, g: -1})
            if not any(g == parent for h in group for parent, _ in self[h].needs):  # no gene depends on it
                return len(self[g].values) * completions(place + 1, {**chosen, g: 0})
            values = [fixed[g]] if fixed and g in fixed else range(len(self[g].values))
            return sum(completions(place + 1, {**chosen, g: v}) for v in values)

        return completions(0, {})

    def _count_exits(self) -> int:
        """Number of combinations of choices of all exits, with at least the required number of exits."""
        with_exits = [1]  # entry k: number of combinations with k exits
        for g in self.exits.values():
            group = next(group for group in self._independent_groups if g in group)
            branches = self._count(group, {g: 1}) if len(group) > 1 else 1
            longer = [*with_exits, 0]
            with_exits = [a + branches * b for a, b in zip(longer, [0, *with_exits], strict=True)]
        return sum(with_exits[self.spec.exits.at_least :])


def _genes_of(spec: SpaceSpec) -> tuple[Gene, ...]:
    """Genes of a space; each comes after those that it depends on."""
    genes: list[Gene] = []

    def add(key: Key, values: tuple[Value, ...], group: int, *needs: tuple[int, tuple[int, ...]]) -> int:
        of_each = len(key) > 3 and (key[0] == "exit" or spec.stages[int(key[1])].per_block)
        genes.append(Gene(key, values, group, needs, of_each))
        return len(genes) - 1

    group = 0
    if spec.stem:
        add(("stem", "width"), spec.stem.width, group)
        add(("stem", "stride"), spec.stem.stride, group)
    for s in range(spec.positions):
        group += 1
        if spec.stages:
            _add_stage(spec.stages[s], s, group, add)
        if s in spec.exit_places:
            group += 1
            presence = add(("exit", s), (0, 1), group)
            _add_branch(spec.branch, s, group, (presence, (1,)), add)
    if len(spec.resolution) > 1:
        add(("resolution",), spec.resolution, group + 1)
    if len(spec.bits) > 1:
        add(("bits",), spec.bits, group + 2)
    return tuple(genes)


def _add_stage(stage: StageSpec, s: int, group: int, add: Callable[..., int]) -> None:
    block = add(("stage", s, "block"), stage.block, group)
    inverted = (block, tuple(i for i, b in enumerate(stage.block) if b == "inverted"))
    depth = add(("stage", s, "depth"), stage.depth, group)
    add(("stage", s, "width"), stage.width, group)
    for i in range(max(stage.depth) if stage.per_block else 1):
        there = [(depth, tuple(k for k, d in enumerate(stage.depth) if d > i))] if stage.per_block else []
        add(("stage", s, "kernel", i), stage.kernel, group, *there)
    for i in range(max(stage.depth) if stage.per_block else 1):
        there = [(depth, tuple(k for k, d in enumerate(stage.depth) if d > i))] if stage.per_block else []
        add(("stage", s, "expansion", i), stage.expansion, group, inverted, *there)
    if len(stage.squeeze) > 1:
        add(("stage", s, "squeeze"), stage.squeeze, group, inverted)
    if len(stage.activation) > 1:
        add(("stage", s, "activation"), stage.activation, group)


def _add_branch(
    branch: AnyBranchSpec, e: int, group: int, there: tuple[int, tuple[int, ...]], add: Callable[..., int]
) -> None:
    match branch:
        case ConvBranchSpec():
            depth = add(("exit", e, "depth"), branch.depth, group, there)
            with_layers = (depth, tuple(i for i, d in enumerate(branch.depth) if d > 0))
            for name in ("layer", "channels", "pool"):
                add(("exit", e, name), getattr(branch, name), group, with_layers)
        case MobileBranchSpec():
            add(("exit", e, "expand"), branch.expand, group, there)
            add(("exit", e, "mix"), branch.mix, group, there)
        case ResizeBranchSpec():
            for i, module in enumerate(branch.modules):
                side = add(("exit", e, "side", i), module.side, group, there)
                there = (side, tuple(k for k, v in enumerate(module.side) if v > 0))
                for name in ("kernel", "multiplier", "pool"):
                    add(("exit", e, name, i), getattr(module, name), group, there)
        case GatedBranchSpec():
            pass
