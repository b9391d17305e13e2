"""Loading of a data set by its source: a name, a folder of images, or an .npz file."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

from surrogate_nas.datasets.dataset import TEST, TRAIN, TUNE, Dataset, LabeledImages, check_image_size
from surrogate_nas.datasets.named import dataset_names, read_named
from surrogate_nas.datasets.notes import Tally
from surrogate_nas.datasets.resizing import DEFAULT_RESIZE, ResizeName, resize_name
from surrogate_nas.datasets.split_file import SplitFile, with_splits
from surrogate_nas.datasets.tree import files_below
from surrogate_nas.foundation.errors import InputError

NPZ = ".npz"


def load(
    data: str,
    root: Path | None = None,
    download: bool = False,
    *,
    image_size: int | None = None,
    flips: bool | None = None,
    splits: Path | None = None,
    resize: str = DEFAULT_RESIZE,
) -> Dataset:
    """Read a data set into memory.

    Args:
        data: one of `dataset_names()`, of which `digits` needs no files and the others are read in torchvision's
            layout; or the path of a folder of images by class (`folders.read_folder`) or of an .npz file
            (`npz.read_npz`).
        root: folder that holds the files of a named set; needed for all but `digits`.
        download: whether torchvision may download missing files.
        image_size: side in pixels that all images are resized to; by default they keep their size.
        flips: whether a mirror image is still an image of its class; by default the known value of a named set, and
            true for other data.
        splits: CSV file of splits and groups; see `split_file`. It names images by their paths below the folder; images
            of a named set or an .npz file by their numbers from 0, counted over train, then tune and test if they
            exist.
        resize: way in which pictures that are not square become square, one of `RESIZES`.

    Raises:
        InputError: for an unknown name, a missing root, missing or damaged files, or invalid splits.
        JobError: if torchvision is needed and cannot be imported.
    """
    check_image_size(image_size)
    how, file = resize_name(resize), None if splits is None else SplitFile.read(splits)
    if data in dataset_names():
        dataset = replace(_resize(read_named(data, root, download), image_size), resize=how)
    else:
        dataset = _from_path(data, image_size, file, how)
    if file is not None and dataset.given is None:
        dataset = with_splits(dataset, file)
    return dataset if flips is None else replace(dataset, flips=flips)


def source_stamp(data: str) -> str | None:
    """Digest of the paths, sizes and times of a folder's files or of an .npz file, without reading contents.

    `None` for a named set, and where nothing exists at that path.
    """
    path = _path(data)
    if path is None:
        return None
    files = files_below(path)[0] if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        try:
            state = file.stat()
        except OSError:  # a dangling link
            state = file.lstat()
        digest.update(
            f"{file.relative_to(path).as_posix()}\0{state.st_size}\0{state.st_mtime_ns}\0".encode(
                "utf-8", "surrogateescape"
            )
        )
    return digest.hexdigest()


def _path(data: str) -> Path | None:
    """Path of the folder or .npz file; `None` if there is none."""
    if not data or data in dataset_names():
        return None
    try:
        path = Path(data).expanduser()
    except RuntimeError:  # no such user's home
        return None
    return path if path.is_dir() or (path.suffix.lower() == NPZ and path.is_file()) else None


def _from_path(data: str, image_size: int | None, splits: SplitFile | None, resize: ResizeName) -> Dataset:
    path = _path(data)
    if path is None:
        if data.startswith((".", "~")) or data.lower().endswith(NPZ) or any(s in data for s in ("/", os.sep)):
            raise InputError(f"no folder or {NPZ} file at {data!r}")
        raise InputError(
            f"unknown data set {data!r}; allowed: {', '.join(dataset_names())}, "
            f"or the path of a folder of images or of an {NPZ} file"
        )
    # Imported late: Pillow is needed only to convert images, and would slow down start-up.
    if path.is_dir():
        from surrogate_nas.datasets.folders import read_folder

        return read_folder(path, image_size, splits, resize)
    from surrogate_nas.datasets.npz import read_npz

    return read_npz(path, image_size, resize)


def _resize(dataset: Dataset, side: int | None) -> Dataset:
    if side is None or dataset.shape.size == side:
        return dataset
    from surrogate_nas.datasets.pixels import resized  # late, as above

    tally, size = Tally(), (dataset.shape.size,) * 2
    parts = dataset.parts
    for part in parts.values():
        tally.add(size, (), len(part))
    smaller = {i: LabeledImages(resized(part.images, side), part.labels) for i, part in parts.items()}
    notes = (*dataset.notes, *tally.sentences(side, dataset.shape.channels))
    train, tune, test = smaller[TRAIN], smaller.get(TUNE), smaller.get(TEST)
    return replace(dataset, train=train, tune=tune, test=test, notes=notes)
