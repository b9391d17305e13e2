"""The architecture of an early-exit network: a frozen value with a text form.

It has no thresholds: those belong to an operating point (`surrogate_nas.exits.operating_point`).
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from surrogate_nas.architecture.branches import KNOWN_PARTS, LINEAR, Branch, parse_branch, require_positive
from surrogate_nas.foundation.errors import InputError

FLOAT_BITS = 32
"""Bit width without quantisation."""
BlockKind = Literal["residual", "inverted"]
Activation = Literal["relu", "hswish"]
ACTIVATIONS: tuple[Activation, ...] = ("relu", "hswish")
BIT_WIDTHS = (2, 3, 4, 5, 6, 7, 8, 16)
"""Bit widths of quantised weights and activations."""
MOST_BLOCKS = 1000
"""Largest depth of a stage, so that a mistyped depth does not exhaust the memory."""
_INPUT = re.compile(r"in(?:-r(\d+))?(?:-q(\d+))?")
_STEM = re.compile(r"stem-w(\d+)-s(\d+)(-block)?(-hs)?")
_BACKBONE = re.compile(r"(tuned|frozen)-([\w.]+:[\w.]+)")
_SEGMENT = re.compile(r"to-([\w.]+)")
_NUMBERS = r"\d+(?:\.\d+)*"
_STAGE = re.compile(rf"(res|inv)-d(\d+)-w(\d+)-k({_NUMBERS})(?:-e({_NUMBERS}))?-s(\d+)(-se)?(-hs)?")
_FORM = "stem-w8-s1/res-d1-w8-k3-s1@conv-d1-c16-p2/inv-d2-w16-k3-e4-s2@linear/res-d1-w24-k3-s2"


def _flags(**present: bool) -> str:
    return "".join(f"-{name}" for name, is_so in present.items() if is_so)


def _each(values: tuple[int, ...]) -> str:
    """`3` if all blocks have the same value, else `3.5.3`."""
    return str(values[0]) if len(set(values)) == 1 else ".".join(map(str, values))


def _require_activation(activation: str) -> None:
    if activation not in ACTIVATIONS:
        raise InputError(f"activation {activation!r} is not one of {', '.join(ACTIVATIONS)}")


@dataclass(frozen=True, slots=True)
class Stem:
    """The 3×3 convolution that every network begins with."""

    width: int
    """Output channels."""
    stride: int
    block: bool = False
    """Whether an inverted block of the same width, without expansion, follows."""
    activation: Activation = "relu"
    """Activation of the convolution; the block has ReLU."""

    def __post_init__(self) -> None:
        require_positive(stem_width=self.width, stem_stride=self.stride)
        _require_activation(self.activation)

    def __str__(self) -> str:
        return f"stem-w{self.width}-s{self.stride}{_flags(block=self.block, hs=self.activation == 'hswish')}"


@dataclass(frozen=True, slots=True)
class Stage:
    """One backbone stage: blocks of one kind, the first of which carries the stride."""

    block: BlockKind
    """`residual`: two k×k convolutions and a shortcut; `inverted`: expand, depthwise k×k, project."""
    width: int
    """Output channels."""
    kernel: tuple[int, ...]
    """Side of each block's k×k convolutions; odd. There are as many blocks as kernels."""
    expansion: tuple[int, ...]
    """Hidden channels of each inverted block per input channel; 1 in a residual stage, which has none."""
    stride: int
    """Stride of the first block."""
    squeeze: bool = False
    """Whether each inverted block has squeeze-and-excitation (arXiv 1709.01507) after its depthwise convolution."""
    activation: Activation = "relu"

    def __post_init__(self) -> None:
        if self.block not in ("residual", "inverted"):
            raise InputError(f"block {self.block!r} is not one of residual, inverted")
        if self.block == "residual":
            object.__setattr__(self, "expansion", (1,) * len(self.kernel))
            object.__setattr__(self, "squeeze", False)
        require_positive(depth=self.depth, width=self.width, stride=self.stride)
        require_positive(expansion=min(self.expansion, default=0))
        if len(self.expansion) != self.depth:
            raise InputError(f"{self.depth} blocks need as many expansions, got {len(self.expansion)}")
        if wrong := [k for k in self.kernel if k < 1 or k % 2 == 0]:
            raise InputError(f"kernel {wrong[0]} is not a positive odd number")
        _require_activation(self.activation)

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len(self.kernel)

    def __str__(self) -> str:
        kind, expansion = ("inv", f"-e{_each(self.expansion)}") if self.block == "inverted" else ("res", "")
        flags = _flags(se=self.squeeze, hs=self.activation == "hswish")
        return f"{kind}-d{self.depth}-w{self.width}-k{_each(self.kernel)}{expansion}-s{self.stride}{flags}"


@dataclass(frozen=True, slots=True)
class Backbone:
    """A user's network, cut into segments; see `surrogate_nas.network.backbone`."""

    factory: str
    """`package.module:function` that creates the network."""
    frozen: bool
    """Whether only the exit branches and the network's own classifier are trained, and its features are not."""

    def __str__(self) -> str:
        return f"{'frozen' if self.frozen else 'tuned'}-{self.factory}"


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment of a user's backbone, up to and including a module."""

    name: str
    """Name of the module, as in `named_modules`; `end` for the last segment."""

    def __str__(self) -> str:
        return f"to-{self.name}"


