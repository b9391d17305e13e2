"""Classify the errors of trainings: the failure of the record, and whether this process can go on."""

import torch

from surrogate_nas.archive.record import Failure
from surrogate_nas.foundation.errors import line_of

OUT_OF_MEMORY = ("allocate memory", "out of memory", "ALLOC_FAILED", "ALLOCATION_FAILED", "STATUS_NOT_INITIALIZED")
"""Words of torch, CUDA, cuBLAS and cuDNN where memory runs out; a handle without memory is not initialised."""
CUDA_ERROR = "CUDA error"


def failure_of(error: Exception) -> Failure:
    """The failure that an error of a training is recorded as.

    >>> failure_of(RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")).kind, failure_of(ValueError("?")).kind
    ('memory', 'error')
    """
    in_vain = isinstance(error, torch.OutOfMemoryError | MemoryError) or any(w in str(error) for w in OUT_OF_MEMORY)
    return Failure("memory" if in_vain else "error", line_of(error))


def context_is_lost(failure: Failure) -> bool:
    """Whether a CUDA context has failed: after a device-side assert or an illegal access, every later call fails too.

    >>> context_is_lost(Failure("error", "RuntimeError: CUDA error: device-side assert triggered"))
    True
    >>> context_is_lost(Failure("memory", "OutOfMemoryError: CUDA out of memory"))
    False
    """
    return failure.kind == "error" and CUDA_ERROR in failure.message
