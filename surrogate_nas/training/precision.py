"""Convolutions and linear layers in bfloat16 while training, where that is faster than float32."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from surrogate_nas.training.recipe import Precision


@contextmanager
def autocast(device: torch.device, precision: Precision) -> Iterator[None]:
    """Inside, convolutions and linear layers compute in this precision; weights stay in float32."""
    if precision == "float32":
        yield
        return
    with torch.autocast(device.type, torch.bfloat16):
        if device.type != "cpu":
            yield
            return
        with _SomeInFloat32():
            yield


class _SomeInFloat32(TorchFunctionMode):
    """Keeps grouped convolutions, and those of single pixels, out of bfloat16 on CPUs.

    Where a processor has bfloat16 units, dense convolutions gain; oneDNN's depthwise ones are up to eighteen times
    slower than in float32, above all backwards with a stride. Of a map of one pixel its strided ones give gradients of
    their weights that nobody computed (torch 2.14 on a processor with AMX).
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
