"""The data card: a data set in numbers."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from surrogate_nas.datasets.dataset import Dataset, LabeledImages, moments
from surrogate_nas.datasets.resizing import ResizeName
from surrogate_nas.datasets.splitting import split
from surrogate_nas.foundation.arrays import Ints


@dataclass(frozen=True, slots=True)
class ClassCount:
    """A class, and the number of its images in a study."""

    name: str
    images: int
    """For training and tuning."""
    test: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DataCard:
    """A data set in numbers, as a study splits it."""

    name: str
    train: int
    """Images of the train split, which fit weights."""
    tune: int
    """Images of the tune split, which all decisions use."""
    test: int
    """Images of the test split, which only the report uses."""
    channels: int
    size: int
    """Side in pixels."""
    classes: tuple[ClassCount, ...]
    balance: float
    """Images of the smallest class, for training and tuning, divided by those of the largest."""
    bytes: int
    """Bytes of all images and labels in memory."""
    fingerprint: str
    """SHA-256 in hexadecimal digits."""
    flips: bool
    notes: tuple[str, ...]
    mean: tuple[float, ...]
    """Mean of each channel's pixels, 0 to 255, over all images outside an official test split."""
    deviation: tuple[float, ...]
    """Standard deviation of the same pixels."""
    resize: ResizeName
    """How pictures that are not square become square."""
    oblong: float
    """Mean share of a picture, before it was resized, outside its central square."""

    def document(self) -> dict[str, Any]:
        """For JSON."""
        values = asdict(self)
        for field in ("classes", "notes", "mean", "deviation"):
            values[field] = list(values[field])
        return values


def card(dataset: Dataset, seed: int = 0) -> DataCard:
    """Describe a data set as a study with this seed splits it.

    Raises:
        InputError: if it has too few images to split.
    """
    counts = _cut(dataset, seed)
    classes = tuple(
        ClassCount(name, int(counts["train"][c] + counts["tune"][c]), int(counts["test"][c]))
        for c, name in enumerate(dataset.classes)
    )
    each = [c.images for c in classes]
    mean, deviation = moments(dataset.train.images)
    parts = [part for part in (dataset.train, dataset.test) if part is not None]
    return DataCard(
        name=dataset.name,
        train=int(counts["train"].sum()),
        tune=int(counts["tune"].sum()),
        test=int(counts["test"].sum()),
        channels=dataset.shape.channels,
        size=dataset.shape.size,
        classes=classes,
        balance=min(each) / max(each),
        bytes=sum(part.images.nbytes + part.labels.nbytes for part in parts),
        fingerprint=dataset.fingerprint(),
        flips=dataset.flips,
        notes=dataset.notes,
        mean=mean,
        deviation=deviation,
        resize=dataset.resize,
        oblong=dataset.oblong,
    )


def _cut(dataset: Dataset, seed: int) -> dict[str, Ints]:
    """(C,) images of each class, by split."""

    def bare(part: LabeledImages) -> LabeledImages:  # without pixels, which would be copied
        return LabeledImages(part.images[:, :0], part.labels)

    test = None if dataset.test is None else bare(dataset.test)
    splits = split(replace(dataset, train=bare(dataset.train), test=test), seed)
    parts = {"train": splits.train, "tune": splits.tune, "test": splits.test}
    return {name: np.bincount(part.labels, minlength=len(dataset.classes)) for name, part in parts.items()}
