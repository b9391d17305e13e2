"""Data sets in NumPy's .npz files, read without unpickling."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from surrogate_nas.datasets.arrays import channels_first, to_bytes
from surrogate_nas.datasets.dataset import (
    LARGEST_SIZE,
    SMALLEST_SIZE,
    Dataset,
    Images,
    LabeledImages,
    Labels,
    numbered_classes,
)
from surrogate_nas.datasets.notes import MOST_ALLOWED, Tally, lacking_classes, some
from surrogate_nas.datasets.pixels import HOW_TO_RESIZE, resized
from surrogate_nas.datasets.resizing import DEFAULT_RESIZE, ResizeName, square_side
from surrogate_nas.datasets.split_file import VALIDATION
from surrogate_nas.foundation.arrays import Array
from surrogate_nas.foundation.errors import InputError

TUNES = ("tune", *VALIDATION)
HELD_OUT = ("tune", "test")
IMAGES, LABELS = (("images", "tune_images", "test_images"), ("labels", "tune_labels", "test_labels"))
SPELLINGS = {
    "images": ("images", "train_images", "x_train", "x"),
    "labels": ("labels", "train_labels", "y_train", "y"),
    "tune_images": tuple(f"{name}_images" for name in TUNES) + tuple(f"x_{name}" for name in TUNES),
    "tune_labels": tuple(f"{name}_labels" for name in TUNES) + tuple(f"y_{name}" for name in TUNES),
    "test_images": ("test_images", "x_test"),
    "test_labels": ("test_labels", "y_test"),
    "classes": ("classes",),
}


def read_npz(path: Path, image_size: int | None, resize: ResizeName = DEFAULT_RESIZE) -> Dataset:
    """Read a data set from the arrays of an .npz file.

    The arrays `images` and `labels` are required. Optional are `val_images` and `val_labels`, the tune split,
    `test_images` and `test_labels`, the test split, and `classes`. Other spellings, in any case: `x_train`, `y_train`,
    `x_val`, `y_val`, `x_test`, `y_test`; `train_images`, `train_labels`; `X`, `y`; and `valid`, `validation` or `tune`
    instead of `val`.

    Args:
        path: the file. Images have shapes and types as for `channels_first` and `to_bytes`; labels are (N,) or (N, 1)
            class numbers ≥ 0, or names of classes.
        image_size: side in pixels of the squares that images become; by default their shorter side, or for `pad` their
            longer side.
        resize: way in which images that are not square become square.

    Raises:
        InputError: for a file or array, which the message names, that cannot be used.
    """
    arrays, left_out = _arrays(path)
    try:
        return _dataset(path.stem, arrays, left_out, image_size, resize)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _dataset(
    stem: str, arrays: Mapping[str, Array], left_out: Sequence[str], image_size: int | None, resize: ResizeName
) -> Dataset:
    labels, classes = _labels(arrays)
    _check_lengths(arrays)
    images, tally = _images(arrays, image_size, resize)
    _, channels, side, _ = images["images"].shape
    notes = tally.sentences(side, channels, resize)
    train = LabeledImages(images["images"], labels["labels"])
    held_out = dict[str, LabeledImages]()
    for part in HELD_OUT:
        if f"{part}_images" in images:
            held_out[part] = LabeledImages(images[f"{part}_images"], labels[f"{part}_labels"])
            notes = (*notes, *lacking_classes(classes, held_out[part].labels, part))
    if left_out:
        notes = (*notes, f"unused arrays: {', '.join(left_out)}")
    test, tune = held_out.get("test"), held_out.get("tune")
    return Dataset(
        f"npz:{stem}", train, test, classes, flips=True, notes=notes, tune=tune, resize=resize, oblong=tally.oblong
    )


def _arrays(path: Path) -> tuple[dict[str, Array], list[str]]:
    """The arrays by their standard names, which are the keys of `SPELLINGS`, and the names of unused arrays."""
    try:
        with path.open("rb") as file:  # because NumPy does not close a damaged file
            file_arrays = np.load(file, allow_pickle=False)
            if not isinstance(file_arrays, np.lib.npyio.NpzFile):
                raise InputError(f"{path} contains a single array; expected an .npz file with images and labels")
            names = _names(path, file_arrays.files)
            arrays = {role: _array(file_arrays, name, path) for role, name in names.items()}
            return arrays, sorted(set(file_arrays.files) - set(names.values()))
    except InputError:
        raise
    except Exception:  # NumPy and zipfile raise exceptions of any type on damaged files
        raise InputError(f"{path} is not a readable .npz file") from None


def _names(path: Path, stored_names: list[str]) -> dict[str, str]:
    """The name in the file of each array."""
    names = {}
    for role, spellings in SPELLINGS.items():
        fitting = [name for name in stored_names if name.lower() in spellings]
        if len(fitting) > 1:
            raise InputError(f"{path} has {' and '.join(fitting)}, which mean the same; expected only one of them")
        if fitting:
            names[role] = fitting[0]
    for role in ("images", "labels"):
        if role not in names:
            raise InputError(f"{path} has no array {role}; its arrays: {', '.join(stored_names) or 'none'}")
    for part in HELD_OUT:
        there, lacking = sorted((f"{part}_images", f"{part}_labels"), key=lambda role: role not in names)
        if there in names and lacking not in names:
            raise InputError(f"{path} has {names[there]} but no {lacking}")
    return names


def _array(file_arrays: Mapping[str, Array], name: str, path: Path) -> Array:
    try:
        array = file_arrays[name]
    except MemoryError:
        raise InputError(f"{name} in {path} does not fit into memory") from None
    except Exception as error:  # as above
        if "allow_pickle" in str(error):
            raise InputError(f"{name} in {path} has Python objects, which are not read; save it as numbers") from None
        raise InputError(f"{name} in {path} is damaged") from None
    if not isinstance(array, np.ndarray):
        raise InputError(f"{name} in {path} is not a NumPy array")
    return array


def _labels(arrays: Mapping[str, Array]) -> tuple[dict[str, Labels], tuple[str, ...]]:
    """(N,) class indices of each array of labels, and the classes' names."""
    labels = {name: _flat(arrays[name], name) for name in LABELS if name in arrays}
    kinds = {values.dtype.kind in "US" for values in labels.values()}
    if len(kinds) > 1:
        raise InputError(f"{' and '.join(labels)} mix numbers and names; use one kind for all")
    classes = tuple(_texts(_flat(arrays["classes"], "classes"), "classes")) if "classes" in arrays else None
    if kinds == {True}:
        texts = {name: _texts(values, name) for name, values in labels.items()}
        classes = classes or tuple(sorted(set(texts["labels"])))
        return {name: _indices(values, classes, name) for name, values in texts.items()}, classes
    numbers = {name: _numbers(values, name) for name, values in labels.items()}
    numbered_names = numbered_classes(numbers["labels"], "labels")
    return numbers, classes or numbered_names


