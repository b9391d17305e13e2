"""A folder of images by class: DIR/CLASS/…, or DIR/train/CLASS/… and DIR/test/CLASS/…"""

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

from surrogate_nas.datasets import pixels
from surrogate_nas.datasets.dataset import Dataset, Images, LabeledImages
from surrogate_nas.datasets.notes import MOST_ALLOWED, Tally, hidden_files, no_images, some, untested_classes
from surrogate_nas.datasets.pixels import Pixels
from surrogate_nas.datasets.resizing import DEFAULT_RESIZE, ResizeName
from surrogate_nas.datasets.tree import files_below, listing
from surrogate_nas.foundation.errors import InputError

TRAIN, TEST, VALIDATION = "train", "test", ("val", "valid", "validation")
READ_AHEAD = 256  # images that wait in memory at a time
ClassFiles = dict[str, list[Path]]
"""The image files of each class, sorted."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """The folders that hold class folders."""

    train: tuple[Path, ...]
    test: Path | None
    notes: tuple[str, ...] = ()
    strays: tuple[Path, ...] = ()
    """Files beside `train` that are no images."""


@dataclass(frozen=True, slots=True)
class _Part:
    """The class folders in a folder."""

    files: ClassFiles
    hidden: int
    """Number of hidden entries."""
    strays: tuple[Path, ...]
    """Files that are no images."""


def read_folder(folder: Path, image_size: int | None, resize: ResizeName = DEFAULT_RESIZE) -> Dataset:
    """Read a folder of images by class, at any depth below their class's folder.

    Classes are sorted by name, and the images of each by path. Hidden files are left out, and files that are neither
    called nor made like images, such as a licence; both are noted. Where there is no `test`
    beside `train`, a folder named `val`, `valid` or `validation` takes its place; where there is, it adds to `train`.

    Args:
        folder: folder of class folders, or of `train` and `test` with class folders.
        image_size: side in pixels that all images are resized to; by default they must be squares of one size.
        resize: how pictures that are not square become square.

    Raises:
        InputError: naming the folder or file that is wrong.
    """
    layout = _layout(folder)
    parts = [_classes(part) for part in layout.train]
    train = _merge(layout.train, parts)
    names = tuple(sorted(train))
    _check(layout, train)
    test: ClassFiles = {}
    if layout.test is not None:
        parts.append(_classes(layout.test))
        test = parts[-1].files
        _check_test(layout.test, test, train)

    paths = [path for part in (train, test) for name in names for path in part.get(name, [])]
    counts = [len(part.get(name, [])) for part in (train, test) for name in names]
    labels = np.repeat(np.tile(np.arange(len(names), dtype=np.int64), 2), counts)
    images, tally = _read(paths, image_size, resize)

    cut = sum(counts[: len(names)])
    strays = [path.name for path in (*layout.strays, *(path for part in parts for path in part.strays))]
    left_out = (*hidden_files(sum(part.hidden for part in parts)), *no_images(strays))
    notes = (*tally.sentences(images.shape[2], images.shape[1], resize), *left_out, *layout.notes)
    held_out = None
    if test:
        held_out = LabeledImages(images[cut:], labels[cut:])
        notes = (*notes, *untested_classes(names, held_out.labels))
    name = f"folder:{Path(os.path.abspath(folder)).name}"
    train_part, oblong = LabeledImages(images[:cut], labels[:cut]), tally.oblong
    return Dataset(name, train_part, held_out, names, flips=True, notes=notes, resize=resize, oblong=oblong)


def _layout(folder: Path) -> _Layout:
    here = listing(folder)
    names = {path.name for path in here.folders}
    held_out = sorted(names & {TEST, *VALIDATION})
    others = sorted(names - {TRAIN, TEST, *VALIDATION})
    if TRAIN not in names or (others and not held_out):  # a class may be called "train"
        return _Layout((folder,), None)
    if others:
        raise InputError(f"{folder / others[0]} lies beside train; allowed there: {', '.join((TEST, *VALIDATION))}")
    images, strays = _sorted_out(here.files)
    if images:
        raise InputError(f"{images[0]} lies beside train; an image belongs in the folder of its class")
    train = folder / TRAIN
    if TEST in held_out:
        extra = [name for name in held_out if name != TEST]
        notes = tuple(f"the images of {name} were added to those of train" for name in extra)
        return _Layout((train, *(folder / name for name in extra)), folder / TEST, notes, strays)
    if len(held_out) > 1:
        raise InputError(f"{folder} has {' and '.join(held_out)}; name the one that is to be held out {TEST}")
    if held_out:
        notes = (f"{held_out[0]} is the test split, as there is no test",)
        return _Layout((train,), folder / held_out[0], notes, strays)
    return _Layout((train,), None, (), strays)


def _sorted_out(files: Iterable[Path]) -> tuple[list[Path], tuple[Path, ...]]:
    """Images, and files that are none."""
    images, strays = list[Path](), list[Path]()
    for path in files:
        (images if pixels.is_image(path) else strays).append(path)
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


def _merge(folders: Sequence[Path], parts: Sequence[_Part]) -> ClassFiles:
    """The classes of the first folder, with the images of the same classes in the others."""
    classes = parts[0].files
    for folder, part in zip(folders[1:], parts[1:], strict=True):
        _check_known(folder, part.files, classes)
        classes = {name: files + part.files.get(name, []) for name, files in classes.items()}
    return classes


def _check(layout: _Layout, train: ClassFiles) -> None:
    for name, files in train.items():
        if not files:
            raise InputError(f"{layout.train[0] / name} has no images")
    if len(train) == 1:
        raise InputError(f"{layout.train[0]} has one class, {next(iter(train))!r}; at least two are needed")


def _check_test(folder: Path, test: ClassFiles, train: ClassFiles) -> None:
    _check_known(folder, test, train)
    if not any(test.values()):
        raise InputError(f"{folder} has no images")


def _check_known(folder: Path, classes: ClassFiles, train: ClassFiles) -> None:
    for name in classes:
        if name not in train:
            raise InputError(
                f"{folder / name} is of a class that {TRAIN} lacks; there are {some(sorted(train), MOST_ALLOWED)}"
            )


def _read(paths: Sequence[Path], side: int | None, resize: ResizeName) -> tuple[Images, Tally]:
    with warnings.catch_warnings(), closing(_decode(paths, side, resize)) as images:
        # Decoders warn of odd metadata, which does not touch the pixels; but an image that would fill the memory is
        # not to be opened.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return pixels.gather(images, len(paths))


def _decode(paths: Sequence[Path], side: int | None, resize: ResizeName) -> Generator[Pixels, None, None]:
    """The images in the order of `paths`, decoded on all cores."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(paths), READ_AHEAD):
            yield from pool.map(partial(pixels.read, side=side, resize=resize), paths[start : start + READ_AHEAD])
