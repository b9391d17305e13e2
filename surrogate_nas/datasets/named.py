"""Data sets by name: the digits of scikit-learn, and data sets read by torchvision."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from surrogate_nas.datasets.dataset import Dataset, LabeledImages
from surrogate_nas.foundation.errors import InputError, JobError, first_line

DIGITS_MAX = 16


def dataset_names() -> list[str]:
    """Names of data sets, sorted."""
    return sorted(_LOADERS)


def read_named(name: str, root: Path | None = None, download: bool = False) -> Dataset:
    """Read one of `dataset_names()`, as it was published; arguments and errors as for `load`."""
    return _LOADERS[name](root, download)


def _digits(root: Path | None, download: bool) -> Dataset:
    # Imported late: scikit-learn contains the images, and is not needed to list data sets.
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = (bunch.images * (255 / DIGITS_MAX)).round().astype(np.uint8)[:, None]
    data = LabeledImages(images, bunch.target.astype(np.int64))
    return Dataset("digits", data, None, tuple(str(c) for c in range(10)), flips=False)


def import_torchvision() -> ModuleType:
    """Import `torchvision.datasets`.

    Raises:
        JobError: if torchvision is missing or built for another torch; the message names the remedy.
    """
    try:
        from torchvision import datasets
    except (ImportError, RuntimeError) as error:  # RuntimeError: built for another torch ("torchvision::nms")
        reason = first_line(error)
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


def dataset_rows() -> list[dict[str, Any]]:
    """Rows of the table of data sets, by name or path."""
    return [
        {"data": "digits", "images": "1,797 grey 8×8", "classes": 10, "needs": "nothing: embedded"},
        {"data": "fashion-mnist", "images": "70,000 grey 28×28", "classes": 10, "needs": "--data-root, torchvision"},
        {"data": "cifar10", "images": "60,000 colour 32×32", "classes": 10, "needs": "--data-root, torchvision"},
        {"data": "cifar100", "images": "60,000 colour 32×32", "classes": 100, "needs": "--data-root, torchvision"},
        {"data": "svhn", "images": "99,289 colour 32×32", "classes": 10, "needs": "--data-root, torchvision"},
        {"data": "DIR", "images": "a folder of images by class", "classes": "its folders", "needs": "--image-size"},
        {"data": "FILE.npz", "images": "arrays images, labels", "classes": "the labels", "needs": "nothing"},
    ]
