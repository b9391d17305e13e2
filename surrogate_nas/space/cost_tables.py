"""Look-up tables of a space: the cost of every variant of each of its units.

Every cost is a sum, or a maximum, over units. A few genes determine the *variant* of each unit, so the costs of n
encodings are look-ups in one small table per unit. A table has every variant of a stage's block, or of a branch, after
every variant of the unit before it. Its units come from `units_of` and the functions beneath it, so that costs from
tables equal costs of single architectures.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from surrogate_nas.architecture.amounts import Amounts, with_last_repeated
from surrogate_nas.architecture.architecture import FLOAT_BITS
from surrogate_nas.architecture.cost import Cost, CostModel
from surrogate_nas.architecture.costing import Costing
from surrogate_nas.architecture.units import GATE_POOLS, AnyUnit, Units, head_after, stage_units
from surrogate_nas.foundation.arrays import Floats, Ints
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.space.genes import Key
from surrogate_nas.space.parts import make_branch, make_stage
from surrogate_nas.space.space import SearchSpace

MOST_VARIANTS = 200_000
"""Largest number of variants of one unit."""
_INPUT: tuple[Key, ...] = (("resolution",), ("bits",), ("stem", "stride"))
"""Keys of the genes that determine the sides of feature maps and the bit width of every unit."""


@dataclass(frozen=True)
class _Slot:
    """A place for a unit in the architectures of a space, with the costs of all its variants."""

    position: int
    genes: tuple[int, ...]
    """Genes that determine the variant."""
    strides: tuple[int, ...]
    """Index of a variant: Σ strides · choice indices."""
    condition: tuple[int, int] | None
    """A gene and its least index at which the unit exists; `None` if it always does."""
    amounts: Ints
    """(V, P · 4) MACs, parameters, bytes of weights and memory of each of P alternatives of V variants."""
    other: Floats | None
    """(V, P) another cost beside MACs, if there is one."""

    def variant(self, indices: Ints) -> Ints:
        """(n,) index of the variant of each architecture."""
        index = np.zeros(len(indices), dtype=np.int64)
        for gene, stride in zip(self.genes, self.strides, strict=True):
            index += stride * indices[:, gene]
        return index


@dataclass(frozen=True)
class Tables:
    """Look-up tables of a space: its slots."""

    space: SearchSpace
    segments: tuple[_Slot, ...]
    heads: tuple[_Slot, ...]

    def cost(self, indices: Ints) -> Cost:
        """Cost of (n, G) choice indices."""
        n, E = len(indices), self.space.positions
        P = max((slot.amounts.shape[1] // 4 for slot in self.heads), default=1)
        segment, memory = np.zeros((n, E, 3), dtype=np.int64), np.zeros((n, E), dtype=np.int64)
        head = np.zeros((n, E, P, 4), dtype=np.int64)
        with_other = bool(self.segments) and self.segments[0].other is not None
        other = (np.zeros((n, E)), np.zeros((n, E, P)))
        for slot in self.segments:
            variant, e = slot.variant(indices), slot.position
            amounts = slot.amounts[variant]
            if slot.condition is not None:
                amounts *= (indices[:, slot.condition[0]] >= slot.condition[1])[:, None]
            segment[:, e] += amounts[:, :3]
            np.maximum(memory[:, e], amounts[:, 3], out=memory[:, e])
            if slot.other is not None:
                exists = True if slot.condition is None else indices[:, slot.condition[0]] >= slot.condition[1]
                other[0][:, e] += slot.other[variant, 0] * exists
        for slot in self.heads:
            variant = slot.variant(indices)
            head[:, slot.position] = slot.amounts[variant].reshape(n, P, 4)
            if slot.other is not None:
                other[1][:, slot.position] = slot.other[variant]
        present = self.space.genes.present(indices)
        present[:, -1] = any(slot.position == E - 1 for slot in self.heads)
        return Amounts(segment, memory, head[..., :3], head[..., 3], present, other if with_other else None).cost()


@lru_cache(maxsize=32)
def tables_for(space: SearchSpace, costing: Costing) -> Tables:
    """Look-up tables of a space, cached.

    Raises:
        InputError: for a unit with too many variants, or one that is unknown to the costing's model.
    """
    segments = _backbone_slots(space, costing) if space.spec.backbone else _stage_slots(space, costing)
    return Tables(space, tuple(segments), tuple(_head_slots(space, costing)))


def _backbone_slots(space: SearchSpace, costing: Costing) -> Iterator[_Slot]:
    [(network, _)] = _networks(space, costing, [])
    for e, (unit,) in enumerate(network.segments):
        yield _slot(space, e, [], [[unit]], costing.model)


def _stage_slots(space: SearchSpace, costing: Costing) -> Iterator[_Slot]:
    genes, _ = _genes_with_choice(space, 0, [*_INPUT, ("stem", "width")], [])
    stems = [_stem(space, network) for network, _ in _networks(space, costing, genes)]
    for variants in zip(*stems, strict=True):
        yield _slot(space, 0, genes, [[unit] for unit in variants], costing.model)
    for s, stage in enumerate(space.spec.stages):
        for i in range(max(stage.depth)):
            yield _block_slot(space, costing, s, i)


def _stem(space: SearchSpace, network: Units) -> tuple[AnyUnit, ...]:
    assert space.spec.stem is not None
    return network.segments[0][: 2 if space.spec.stem.block else 1]


def _block_slot(space: SearchSpace, costing: Costing, s: int, i: int) -> _Slot:
    """Block i of stage s: every variant of the block, after every variant of the unit before it."""
    stage, place = space.spec.stages[s], i if space.spec.stages[s].per_block else 0
    width_before: Key = ("stage", s - 1, "width") if s else ("stem", "width")
    names = (("block",), ("width",), ("squeeze",), ("activation",), ("kernel", place), ("expansion", place))
    genes_before, own_genes = _genes_with_choice(
        space, s, [*_INPUT, *([width_before] if i == 0 else [])], [("stage", s, *name) for name in names]
    )
    least = next(k for k, depth in enumerate(stage.depth) if depth > i)
    condition = (space.genes.at["stage", s, "depth"], least) if least else None
    stages = [make_stage(s, stage, space.choices(row)) for row in _rows(space, own_genes, condition).tolist()]
    units = []
    for network, bits in _networks(space, costing, genes_before):
        last = (network.segments[s - 1] if s else _stem(space, network))[-1]
        units += [[stage_units(variant, last.output, bits)[i]] for variant in stages]
    return _slot(space, s, [*genes_before, *own_genes], units, costing.model, condition)


def _head_slots(space: SearchSpace, costing: Costing) -> Iterator[_Slot]:
    """Slots of exit branches: every variant of the branch, after every variant of the unit before it."""
    spec, classes, last = space.spec, costing.shape.classes, space.positions - 1
    alternatives = len(GATE_POOLS) if spec.branch.kind == "gated" else 1
    for e in (*spec.exit_places, *([] if spec.backbone else [last])):
        of_branch = [key for key in space.genes.at if key[:2] == ("exit", e) and len(key) > 2]
        genes_before, own_genes = _genes_with_choice(space, e, [*_INPUT, ("stage", e, "width")], of_branch)
        branches = [
            make_branch(spec.branch, e, space.choices(row)) if e < last else spec.last_branch
            for row in _rows(space, own_genes).tolist()
        ]
        heads = [
            with_last_repeated(head_after(network.segments[e][-1], branch, classes, bits, last=e == last), alternatives)
            for network, bits in _networks(space, costing, genes_before)
            for branch in branches
        ]
        yield _slot(space, e, [*genes_before, *own_genes], heads, costing.model)


def _genes_with_choice(
    space: SearchSpace, position: int, before: Iterable[Key], own: Iterable[Key]
) -> tuple[list[int], list[int]]:
    """Genes with several values among the keys `before`, of the units before a unit, and among its `own`."""
    at, counts = space.genes.at, space.genes.counts
    genes = tuple([at[key] for key in keys if key in at and counts[at[key]] > 1] for keys in (before, own))
    if (variants := math.prod(counts[[*genes[0], *genes[1]]].tolist())) > MOST_VARIANTS:
        raise InputError(
            f"space {space.spec.name!r}: a unit of stage {position + 1} has {variants:,} variants; at most "
            f"{MOST_VARIANTS:,} are allowed; offer fewer choices for it or for the unit before it"
        )
    return genes[0], genes[1]


def _rows(space: SearchSpace, genes: list[int], condition: tuple[int, int] | None = None) -> Ints:
    """(V, G): every combination of choices of some genes, the last of them fastest; index 0 for the others."""
    combinations = list(itertools.product(*map(range, space.genes.counts[genes])))
    rows = np.zeros((len(combinations), len(space.genes)), dtype=np.int64)
    rows[:, genes] = combinations
    if condition:
        rows[:, condition[0]] = condition[1]
    return rows


def _networks(space: SearchSpace, costing: Costing, genes: list[int]) -> list[tuple[Units, int]]:
    """Units and bit width of a network for every combination of choices of some genes, as in `_rows`."""
    return [(costing.units(a), a.bits or FLOAT_BITS) for a in space.architectures(_rows(space, genes))]


def _slot(
    space: SearchSpace,
    position: int,
    genes: list[int],
    units: Sequence[Sequence[AnyUnit]],
    model: CostModel | None,
    condition: tuple[int, int] | None = None,
) -> _Slot:
    """Create a slot from V variants, each with its P alternatives."""
    counts = space.genes.counts[genes].tolist()
    strides = tuple(math.prod(counts[k + 1 :]) for k in range(len(counts)))
    amounts = [[u.macs, u.parameters, u.weight_bytes, u.memory] for options in units for u in options]
    other = np.array([[model.cost(unit) for unit in options] for options in units]) if model else None
    return _Slot(position, tuple(genes), strides, condition, np.array(amounts).reshape(len(units), -1), other)
