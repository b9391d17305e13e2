"""Fits and proposals run on one thread: the same sums in the same order on every machine, and small problems are slower
on several."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits


@contextmanager
def one_thread() -> Iterator[None]:
    """Of torch, and of the libraries beneath NumPy, SciPy and scikit-learn."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)
