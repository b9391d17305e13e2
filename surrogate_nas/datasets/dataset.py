"""Data sets: images in memory as uint8, their classes, and a study's splits."""

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.datasets.resizing import DEFAULT_RESIZE, ResizeName
from surrogate_nas.foundation.arrays import Ints
from surrogate_nas.foundation.display import displayed_by
from surrogate_nas.foundation.errors import InputError

Images = npt.NDArray[np.uint8]
"""(N, channels, size, size) pixels."""
Labels = Ints
"""(N,) numbers of classes, from 0."""
TEST_SHARE = 0.2
TUNE_IMAGES = 500
"""Number of tune images that are enough, where the training data are many."""
LEAST_TUNE_SHARE, MOST_TUNE_SHARE = 0.1, 0.3
ENOUGH_TO_CHOOSE = 500
"""Number of tune images above which a sealed part takes more than half of four times as many."""
BLOCK = 1024  # number of images counted at a time, which bounds memory
BYTES = 256
SMALLEST_SIZE, LARGEST_SIZE = 4, 256
PARTS = ("train", "tune", "test")
"""The splits by their numbers."""
TRAIN, TUNE, TEST = range(len(PARTS))
TO_CUT = -1
"""Split number of an image whose split is not decided yet."""


@displayed_by(lambda part: {"images": len(part), "shape": part.images.shape[1:], "groups": part.groups is not None})
@dataclass(frozen=True, slots=True, repr=False)
class LabeledImages:
    """N images with their classes."""

    images: Images
    """(N, channels, size, size)."""
    labels: Labels
    """(N,) class indices."""
    groups: Ints | None = None
    """(N,) group numbers, the same for images of one object, say; `None` where images are independent."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def draws(self) -> int:
        """Number of independent draws: of images, or of groups."""
        return len(self) if self.groups is None else len(np.unique(self.groups))

    def __getitem__(self, index: Ints) -> "LabeledImages":
        groups = None if self.groups is None else self.groups[index]
        return LabeledImages(self.images[index], self.labels[index], groups)


@dataclass(frozen=True, slots=True)
class GivenSplits:
    """Splits and groups of the N images of a data set, read from a file, in the order of `Dataset.parts`."""

    parts: Ints | None
    """(N,) `TRAIN`, `TUNE`, `TEST` or `TO_CUT`; `None` to keep the data set's own splits."""
    groups: Ints | None
    """(N,) group numbers from 0; no group is in two splits. `None` where images are independent."""
    digest: str
    """SHA-256 of the file's lines."""


@displayed_by(
    lambda data: {
        "name": data.name,
        "classes": len(data.classes),
        "channels": data.shape.channels,
        "pixels": data.shape.size,
        "train": len(data.train),
        "tune": data.tune and len(data.tune),
        "test": data.test and len(data.test),
    }
)
@dataclass(frozen=True, slots=True, repr=False)
class Dataset:
    """A data set before the study's splits.

    Raises:
        InputError: for fewer than two classes, a label outside them, or a class without training images.
    """

    name: str
    """Name, or path, of the data set."""
    train: LabeledImages
    """Images that train and tune are cut from."""
    test: LabeledImages | None
    """The official test split, or `None` where there is none."""
    classes: tuple[str, ...]
    """Names of the classes."""
    flips: bool
    """Whether a mirror image is still an image of its class."""
    notes: tuple[str, ...] = ()
    """Sentences on the conversions of the images."""
    tune: LabeledImages | None = None
    """The official validation split, or `None` where there is none."""
    given: GivenSplits | None = None
    """Splits and groups from a file, if there is one."""
    resize: ResizeName = DEFAULT_RESIZE
    """Way in which pictures that are not square become square, here and for an exported network."""
    oblong: float = 0.0
    """Mean share of a picture outside its central square, before resizing."""

    def __post_init__(self) -> None:
        if len(self.classes) < 2:
            got = f"one class, {self.classes[0]!r}" if self.classes else "no classes"
            raise InputError(f"data set {self.name!r} has {got}; at least two are needed")
        counts = self._count("training", self.train)
        if not counts.all():
            raise InputError(
                f"class {self.classes[counts.argmin()]!r} of data set {self.name!r} has no training images"
            )
        for role, part in (("tune", self.tune), ("test", self.test)):
            if part is not None:
                self._count(role, part)

    def _count(self, role: str, part: LabeledImages) -> Ints:
        """(C,) number of images of each class."""
        if not len(part) or len(part.images) != len(part.labels):
            raise InputError(
                f"data set {self.name!r} has {len(part.images)} {role} images and {len(part.labels)} labels; "
                "expected equal numbers, at least 1"
            )
        low, high = int(part.labels.min()), int(part.labels.max())
        if low < 0 or high >= len(self.classes):
            label = low if low < 0 else high
            raise InputError(
                f"data set {self.name!r} has the {role} label {label}; allowed: 0 to {len(self.classes) - 1}"
            )
        return np.bincount(part.labels, minlength=len(self.classes))

    @property
    def shape(self) -> ImageShape:
        """Image shape and number of classes."""
        return ImageShape(self.train.images.shape[1], self.train.images.shape[2], len(self.classes))

    @property
    def parts(self) -> dict[int, LabeledImages]:
        """The images as read, by split number: train, then tune and test where the data set has them."""
        parts = {TRAIN: self.train, TUNE: self.tune, TEST: self.test}
        return {number: part for number, part in parts.items() if part is not None}

    @property
    def labels(self) -> Labels:
        """(N,) class indices of all images, in the order of `parts`."""
        return np.concatenate([part.labels for part in self.parts.values()])

    @property
    def own_parts(self) -> Ints:
        """(N,) split number of each image as read, in the order of `parts`."""
        return np.repeat(list(self.parts), [len(part) for part in self.parts.values()])

    @property
    def assigned(self) -> Ints:
        """(N,) split number of each image; `TO_CUT` for the images from which missing tune and test splits are cut.

        These are the images for which a file gives no split; if it gives one for every image, the training images.
        """
        given = self.own_parts if self.given is None or self.given.parts is None else self.given.parts
        if all((given == part).any() for part in (TUNE, TEST)):
            return np.where(given == TO_CUT, TRAIN, given)
        return given if (given == TO_CUT).any() else np.where(given == TRAIN, TO_CUT, given)

    @property
    def tune_share(self) -> float:
        """Default share of the training data that a study holds out for the tune split; 0 if that split is given."""
        assigned = self.assigned
        return 0.0 if (assigned == TUNE).any() else usual_tune_share((assigned == TO_CUT).sum() * (1 - self.test_share))

    @property
    def test_share(self) -> float:
        """Share of the data that a study holds out for the test split; 0 if that split is given."""
        return 0.0 if (self.assigned == TEST).any() else TEST_SHARE

    def fingerprint(self) -> str:
        """SHA-256 of every image and label, in order; splits and groups from a file have their own digest."""
        digest = hashlib.sha256()
        for part in (self.train, self.test):
            _digest(digest, part)
        if self.tune is not None:
            digest.update(b"tune")
            _digest(digest, self.tune)
        return digest.hexdigest()


