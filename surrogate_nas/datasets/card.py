"""Data card: numbers of images, classes and groups, pixel statistics and conversions of a data set."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from surrogate_nas.datasets.dataset import TEST, TRAIN, TUNE, Dataset, LabeledImages, Splits, moments
from surrogate_nas.datasets.resizing import ResizeName
from surrogate_nas.datasets.splitting import settled, split, tune_share_of


@dataclass(frozen=True, slots=True)
class ClassCount:
    """A class, and the numbers of its images in a study."""

    name: str
    images: int
    """Number of images in train and tune together."""
    test: int
    """Number of images in test."""


@dataclass(frozen=True, slots=True)
class GroupCounts:
    """Number of groups of images in each split; no group is in two splits."""

    train: int
    tune: int
    test: int
    largest: int
    """Number of images in the largest group."""

    @classmethod
    def of(cls, splits: Splits) -> "GroupCounts | None":
        """Count the groups of the splits; `None` where images are independent."""
        sizes = [
            np.unique(part.groups, return_counts=True)[1]
            for part in (splits.train, splits.tune, splits.test)
            if part.groups is not None
        ]
        if not sizes:
            return None
        train, tune, test = map(len, sizes)
        return cls(train, tune, test, max(int(s.max()) for s in sizes))


@dataclass(frozen=True, slots=True, kw_only=True)
class DataCard:
    """Counts and statistics of a data set, as a study splits it."""

    name: str
    train: int
    """Number of images in the train split, on which weights are trained."""
    tune: int
    """Number of images in the tune split, on which all choices are made."""
    test: int
    """Number of images in the test split, on which results are reported and nothing is chosen."""
    channels: int
    size: int
    """Side in pixels."""
    classes: tuple[ClassCount, ...]
    balance: float
    """Number of images of the smallest class in train and tune, divided by that of the largest."""
    bytes: int
    """Bytes of all images and labels in memory."""
    fingerprint: str
    """SHA-256 in hexadecimal digits."""
    flips: bool
    """Whether a mirror image is still an image of its class."""
    notes: tuple[str, ...]
    """Sentences on the conversions of the images."""
    mean: tuple[float, ...]
    """Mean of each channel's pixels, 0 to 255, over all images outside official tune and test splits."""
    deviation: tuple[float, ...]
    """Standard deviation of each channel's pixels, over the same images."""
    resize: ResizeName
    """Way in which pictures that are not square become square."""
    oblong: float
    """Mean share of a picture outside its central square, before resizing."""
    groups: "GroupCounts | None" = None
    """Numbers of groups; `None` if no file gives groups."""

    def document(self) -> dict[str, Any]:
        """The card as a JSON document."""
        values = asdict(self)
        for field in ("classes", "notes", "mean", "deviation"):
            values[field] = list(values[field])
        return values


def card(dataset: Dataset, seed: int = 0, tune_share: float | None = None) -> DataCard:
    """Describe a data set, split as by a study with this seed and share of training images for the tune split.

    Raises:
        InputError: if it has too few images to split, or gives the split for which a share is chosen.
    """
    share = tune_share_of(dataset, tune_share)
    dataset = settled(dataset, seed, share)
    splits = _cut(dataset, seed, share)
    parts = {"train": splits.train, "tune": splits.tune, "test": splits.test}
    counts = {name: np.bincount(part.labels, minlength=len(dataset.classes)) for name, part in parts.items()}
    classes = tuple(
        ClassCount(name, int(counts["train"][c] + counts["tune"][c]), int(counts["test"][c]))
        for c, name in enumerate(dataset.classes)
    )
    each = [c.images for c in classes]
    mean, deviation = moments(dataset.train.images)
    return DataCard(
        name=dataset.name,
        train=int(counts["train"].sum()),
        tune=int(counts["tune"].sum()),
        test=int(counts["test"].sum()),
        channels=dataset.shape.channels,
        size=dataset.shape.size,
        classes=classes,
        balance=min(each) / max(each),
        bytes=sum(part.images.nbytes + part.labels.nbytes for part in dataset.parts.values()),
        fingerprint=dataset.fingerprint(),
        flips=dataset.flips,
        notes=dataset.notes,
        mean=mean,
        deviation=deviation,
        resize=dataset.resize,
        oblong=dataset.oblong,
        groups=GroupCounts.of(splits),
    )


def _cut(dataset: Dataset, seed: int, tune_share: float) -> Splits:
    """Cut the splits without pixels, to avoid copying them."""
    bare = {i: LabeledImages(part.images[:, :0], part.labels) for i, part in dataset.parts.items()}
    return split(replace(dataset, train=bare[TRAIN], tune=bare.get(TUNE), test=bare.get(TEST)), seed, tune_share)
