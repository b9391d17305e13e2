"""Look-up tables of a space: the cost of every variant of each of its units.

Everything is a sum, or a maximum, over units. A space names each unit's *variants* by a few genes, so the costs of n
encodings are look-ups in one small table per unit."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

from surrogate_nas.architecture.amounts import Amounts, amounts_of, with_last_repeated
from surrogate_nas.architecture.architecture import Stage
from surrogate_nas.architecture.cost import Cost, CostModel
from surrogate_nas.architecture.costing import Costing
from surrogate_nas.architecture.layers import Map
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.architecture.units import GATE_POOLS, AnyUnit, block_unit, given_units, head_units, stem_units
from surrogate_nas.foundation.arrays import Floats, Ints
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.space.genes import Key
from surrogate_nas.space.parts import Chosen, make_branch, make_stem
from surrogate_nas.space.space import SearchSpace

MOST_VARIANTS = 200_000
"""Of one unit: more than that is a space to be written differently."""
Make = Callable[[Chosen], Sequence[AnyUnit]]
"""From what genes choose to the alternatives of a unit."""
_INPUT: tuple[Key, ...] = (("resolution",), ("bits",), ("stem", "stride"))
"""Keys of the genes that a feature map's side, and every unit's bytes, depend on."""


@dataclass(frozen=True)
class _Slot:
    """A place for a unit, and the costs of every variant that it may have."""

    position: int
    genes: tuple[int, ...]
    """That decide which variant it is."""
    strides: tuple[int, ...]
    """Index of a variant: Σ strides · choice indices."""
    there: tuple[int, int] | None
    """A gene and its least index for which there is a unit at all."""
    amounts: Ints
    """(V, P · 4) MACs, parameters, bytes of weights, memory of each alternative."""
    other: Floats | None
    """(V, P)."""

    def variant(self, indices: Ints) -> Ints:
        """(n,) which variant each architecture has here."""
        index = np.zeros(len(indices), dtype=np.int64)
        for gene, stride in zip(self.genes, self.strides, strict=True):
            index += stride * indices[:, gene]
        return index


@dataclass(frozen=True)
class _Tables:
    """The slots of a space."""

    space: SearchSpace
    segments: tuple[_Slot, ...]
    heads: tuple[_Slot, ...]

    def cost(self, indices: Ints) -> Cost:
        """Of (n, G) choice indices."""
        n, E = len(indices), self.space.positions
        P = max((slot.amounts.shape[1] // 4 for slot in self.heads), default=1)
        segment, memory = np.zeros((n, E, 3), dtype=np.int64), np.zeros((n, E), dtype=np.int64)
        head = np.zeros((n, E, P, 4), dtype=np.int64)
        with_other = bool(self.segments) and self.segments[0].other is not None
        other = (np.zeros((n, E)), np.zeros((n, E, P)))
        for slot in self.segments:
            variant, e = slot.variant(indices), slot.position
            found = slot.amounts[variant]
            if slot.there is not None:
                found *= (indices[:, slot.there[0]] >= slot.there[1])[:, None]
            segment[:, e] += found[:, :3]
            np.maximum(memory[:, e], found[:, 3], out=memory[:, e])
            if slot.other is not None:
                there = True if slot.there is None else indices[:, slot.there[0]] >= slot.there[1]
                other[0][:, e] += slot.other[variant, 0] * there
        for slot in self.heads:
            variant = slot.variant(indices)
            head[:, slot.position] = slot.amounts[variant].reshape(n, P, 4)
            if slot.other is not None:
                other[1][:, slot.position] = slot.other[variant]
        present = self.space.genes.present(indices)
        present[:, -1] = any(slot.position == E - 1 for slot in self.heads)
        return Amounts(segment, memory, head[..., :3], head[..., 3], present, other if with_other else None).cost()


@lru_cache(maxsize=32)
def tables_for(space: SearchSpace, costing: Costing) -> _Tables:
    return _Tables(space, tuple(_segment_slots(space, costing)), tuple(_head_slots(space, costing)))


def _slot(
    space: SearchSpace,
    position: int,
    keys: Sequence[Key],
    make: Make,
    model: CostModel | None,
    alternatives: int = 1,
    there: tuple[Key, int] | None = None,
) -> _Slot:
    """A slot whose variants are every setting of the genes of these keys; keys without a gene are fixed."""
    genes = [
        g
        for g in dict.fromkeys(space.genes.at[key] for key in keys if key in space.genes.at)
        if len(space.genes[g].values) > 1
    ]
    sizes = [len(space.genes[g].values) for g in genes]
    if (variants := int(np.prod(sizes, dtype=np.int64))) > MOST_VARIANTS:
        raise InputError(
            f"space {space.spec.name!r}: a unit of stage {position + 1} has {variants:,} variants; at most "
            f"{MOST_VARIANTS:,} are allowed: offer fewer choices that depend on each other"
        )
    row = np.zeros(len(space.genes), dtype=np.int64)
    units: list[list[AnyUnit]] = []
    counted: dict[int, list[list[int]]] = {}  # by the unit's identity: many settings give one and the same
    amounts = []
    for setting in itertools.product(*map(range, sizes)):
        row[genes] = setting
        units.append(with_last_repeated(make(space.chosen(row.tolist())), alternatives))
        key = id(units[-1][0])
        if key not in counted:
            counted[key] = [[*amounts_of([unit]), unit.memory] for unit in units[-1]]
        amounts.append(counted[key])
    other = np.array([[model.cost(unit) for unit in options] for options in units]) if model else None
    strides = [int(np.prod(sizes[k + 1 :], dtype=np.int64)) for k in range(len(sizes))]
    mask = (space.genes.at[there[0]], there[1]) if there else None
    return _Slot(position, tuple(genes), tuple(strides), mask, np.array(amounts).reshape(variants, -1), other)


def _segment_slots(space: SearchSpace, costing: Costing) -> Iterator[_Slot]:
    spec, model = space.spec, costing.model
    if costing.backbone:
        for e, unit in enumerate(given_units(costing.backbone)):
            yield _slot(space, e, (), partial(_always, unit), model)
        return
    for k in range(2 if spec.stem and spec.stem.block else 1):
        yield _slot(space, 0, (*_INPUT, ("stem", "width")), partial(_stem_unit, costing.shape, k), model)
    for s, stage in enumerate(spec.stages):
        for i in range(max(stage.depth)):
            place = i if stage.per_block else 0
            names = ("block", "width", "squeeze", "activation")
            keys: list[Key] = [*_INPUT, *(("stage", s, name) for name in names)]
            keys += [("stage", s, "kernel", place), ("stage", s, "expansion", place)]
            if i == 0:
                keys.append(("stem", "width") if s == 0 else ("stage", s - 1, "width"))
            least = next(k for k, depth in enumerate(stage.depth) if depth > i)
            there: tuple[Key, int] | None = (("stage", s, "depth"), least) if least else None
            yield _slot(space, s, keys, partial(_block, space, costing.shape, s, i), model, there=there)


def _head_slots(space: SearchSpace, costing: Costing) -> Iterator[_Slot]:
    spec, classes, model = space.spec, costing.shape.classes, costing.model
    alternatives = len(GATE_POOLS) if spec.branch.kind == "gated" else 1

    def make(e: int, chosen: Chosen) -> Sequence[AnyUnit]:
        if e == spec.positions - 1:
            return head_units(
                spec.last_branch, _map_after(space, chosen, e, costing.shape), classes, _bits(chosen), last=True
            )
        branch, given = make_branch(spec.branch, e, chosen), costing.backbone
        x = given_units(given)[e].output if given else _map_after(space, chosen, e, costing.shape)
        return head_units(branch, x, classes, _bits(chosen), held=given_units(given)[e].held if given else 0)

    for e in (*spec.exit_places, *([] if costing.backbone else [spec.positions - 1])):
        own = [key for key in space.genes.at if key[:2] == ("exit", e) and len(key) > 2]
        keys = (*_INPUT, ("stage", e, "width"), *own)
        yield _slot(space, e, keys, partial(make, e), model, alternatives)


def _bits(chosen: Chosen) -> int:
    return int(chosen("bits"))


def _always(unit: AnyUnit, chosen: Chosen) -> tuple[AnyUnit]:
    return (unit,)


def _stem_unit(shape: ImageShape, k: int, chosen: Chosen) -> tuple[AnyUnit]:
    return (stem_units(make_stem(chosen), shape, chosen("resolution"), _bits(chosen))[k],)


def _map_after(space: SearchSpace, chosen: Chosen, stage: int, shape: ImageShape) -> Map:
    """The feature map after a stage; after the stem for −1."""
    side = chosen("resolution") or shape.size
    for stride in (chosen("stem", "stride"), *(s.stride for s in space.spec.stages[: stage + 1])):
        side = -(-side // stride)
    return Map(chosen("stem", "width") if stage < 0 else chosen("stage", stage, "width"), side)


def _block(space: SearchSpace, shape: ImageShape, s: int, i: int, chosen: Chosen) -> tuple[AnyUnit]:
    """Block i of stage s."""
    place = i if space.spec.stages[s].per_block else 0
    kernel, expansion = (chosen("stage", s, name, place) for name in ("kernel", "expansion"))
    block, width, stride, squeeze, activation = (
        chosen("stage", s, name) for name in ("block", "width", "stride", "squeeze", "activation")
    )
    stage = Stage(block, width, (kernel,) * (i + 1), (expansion,) * (i + 1), stride, squeeze, activation)
    return (block_unit(stage, i, _map_after(space, chosen, s if i else s - 1, shape), _bits(chosen)),)
