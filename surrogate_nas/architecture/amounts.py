"""Sums of units' costs, and the choice among the alternatives of each gated branch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from surrogate_nas.architecture.cost import Cost, CostModel
from surrogate_nas.architecture.units import AnyUnit, Units
from surrogate_nas.foundation.arrays import Array, Bools, Floats, Ints

_MACS, _PARAMETERS, _WEIGHT_BYTES = range(3)


@dataclass(frozen=True, slots=True)
class Amounts:
    """Costs of n architectures with E positions, before one of up to P alternatives is chosen for each branch."""

    segment: Ints  # (n, E, 3) MACs, parameters, bytes of weights of the units between two positions
    segment_memory: Ints  # (n, E) bytes of activations at the worst moment
    head: Ints  # (n, E, P, 3) as `segment`, of each alternative
    head_memory: Ints  # (n, E, P) as `segment_memory`, of each alternative
    present: Bools  # (n, E) which exits exist
    other: tuple[Floats, Floats] | None  # (n, E) and (n, E, P), another cost of segments and of heads

    @property
    def alternatives(self) -> Ints:
        """(n, E) index of the chosen alternative of each branch."""
        return _alternatives(self.segment[..., _MACS], self.head[..., _MACS], self.present)

    def cost(self) -> Cost:
        """Costs with the chosen alternatives."""
        present, alternatives = self.present.astype(np.int64), self.alternatives
        head = _take(self.head, alternatives) * present[..., None]
        head_memory = _take(self.head_memory, alternatives) * present
        memory = np.maximum.accumulate(self.segment_memory, axis=1)
        memory[:, -1] = np.maximum(memory[:, -1], head_memory[:, -1])
        totals = self.segment.sum(axis=1) + head.sum(axis=1)
        backbone, branch = _with_classifier(self.segment[..., _MACS].cumsum(axis=1), head[..., _MACS])
        other = None
        if self.other is not None:
            other = _with_classifier(self.other[0].cumsum(axis=1), _take(self.other[1], alternatives) * present)
        head_memory[:, -1] = 0
        parameters, weight_bytes = totals[:, _PARAMETERS], totals[:, _WEIGHT_BYTES]
        return Cost(
            backbone=backbone,
            branch=branch,
            parameters=parameters,
            weight_bytes=weight_bytes,
            backbone_memory=memory,
            branch_memory=head_memory,
            other=other,
        )


def _with_classifier(backbone: Array, head: Array) -> tuple[Any, Any]:
    """Move the final classifier's cost from the branches to the backbone."""
    backbone[:, -1] += head[:, -1]
    head[:, -1] = 0
    return backbone, head


def _take(values: Array, alternatives: Ints) -> Array:
    """(n, E, …) values of the chosen alternatives among (n, E, P, …)."""
    if values.shape[2] == 1:
        return values[:, :, 0]
    index = alternatives.reshape(*alternatives.shape, *[1] * (values.ndim - 2))
    return np.asarray(np.take_along_axis(values, index, axis=2)[:, :, 0])


def _alternatives(segment: Ints, head: Ints, present: Bools) -> Ints:
    """(n, E) index of each branch's alternative: the first that makes leaving there cheaper than at the next exit.

    NACHOS's rule for the pooling before a branch (arXiv 2401.13330); the last alternative where none does.

    Args:
        segment: (n, E) MACs between positions.
        head: (n, E, P) MACs of the alternatives.
        present: (n, E) which exits exist.
    """
    n, E, P = head.shape
    alternatives = np.zeros((n, E), dtype=np.int64)
    if P == 1:
        return alternatives
    ahead = head[:, -1, 0] * present[:, -1]  # MACs from a position to the first exit at or after it
    for e in reversed(range(E - 1)):
        staying = segment[:, e + 1] + ahead
        cheaper = head[:, e] < staying[:, None]
        alternatives[:, e] = np.where(cheaper.any(axis=1), cheaper.argmax(axis=1), P - 1)
        ahead = np.where(present[:, e], head[np.arange(n), e, alternatives[:, e]], staying)
    return alternatives


def _amounts_of(units: Sequence[AnyUnit]) -> Ints:
    """(3,) MACs, parameters and bytes of weights of several units."""
    return np.array([sum(getattr(u, name) for u in units) for name in ("macs", "parameters", "weight_bytes")])


def with_last_repeated(options: Sequence[AnyUnit], count: int) -> list[AnyUnit]:
    """The first `count` options; if there are fewer, the last is repeated."""
    return [options[min(p, len(options) - 1)] for p in range(count)]


def single_amounts(units: Units, model: CostModel | None) -> Amounts:
    """Amounts of one architecture (n = 1)."""
    E, P = len(units.segments), max(len(options) for options in units.heads) or 1
    head, head_memory = np.zeros((1, E, P, 3), dtype=np.int64), np.zeros((1, E, P), dtype=np.int64)
    other = (np.zeros((1, E)), np.zeros((1, E, P)))
    for e, options in enumerate(units.heads):
        for p, unit in enumerate(with_last_repeated(options, P) if options else ()):
            head[0, e, p], head_memory[0, e, p] = _amounts_of([unit]), unit.memory
            other[1][0, e, p] = model.cost(unit) if model else 0.0
    if model:
        other[0][0] = [sum(model.cost(unit) for unit in segment) for segment in units.segments]
    return Amounts(
        np.stack([_amounts_of(segment) for segment in units.segments])[None],
        np.array([[max(unit.memory for unit in segment) for segment in units.segments]]),
        head,
        head_memory,
        np.array([[bool(options) for options in units.heads]]),
        other if model else None,
    )
