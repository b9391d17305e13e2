"""Cut the splits of a study out of a data set."""

import itertools
import math
import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from sklearn.model_selection import GroupShuffleSplit, StratifiedGroupKFold, train_test_split

from surrogate_nas.datasets.dataset import (
    PARTS,
    TEST,
    TEST_SHARE,
    TO_CUT,
    TRAIN,
    TUNE,
    Dataset,
    LabeledImages,
    Splits,
    usual_sealed_share,
)
from surrogate_nas.datasets.notes import lacking_classes
from surrogate_nas.foundation.arrays import Ints
from surrogate_nas.foundation.errors import InputError

MOST_FOLDED = 1000
"""Largest number of groups that are cut into stratified folds, which takes a second."""
DRAWS = 50
"""Number of random choices that are compared where there are more groups."""
FAR_OFF = 0.25
"""Relative deviation of a split's share of the images above which a note reports it."""


def split(dataset: Dataset, seed: int, tune_share: float | None = None, sealed_share: float = 0) -> Splits:
    """Cut a data set into splits, stratified by class; a seed always gives the same splits.

    Without a given test split, 20 % of the data is held out first; without a given tune split, then `tune_share` of the
    training data, by default `Dataset.tune_share`. Of the tune split, a share may be sealed. Groups stay whole.

    Raises:
        InputError: if a class, or the whole data set, has too few images or groups.
    """
    parts = _decided(dataset, seed, tune_share)
    train, tune, test = (_part(dataset, np.flatnonzero(parts == part)) for part in (TRAIN, TUNE, TEST))
    splits = Splits(train, tune, test)
    return with_seal(splits, seed, sealed_share) if sealed_share else splits


def with_seal(splits: Splits, seed: int, share: float) -> Splits:
    """The splits with a share of tune, or of its groups, as `certify`: drawn at random whatever their classes, as
    statements about new images need it."""
    groups = splits.tune.groups
    of = np.arange(len(splits.tune)) if groups is None else np.unique(groups, return_inverse=True)[1].ravel()
    draws = int(of.max()) + 1
    drawn = np.random.default_rng(seed).permutation(draws)[: round(share * draws)]
    is_sealed = np.isin(of, drawn)
    left, sealed = (splits.tune[np.flatnonzero(which)] for which in (~is_sealed, is_sealed))
    return replace(splits, tune=left, certify=sealed)


def sealed_share_of(tune: LabeledImages) -> float:
    """Usual share of a tune split to seal: of its images, or of its groups."""
    return usual_sealed_share(tune.draws)


def tune_share_of(dataset: Dataset, chosen: float | None = None) -> float:
    """The chosen share for the tune split, by default `Dataset.tune_share`; 0 where the data set gives the split.

    Raises:
        InputError: for a share of a data set that gives the split.
    """
    if chosen is None:
        return dataset.tune_share
    if dataset.tune_share == 0:
        raise InputError(f"data set {dataset.name!r} gives a tune split, got tune share {chosen:g}; expected none")
    return chosen


def settled(dataset: Dataset, seed: int, tune_share: float | None = None) -> Dataset:
    """Decide the split of each image where a file gives splits or groups, and add notes on irregularities.

    Cutting many groups takes seconds; a study does it once, and stores the result with its images.

    Raises:
        InputError: as `split`.
    """
    if dataset.given is None:
        return dataset
    parts = _decided(dataset, seed, tune_share)
    notes = (*dataset.notes, *_shares_off(dataset, parts, tune_share), *_lacking(dataset, parts))
    return replace(dataset, given=replace(dataset.given, parts=parts), notes=tuple(dict.fromkeys(notes)))


def _decided(dataset: Dataset, seed: int, tune_share: float | None) -> Ints:
    """(N,) `TRAIN`, `TUNE` or `TEST` of each image."""
    parts, labels, groups = dataset.assigned.copy(), dataset.labels, _groups(dataset)
    shares = _shares_to_cut(dataset, tune_share)
    for share in shares.values():
        if not 0 < share < 1:
            raise InputError(f"tune share {share} is not between 0 and 1")
    _check_that_each_class_can_be_trained(dataset, labels[(parts == TRAIN) | (parts == TO_CUT)])
    if shares and groups is None:
        _check_that_it_can_be_cut(dataset, labels[parts == TO_CUT], shares)
    for part, share in shares.items():
        pool = np.flatnonzero(parts == TO_CUT)
        if groups is None:
            _, held_out = train_test_split(pool, test_size=share, random_state=seed, stratify=labels[pool])
        else:
            held_out = pool[_held_out_groups(dataset, labels[pool], groups[pool], part, share, seed)]
        parts[held_out] = part
    parts[parts == TO_CUT] = TRAIN
    return parts


def _groups(dataset: Dataset) -> Ints | None:
    """(N,) group numbers, if there are groups."""
    return None if dataset.given is None else dataset.given.groups


def _shares_to_cut(dataset: Dataset, tune_share: float | None) -> dict[int, float]:
    """Shares of the splits that are not given, in the order in which they are cut."""
    parts = dataset.assigned
    shares = {TEST: TEST_SHARE, TUNE: dataset.tune_share if tune_share is None else tune_share}
    return {part: share for part, share in shares.items() if not (parts == part).any()}


