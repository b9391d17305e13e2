"""Exact costs of many architectures at once, in integers, and any other cost that is known per unit.

Everything is a sum, or a maximum, over units. A space names each unit's *variants* by a few genes, so the costs of n
encodings are look-ups in one small table per unit.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from surrogate_nas.config import ChargeHeads, Objective
from surrogate_nas.errors import InputError
from surrogate_nas.space import Architecture, SearchSpace, Stage
from surrogate_nas.space.genes import Chosen, Key, make_branch, make_stem
from surrogate_nas.space.spec import BackboneSpec
from surrogate_nas.units import (
    GATE_POOLS,
    AnyUnit,
    ImageShape,
    Map,
    Unit,
    Units,
    block_unit,
    given_units,
    head_units,
    stem_units,
    units_of,
)

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

CHUNK = 4096
"""Encodings at a time: their look-ups stay in the processor's cache."""
MOST_VARIANTS = 200_000
"""Of one unit: more than that is a space to be written differently."""
_MACS, _PARAMETERS, _WEIGHT_BYTES = range(3)


class CostModel(Protocol):
    """What one run of a unit costs, for one image: microseconds, microjoules, anything that adds up."""

    @property
    def name(self) -> str:
        """Its unit, as people read it: `µs`."""

    def cost(self, unit: AnyUnit) -> float:
        """Of one unit; raises `InputError` for one that it does not know."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Costs of n architectures with E exit positions. Branch entries are 0 where there is no exit, and at the last."""

    backbone: Ints
    """(n, E) MACs from the input through stage e; the last includes the final classifier."""
    branch: Ints
    """(n, E) MACs of the branch at position e."""
    parameters: Ints
    """(n,) weights, biases and batch-norm scales of the whole network."""
    weight_bytes: Ints
    """(n,) of the whole network as deployed; see `Unit.weight_bytes`."""
    backbone_memory: Ints
    """(n, E) bytes of activations at the worst moment through stage e, the final classifier's included."""
    branch_memory: Ints
    """(n, E) the same while the branch at position e runs."""
    charge_heads: ChargeHeads = "all"
    """Whether a sample pays for every branch that was run before it left, or for its own alone."""
    other: tuple[Floats, Floats] | None = None
    """(n, E) each: another cost of the backbone and of the branches, in the same way as MACs."""
    objective: Objective = "macs"

    def macs(self, on: Bools | None = None) -> Ints:
        """(n, E) MACs spent by a sample that leaves at position e.

        Args:
            on: (n, E − 1) or (E − 1,), early exits that are switched on; default all. An exit that is off is not run
                and not charged.
        """
        return charged(self.backbone, self.branch, on, self.charge_heads)

    def others(self, on: Bools | None = None) -> Floats | None:
        """(n, E) the other cost of the same, if there is one."""
        return None if self.other is None else charged(*self.other, on, self.charge_heads)

    @property
    def priced(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """(n, E) each: what is to be minimised, of the backbone and of the branches."""
        if self.objective == "cost":
            assert self.other is not None
            return self.other
        return self.backbone, self.branch

    def memory(self, on: Bools | None = None) -> Ints:
        """(n,) bytes of activations at the worst moment at batch 1, `on` as for `macs`."""
        branch = self.branch_memory if on is None else _where_on(self.branch_memory, on)
        return np.asarray(np.maximum(self.backbone_memory[:, -1], branch.max(axis=1)))

    def __len__(self) -> int:
        return len(self.parameters)

    def __getitem__(self, index: npt.NDArray[np.int64] | slice) -> "Cost":
        other = None if self.other is None else (self.other[0][index], self.other[1][index])
        return Cost(
            self.backbone[index], self.branch[index], self.parameters[index], self.weight_bytes[index],
            self.backbone_memory[index], self.branch_memory[index], self.charge_heads, other, self.objective,
        )  # fmt: skip

    def room(self, n: int) -> "Cost":
        """Unfilled arrays like these for n architectures."""
        one = self[:1]
        return one[np.zeros(n, dtype=np.int64)] if len(one) else self

    def fill(self, start: int, part: "Cost") -> None:
        """Set the entries from `start` on."""
        for mine, given in zip(self._arrays, part._arrays, strict=True):
            mine[start : start + len(part)] = given

    @property
    def _arrays(self) -> list[npt.NDArray[Any]]:
        own = (self.backbone, self.branch, self.parameters, self.weight_bytes, self.backbone_memory, self.branch_memory)
        return [*own, *(self.other or ())]

    @classmethod
    def concatenate(cls, parts: Sequence["Cost"]) -> "Cost":
        """The architectures of several, in order."""

        def join(name: str) -> Ints:
            return np.concatenate([getattr(part, name) for part in parts])

        others = [part.other for part in parts if part.other is not None]
        other = (np.concatenate([o[0] for o in others]), np.concatenate([o[1] for o in others])) if others else None
        return cls(
            join("backbone"), join("branch"), join("parameters"), join("weight_bytes"), join("backbone_memory"),
            join("branch_memory"), parts[0].charge_heads, other, parts[0].objective,
        )  # fmt: skip


Number = TypeVar("Number", np.int64, np.float64)


def charged(
    backbone: npt.NDArray[Number], branch: npt.NDArray[Number], on: Bools | None, charge_heads: ChargeHeads
) -> npt.NDArray[Number]:
    """(…, E) what is spent by a sample that leaves at position e, of any cost: M_e = B_e + Σ_{j≤e} H_j, or B_e + H_e
    where each sample pays for its own branch alone.

    Args:
        backbone: (…, E) B, through stage e.
        branch: (…, E) H, of the branch there; 0 where it is off.
        on: (…, E − 1) early exits that are switched on; default all.
        charge_heads: whether every branch before is charged, or the last alone. Shapes broadcast.
    """
    branch = branch if on is None else _where_on(branch, on)
    return np.asarray(backbone + (np.cumsum(branch, axis=-1) if charge_heads == "all" else branch))


def _where_on(branch: npt.NDArray[Number], on: Bools) -> npt.NDArray[Number]:
    """(…, E) 0 where an early exit is off."""
    last = np.ones((*on.shape[:-1], 1), dtype=np.bool_)
    return np.where(np.concatenate([on, last], axis=-1), branch, branch.dtype.type(0))


@dataclass(frozen=True)
class Costing:
    """How costs are counted: for which images, with which accounting, and what else is counted beside MACs."""

    shape: ImageShape
    charge_heads: ChargeHeads = "all"
    backbone: BackboneSpec | None = None
    """The given backbone, if the space has one."""
    model: CostModel | None = None
    """A cost beside MACs."""
    objective: Objective = "macs"
    """What is to be minimised."""

    def units(self, architecture: Architecture) -> Units:
        """Of an architecture; see `units_of`."""
        return units_of(architecture, self.shape, self.backbone)

    def of(self, architecture: Architecture) -> Cost:
        """Cost of a single architecture (n = 1), whether or not it is of any space."""
        return self.as_asked(_cost_of(architecture, self.counted))

    def heads(self, architecture: Architecture) -> dict[int, Unit]:
        """The branch at each position that has one, the classifier's included, with its alternative decided."""
        units = self.units(architecture)
        chosen = _single(units, None).chosen[0]
        return {e: options[min(chosen[e], len(options) - 1)] for e, options in enumerate(units.heads) if options}

    @cached_property
    def counted(self) -> "Costing":
        """Without what only changes how counts are read: so they are counted once."""
        return replace(self, charge_heads="all", objective="macs")

    def as_asked(self, cost: Cost) -> Cost:
        """Counts as this accounting reads them."""
        return replace(cost, charge_heads=self.charge_heads, objective=self.objective)


# ---------------------------------------------------------------------- from units


@dataclass(frozen=True, slots=True)
class _Amounts:
    """n architectures with E positions and up to P alternatives per branch, before the alternatives are decided."""

    segment: Ints  # (n, E, 3) MACs, parameters, bytes of weights
    segment_memory: Ints  # (n, E)
    head: Ints  # (n, E, P, 3)
    head_memory: Ints  # (n, E, P)
    present: Bools  # (n, E)
    other: tuple[Floats, Floats] | None  # (n, E) and (n, E, P)

    @property
    def chosen(self) -> Ints:
        """(n, E) which alternative each branch is."""
        return _chosen(self.segment[..., _MACS], self.head[..., _MACS], self.present)

    def cost(self) -> Cost:
        """With the alternatives decided."""
        present, chosen = self.present.astype(np.int64), self.chosen
        head = _take(self.head, chosen) * present[..., None]
        head_memory = _take(self.head_memory, chosen) * present
        memory = np.maximum.accumulate(self.segment_memory, axis=1)
        memory[:, -1] = np.maximum(memory[:, -1], head_memory[:, -1])
        totals = self.segment.sum(axis=1) + head.sum(axis=1)
        backbone, branch = _with_classifier(self.segment[..., _MACS].cumsum(axis=1), head[..., _MACS])
        other = None
        if self.other is not None:
            other = _with_classifier(self.other[0].cumsum(axis=1), _take(self.other[1], chosen) * present)
        head_memory[:, -1] = 0
        parameters, weight_bytes = totals[:, _PARAMETERS], totals[:, _WEIGHT_BYTES]
        return Cost(backbone, branch, parameters, weight_bytes, memory, head_memory, other=other)


def _with_classifier(backbone: npt.NDArray[Any], head: npt.NDArray[Any]) -> tuple[Any, Any]:
    """The final classifier belongs to the backbone."""
    backbone[:, -1] += head[:, -1]
    head[:, -1] = 0
    return backbone, head


def _take(values: npt.NDArray[Any], chosen: Ints) -> npt.NDArray[Any]:
    """(n, E, …) of (n, E, P, …)."""
    if values.shape[2] == 1:
        return values[:, :, 0]
    index = chosen.reshape(*chosen.shape, *[1] * (values.ndim - 2))
    return np.asarray(np.take_along_axis(values, index, axis=2)[:, :, 0])


def _chosen(segment: Ints, head: Ints, present: Bools) -> Ints:
    """(n, E) index of each branch's alternative: the first that makes leaving there cheaper than at the next exit.

    NACHOS's rule for the pooling before a branch (arXiv 2401.13330); the last alternative where none does.

    Args:
        segment: (n, E) MACs between positions.
        head: (n, E, P) MACs of the alternatives.
        present: (n, E) which exits exist.
    """
    n, E, P = head.shape
    chosen = np.zeros((n, E), dtype=np.int64)
    if P == 1:
        return chosen
    ahead = head[:, -1, 0] * present[:, -1]  # from a position to leaving at the first exit from there on
    for e in reversed(range(E - 1)):
        on = segment[:, e + 1] + ahead
        cheaper = head[:, e] < on[:, None]
        chosen[:, e] = np.where(cheaper.any(axis=1), cheaper.argmax(axis=1), P - 1)
        ahead = np.where(present[:, e], head[np.arange(n), e, chosen[:, e]], on)
    return chosen


def _amounts_of(units: Sequence[AnyUnit]) -> Ints:
    return np.array([sum(getattr(u, name) for u in units) for name in ("macs", "parameters", "weight_bytes")])


def _alternatives(options: Sequence[AnyUnit], count: int) -> list[AnyUnit]:
    """As many as `count`; the last is repeated."""
    return [options[min(p, len(options) - 1)] for p in range(count)]


def _single(units: Units, model: CostModel | None) -> _Amounts:
    """Of one architecture (n = 1)."""
    E, P = len(units.segments), max(len(options) for options in units.heads) or 1
    head, head_memory = np.zeros((1, E, P, 3), dtype=np.int64), np.zeros((1, E, P), dtype=np.int64)
    other = (np.zeros((1, E)), np.zeros((1, E, P)))
    for e, options in enumerate(units.heads):
        for p, unit in enumerate(_alternatives(options, P) if options else ()):
            head[0, e, p], head_memory[0, e, p] = _amounts_of([unit]), unit.memory
            other[1][0, e, p] = model.cost(unit) if model else 0.0
    if model:
        other[0][0] = [sum(model.cost(unit) for unit in segment) for segment in units.segments]
    return _Amounts(
        np.stack([_amounts_of(segment) for segment in units.segments])[None],
        np.array([[max(unit.memory for unit in segment) for segment in units.segments]]),
        head, head_memory, np.array([[bool(options) for options in units.heads]]), other if model else None,
    )  # fmt: skip


# ---------------------------------------------------------------------- tables


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
        present = self.space.present(indices)
        present[:, -1] = any(slot.position == E - 1 for slot in self.heads)
        return _Amounts(
            segment, memory, head[..., :3], head[..., 3], present, other if with_other else None
        ).cost()  # fmt: skip


@lru_cache(maxsize=4096)
def _cost_of(architecture: Architecture, costing: Costing) -> Cost:
    return _single(costing.units(architecture), costing.model).cost()


@lru_cache(maxsize=32)
def _tables(space: SearchSpace, costing: Costing) -> _Tables:
    return _Tables(space, tuple(_segment_slots(space, costing)), tuple(_head_slots(space, costing)))


Make = Callable[[Chosen], Sequence[AnyUnit]]
"""From what genes choose to the alternatives of a unit."""


def _slot(
    space: SearchSpace, position: int, keys: Sequence[Key], make: Make, model: CostModel | None,
    alternatives: int = 1, there: tuple[Key, int] | None = None,
) -> _Slot:  # fmt: skip
    """A slot whose variants are every setting of the genes of these keys; keys without a gene are fixed."""
    genes = [
        g for g in dict.fromkeys(space.at[key] for key in keys if key in space.at) if len(space.genes[g].values) > 1
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
        units.append(_alternatives(make(space.chosen(row.tolist())), alternatives))
        key = id(units[-1][0])
        if key not in counted:
            counted[key] = [[*_amounts_of([unit]), unit.memory] for unit in units[-1]]
        amounts.append(counted[key])
    other = np.array([[model.cost(unit) for unit in options] for options in units]) if model else None
    strides = [int(np.prod(sizes[k + 1 :], dtype=np.int64)) for k in range(len(sizes))]
    mask = (space.at[there[0]], there[1]) if there else None
    return _Slot(position, tuple(genes), tuple(strides), mask, np.array(amounts).reshape(variants, -1), other)


_INPUT: tuple[Key, ...] = (("resolution",), ("bits",), ("stem", "stride"))
"""Keys of the genes that a feature map's side, and every unit's bytes, depend on."""


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
            return head_units(spec.last_branch, _map_after(space, chosen, e, costing.shape), classes, _bits(chosen),
                              last=True)  # fmt: skip
        branch, given = make_branch(spec.branch, e, chosen), costing.backbone
        x = given_units(given)[e].output if given else _map_after(space, chosen, e, costing.shape)
        return head_units(branch, x, classes, _bits(chosen), held=given_units(given)[e].held if given else 0)

    for e in (*spec.exit_places, *([] if costing.backbone else [spec.positions - 1])):
        own = [key for key in space.at if key[:2] == ("exit", e) and len(key) > 2]
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


def costing_for(
    space: SearchSpace, shape: ImageShape, charge_heads: ChargeHeads | None = None, model: CostModel | None = None,
    objective: Objective = "macs",
) -> Costing:  # fmt: skip
    """How costs are counted in a space: as the space says, unless `charge_heads` does."""
    return Costing(shape, charge_heads or space.spec.charge_heads, space.spec.backbone, model, objective)


def cost_of_indices(space: SearchSpace, indices: Ints, costing: Costing) -> Cost:
    """Cost of (n, G) choice indices; genes that do not apply may hold anything."""
    return costing.as_asked(_tables(space, costing.counted).cost(indices))


def cost_of_encodings(space: SearchSpace, X: Floats, costing: Costing) -> Cost:
    """Cost of (n, d) vector encodings, a cache-sized part at a time.

    Raises:
        InputError: for a wrong number of coordinates, or one outside [0, 1].
    """
    tables, whole = _tables(space, costing.counted), None
    for start in range(0, max(len(X), 1), CHUNK):
        part = X[start : start + CHUNK]
        space.check_encodings(part)
        cost = tables.cost(space.nearest_indices(part))
        whole = cost.room(len(X)) if whole is None else whole
        whole.fill(start, cost)
    assert whole is not None
    return costing.as_asked(whole)
