"""Conversion between gene values and the parts of an architecture."""

from collections.abc import Callable, Collection
from typing import Any

from surrogate_nas.architecture.architecture import Segment, Stage, Stem
from surrogate_nas.architecture.branches import (
    Branch,
    ConvBranch,
    GatedBranch,
    MobileBranch,
    ResizeBranch,
    ResizeModule,
)
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.space.genes import Key, Value
from surrogate_nas.space.spec import (
    AnyBranchSpec,
    ConvBranchSpec,
    GatedBranchSpec,
    MobileBranchSpec,
    ResizeBranchSpec,
    SpaceSpec,
    StageSpec,
)

Choice = Callable[..., Any]
"""Function `choice(*key)`: value of a key, from a row of choice indices or fixed by the space, else `None`."""


def stage_values(s: int, stage: Stage | Segment, at: Collection[Key]) -> dict[Key, Value | None]:
    """Values of a stage's keys: its genes, and values that a space may fix.

    Raises:
        InputError: for blocks that differ where the space has one choice for all of them.
    """
    if isinstance(stage, Segment):
        return {("segment", s): stage.name}
    inverted = stage.block == "inverted"
    values: dict[Key, Value | None] = {
        ("stage", s, "block"): stage.block,
        ("stage", s, "depth"): stage.depth,
        ("stage", s, "width"): stage.width,
        ("stage", s, "stride"): stage.stride,
        ("stage", s, "squeeze"): stage.squeeze if inverted else None,
        ("stage", s, "activation"): stage.activation,
    }
    for name, each in (("kernel", stage.kernel), ("expansion", stage.expansion if inverted else ())):
        if ("stage", s, name, 1) not in at and len(set(each)) > 1:
            raise InputError(
                f"stage {s + 1} has blocks of {name} {', '.join(map(str, each))}; in this space they must be equal"
            )
        distinct = each if ("stage", s, name, 1) in at else each[:1]
        values |= {("stage", s, name, i): value for i, value in enumerate(distinct)}
    return values


def exit_values(e: int, branch: Branch | None, spec: SpaceSpec) -> dict[Key, Value | None]:
    """Values of an exit's keys: its genes, and values that a space may fix.

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
                raise InputError(f"exit {e + 1} has at most {len(spec.branch.modules)} modules, got {branch}")
            for i in range(len(spec.branch.modules)):
                module = branch.modules[i] if i < len(branch.modules) else None
                values["exit", e, "side", i] = module.side if module else (0 if i <= len(branch.modules) else None)
                for name in ("kernel", "multiplier", "pool"):
                    values["exit", e, name, i] = getattr(module, name) if module else None
            return values
    raise InputError(f"exit {e + 1} of space {spec.name!r} has a branch of kind {kind}, got {branch}")


def make_branch(spec: AnyBranchSpec, e: int, choice: Choice) -> Branch:
    """Build the branch after stage e, counted from 0."""
    match spec:
        case ConvBranchSpec():
            return ConvBranch(*(choice("exit", e, name) for name in ("depth", "layer", "channels", "pool")))
        case MobileBranchSpec():
            return MobileBranch(choice("exit", e, "expand"), choice("exit", e, "mix"))
        case GatedBranchSpec():
            return GatedBranch(spec.channels)
        case ResizeBranchSpec():
            modules: list[ResizeModule] = []
            for i in range(len(spec.modules)):
                side, *others = (choice("exit", e, name, i) for name in ("side", "kernel", "multiplier", "pool"))
                if side == 0:
                    break
                modules.append(ResizeModule(side, *others))
            return ResizeBranch(tuple(modules))


def make_stem(choice: Choice) -> Stem:
    """Build the stem."""
    return Stem(*(choice("stem", name) for name in ("width", "stride", "block", "activation")))


def make_stage(s: int, spec: StageSpec, choice: Choice) -> Stage:
    """Build stage s, counted from 0."""
    depth = choice("stage", s, "depth")
    places = range(depth) if spec.per_block else [0] * depth
    kernel, expansion = (tuple(choice("stage", s, name, i) for i in places) for name in ("kernel", "expansion"))
    block, width, *others = (choice("stage", s, n) for n in ("block", "width", "stride", "squeeze", "activation"))
    return Stage(block, width, kernel, expansion, *others)
