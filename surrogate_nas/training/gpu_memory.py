"""GPU memory of trainings: what one needs, what is free, and how many fit beside each other."""

from dataclasses import dataclass

from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.machine import amount

CONTEXT = 600_000_000
"""Bytes on the GPU of a CUDA context with the kernels of cuDNN and cuBLAS, and their work space."""
RESIDENT_CONTEXT = 3_000_000_000
"""Bytes of this machine's memory that the libraries of CUDA take up in each process that uses a GPU."""
MOST_PER_GPU = 4
"""Trainings at a time on one GPU by default: small networks are bound by launches, so that several gain from one GPU,
and each pays for a context and a copy of the data."""


def gpu_memory(data: int, weights: int, layers: int) -> int:
    """Bytes of GPU memory of one training process.

    Args:
        data: bytes of the training images and labels.
        weights: bytes of the network; gradient, momentum and average have as many each.
        layers: bytes of what the layers keep for a step of training, or of measuring.
    """
    return CONTEXT + data + 4 * weights + layers


@dataclass(frozen=True, slots=True)
class GpuNeed:
    """GPU memory that each training needs, and that is free."""

    memory: int
    """Bytes of GPU memory that each training uses, approximately."""
    free: int
    """Bytes of GPU memory that are free."""

    def workers(self, most: int) -> int:
        """Default number of trainings at a time: at most these, as many as fit beside each other, and at least one.

        >>> GpuNeed(10, 25).workers(16), GpuNeed(10, 999).workers(16), GpuNeed(10, 5).workers(16)
        (2, 4, 1)
        """
        return max(min(self.free // self.memory, most, MOST_PER_GPU), 1)

    def check(self, at_a_time: int) -> None:
        """Raise `InputError` if so many trainings do not fit: with the need, what is free, and a remedy."""
        fitting = self.free // self.memory
        if fitting < at_a_time:
            cure = f"allowed: --workers up to {fitting}" if fitting else "not even one fits: free some"
            raise InputError(
                f"{at_a_time} trainings at a time need about {amount(self.memory)} of GPU memory each, and "
                f"{amount(self.free)} are free; {cure}, or use smaller batches"
            )
