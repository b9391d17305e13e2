"""Resolution of the settings' device names on this machine, without using a GPU.

The process that starts trainings holds no CUDA context: a context costs GPU memory, keeps the trainings out of a GPU in
exclusive mode, and cannot be passed on to forked processes.
"""

import torch

from surrogate_nas.foundation.errors import InputError, first_line
from surrogate_nas.foundation.machine import DEVICE_KINDS


def gpus_here() -> int:
    """Number of CUDA GPUs of this machine, from the driver's management library, which needs no CUDA context."""
    return torch.cuda.device_count()


def device_here(name: str) -> str:
    """Resolve a device name of the settings on this machine: `auto` is CUDA, else Apple's MPS, else the CPU.

    Raises:
        InputError: if it does not name a device, or this machine does not have it.
    """
    if name == "auto":
        return "cuda" if gpus_here() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"device {name!r} cannot be used here: {first_line(error)}") from None
    if device.type not in DEVICE_KINDS:
        raise InputError(f"device {name!r} cannot be used here; allowed: auto, {', '.join(DEVICE_KINDS)}")
    if device.type == "cuda" and (device.index or 0) >= (gpus := gpus_here()):
        raise InputError(f"device {name!r} cannot be used here: this machine has {gpus} CUDA GPUs")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise InputError(f"device {name!r} cannot be used here: this machine has no MPS")
    return name


def kind_of(device: str) -> str:
    """Kind of a device, without its index.

    >>> kind_of("cuda:1"), kind_of("cpu")
    ('cuda', 'cpu')
    """
    return device.partition(":")[0]
