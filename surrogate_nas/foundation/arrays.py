"""Aliases of array types, and evenly spaced indices."""

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
"""NumPy array of 64-bit floats."""
Floats32 = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
"""NumPy array of 64-bit integers."""
Bools = npt.NDArray[np.bool_]
Array = npt.NDArray[Any]


def evenly(n: int, most: int) -> Ints:
    """At most `most` of the indices 0 … n − 1, evenly spaced, including the first and the last.

    >>> evenly(3, 12), evenly(100, 4)
    (array([0, 1, 2]), array([ 0, 33, 66, 99]))
    """
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.int64))
