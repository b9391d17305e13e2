"""Convolutions in bfloat16 give nearly what float32 gives, forwards and backwards, on maps of any size."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from surrogate_nas.training.precision import autocast
from surrogate_nas.training.recipe import Precision

PRECISIONS: tuple[Precision, Precision] = ("float32", "bfloat16")


def gradients(side: int, kernel: int, stride: int, groups: int, precision: Precision) -> tuple[Tensor, ...]:
    """The output of a convolution, and the gradients of its weights and inputs."""
    draw = torch.Generator().manual_seed(side + 10 * kernel + 100 * stride)
    maps = torch.randn(32, 16, side, side, generator=draw).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(24 if groups == 1 else 16, 16 // groups, kernel, kernel, generator=draw)
    maps.requires_grad_()
    weight.requires_grad_()
    with autocast(torch.device("cpu"), precision):
        output = functional.conv2d(maps, weight, None, stride, kernel // 2, 1, groups)
    output.float().square().mean().backward()
    assert weight.grad is not None
    assert maps.grad is not None
    return output.detach().float(), weight.grad, maps.grad


@pytest.mark.parametrize("groups", [1, 16], ids=["dense", "depthwise"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("side", [1, 2, 4])
def test_bfloat16_is_near_float32(side: int, kernel: int, stride: int, groups: int) -> None:
    for _ in range(3):  # what nobody computed is right at times
        expected, actual = (gradients(side, kernel, stride, groups, p) for p in PRECISIONS)
        for a, b in zip(expected, actual, strict=True):
            assert float((a - b).abs().max()) <= 0.03 * float(a.abs().max())