def _flat(values: Array, name: str) -> Array:
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or not len(values):
        raise InputError(f"{name} has the shape {values.shape}; allowed: (N,) with at least one entry")
    return values


def _numbers(values: Array, name: str) -> Labels:
    if values.dtype.kind not in "buif":
        raise InputError(f"{name} is of type {values.dtype}; allowed: integers, or the names of classes")
    odd = ~np.isfinite(values) | (values != np.floor(values)) if values.dtype.kind == "f" else np.zeros(1, np.bool_)
    if odd.any():
        raise InputError(f"{name} has the value {values[odd.argmax()]}; allowed: integers ≥ 0")
    if values.min() < 0 or values.max() > np.iinfo(np.int32).max:
        value = values.min() if values.min() < 0 else values.max()
        raise InputError(f"{name} has the value {value}; allowed: integers ≥ 0")
    return values.astype(np.int64)


def _texts(values: Array, name: str) -> list[str]:
    try:
        return [value.decode() if isinstance(value, bytes) else str(value) for value in values.tolist()]
    except UnicodeDecodeError:
        raise InputError(f"{name} has text that is not UTF-8") from None


def _indices(texts: list[str], classes: tuple[str, ...], name: str) -> Labels:
    index = {text: i for i, text in enumerate(classes)}
    for text in texts:
        if text not in index:
            raise InputError(f"{name} has the class {text!r}; allowed: {some(classes, MOST_ALLOWED)}")
    return np.array([index[text] for text in texts], dtype=np.int64)


def _check_lengths(arrays: Mapping[str, Array]) -> None:
    for images, labels in zip(IMAGES, LABELS, strict=True):
        if images in arrays and arrays[images].shape[:1] != arrays[labels].shape[:1]:
            raise InputError(
                f"{images} has the shape {arrays[images].shape} and {labels} {arrays[labels].shape}; "
                "their first dimensions must be equal"
            )


def _images(arrays: Mapping[str, Array], image_size: int | None, resize: ResizeName) -> tuple[dict[str, Images], Tally]:
    """(N, channels, size, size) of each array of images, and a tally of their conversions."""
    pixels = {str(name): channels_first(arrays[name], name) for name in IMAGES if name in arrays}
    channels = {name: values.shape[1] for name, values in pixels.items()}
    if len(set(channels.values())) > 1:
        raise InputError(f"{' and '.join(channels)} differ in channels, {' and '.join(map(str, channels.values()))}")
    side = _own_side(pixels, resize) if image_size is None else image_size
    images, traits = to_bytes(pixels)
    tally = Tally()
    for name, values in images.items():
        tally.add((values.shape[3], values.shape[2]), traits[name], len(values))
    return {name: resized(values, side, resize) for name, values in images.items()}, tally


def _own_side(pixels: Mapping[str, Array], resize: ResizeName) -> int:
    """Common side of the squares, where their size is kept."""
    height, width = pixels["images"].shape[2:]
    side = square_side(width, height, resize)
    for name, values in pixels.items():
        height, width = values.shape[2:]
        if square_side(width, height, resize) != side or not SMALLEST_SIZE <= side <= LARGEST_SIZE:
            raise InputError(f"{name} have {width}×{height} pixels; {HOW_TO_RESIZE}")
    return side
