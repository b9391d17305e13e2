"""Single-threaded execution of trainings, fits and proposals: sums have the same order on every machine, and small
problems are faster on one thread."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit torch, if it is loaded, and the libraries beneath NumPy, SciPy and scikit-learn to one thread."""
    torch = sys.modules.get("torch")  # code that uses torch has already imported it; other code need not import it
    threads = None if torch is None else torch.get_num_threads()
    try:
        if torch is not None:
            torch.set_num_threads(1)
        with threadpool_limits(1):
            yield
    finally:
        if torch is not None:
            torch.set_num_threads(threads)
