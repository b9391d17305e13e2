"""Precision of training and measuring: bfloat16 where that is faster, and true float32, without TF32, on GPUs."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from surrogate_nas.training.recipe import Precision

BFLOAT16_SINCE = (8, 0)
"""Compute capability of the first NVIDIA GPUs with bfloat16, Ampere."""


@contextmanager
def autocast(device: torch.device, precision: Precision) -> Iterator[None]:
    """Compute convolutions and linear layers in this precision inside the block; weights stay in float32."""
    if precision == "float32":
        yield
        return
    with torch.autocast(device.type, torch.bfloat16):
        if device.type != "cpu":
            yield
            return
        with _SomeInFloat32():
            yield


@contextmanager
def repeatable() -> Iterator[None]:
    """Make GPUs compute float32 without TF32's shorter mantissas, by cuDNN's deterministic algorithms, inside the
    block; the process's own settings are ignored there, and restored after it."""
    cudnn, before = torch.backends.cudnn, torch.get_float32_matmul_precision()
    with cudnn.flags(enabled=cudnn.enabled, benchmark=False, deterministic=True, allow_tf32=False):
        torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)


def warn_if_emulated(device: torch.device, precision: Precision) -> None:
    """Warn of a GPU that only emulates bfloat16, and is faster in float32."""
    if precision == "bfloat16" and device.type == "cuda" and not torch.version.hip:
        capability = torch.cuda.get_device_capability(device)
        if capability < BFLOAT16_SINCE:
            have, need = ("{}.{}".format(*numbers) for numbers in (capability, BFLOAT16_SINCE))
            warnings.warn(
                f"precision bfloat16 is emulated on {torch.cuda.get_device_name(device)} (compute capability {have}, "
                f"below {need}): float32 is faster there",
                stacklevel=2,
            )


class _SomeInFloat32(TorchFunctionMode):
    """Mode that keeps grouped convolutions, and those of maps of one pixel, in float32 on CPUs.

    On a processor with bfloat16 units, dense convolutions gain from bfloat16; oneDNN's depthwise ones are up to
    eighteen times slower than in float32, most of all backwards with a stride. For a map of one pixel, its strided ones
    return wrong gradients of their weights (torch 2.14 on a processor with AMX).
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is functional.conv2d and _in_float32(args[0], args[1]):
            args = [a.float() if isinstance(a, Tensor) else a for a in args]
            with torch.autocast("cpu", enabled=False):
                return func(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _in_float32(maps: Tensor, weight: Tensor) -> bool:
    grouped = maps.shape[-3] != weight.shape[1]
    return grouped or (maps.shape[-1] == 1 and weight.shape[-1] > 1)
