"""Exit branches, the layers between a feature map and the logits of an exit, as frozen values with a text form."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from surrogate_nas.foundation.errors import InputError

LayerKind = Literal["conv", "separable"]
KNOWN_PARTS = 4096
"""Size of the cache of parsed parts: a million encodings of a space repeat a few thousand."""
_CONV = re.compile(r"(conv|sep)-d(\d+)-c(\d+)-p(\d+)")
_MOBILE = re.compile(r"mobile-e(\d+)-m(\d+)")
_GATED = re.compile(r"gated-c(\d+(?:\.\d+)*)")
_MODULE = re.compile(r"r(\d+)\.k(\d+)\.m(\d+)\.p(\d+)")


def require_positive(**values: int) -> None:
    """Raise `InputError` with the name of the first value below 1."""
    for name, value in values.items():
        if value < 1:
            raise InputError(f"{name} {value} is not a positive number")


@dataclass(frozen=True, slots=True)
class ConvBranch:
    """Average pooling, `depth` 3×3 layers, global average pooling, a linear classifier.

    With no layers the pooling changes nothing, so every branch of depth 0 is the same branch.

    >>> ConvBranch(0, "conv", 32, 2) == LINEAR
    True
    """

    depth: int
    """3×3 layers before the classifier; 0 makes a linear exit."""
    layer: LayerKind
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
        require_positive(channels=self.channels, pool=self.pool)

    def __str__(self) -> str:
        if self.depth == 0:
            return "linear"
        return f"{'conv' if self.layer == 'conv' else 'sep'}-d{self.depth}-c{self.channels}-p{self.pool}"


LINEAR = ConvBranch(0, "conv", 1, 1)


@dataclass(frozen=True, slots=True)
class MobileBranch:
    """The head of MobileNetV3 (arXiv 1905.02244): expand by a 1×1 convolution, pool, mix, classify.

    EDANAS puts it after every stage; the classifier at the end of the once-for-all backbone is the same.
    """

    expand: int
    """Channels after the first 1×1 convolution, per channel of the feature map."""
    mix: int
    """Channels after the second 1×1 convolution, on the pooled map, per channel of the feature map."""

    def __post_init__(self) -> None:
        require_positive(expand=self.expand, mix=self.mix)

    def __str__(self) -> str:
        return f"mobile-e{self.expand}-m{self.mix}"


@dataclass(frozen=True, slots=True)
class GatedBranch:
    """NACHOS's branch (arXiv 2401.13330): max pooling, 3×3 convolutions, one linear layer to C logits and a gate.

    The pooling is not a choice: it grows (1, 2, 4) until leaving here costs less than leaving at the next exit.
    """

    channels: tuple[int, ...]
    """Output channels of each 3×3 convolution."""

    def __post_init__(self) -> None:
        require_positive(layers=len(self.channels), channels=min(self.channels, default=1))

    def __str__(self) -> str:
        return f"gated-c{'.'.join(map(str, self.channels))}"


@dataclass(frozen=True, slots=True)
class ResizeModule:
    """Resize to a fixed side, convolve with stride 2 and no padding, and optionally max-pool."""

    side: int
    kernel: int
    multiplier: int
    """Output channels per input channel."""
    pool: int
    """Factor of the max pooling; 1 for none."""

    def __post_init__(self) -> None:
        require_positive(side=self.side, kernel=self.kernel, multiplier=self.multiplier, pool=self.pool)
        if self.out_side < 1:
            raise InputError(f"branch module {self} shrinks its feature map below 1×1")

    @property
    def out_side(self) -> int:
        """Side of the output map; below 1 if nothing is left of it."""
        return ((self.side - self.kernel) // 2 + 1) // self.pool

    def __str__(self) -> str:
        return f"r{self.side}.k{self.kernel}.m{self.multiplier}.p{self.pool}"


@dataclass(frozen=True, slots=True)
class ResizeBranch:
    """AEBNAS's branch (arXiv 2512.10671): one or more modules, global average pooling, a linear classifier."""

    modules: tuple[ResizeModule, ...]

    def __post_init__(self) -> None:
        require_positive(modules=len(self.modules))

    def __str__(self) -> str:
        return f"resize-{'-'.join(map(str, self.modules))}"


Branch = ConvBranch | MobileBranch | GatedBranch | ResizeBranch
"""Exit branch of any kind."""


@lru_cache(KNOWN_PARTS)
def parse_branch(text: str) -> Branch:
    """Parse the text form of a branch.

    >>> str(parse_branch("resize-r8.k3.m1.p2-r10.k5.m2.p1"))
    'resize-r8.k3.m1.p2-r10.k5.m2.p1'

    Raises:
        InputError: for any other text.
    """
    if text == "linear":
        return LINEAR
    if match := _CONV.fullmatch(text):
        return ConvBranch(int(match[2]), "conv" if match[1] == "conv" else "separable", int(match[3]), int(match[4]))
    if match := _MOBILE.fullmatch(text):
        return MobileBranch(int(match[1]), int(match[2]))
    if match := _GATED.fullmatch(text):
        return GatedBranch(tuple(int(c) for c in match[1].split(".")))
    kind, _, rest = text.partition("-")
    modules = [_MODULE.fullmatch(part) for part in rest.split("-")]
    if kind == "resize" and all(modules):
        return ResizeBranch(tuple(ResizeModule(*map(int, m.groups())) for m in modules if m))
    raise InputError(
        f"exit branch {text!r} is not of the form linear, conv-d1-c16-p2, sep-d1-c16-p2, mobile-e6-m8, "
        "gated-c32.64.128 or resize-r8.k3.m1.p1"
    )
