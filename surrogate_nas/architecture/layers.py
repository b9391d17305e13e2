"""Feature maps and layers, with formulas for a layer's output map, weights, multiply-accumulates and parameters."""

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
    """Whether the input is padded by half the kernel, so that only the stride reduces the side."""
    norm: bool = True
    bias: bool = False
    activation: Activation | None = "relu"

    def out(self, x: Map) -> Map:
        """Output map for an input map `x`: with side ⌈side / stride⌉ if padded."""
        return Map(self.width, -(-x.side // self.stride) if self.padded else (x.side - self.kernel) // self.stride + 1)

    def weights(self, x: Map) -> int:
        """Number of weights: k² · input channels per group · output channels."""
        return self.kernel**2 * (1 if self.depthwise else x.channels) * self.width

    def macs(self, x: Map) -> int:
        """Multiply-accumulates: one per weight and output pixel."""
        return self.weights(x) * self.out(x).side ** 2

    def parameters(self, x: Map) -> int:
        """Number of weights, biases, and scales and shifts of batch normalisation."""
        return self.weights(x) + self.width * (2 * self.norm + self.bias)

    def biases(self, x: Map) -> int:
        """Number of biases after batch normalisation is folded into the convolution."""
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
        """Output vector, as a 1×1 map."""
        return Map(self.width, 1)

    def weights(self, x: Map) -> int:
        """Number of weights: inputs × outputs."""
        return x.elements * self.width

    def macs(self, x: Map) -> int:
        """Multiply-accumulates: one per weight."""
        return self.weights(x)

    def parameters(self, x: Map) -> int:
        """Number of weights and biases."""
        return self.weights(x) + self.width

    def biases(self, x: Map) -> int:
        """Number of biases: one per output."""
        return self.width

    def __str__(self) -> str:
        return f"linear {self.width}"


@dataclass(frozen=True, slots=True)
class Reshape:
    """A layer without weights and multiplications: pooling, resizing, ReLU."""

    kind: Literal["avg pool", "max pool", "global pool", "resize", "rescale", "relu"]
    size: int = 1
    """Factor of a pooling, or side in pixels of a resized map or rescaled image."""

    def out(self, x: Map) -> Map:
        """Output map for an input map `x`."""
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
        """Zero: the layer has no weights, biases or multiply-accumulates."""
        return 0

    macs = parameters = biases = weights

    def __str__(self) -> str:
        return self.kind if self.kind in ("global pool", "relu") else f"{self.kind} {self.size}"


@dataclass(frozen=True, slots=True)
class SqueezeExcite:
    """Squeeze-and-excitation (arXiv 1709.01507): two 1×1 convolutions on the channels' means give a factor for each."""

    hidden: int
    """Channels between the two convolutions."""

    def out(self, x: Map) -> Map:
        """Output map: of the same shape as the input map `x`."""
        return x

    def weights(self, x: Map) -> int:
        """Number of weights of both convolutions."""
        return 2 * x.channels * self.hidden

    def macs(self, x: Map) -> int:
        """Multiply-accumulates: one per weight, on a 1×1 map."""
        return self.weights(x)

    def parameters(self, x: Map) -> int:
        """Number of weights and biases."""
        return self.weights(x) + self.biases(x)

    def biases(self, x: Map) -> int:
        """Number of biases of both convolutions."""
        return self.hidden + x.channels

    def __str__(self) -> str:
        return f"squeeze {self.hidden}"


Layer = Conv | SqueezeExcite | Linear | Reshape
