"""Which genes a space has, and how they and the parts of an architecture name each other."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from surrogate_nas.errors import InputError
from surrogate_nas.space.architecture import Segment, Stage, Stem
from surrogate_nas.space.branches import Branch, ConvBranch, GatedBranch, MobileBranch, ResizeBranch, ResizeModule
from surrogate_nas.space.spec import (
    AnyBranchSpec,
    ConvBranchSpec,
    GatedBranchSpec,
    MobileBranchSpec,
    ResizeBranchSpec,
    SpaceSpec,
    StageSpec,
)

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


def stage_values(s: int, stage: Stage | Segment, at: Collection[Key]) -> dict[Key, Value | None]:
    """What a stage says of its genes and of what a space may fix.

    Raises:
        InputError: for blocks that differ where the space has one choice for all of them.
    """
    if isinstance(stage, Segment):
        return {("segment", s): stage.name}
    inverted = stage.block == "inverted"
    values: dict[Key, Value | None] = {
        ("stage", s, "block"): stage.block, ("stage", s, "depth"): stage.depth, ("stage", s, "width"): stage.width,
        ("stage", s, "stride"): stage.stride, ("stage", s, "squeeze"): stage.squeeze if inverted else None,
        ("stage", s, "activation"): stage.activation,
    }  # fmt: skip
    for name, each in (("kernel", stage.kernel), ("expansion", stage.expansion if inverted else ())):
        if ("stage", s, name, 1) not in at and len(set(each)) > 1:
            raise InputError(f"stage {s + 1} has blocks of {name} {', '.join(map(str, each))}; here they are all alike")
        shown = each if ("stage", s, name, 1) in at else each[:1]
        values |= {("stage", s, name, i): value for i, value in enumerate(shown)}
    return values


def exit_values(e: int, branch: Branch | None, spec: SpaceSpec) -> dict[Key, Value | None]:
    """What an exit says of its genes and of what a space may fix.

    Raises:
        InputError: for an exit where the space has none, or a branch of another kind.
    """
    if branch is None:
        return {("exit", e): 0} if e in spec.exit_places else {}
    if e not in spec.exit_places:
        raise InputError(f"space {spec.name!r} has no exit after stage {e + 1}")
    values: dict[Key, Value | None] = {("exit", e): 1}
    kind = spec.branch.kind
    match branch:
        case ConvBranch() if kind == "conv":
            names = ("depth", "layer", "channels", "pool") if branch.depth else ("depth",)
            return values | {("exit", e, name): getattr(branch, name) for name in names}
        case MobileBranch() if kind == "mobile":
            return values | {("exit", e, "expand"): branch.expand, ("exit", e, "mix"): branch.mix}
        case GatedBranch() if kind == "gated":
            return values | {("exit", e, "channels"): ".".join(map(str, branch.channels))}
        case ResizeBranch() if isinstance(spec.branch, ResizeBranchSpec):
            if len(branch.modules) > len(spec.branch.modules):
                raise InputError(f"exit {e + 1} has up to {len(spec.branch.modules)} modules, got {branch}")
            for i in range(len(spec.branch.modules)):
                module = branch.modules[i] if i < len(branch.modules) else None
                values["exit", e, "side", i] = module.side if module else (0 if i <= len(branch.modules) else None)
                for name in ("kernel", "multiplier", "pool"):
                    values["exit", e, name, i] = getattr(module, name) if module else None
            return values
    raise InputError(f"exit {e + 1} of space {spec.name!r} has a branch of kind {kind}, got {branch}")


def make_branch(spec: AnyBranchSpec, e: int, chosen: Chosen) -> Branch:
    """The branch after stage e."""
    match spec:
        case ConvBranchSpec():
            return ConvBranch(*(chosen("exit", e, name) for name in ("depth", "layer", "channels", "pool")))
        case MobileBranchSpec():
            return MobileBranch(chosen("exit", e, "expand"), chosen("exit", e, "mix"))
        case GatedBranchSpec():
            return GatedBranch(spec.channels)
        case ResizeBranchSpec():
            modules: list[ResizeModule] = []
            for i in range(len(spec.modules)):
                side, *others = (chosen("exit", e, name, i) for name in ("side", "kernel", "multiplier", "pool"))
                if side == 0:
                    break
                modules.append(ResizeModule(side, *others))
            return ResizeBranch(tuple(modules))


def make_stem(chosen: Chosen) -> Stem:
    """The stem."""
    return Stem(*(chosen("stem", name) for name in ("width", "stride", "block", "activation")))


def make_stage(s: int, spec: StageSpec, chosen: Chosen) -> Stage:
    """Stage s, counted from 0."""
    depth = chosen("stage", s, "depth")
    places = range(depth) if spec.per_block else [0] * depth
    kernel, expansion = (tuple(chosen("stage", s, name, i) for i in places) for name in ("kernel", "expansion"))
    block, width, *others = (chosen("stage", s, n) for n in ("block", "width", "stride", "squeeze", "activation"))
    return Stage(block, width, kernel, expansion, *others)
