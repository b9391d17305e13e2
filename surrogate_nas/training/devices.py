"""Which device the settings name on this machine, found out without touching a GPU.

The process that starts trainings holds no CUDA context: one costs GPU memory, keeps the trainings out of a GPU in
exclusive mode, and cannot be passed on to processes that are forked.
"""

import torch

from surrogate_nas.foundation.errors import InputError, first_line
from surrogate_nas.foundation.machine import DEVICE_KINDS


def gpus_here() -> int:
    """CUDA GPUs of this machine; torch asks the driver's management library, which needs no context."""
    return torch.cuda.device_count()


def device_here(name: str) -> str:
    """The device that a name of the settings stands for here: `auto` is CUDA, else Apple's MPS, else the CPU.

    Raises:
        InputError: if it is no device, or this machine has none like it.
    """
    if name == "auto":
        return "cuda" if gpus_here() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"device {name!r} cannot be used here: {first_line(error)}") from None
    if device.type not in DEVICE_KINDS:
        raise InputError(f"device {name!r} cannot be used here; allowed: auto, {', '.join(DEVICE_KINDS)}")
    if device.type == "cuda" and (device.index or 0) >= (there := gpus_here()):
        raise InputError(f"device {name!r} cannot be used here: this machine has {there} CUDA GPUs")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise InputError(f"device {name!r} cannot be used here: this machine has no MPS")
    return name


def kind_of(device: str) -> str:
    """The kind of a device.

    >>> kind_of("cuda:1"), kind_of("cpu")
    ('cuda', 'cpu')
    """
    return device.partition(":")[0]
