"""Costs of networks with early exits: MACs, sizes and memory as integers, and any other additive cost.

Costs are arrays over n architectures and E exit positions. The cost of a sample depends on where it leaves, on which
exits are switched on, and on whether it is charged for every branch that was run before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from surrogate_nas.architecture.units import AnyUnit
from surrogate_nas.foundation.arrays import Array, Bools, Floats, Ints

ChargeHeads = Literal["all", "own"]
"""Branches charged to a sample. `all`: every branch that was run until it left; `own`: only the one at which it left,
to reproduce the figures of NACHOS."""
Objective = Literal["macs", "cost"]
"""Cost to minimise: MACs, or the cost of a `CostModel`."""
Number = TypeVar("Number", np.int64, np.float64)


class CostModel(Protocol):
    """Cost of one run of a unit for one image: microseconds, microjoules, any additive quantity."""

    @property
    def name(self) -> str:
        """Unit of the cost as text: `µs`."""

    def cost(self, unit: AnyUnit) -> float:
        """Cost of one unit; raises `InputError` for an unknown one."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Cost:
    """Costs of n architectures with E exit positions. Branch entries are 0 where there is no exit, and at the last."""

    backbone: Ints
    """(n, E) MACs from the input through stage e; the last includes the final classifier."""
    branch: Ints
    """(n, E) MACs of the branch at position e."""
    parameters: Ints
    """(n,) weights, biases and batch-norm scales of the whole network."""
    weight_bytes: Ints
    """(n,) bytes of weights of the whole network as deployed; see `Unit.weight_bytes`."""
    backbone_memory: Ints
    """(n, E) bytes of activations at the worst moment through stage e, the final classifier's included."""
    branch_memory: Ints
    """(n, E) bytes of activations at the worst moment while the branch at position e runs."""
    charge_heads: ChargeHeads = "all"
    """Branches charged to a sample; see `ChargeHeads`."""
    other: tuple[Floats, Floats] | None = None
    """(n, E) each: another cost of the backbone and of the branches, summed as `backbone` and `branch` are."""
    objective: Objective = "macs"

    def macs(self, on: Bools | None = None) -> Ints:
        """(n, E) MACs spent by a sample that leaves at position e.

        Args:
            on: (n, E − 1) or (E − 1,), early exits that are switched on; default all. An exit that is off is not run
                and not charged.
        """
        return costs_of_leaving(self.backbone, self.branch, on, self.charge_heads)

    def others(self, on: Bools | None = None) -> Floats | None:
        """(n, E) other cost of a sample that leaves at position e; `None` if there is no other cost."""
        return None if self.other is None else costs_of_leaving(*self.other, on, self.charge_heads)

    @property
    def objective_costs(self) -> tuple[Array, Array]:
        """(n, E) each: cost to minimise, of the backbone and of the branches."""
        if self.objective == "cost":
            assert self.other is not None
            return self.other
        return self.backbone, self.branch

    def memory(self, on: Bools | None = None) -> Ints:
        """(n,) bytes of activations at the worst moment, for one image; for `on` see `macs`."""
        branch = self.branch_memory if on is None else _where_on(self.branch_memory, on)
        return np.asarray(np.maximum(self.backbone_memory[:, -1], branch.max(axis=1)))

    def __repr__(self) -> str:
        """Short text."""
        return f"<Cost of {len(self)} networks>"

    def __len__(self) -> int:
        return len(self.parameters)

    def __getitem__(self, index: Ints | slice) -> "Cost":
        other = None if self.other is None else (self.other[0][index], self.other[1][index])
        return Cost(
            backbone=self.backbone[index],
            branch=self.branch[index],
            parameters=self.parameters[index],
            weight_bytes=self.weight_bytes[index],
            backbone_memory=self.backbone_memory[index],
            branch_memory=self.branch_memory[index],
            charge_heads=self.charge_heads,
            other=other,
            objective=self.objective,
        )

    def allocate(self, n: int) -> "Cost":
        """A `Cost` for n architectures with arbitrary entries, which `fill` sets later."""
        one = self[:1]
        return one[np.zeros(n, dtype=np.int64)] if len(one) else self

    def fill(self, start: int, part: "Cost") -> None:
        """Set the entries from index `start` on to those of `part`."""
        for mine, theirs in zip(self._arrays, part._arrays, strict=True):
            mine[start : start + len(part)] = theirs

    @property
    def _arrays(self) -> list[Array]:
        arrays = (
            self.backbone,
            self.branch,
            self.parameters,
            self.weight_bytes,
            self.backbone_memory,
            self.branch_memory,
        )
        return [*arrays, *(self.other or ())]

    @classmethod
    def concatenate(cls, parts: Sequence["Cost"]) -> "Cost":
        """Join the costs of several sets of architectures, in order."""

        def join(name: str) -> Ints:
            return np.concatenate([getattr(part, name) for part in parts])

        others = [part.other for part in parts if part.other is not None]
        other = (np.concatenate([o[0] for o in others]), np.concatenate([o[1] for o in others])) if others else None
        return cls(
            backbone=join("backbone"),
            branch=join("branch"),
            parameters=join("parameters"),
            weight_bytes=join("weight_bytes"),
            backbone_memory=join("backbone_memory"),
            branch_memory=join("branch_memory"),
            charge_heads=parts[0].charge_heads,
            other=other,
            objective=parts[0].objective,
        )


def costs_of_leaving(
    backbone: npt.NDArray[Number], branch: npt.NDArray[Number], on: Bools | None, charge_heads: ChargeHeads
) -> npt.NDArray[Number]:
    """(…, E) cost, of any kind, of a sample that leaves at position e: M_e = B_e + Σ_{j≤e} H_j, or B_e + H_e if samples
    are charged only for their own branch. Shapes broadcast.

    Args:
        backbone: (…, E) B, through stage e.
        branch: (…, E) H, of the branch at each position; 0 where it is off.
        on: (…, E − 1) early exits that are switched on; default all.
        charge_heads: branches charged to a sample; see `ChargeHeads`.
    """
    branch = branch if on is None else _where_on(branch, on)
    return np.asarray(backbone + (np.cumsum(branch, axis=-1) if charge_heads == "all" else branch))


def _where_on(branch: npt.NDArray[Number], on: Bools) -> npt.NDArray[Number]:
    """(…, E) costs of branches, 0 where an early exit is off."""
    last = np.ones((*on.shape[:-1], 1), dtype=np.bool_)
    return np.where(np.concatenate([on, last], axis=-1), branch, branch.dtype.type(0))
