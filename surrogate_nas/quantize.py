"""Training with quantised weights and activations, by torch's own fake quantisation."""

import torch
from torch import Tensor, nn

from surrogate_nas.errors import InputError
from surrogate_nas.space.architecture import BIT_WIDTHS

MOMENTUM = 0.05
"""Of the moving average that ranges of activations follow in training."""
SMALLEST_SCALE = 1e-8


class _Quantized(nn.Module):
    """A layer whose weights are rounded per output channel, symmetrically, and whose inputs are over a followed range.

    Gradients pass through the rounding (straight-through, arXiv 1308.3432), and stop where a value is clipped. Batch
    normalisation behind a convolution stays in floating point.
    """

    weight: Tensor
    bits: int
    input_range: Tensor
    """(2,) least and largest input; both 0 until training has seen some."""

    def rounded_weight(self) -> Tensor:
        """As wide as `weight`, with at most 2^bits − 1 values per output channel."""
        most = 2 ** (self.bits - 1) - 1
        scale = (self.weight.detach().flatten(1).abs().amax(dim=1) / most).clamp_min(SMALLEST_SCALE)
        zero = torch.zeros_like(scale, dtype=torch.int32)
        rounded: Tensor = torch.fake_quantize_per_channel_affine(self.weight, scale, zero, 0, -most, most)
        return rounded

    def rounded_input(self, x: Tensor) -> Tensor:
        """As `x`, with at most 2^bits values; as it is if no range has been seen."""
        if self.training:
            self._follow(x.detach())
        if not bool(self.input_range.any()):
            return x
        low, high = self.input_range
        steps = 2**self.bits - 1
        scale = ((high - low) / steps).clamp_min(SMALLEST_SCALE)
        zero = (-low / scale).round().clamp(0, steps).to(torch.int32)
        rounded: Tensor = torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, steps)
        return rounded

    @torch.no_grad()
    def _follow(self, x: Tensor) -> None:
        seen = torch.stack([x.amin().clamp_max(0), x.amax().clamp_min(0)])
        first = not bool(self.input_range.any())
        self.input_range.copy_(seen if first else self.input_range.lerp(seen, MOMENTUM))


class QuantizedConv2d(_Quantized, nn.Conv2d):
    """See `_Quantized`."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self._conv_forward(self.rounded_input(x), self.rounded_weight(), self.bias)
        return out


class QuantizedLinear(_Quantized, nn.Linear):
    """See `_Quantized`."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(self.rounded_input(x), self.rounded_weight(), self.bias)


def quantize(module: nn.Module, bits: int | None) -> None:
    """Make every convolution and linear layer inside compute at a bit width; `None` changes nothing.

    Weights keep their names and values; each layer gets a buffer for the range of its inputs.

    Raises:
        InputError: for a bit width that cannot be had.
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