def _part(dataset: Dataset, index: Ints) -> LabeledImages:
    """The images at these indices, in order; not copied where they are exactly one part of the data set."""
    start, pieces = 0, list[LabeledImages]()
    for part in dataset.parts.values():
        own = index[(index >= start) & (index < start + len(part))] - start
        if len(own):
            pieces.append(part if len(own) == len(part) else part[own])
        start += len(part)
    groups = None if (all_groups := _groups(dataset)) is None else all_groups[index]
    if len(pieces) == 1:
        return replace(pieces[0], groups=groups)
    images, labels = (np.concatenate([getattr(piece, name) for piece in pieces]) for name in ("images", "labels"))
    return LabeledImages(images, labels, groups)


def _held_out_groups(dataset: Dataset, labels: Ints, groups: Ints, part: int, share: float, seed: int) -> Ints:
    """Indices of the images to hold out: whole groups with about `share` of each class, the best of several choices.

    The only group of a class is never held out, so that every class can be trained.

    Args:
        dataset: data set, for its classes and name.
        labels, groups: (N,) labels and groups of the images that are cut.
        part: number of the split that is held out, for messages.
        share: share of the images to hold out, in (0, 1).
        seed: seed of the choices.
    """
    group = np.unique(groups, return_inverse=True)[1].ravel()
    counts = np.zeros((group.max() + 1, len(dataset.classes)), dtype=np.int64)
    np.add.at(counts, (group, labels), 1)
    single = (counts > 0).sum(axis=0) == 1
    needed = counts[:, single].sum(axis=1) > 0
    rows = np.flatnonzero(~needed[group])
    wanted = share * counts.sum(axis=0)
    best, least = None, math.inf
    for fold in _folds(labels[rows], group[rows], share * len(labels) / max(len(rows), 1), seed):
        held_out = np.bincount(labels[rows[fold]], minlength=len(wanted))
        deviation = float(np.abs(held_out - wanted).sum())
        leaves_each_class = not (counts.any(axis=0) & (held_out == counts.sum(axis=0))).any()
        if len(fold) and deviation < least and leaves_each_class:
            best, least = rows[fold], deviation
    if best is None:
        raise InputError(
            f"data set {dataset.name!r} has too few groups, {len(counts)}, to cut {PARTS[part]} and leave each class a "
            "group for training"
        )
    return best


def _folds(labels: Ints, groups: Ints, share: float, seed: int) -> list[Ints]:
    """Candidate sets of whole groups with about `share` of the images; empty if there are too few images.

    Up to `MOST_FOLDED` groups, these are folds stratified by class. Above, where such folds would take minutes, they
    are random sets, which are nearly stratified.
    """
    if not len(labels) or (largest := int(np.bincount(labels).max())) < 2:
        return []
    data, count = (np.zeros(len(labels)), labels, groups), len(np.unique(groups))
    if count > MOST_FOLDED:
        draws = GroupShuffleSplit(DRAWS, test_size=min(share, 0.5), random_state=seed)
        return [fold for _, fold in draws.split(*data)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about classes with fewer images than there are folds
        folds = StratifiedGroupKFold(max(min(round(1 / share), count, largest), 2), shuffle=True, random_state=seed)
        return [fold for _, fold in folds.split(*data)]


def _shares_off(dataset: Dataset, parts: Ints, tune_share: float | None) -> tuple[str, ...]:
    """Sentences on splits whose share of the images is far from the intended one."""
    before, notes = dataset.assigned, list[str]()
    pool = before == TO_CUT
    for part, share in _shares_to_cut(dataset, tune_share).items():
        got = (parts[pool] == part).sum() / pool.sum()
        pool = pool & (parts != part)
        if _groups(dataset) is not None and abs(got / share - 1) > FAR_OFF:
            notes.append(f"{PARTS[part]} has {got:.0%} of the images instead of {share:.0%}, as groups stay whole")
    return tuple(notes)


def _lacking(dataset: Dataset, parts: Ints) -> tuple[str, ...]:
    """Sentences on classes that tune and test lack."""
    labels = dataset.labels
    return tuple(
        note for part in (TUNE, TEST) for note in lacking_classes(dataset.classes, labels[parts == part], PARTS[part])
    )


def _check_that_each_class_can_be_trained(dataset: Dataset, labels: Ints) -> None:
    counts = np.bincount(labels, minlength=len(dataset.classes))
    if not counts.all():
        name = dataset.classes[counts.argmin()]
        raise InputError(f"class {name!r} of data set {dataset.name!r} has no training images in the given splits")


def _check_that_it_can_be_cut(dataset: Dataset, labels: Ints, shares: dict[int, float]) -> None:
    """Raise `InputError` where splits cannot be cut from independent images with these (N,) labels."""
    parts = [PARTS[part] for part in (TRAIN, TUNE, TEST) if part == TRAIN or part in shares]
    together = f"{', '.join(parts[:-1])} and {parts[-1]}"
    present, counts = np.unique(labels, return_counts=True)
    rarest = int(counts.argmin())
    if counts[rarest] < len(shares) + 1:
        raise InputError(
            f"class {dataset.classes[present[rarest]]!r} of data set {dataset.name!r} has too few images, "
            f"{counts[rarest]}; at least {len(shares) + 1} are needed, for {together}"
        )
    n, classes = len(labels), len(present)
    if not _has_room(n, classes, list(shares.values())):
        needed = next(k for k in itertools.count(classes) if _has_room(k, classes, list(shares.values())))
        raise InputError(
            f"data set {dataset.name!r} has too few training images, {n}; "
            f"at least {needed} are needed, so that {together} have room for each of {classes} classes"
        )


def _has_room(n: int, classes: int, shares: Sequence[float]) -> bool:
    """Whether every part of n images, cut as scikit-learn cuts them, holds at least as many images as classes."""
    for share in shares:
        held_out = math.ceil(share * n)
        n -= held_out
        if held_out < classes:
            return False
    return n >= classes
