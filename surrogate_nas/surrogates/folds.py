"""Cross-validation folds over architectures: models are judged on architectures they were not fitted to."""

import numpy as np

from surrogate_nas.foundation.arrays import Array, Ints

FOLDS = 5
"""Number of folds; with fewer architectures, each is a fold by itself."""


def folds(group: Array, seed: int, count: int = FOLDS) -> Ints:
    """(n,) fold of each row, from 0; all rows of a group, which are trainings of one architecture, share one."""
    names, of = np.unique(group, return_inverse=True)
    fold = np.arange(len(names)) % count
    np.random.default_rng(seed).shuffle(fold)
    return np.asarray(fold[of])
