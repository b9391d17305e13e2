"""How a study's splits are cut out of a data set."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
from sklearn.model_selection import train_test_split

from surrogate_nas.datasets.dataset import TEST_SHARE, TUNE_SHARE, Dataset, LabeledImages, Splits
from surrogate_nas.foundation.errors import InputError


def split(dataset: Dataset, seed: int, tune_share: float = TUNE_SHARE) -> Splits:
    """Cut a data set, class by class, the same way for the same seed.

    Without an official test split, 20 % of the data is held out first; then `tune_share` of the training data.

    Raises:
        InputError: where a class, or the whole data set, has too few images to be cut so.
    """
    _check_that_it_can_be_cut(dataset, tune_share)
    train, test = dataset.train, dataset.test
    if test is None:
        train, test = _cut(train, TEST_SHARE, seed)
    train, tune = _cut(train, tune_share, seed)
    return Splits(train, tune, test)


def _cut(data: LabeledImages, share: float, seed: int) -> tuple[LabeledImages, LabeledImages]:
    kept, held_out = train_test_split(np.arange(len(data)), test_size=share, random_state=seed, stratify=data.labels)
    return data[np.sort(kept)], data[np.sort(held_out)]


def _check_that_it_can_be_cut(dataset: Dataset, tune_share: float) -> None:
    if not 0 < tune_share < 1:
        raise InputError(f"tune share {tune_share} is not between 0 and 1")
    parts, shares = ("train and tune", [tune_share])
    if dataset.test is None:
        parts, shares = ("train, tune and test", [TEST_SHARE, tune_share])
    classes, counts = len(dataset.classes), np.bincount(dataset.train.labels)
    rarest = int(counts.argmin())
    if counts[rarest] < len(shares) + 1:
        raise InputError(
            f"class {dataset.classes[rarest]!r} of data set {dataset.name!r} has too few images, {counts[rarest]}; "
            f"at least {len(shares) + 1} are needed, for {parts}"
        )
    if not _has_room(len(dataset.train), classes, shares):
        needed = next(n for n in itertools.count(classes) if _has_room(n, classes, shares))
        raise InputError(
            f"data set {dataset.name!r} has too few training images, {len(dataset.train)}; "
            f"at least {needed} are needed, so that {parts} have room for each of {classes} classes"
        )


def _has_room(n: int, classes: int, shares: Sequence[float]) -> bool:
    """Whether every part of n images, cut as scikit-learn cuts them, holds at least as many images as classes."""
    for share in shares:
        held_out = math.ceil(share * n)
        n -= held_out
        if held_out < classes:
            return False
    return n >= classes