@dataclass(frozen=True, slots=True, repr=False)
class Architecture:
    """A backbone and its exits. Two architectures are equal if and only if they describe the same network.

    >>> a = Architecture.parse("stem-w8-s1/res-d1-w8-k3-s1@linear/inv-d2-w16-k3.5-e4-s2")
    >>> a.exit_positions, str(a.stages[1])
    ((0, 1), 'inv-d2-w16-k3.5-e4-s2')
    >>> Architecture.parse(str(a)) == a
    True
    """

    stem: Stem | Backbone
    """First layer of a network of this package, or a backbone of the user."""
    stages: tuple[Stage | Segment, ...]
    """Stages after a stem, segments of a backbone."""
    branches: tuple[Branch | None, ...]
    """Branch after each stage but the last; `None` where there is no exit."""
    classifier: Branch = LINEAR
    """Classifier after the last stage; unused with a user's backbone, whose last segment contains its own."""
    resolution: int | None = None
    """Side in pixels to which images are resized first; `None` does not resize them."""
    bits: int | None = None
    """Bit width of weights and activations; `None` for 32-bit floats."""

    def __post_init__(self) -> None:
        require_positive(stages=len(self.stages), resolution=1 if self.resolution is None else self.resolution)
        if len(self.branches) != len(self.stages) - 1:
            raise InputError(
                f"{len(self.stages)} stages need {len(self.stages) - 1} branches (or None), got {len(self.branches)}"
            )
        kind = Segment if isinstance(self.stem, Backbone) else Stage
        if not all(isinstance(stage, kind) for stage in self.stages):
            raise InputError(f"all stages after {self.stem} must be of type {kind.__name__}")
        if self.bits is not None and self.bits not in BIT_WIDTHS:
            raise InputError(f"bits {self.bits} is not one of {', '.join(map(str, BIT_WIDTHS))}")

    @property
    def positions(self) -> int:
        """Exit positions E: one after each stage, the last of them the final classifier."""
        return len(self.stages)

    @property
    def exit_positions(self) -> tuple[int, ...]:
        """Positions that have an exit, the final classifier's included, in ascending order."""
        early = (e for e, branch in enumerate(self.branches) if branch is not None)
        return (*early, self.positions - 1)

    def __repr__(self) -> str:
        return f"Architecture.parse({str(self)!r})"

    def __str__(self) -> str:
        size, bits = (f"-{letter}{v}" if v else "" for letter, v in (("r", self.resolution), ("q", self.bits)))
        parts = [f"in{size}{bits}"] if size or bits else []
        parts.append(str(self.stem))
        last = None if self.classifier == LINEAR else self.classifier
        for stage, branch in zip(self.stages, (*self.branches, last), strict=True):
            parts.append(str(stage) if branch is None else f"{stage}@{branch}")
        return "/".join(parts)

    @classmethod
    def parse(cls, text: str) -> "Architecture":
        """Read the text form that `str` writes.

        Raises:
            InputError: if the text is invalid; the message names the invalid part, with an example of the form.
        """
        first, *rest = text.strip().split("/")
        resolution, bits = None, None
        if match := _INPUT.fullmatch(first):
            resolution, bits = (None if number is None else int(number) for number in match.groups())
            first, rest = (rest[0], rest[1:]) if rest else ("", [])
        stem = _parse_stem(first)
        if stem is None or not rest:
            raise InputError(
                f"encoding {text.strip()!r} does not start with a stem and a stage; expected the form {_FORM}"
            )
        pairs = [part.partition("@") for part in rest]
        parse_stage = _parse_stage if isinstance(stem, Stem) else _parse_segment
        stages = tuple(parse_stage(stage) for stage, _, _ in pairs)
        branches = tuple(parse_branch(branch) if at else None for _, at, branch in pairs)
        return cls(stem, stages, branches[:-1], branches[-1] or LINEAR, resolution, bits)


def _parse_stem(text: str) -> Stem | Backbone | None:
    if match := _BACKBONE.fullmatch(text):
        return Backbone(match[2], match[1] == "frozen")
    match = _STEM.fullmatch(text)
    return match and Stem(int(match[1]), int(match[2]), bool(match[3]), "hswish" if match[4] else "relu")


def _parse_segment(text: str) -> Segment:
    match = _SEGMENT.fullmatch(text)
    if match is None:
        raise InputError(f"segment {text!r} is not of the form to-layer1")
    return Segment(match[1])


@lru_cache(KNOWN_PARTS)
def _parse_stage(text: str) -> Stage:
    match = _STAGE.fullmatch(text)
    if match is None or (match[1] == "inv") != (match[5] is not None) or (match[1] == "res" and match[7]):
        raise InputError(f"stage {text!r} is not of the form res-d1-w8-k3-s1 or inv-d2-w16-k3.5-e4-s2-se-hs")
    depth = int(match[2])
    require_positive(depth=depth)
    if depth > MOST_BLOCKS:
        raise InputError(f"stage {text!r} has more than {MOST_BLOCKS} blocks")
    kernel, expansion = (_of_each(numbers, depth, text) for numbers in (match[4], match[5] or "1"))
    kind: BlockKind = "inverted" if match[1] == "inv" else "residual"
    return Stage(
        kind, int(match[3]), kernel, expansion, int(match[6]), bool(match[7]), "hswish" if match[8] else "relu"
    )


def _of_each(numbers: str, depth: int, text: str) -> tuple[int, ...]:
    values = tuple(int(number) for number in numbers.split("."))
    if len(values) not in (1, depth):
        raise InputError(f"stage {text!r} has {depth} blocks, but {len(values)} values in {numbers}")
    return values * depth if len(values) == 1 else values
