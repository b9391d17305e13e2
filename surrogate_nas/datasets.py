"""Image data sets, held in memory as uint8, and their splits."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from surrogate_nas.cost import ImageShape
from surrogate_nas.errors import InputError, JobError

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

TUNE_SHARE = 0.1
TEST_SHARE = 0.2
DIGITS_MAX = 16


@dataclass(frozen=True, slots=True)
class LabeledImages:
    """N images with their classes."""

    images: Images
    """(N, channels, size, size)."""
    labels: Labels
    """(N,) class indices."""

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: npt.NDArray[np.int64]) -> "LabeledImages":
        return LabeledImages(self.images[index], self.labels[index])


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set as it comes, before the study's splits."""

    name: str
    train: LabeledImages
    test: LabeledImages | None
    """The official test split, or `None` where there is none."""
    classes: tuple[str, ...]
    flips: bool
    """Whether a mirror image is still an image of its class."""

    @property
    def shape(self) -> ImageShape:
        """What a network for this data is built for."""
        return ImageShape(self.train.images.shape[1], self.train.images.shape[2], len(self.classes))

    @property
    def test_share(self) -> float:
        """Share of the data that a study holds out for the test split."""
        return TEST_SHARE if self.test is None else 0.0

    def fingerprint(self) -> str:
        """SHA-256 of every image and label, in order."""
        digest = hashlib.sha256()
        for part in (self.train, self.test):
            if part is not None:
                digest.update(np.ascontiguousarray(part.images).data)
                digest.update(np.ascontiguousarray(part.labels).data)
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Splits:
    """A study's three splits: train fits weights, tune chooses, test is reported."""

    train: LabeledImages
    tune: LabeledImages
    test: LabeledImages


def split(dataset: Dataset, seed: int, tune_share: float = TUNE_SHARE) -> Splits:
    """Cut a data set, class by class, the same way for the same seed.

    Without an official test split, 20 % of the data is held out first; then `tune_share` of the training data.
    """
    train, test = dataset.train, dataset.test
    if test is None:
        train, test = _cut(train, TEST_SHARE, seed)
    train, tune = _cut(train, tune_share, seed)
    return Splits(train, tune, test)


def _cut(data: LabeledImages, share: float, seed: int) -> tuple[LabeledImages, LabeledImages]:
    kept, held_out = train_test_split(np.arange(len(data)), test_size=share, random_state=seed, stratify=data.labels)
    return data[np.sort(kept)], data[np.sort(held_out)]


def dataset_names() -> list[str]:
    """Data sets that `load` knows."""
    return sorted(_LOADERS)


def load(name: str, root: Path | None = None, download: bool = False) -> Dataset:
    """Read a data set into memory.

    Args:
        name: one of `dataset_names()`; `digits` is embedded, the others are read in torchvision's layout.
        root: folder that holds the files; needed for all but `digits`.
        download: whether torchvision may fetch what is missing.

    Raises:
        InputError: for an unknown name, a missing root, or files that are absent or damaged.
        JobError: if torchvision is needed and cannot be imported.
    """
    if name not in _LOADERS:
        raise InputError(f"unknown data set {name!r}; allowed: {', '.join(dataset_names())}")
    return _LOADERS[name](root, download)


def _digits(root: Path | None, download: bool) -> Dataset:
    bunch = load_digits()
    images = (bunch.images * (255 / DIGITS_MAX)).round().astype(np.uint8)[:, None]
    data = LabeledImages(images, bunch.target.astype(np.int64))
    return Dataset("digits", data, None, tuple(str(c) for c in range(10)), flips=False)


def import_torchvision() -> ModuleType:
    """torchvision's data sets.

    Raises:
        JobError: saying what to install, if it is missing or built for another torch.
    """
    try:
        from torchvision import datasets
    except (ImportError, RuntimeError) as error:  # RuntimeError: built for another torch ("torchvision::nms")
        reason = str(error).splitlines()[0]
        raise JobError(
            f"torchvision cannot be imported ({reason}); install the torchvision that belongs to the installed torch, "
            "both from the same index: pip install --force-reinstall torch torchvision"
        ) from None
    module: ModuleType = datasets
    return module


def _from_torchvision(name: str, class_name: str, flips: bool) -> Callable[[Path | None, bool], Dataset]:
    def read(root: Path | None, download: bool) -> Dataset:
        if root is None:
            raise InputError(f"data set {name!r} needs --data-root, the folder that holds its files")
        kind = getattr(import_torchvision(), class_name)
        parts = []
        for train in (True, False):
            which: dict[str, Any] = (
                {"split": "train" if train else "test"} if class_name == "SVHN" else {"train": train}
            )
            try:
                parts.append(kind(str(root), download=download, **which))
            except (RuntimeError, ValueError, AssertionError, OSError) as error:  # missing, or of the wrong content
                reason = " ".join(str(error).split()) or "a file is damaged"
                raise InputError(f"data set {name!r} cannot be read from {root}: {reason}") from None
        train_part, test_part = (_to_arrays(part) for part in parts)
        classes = getattr(parts[0], "classes", None) or [str(c) for c in range(int(train_part.labels.max()) + 1)]
        return Dataset(name, train_part, test_part, tuple(classes), flips)

    return read


def _to_arrays(part: Any) -> LabeledImages:
    images = np.asarray(part.data, dtype=np.uint8)
    if images.ndim == 3:
        images = images[:, None]
    elif images.shape[-1] == 3:
        images = images.transpose(0, 3, 1, 2)
    labels = part.targets if hasattr(part, "targets") else part.labels
    return LabeledImages(np.ascontiguousarray(images), np.asarray(labels, dtype=np.int64))


_LOADERS: dict[str, Callable[[Path | None, bool], Dataset]] = {
    "digits": _digits,
    "fashion-mnist": _from_torchvision("fashion-mnist", "FashionMNIST", flips=True),
    "cifar10": _from_torchvision("cifar10", "CIFAR10", flips=True),
    "cifar100": _from_torchvision("cifar100", "CIFAR100", flips=True),
    "svhn": _from_torchvision("svhn", "SVHN", flips=False),
}
