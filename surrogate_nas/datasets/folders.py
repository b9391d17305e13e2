"""A folder of images by class: DIR/CLASS/…, or DIR/train/CLASS/…, DIR/validation/CLASS/… and DIR/test/CLASS/…"""

import os
import warnings
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from surrogate_nas.datasets.dataset import PARTS, TEST_SHARE, Dataset, Images, LabeledImages
from surrogate_nas.datasets.notes import MOST_ALLOWED, Tally, hidden_files, lacking_classes, no_images, some
from surrogate_nas.datasets.pixels import Pixels, gather, is_image, read
from surrogate_nas.datasets.resizing import DEFAULT_RESIZE, ResizeName
from surrogate_nas.datasets.split_file import VALIDATION, SplitFile, with_given
from surrogate_nas.datasets.tree import files_below, listing
from surrogate_nas.foundation.errors import InputError

TRAIN, TEST = "train", "test"
READ_AHEAD = 256  # number of decoded images waiting in memory
ClassFiles = dict[str, list[Path]]
"""The image files of each class, sorted."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """The folders that contain class folders."""

    train: Path
    tune: Path | None = None
    test: Path | None = None
    notes: tuple[str, ...] = ()
    strays: tuple[Path, ...] = ()
    """Files beside `train` that are not images."""


@dataclass(frozen=True, slots=True)
class _Part:
    """The class folders in a folder."""

    files: ClassFiles
    hidden: int
    """Number of hidden entries."""
    strays: tuple[Path, ...]
    """Files that are not images."""


def read_folder(
    folder: Path, image_size: int | None, splits: SplitFile | None = None, resize: ResizeName = DEFAULT_RESIZE
) -> Dataset:
    """Read a folder of images by class, at any depth below the folder of their class.

    Classes are sorted by name, and the images of each by path. Hidden files are left out, and so are files that are
    images neither by name nor by content, such as a licence; notes report both. Beside `train`, a folder `test` is the
    test split, and a folder `val`, `valid` or `validation` the tune split.

    Args:
        folder: folder with class folders, or with `train`, optionally `val` and `test`, that have class folders.
        image_size: side in pixels that all images are resized to; by default they must be squares of one size.
        splits: splits and groups of the images, by their paths below `folder`; checked before images are decoded.
        resize: way in which pictures that are not square become square.

    Raises:
        InputError: if a folder or file, which the message names, is not as described above.
    """
    layout = _layout(folder)
    parts = [None if part is None else _classes(part) for part in (layout.train, layout.tune, layout.test)]
    files = [ClassFiles() if part is None else part.files for part in parts]
    names = tuple(sorted(files[0]))
    for held_out, classes in ((layout.tune, files[1]), (layout.test, files[2])):
        if held_out is not None:
            _check_held_out(held_out, classes, files[0])
    _check(layout.train, files[0])

    paths = [path for part in files for name in names for path in part.get(name, [])]
    counts = np.array([[len(part.get(name, [])) for name in names] for part in files])
    labels = np.repeat(np.tile(np.arange(len(names), dtype=np.int64), len(files)), counts.ravel())
    given = None
    if splits is not None:
        own_parts = np.repeat(np.arange(len(files)), counts.sum(axis=1))
        given = splits.given([path.relative_to(folder).as_posix() for path in paths], own_parts)
    images, tally = _read(paths, image_size, resize)

    cuts = np.cumsum(counts.sum(axis=1))[:-1]
    pieces = zip(np.split(images, cuts), np.split(labels, cuts), strict=True)
    train, tune, test = (LabeledImages(*piece) if len(piece[1]) else None for piece in pieces)
    assert train is not None
    there = [part for part in parts if part is not None]
    strays = [path.name for path in (*layout.strays, *(path for part in there for path in part.strays))]
    notes = [*tally.sentences(images.shape[2], images.shape[1], resize)]
    notes += [*hidden_files(sum(part.hidden for part in there)), *no_images(strays)]
    notes += layout.notes if given is None or given.parts is None else ()
    for name, part in zip(PARTS[1:], (tune, test), strict=True):
        notes += [] if part is None else lacking_classes(names, part.labels, name)
    name = f"folder:{Path(os.path.abspath(folder)).name}"
    dataset = Dataset(
        name, train, test, names, flips=True, notes=tuple(notes), tune=tune, resize=resize, oblong=tally.oblong
    )
    return dataset if splits is None or given is None else with_given(dataset, splits, given)


def _layout(folder: Path) -> _Layout:
    here = listing(folder)
    names = {path.name for path in here.folders}
    held_out = sorted(names & {TEST, *VALIDATION})
    others = sorted(names - {TRAIN, TEST, *VALIDATION})
    if TRAIN not in names or (others and not held_out):  # a class may be called "train"
        return _Layout(folder)
    if others:
        raise InputError(f"{folder / others[0]} lies beside train; allowed there: {', '.join((TEST, *VALIDATION))}")
    images, strays = _sorted_out(here.files)
    if images:
        raise InputError(f"{images[0]} lies beside train; an image belongs in the folder of its class")
    tune = [name for name in held_out if name != TEST]
    if len(tune) > 1:
        raise InputError(f"{folder} has {' and '.join(tune)}; allowed: only one of them, as the tune split")
    notes = [f"{name} is the tune split; without a folder test, {TEST_SHARE:.0%} of train is held out" for name in tune]
    return _Layout(
        folder / TRAIN,
        folder / tune[0] if tune else None,
        folder / TEST if TEST in held_out else None,
        () if TEST in held_out else tuple(notes),
        strays,
    )


def _sorted_out(files: Iterable[Path]) -> tuple[list[Path], tuple[Path, ...]]:
    """Separate image files from other files."""
    images, strays = list[Path](), list[Path]()
    for path in files:
        (images if is_image(path) else strays).append(path)
    return images, tuple(strays)


def _classes(folder: Path) -> _Part:
    """The image files of each class folder in `folder`."""
    here = listing(folder)
    if not here.folders:
        raise InputError(f"{folder} has no class folders; the images of each class belong in a folder with its name")
    images, strays = _sorted_out(here.files)
    if images:
        raise InputError(f"{images[0]} lies beside the class folders; an image belongs in the folder of its class")
    above = frozenset({folder.resolve(), *folder.resolve().parents})
    classes, hidden = ClassFiles(), here.hidden
    for path in here.folders:
        files, more_hidden = files_below(path, above)
        classes[path.name], more_strays = _sorted_out(files)
        hidden, strays = hidden + more_hidden, strays + more_strays
    return _Part(classes, hidden, strays)


def _check(folder: Path, train: ClassFiles) -> None:
    for name, files in train.items():
        if not files:
            raise InputError(f"{folder / name} has no images")
    if len(train) == 1:
        raise InputError(f"{folder} has one class, {next(iter(train))!r}; at least two are needed")


def _check_held_out(folder: Path, classes: ClassFiles, train: ClassFiles) -> None:
    _check_known(folder, classes, train)
    if not any(classes.values()):
        raise InputError(f"{folder} has no images")


def _check_known(folder: Path, classes: ClassFiles, train: ClassFiles) -> None:
    for name in classes:
        if name not in train:
            raise InputError(
                f"{folder / name} is a class that {TRAIN} lacks; allowed: {some(sorted(train), MOST_ALLOWED)}"
            )


def _read(paths: Sequence[Path], side: int | None, resize: ResizeName) -> tuple[Images, Tally]:
    with warnings.catch_warnings(), closing(_decode(paths, side, resize)) as images:
        # Decoders warn about unusual metadata, which does not affect pixels. An image that would fill the memory,
        # however, must not be opened.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return gather(images, len(paths))


def _decode(paths: Sequence[Path], side: int | None, resize: ResizeName) -> Generator[Pixels, None, None]:
    """The images in the order of `paths`, decoded on all cores."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(paths), READ_AHEAD):
            yield from pool.map(partial(read, side=side, resize=resize), paths[start : start + READ_AHEAD])
