"""Trainings, fits and proposals run on one thread: the same sums in the same order on every machine, and small problems
are slower on several."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits


@contextmanager
def one_thread() -> Iterator[None]:
    """Of torch, where that is loaded, and of the libraries beneath NumPy, SciPy and scikit-learn."""
    torch = sys.modules.get("torch")  # those who compute with it have imported it; others need not wait for it
    threads = None if torch is None else torch.get_num_threads()
    try:
        if torch is not None:
            torch.set_num_threads(1)
        with threadpool_limits(1):
            yield
    finally:
        if torch is not None:
            torch.set_num_threads(threads)
