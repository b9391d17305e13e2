"""Names of the array types that signatures use, and indices that are spread evenly."""

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Array = npt.NDArray[Any]


def evenly(n: int, most: int) -> Ints:
    """At most so many of n indices, evenly, the first and the last among them.

    >>> evenly(3, 12), evenly(100, 4)
    (array([0, 1, 2]), array([ 0, 33, 66, 99]))
    """
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.int64))
