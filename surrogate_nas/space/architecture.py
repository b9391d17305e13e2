"""The architecture of an early-exit network: a frozen value with a text form.

No thresholds live here: they belong to an operating point (`surrogate_nas.exits`).
"""

import re
from dataclasses import dataclass
from typing import Literal

from surrogate_nas.errors import InputError

Block = Literal["residual", "inverted"]
Layer = Literal["conv", "separable"]

_STEM = re.compile(r"stem-w(\d+)-s(\d+)")
_STAGE = re.compile(r"(res|inv)-d(\d+)-w(\d+)-k(\d+)(?:-e(\d+))?-s(\d+)")
_BRANCH = re.compile(r"(linear)|(conv|sep)-d(\d+)-c(\d+)-p(\d+)")
_FORM = "stem-w8-s1/res-d1-w8-k3-s1@conv-d1-c16-p2/inv-d2-w16-k3-e4-s2@linear/res-d1-w24-k3-s2"


def _require_positive(**values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise InputError(f"{name} {value} is not a positive number")


@dataclass(frozen=True, slots=True)
class Stage:
    """One backbone stage: `depth` blocks of one kind, the first of which carries the stride."""

    block: Block
    """`residual`: two k×k convolutions and a shortcut; `inverted`: expand, depthwise k×k, project."""
    depth: int
    """Blocks in the stage."""
    width: int
    """Output channels."""
    kernel: int
    """Side of the k×k convolutions; odd."""
    expansion: int
    """Hidden channels of an inverted block per input channel; 1 in a residual stage, where there are none."""
    stride: int
    """Stride of the stage's first block."""

    def __post_init__(self) -> None:
        if self.block not in ("residual", "inverted"):
            raise InputError(f"block {self.block!r} is not one of residual, inverted")
        _require_positive(depth=self.depth, width=self.width, expansion=self.expansion, stride=self.stride)
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise InputError(f"kernel {self.kernel} is not a positive odd number")
        if self.block == "residual":
            object.__setattr__(self, "expansion", 1)

    def __str__(self) -> str:
        kind, expansion = ("inv", f"-e{self.expansion}") if self.block == "inverted" else ("res", "")
        return f"{kind}-d{self.depth}-w{self.width}-k{self.kernel}{expansion}-s{self.stride}"


@dataclass(frozen=True, slots=True)
class Branch:
    """An exit branch: average pooling, `depth` 3×3 layers, global average pooling, a linear classifier.

    With no layers the pooling changes nothing, so every branch of depth 0 is the same branch.

    >>> Branch(0, "conv", 32, 2) == LINEAR
    True
    """

    depth: int
    """3×3 layers before the classifier; 0 makes a linear exit."""
    layer: Layer
    """`conv`: a full convolution; `separable`: depthwise, then pointwise."""
    channels: int
    """Output channels of each layer."""
    pool: int
    """Factor of the average pooling before the first layer; 1 for none."""

    def __post_init__(self) -> None:
        if self.layer not in ("conv", "separable"):
            raise InputError(f"branch layer {self.layer!r} is not one of conv, separable")
        if self.depth < 0:
            raise InputError(f"branch depth {self.depth} is negative")
        if self.depth == 0:
            for name, value in (("layer", "conv"), ("channels", 1), ("pool", 1)):
                object.__setattr__(self, name, value)
        _require_positive(channels=self.channels, pool=self.pool)

    def __str__(self) -> str:
        if self.depth == 0:
            return "linear"
        return f"{'conv' if self.layer == 'conv' else 'sep'}-d{self.depth}-c{self.channels}-p{self.pool}"


LINEAR = Branch(0, "conv", 1, 1)


@dataclass(frozen=True, slots=True)
class Architecture:
    """A backbone and its exits. Equal networks are equal architectures.

    >>> a = Architecture.parse("stem-w8-s1/res-d1-w8-k3-s1@linear/inv-d1-w16-k3-e4-s2")
    >>> a.exit_positions, str(a.stages[1])
    ((0, 1), 'inv-d1-w16-k3-e4-s2')
    >>> Architecture.parse(str(a)) == a
    True
    """

    stem_width: int
    """Channels after the 3×3 stem convolution."""
    stem_stride: int
    stages: tuple[Stage, ...]
    branches: tuple[Branch | None, ...]
    """The branch after each stage but the last; `None` where there is no exit. The classifier ends the last stage."""

    def __post_init__(self) -> None:
        _require_positive(stem_width=self.stem_width, stem_stride=self.stem_stride, stages=len(self.stages))
        if len(self.branches) != len(self.stages) - 1:
            raise InputError(
                f"{len(self.stages)} stages need {len(self.stages) - 1} branches (or None), got {len(self.branches)}"
            )

    @property
    def positions(self) -> int:
        """Exit positions E: one after each stage, the last of them the final classifier."""
        return len(self.stages)

    @property
    def exit_positions(self) -> tuple[int, ...]:
        """Positions that have an exit, the final classifier's included, in ascending order."""
        early = (e for e, branch in enumerate(self.branches) if branch is not None)
        return (*early, self.positions - 1)

    def __str__(self) -> str:
        parts = [f"stem-w{self.stem_width}-s{self.stem_stride}"]
        for stage, branch in zip(self.stages, (*self.branches, None), strict=True):
            parts.append(str(stage) if branch is None else f"{stage}@{branch}")
        return "/".join(parts)

    @classmethod
    def parse(cls, text: str) -> "Architecture":
        """Read the text form that `str` writes.

        Raises:
            InputError: naming the part that does not fit, with an example of the form.
        """
        stem, *rest = text.strip().split("/")
        match = _STEM.fullmatch(stem)
        if match is None or not rest:
            raise InputError(f"encoding {text.strip()!r} does not start with a stem and a stage; the form is {_FORM}")
        pairs = [part.partition("@") for part in rest]
        stages = tuple(_parse_stage(stage) for stage, _, _ in pairs)
        branches = tuple(_parse_branch(branch) if at else None for _, at, branch in pairs)
        if branches[-1] is not None:
            raise InputError(f"encoding {text.strip()!r} has an exit after the last stage, where the classifier stands")
        return cls(int(match[1]), int(match[2]), stages, branches[:-1])


def _parse_stage(text: str) -> Stage:
    match = _STAGE.fullmatch(text)
    if match is None or (match[1] == "inv") != (match[5] is not None):
        raise InputError(f"stage {text!r} is not of the form res-d1-w8-k3-s1 or inv-d2-w16-k3-e4-s2")
    kind: Block = "inverted" if match[1] == "inv" else "residual"
    return Stage(kind, int(match[2]), int(match[3]), int(match[4]), int(match[5] or 1), int(match[6]))


def _parse_branch(text: str) -> Branch:
    match = _BRANCH.fullmatch(text)
    if match is None:
        raise InputError(f"exit branch {text!r} is not of the form linear, conv-d1-c16-p2 or sep-d1-c16-p2")
    if match[1]:
        return LINEAR
    return Branch(int(match[3]), "conv" if match[2] == "conv" else "separable", int(match[4]), int(match[5]))
