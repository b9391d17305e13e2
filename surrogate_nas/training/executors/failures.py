"""Classification of the errors of trainings: the failure for the record, and whether the process can continue."""

import torch

from surrogate_nas.archive.record import Failure
from surrogate_nas.foundation.errors import line_of

OUT_OF_MEMORY = ("allocate memory", "out of memory", "ALLOC_FAILED", "ALLOCATION_FAILED", "STATUS_NOT_INITIALIZED")
"""Words in messages of torch, CUDA, cuBLAS and cuDNN when memory runs out; without memory, no handle is initialised."""
CUDA_ERROR = "CUDA error"


def failure_of(error: Exception) -> Failure:
    """Failure to record for an error of a training.

    >>> failure_of(RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")).kind, failure_of(ValueError("?")).kind
    ('memory', 'error')
    """
    no_memory = isinstance(error, torch.OutOfMemoryError | MemoryError) or any(w in str(error) for w in OUT_OF_MEMORY)
    return Failure("memory" if no_memory else "error", line_of(error))


def context_is_lost(failure: Failure) -> bool:
    """Whether a CUDA context has failed: after a device-side assert or an illegal access, every later call fails too.

    >>> context_is_lost(Failure("error", "RuntimeError: CUDA error: device-side assert triggered"))
    True
    >>> context_is_lost(Failure("memory", "OutOfMemoryError: CUDA out of memory"))
    False
    """
    return failure.kind == "error" and CUDA_ERROR in failure.message