def _digest(digest: "hashlib._Hash", part: LabeledImages | None) -> None:
    if part is not None:
        digest.update(np.ascontiguousarray(part.images).data)
        digest.update(np.ascontiguousarray(part.labels).data)


@dataclass(frozen=True, slots=True)
class Splits:
    """The splits of a study: train for weights, tune for all choices, test for reported results."""

    train: LabeledImages
    """Images that weights learn from."""
    tune: LabeledImages
    """Images that everything is chosen by."""
    test: LabeledImages
    """Images of the reported results."""
    certify: LabeledImages | None = None
    """Part of tune that was sealed: nothing is chosen by it; `None` in a study without a confidence."""


def usual_tune_share(images: float) -> float:
    """Share of so many training images that is held out for the tune split, from which all choices are made.

    It is what holds `TUNE_IMAGES` images, within `LEAST_TUNE_SHARE` and `MOST_TUNE_SHARE`; see
    docs/results/tune-share.md.

    >>> usual_tune_share(1_437), usual_tune_share(2_500), usual_tune_share(50_000)
    (0.3, 0.2, 0.1)
    """
    return round(min(max(TUNE_IMAGES / images, LEAST_TUNE_SHARE), MOST_TUNE_SHARE), 2)


def usual_sealed_share(images: int) -> float:
    """Share of so many tune images that is sealed where certificates are asked for: a half, and more of many.

    What is left to choose by grows with √n, from 1,000 of 2,000 images.

    >>> usual_sealed_share(500), usual_sealed_share(2_000), usual_sealed_share(6_000)
    (0.5, 0.5, 0.71)
    """
    return round(max(0.5, 1 - math.sqrt(ENOUGH_TO_CHOOSE / images)), 2)


def check_image_size(size: int | None) -> None:
    """Raise `InputError` for a side in pixels outside the allowed range; `None` is allowed."""
    if size is not None and not SMALLEST_SIZE <= size <= LARGEST_SIZE:
        raise InputError(f"image size {size} is not between {SMALLEST_SIZE} and {LARGEST_SIZE} pixels")


def numbered_classes(labels: Labels, what: str) -> tuple[str, ...]:
    """Names "0", "1", … of classes that are only numbered.

    Raises:
        InputError: for a number below 0 or a gap in the numbers; `what` names the labels.
    """
    distinct = np.unique(labels)
    if distinct[0] < 0:
        raise InputError(f"{what} must be class numbers ≥ 0, got {distinct[0]}")
    if distinct[-1] != len(distinct) - 1:
        missing = int(np.flatnonzero(distinct != np.arange(len(distinct)))[0])
        raise InputError(f"{what} must be class numbers from 0 without a gap, got {distinct[-1]} but no {missing}")
    return tuple(str(c) for c in range(len(distinct)))


def moments(images: Images) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, computed from its histogram over the 256 values."""
    counts = np.zeros((images.shape[1], BYTES), dtype=np.int64)
    for start in range(0, len(images), BLOCK):
        for c, channel in enumerate(counts):
            channel += np.bincount(images[start : start + BLOCK, c].ravel(), minlength=BYTES)
    pixels, value = counts.sum(axis=1), np.arange(BYTES)
    mean = counts @ value / pixels
    deviation = np.sqrt((counts * (value - mean[:, None]) ** 2).sum(axis=1) / pixels)
    return tuple(mean.tolist()), tuple(deviation.tolist())
