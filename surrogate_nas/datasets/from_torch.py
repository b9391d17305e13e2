"""Conversion of PyTorch data sets, or lists of pairs, to `Dataset`. Needs no torch itself."""

import operator
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from surrogate_nas.datasets.dataset import Dataset, LabeledImages, Labels, check_image_size, numbered_classes
from surrogate_nas.datasets.notes import lacking_classes
from surrogate_nas.datasets.resizing import DEFAULT_RESIZE, ResizeName, resize_name
from surrogate_nas.foundation.errors import InputError


class Pairs(Protocol):
    """A `torch.utils.data.Dataset` with a length, or a sequence: each item begins with an image and its label."""

    def __len__(self) -> int:
        """Number of items."""

    def __getitem__(self, index: int, /) -> Any:
        """The item at `index`."""


def from_torch(
    train: Pairs,
    test: Pairs | None = None,
    *,
    tune: Pairs | None = None,
    name: str | None = None,
    classes: Sequence[str] | None = None,
    image_size: int | None = None,
    flips: bool = True,
    resize: ResizeName = DEFAULT_RESIZE,
) -> Dataset:
    """Convert PyTorch data sets, or lists of pairs, to a `Dataset`; every item is read once.

    Leave out random transforms: a study shifts and mirrors images itself.

    Args:
        train: pairs of an image and a class number ≥ 0. An image is a Pillow image, or an array or tensor
            (channels, H, W), (H, W) or (H, W, channels) with 1 or 3 channels, of bytes or of floats in [0, 1].
        test: the official test split, if there is one.
        tune: the official validation split, if there is one.
        name: name of the data set; by default `torch:` and the name of the type of `train`.
        classes: names of the classes; by default `train.classes`, else their numbers.
        image_size: side in pixels of the squares that images become; by default they must be squares of one size.
        flips: whether a mirror image is still an image of its class.
        resize: way in which pictures that are not square become square.

    Raises:
        InputError: for data without a length, or an item that cannot be used, which the message names.
    """
    # Imported late: Pillow is needed only to convert images, and would slow down start-up.
    from surrogate_nas.datasets.pixels import Pixels, gather, of_any

    check_image_size(image_size)
    resize = resize_name(resize)
    all_parts = {"train": train, "tune": tune, "test": test}
    parts = {role: part for role, part in all_parts.items() if part is not None}
    for role, part in parts.items():
        _check_length(role, part)
    labels: list[int] = []

    def images() -> Iterator[Pixels]:
        for role, part in parts.items():
            for i in range(len(part)):
                where = f"item {i} of {role}"
                image, label = _pair(part, i, where)
                labels.append(label)
                yield of_any(image, image_size, where, resize)

    values, tally = gather(images(), sum(len(part) for part in parts.values()))
    cuts = np.cumsum([len(part) for part in parts.values()])[:-1]
    pieces = zip(np.split(values, cuts), np.split(np.array(labels, dtype=np.int64), cuts), strict=True)
    data = {role: LabeledImages(*piece) for role, piece in zip(parts, pieces, strict=True)}
    names = _class_names(train, classes, data["train"].labels)
    notes = list(tally.sentences(values.shape[2], values.shape[1], resize))
    for role in list(data)[1:]:
        notes += lacking_classes(names, data[role].labels, role)
    name = name or f"torch:{type(train).__name__}"
    return Dataset(
        name,
        data["train"],
        data.get("test"),
        names,
        flips,
        tuple(notes),
        data.get("tune"),
        resize=resize,
        oblong=tally.oblong,
    )


def _check_length(role: str, data: Pairs) -> None:
    if not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
        raise InputError(f"{role} is a {type(data).__name__}; expected a data set with a length and items by index")
    if not len(data):
        raise InputError(f"{role} is empty")


def _pair(data: Pairs, i: int, where: str) -> tuple[Any, int]:
    item = data[i]
    if not isinstance(item, tuple | list) or len(item) < 2:
        raise InputError(f"{where} is a {type(item).__name__}; expected a pair of an image and its label")
    try:
        return item[0], operator.index(item[1])
    except TypeError:
        raise InputError(f"{where} has the label {item[1]!r}; allowed: integers ≥ 0") from None


def _class_names(train: Pairs, classes: Sequence[str] | None, labels: Labels) -> tuple[str, ...]:
    names = numbered_classes(labels, "labels of train")
    if classes is None:
        classes = getattr(train, "classes", None)
    return names if classes is None else tuple(str(c) for c in classes)
