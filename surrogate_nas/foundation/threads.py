"""Threads of trainings, fits and proposals: each computes on one, so that sums have the same order on every machine and
small problems are fast; independent computations run side by side."""

import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from threadpoolctl import threadpool_limits

from surrogate_nas.foundation.machine import available_cores

Item = TypeVar("Item")
Result = TypeVar("Result")


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


def side_by_side(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Results of a function for each item, in their order, computed on all cores: by threads, so this helps functions
    that spend their time in libraries that release Python's lock."""
    with ThreadPoolExecutor(available_cores()) as pool:
        return list(pool.map(function, items))
