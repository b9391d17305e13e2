"""Training with quantised weights and activations, by torch's fake quantisation."""

import torch
from torch import Tensor, nn

from surrogate_nas.architecture.architecture import BIT_WIDTHS
from surrogate_nas.foundation.errors import InputError

MOMENTUM = 0.05
"""Momentum of the moving average of activation ranges in training."""
SMALLEST_SCALE = 1e-8


class _Quantized(nn.Module):
    """A layer that rounds its weights per output channel, symmetrically, and its inputs over a moving range.

    Rounding is done in float32, even if the layer then computes in bfloat16. Gradients pass through the rounding
    (straight-through, arXiv 1308.3432), except where a value is clipped. Batch normalisation after a convolution stays
    in floating point.
    """

    weight: Tensor
    bits: int
    input_range: Tensor
    """(2,) moving averages of the least and the largest input; both 0 before the first training step."""

    def rounded_weight(self) -> Tensor:
        """`weight` with at most 2^bits − 1 values per output channel."""
        most = 2 ** (self.bits - 1) - 1
        scale = (self.weight.detach().flatten(1).abs().amax(dim=1) / most).clamp_min(SMALLEST_SCALE)
        zero = torch.zeros_like(scale, dtype=torch.int32)
        rounded: Tensor = torch.fake_quantize_per_channel_affine(self.weight, scale, zero, 0, -most, most)
        return rounded

    def rounded_input(self, x: Tensor) -> Tensor:
        """`x` with at most 2^bits values; unchanged if no range has been recorded."""
        x = x.float()
        if self.training:
            self._follow(x.detach())
        elif not bool(self.input_range.any()):
            return x
        scale, zero = self._levels()
        rounded: Tensor = torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, self._steps)
        return rounded

    def input_rounding(self) -> "RoundedInput | None":
        """Rounding of inputs as a separate module; `None` if no range has been recorded."""
        return RoundedInput(*self._levels(), self._steps) if bool(self.input_range.any()) else None

    @property
    def _steps(self) -> int:
        return int(2**self.bits - 1)

    def _levels(self) -> tuple[Tensor, Tensor]:
        """Scale and zero point of inputs."""
        low, high = self.input_range
        scale = ((high - low) / self._steps).clamp_min(SMALLEST_SCALE)
        return scale, (-low / scale).round().clamp(0, self._steps).to(torch.int32)

    @torch.no_grad()
    def _follow(self, x: Tensor) -> None:
        extremes = torch.stack([x.amin().clamp_max(0), x.amax().clamp_min(0)])
        followed = self.input_range.lerp(extremes, MOMENTUM)
        self.input_range.copy_(torch.where(self.input_range.any(), followed, extremes))


class QuantizedConv2d(_Quantized, nn.Conv2d):
    """Convolution with rounded weights and inputs; see `_Quantized`."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self._conv_forward(self.rounded_input(x), self.rounded_weight(), self.bias)
        return out


class QuantizedLinear(_Quantized, nn.Linear):
    """Linear layer with rounded weights and inputs; see `_Quantized`."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(self.rounded_input(x), self.rounded_weight(), self.bias)


class RoundedInput(nn.Module):
    """Rounding of `_Quantized.rounded_input` after training, in elementary operations."""

    scale: Tensor
    zero: Tensor

    def __init__(self, scale: Tensor, zero: Tensor, steps: int) -> None:
        super().__init__()
        self.register_buffer("scale", scale)
        self.register_buffer("zero", zero.to(scale.dtype))
        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        level = (torch.round(x * (1 / self.scale)) + self.zero).clamp(0, self.steps)
        return (level - self.zero) * self.scale


def fold_quantization(module: nn.Module) -> None:
    """Replace the quantised layers inside a module by plain layers with rounded weights and the same outputs."""
    for name, layer in list(module.named_children()):
        if isinstance(layer, _Quantized):
            layer.weight = nn.Parameter(layer.rounded_weight().detach())
            before = layer.input_rounding()
            plain = nn.Conv2d if isinstance(layer, nn.Conv2d) else nn.Linear
            layer.__class__ = plain  # type: ignore[assignment]  # it has all attributes of these
            setattr(module, name, layer if before is None else nn.Sequential(before, layer))
        else:
            fold_quantization(layer)


def quantize(module: nn.Module, bits: int | None) -> None:
    """Quantise every convolution and linear layer inside a module to a bit width; `None` changes nothing.

    Weights keep their names and values; each layer gets a buffer for the range of its inputs.

    Raises:
        InputError: for an unsupported bit width.
    """
    if bits is None:
        return
    if bits not in BIT_WIDTHS:
        raise InputError(f"bits {bits} is not one of {', '.join(map(str, BIT_WIDTHS))}")
    for layer in list(module.modules()):
        kind = {nn.Conv2d: QuantizedConv2d, nn.Linear: QuantizedLinear}.get(type(layer))
        if kind is not None:
            layer.__class__ = kind
            assert isinstance(layer, _Quantized)
            layer.bits = bits
            layer.register_buffer("input_range", torch.zeros(2))
