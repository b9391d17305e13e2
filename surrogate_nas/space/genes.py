"""Which genes a space has, and how they and the parts of an architecture name each other."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from surrogate_nas.space.spec import (
    AnyBranchSpec,
    ConvBranchSpec,
    GatedBranchSpec,
    MobileBranchSpec,
    ResizeBranchSpec,
    SpaceSpec,
    StageSpec,
)

MOST_SETTINGS = 500_000
"""Of all genes together, that are tried to list a space."""
Value = int | str | bool
Key = tuple[str | int, ...]
"""What a gene chooses: ("stage", 0, "width") is the first stage's width. Stages, exits, blocks count from 0."""
Chosen = Callable[..., Any]
"""`chosen(*key)`: what is chosen or fixed for a key."""


@dataclass(frozen=True, slots=True)
class Gene:
    """One choice of the space."""

    key: Key
    values: tuple[Value, ...]
    group: int
    """Genes of one group (the stem, a stage, an exit with its branch) cross over together."""
    needs: tuple[tuple[int, tuple[int, ...]], ...] = ()
    """Genes it hangs on, each with the indices of its values under which this gene applies; all must hold."""

    of_each: bool = False
    """Whether each block or module has one of its own."""

    @property
    def name(self) -> str:
        """As people read it: `stage 1 width`, `stage 1 kernel 2`."""
        return name_of(self.key if self.of_each else self.key[:3])


def name_of(key: Key) -> str:
    """As people read it, who count from 1."""
    return " ".join(str(part + 1 if isinstance(part, int) else part) for part in key)


def genes_of(spec: SpaceSpec) -> tuple[Gene, ...]:
    """Every choice of a space; a gene stands after those it hangs on."""
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
            there = add(("exit", s), (0, 1), group)
            _add_branch(spec.branch, s, group, (there, (1,)), add)
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
            layered = (depth, tuple(i for i, d in enumerate(branch.depth) if d > 0))
            for name in ("layer", "channels", "pool"):
                add(("exit", e, name), getattr(branch, name), group, layered)
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
