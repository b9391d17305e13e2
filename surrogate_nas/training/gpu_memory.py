"""GPU memory of trainings: need of each, free memory, and how many fit at a time."""

from dataclasses import dataclass

from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.machine import amount

CONTEXT = 600_000_000
"""Bytes of GPU memory of a CUDA context with the kernels of cuDNN and cuBLAS, and their work space."""
RESIDENT_CONTEXT = 3_000_000_000
"""Bytes of main memory that the libraries of CUDA occupy in each process that uses a GPU."""
MOST_PER_GPU = 4
"""Largest default number of simultaneous trainings on one GPU: small networks are bound by kernel launches, so several
use a GPU better than one, but each costs a context and a copy of the data."""


def gpu_memory(data: int, weights: int, layers: int) -> int:
    """Bytes of GPU memory of one training process.

    Args:
        data: bytes of the training images and labels.
        weights: bytes of the network; gradient, momentum and average take as many each.
        layers: bytes that the layers keep during a step of training or measuring.
    """
    return CONTEXT + data + 4 * weights + layers


@dataclass(frozen=True, slots=True)
class GpuNeed:
    """GPU memory: need of each training, and free memory."""

    memory: int
    """Bytes of GPU memory that each training uses, approximately."""
    free: int
    """Bytes of GPU memory that are free."""

    def workers(self, most: int) -> int:
        """Default number of trainings at a time: as many as fit into the memory, at most `most`, and at least one.

        >>> GpuNeed(10, 25).workers(16), GpuNeed(10, 999).workers(16), GpuNeed(10, 5).workers(16)
        (2, 4, 1)
        """
        return max(min(self.free // self.memory, most, MOST_PER_GPU), 1)

    def check(self, at_a_time: int) -> None:
        """Raise `InputError` if so many trainings do not fit; the message has the need, free memory and a remedy."""
        fitting = self.free // self.memory
        if fitting < at_a_time:
            remedy = f"allowed: --workers up to {fitting}" if fitting else "not even one fits: free some memory"
            raise InputError(
                f"{at_a_time} trainings at a time need about {amount(self.memory)} of GPU memory each, but only "
                f"{amount(self.free)} are free; {remedy}, or use smaller batches"
            )
