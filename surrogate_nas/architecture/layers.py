"""Feature maps and layers, with the formulas of a layer's output, weights, multiply-accumulates and parameters."""

from dataclasses import dataclass
from typing import Literal

from surrogate_nas.architecture.architecture import Activation


@dataclass(frozen=True, slots=True)
class Map:
    """A feature map of one image."""

    channels: int
    side: int

    @property
    def elements(self) -> int:
        """Number of elements."""
        return self.channels * self.side**2

    def __str__(self) -> str:
        return f"{self.channels}x{self.side}x{self.side}"


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution with its fused normalisation and activation."""

    width: int
    """Output channels."""
    kernel: int
    stride: int = 1
    depthwise: bool = False
    padded: bool = True
    """Whether padded by half the kernel, so that only the stride makes the map smaller."""
    norm: bool = True
    bias: bool = False
    activation: Activation | None = "relu"

    def out(self, x: Map) -> Map:
        """Output map for an input `x`: of side ⌈side / stride⌉ if padded."""
        return Map(self.width, -(-x.side // self.stride) if self.padded else (x.side - self.kernel) // self.stride + 1)

    def weights(self, x: Map) -> int:
        """k² · input channels per group · output channels."""
        return self.kernel**2 * (1 if self.depthwise else x.channels) * self.width

    def macs(self, x: Map) -> int:
        """Each weight once per output pixel."""
        return self.weights(x) * self.out(x).side ** 2

    def parameters(self, x: Map) -> int:
        """Weights, biases, and the scale and shift of batch normalisation."""
        return self.weights(x) + self.width * (2 * self.norm + self.bias)

    def biases(self, x: Map) -> int:
        """Biases once batch normalisation has been folded."""
        return self.width if self.norm or self.bias else 0

    def __str__(self) -> str:
        name = "depthwise" if self.depthwise else "conv"
        flags = ("" if self.padded else " valid") + (f" {self.activation}" if self.activation else "")
        return f"{name}{self.kernel} {self.width}" + (f" stride {self.stride}" if self.stride > 1 else "") + flags


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear layer with biases on all elements of a map."""

    width: int

    def out(self, x: Map) -> Map:
        """A vector."""
        return Map(self.width, 1)

    def weights(self, x: Map) -> int:
        """Inputs × outputs."""
        return x.elements * self.width

    def macs(self, x: Map) -> int:
        """Each weight once."""
        return self.weights(x)

    def parameters(self, x: Map) -> int:
        """Weights and biases."""
        return self.weights(x) + self.width

    def biases(self, x: Map) -> int:
        """One per output."""
        return self.width

    def __str__(self) -> str:
        return f"linear {self.width}"


@dataclass(frozen=True, slots=True)
class Reshape:
    """A layer without weights and multiplications: pooling, resizing, ReLU."""

    kind: Literal["avg pool", "max pool", "global pool", "resize", "rescale", "relu"]
    size: int = 1
    """Factor of a pooling, side of a resized map or of a rescaled image."""

    def out(self, x: Map) -> Map:
        """Output map for an input `x`."""
        match self.kind:
            case "avg pool" | "max pool":
                return Map(x.channels, x.side // self.size)
            case "global pool":
                return Map(x.channels, 1)
            case "resize" | "rescale":
                return Map(x.channels, self.size)
            case "relu":
                return x

    def weights(self, x: Map) -> int:
        """0."""
        return 0

    macs = parameters = biases = weights

    def __str__(self) -> str:
        return self.kind if self.kind in ("global pool", "relu") else f"{self.kind} {self.size}"


@dataclass(frozen=True, slots=True)
class SqueezeExcite:
    """Squeeze-and-excitation (arXiv 1709.01507): a bottleneck of two 1×1 convolutions on means scales the channels."""

    hidden: int

    def out(self, x: Map) -> Map:
        """The same map."""
        return x

    def weights(self, x: Map) -> int:
        """Weights of both convolutions."""
        return 2 * x.channels * self.hidden

    def macs(self, x: Map) -> int:
        """Multiply-accumulates on a 1×1 map."""
        return self.weights(x)

    def parameters(self, x: Map) -> int:
        """Weights and biases."""
        return self.weights(x) + self.biases(x)

    def biases(self, x: Map) -> int:
        """Biases of both convolutions."""
        return self.hidden + x.channels

    def __str__(self) -> str:
        return f"squeeze {self.hidden}"


Layer = Conv | SqueezeExcite | Linear | Reshape
