"""Reading of image files for an exported network, and their classification."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import numpy as np
from PIL import Image

from surrogate_nas.datasets import pixels
from surrogate_nas.datasets.dataset import Images
from surrogate_nas.datasets.notes import no_images
from surrogate_nas.datasets.resizing import DEFAULT_RESIZE, ResizeName, resize_name
from surrogate_nas.datasets.tree import files_below
from surrogate_nas.export.runtime import BATCH, ExportedNetwork, Guard
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.progress import say


@dataclass(frozen=True, slots=True)
class Classified:
    """An image file with its prediction, or the error that prevented one."""

    image: str
    label: str | None = None
    probability: float | None = None
    exit: int | None = None
    """Number of the exit at which the image left; 1 is the first position of the architecture."""
    macs: int | None = None
    error: str | None = None
    """Error that prevented a prediction."""


def image_files(paths: Sequence[Path]) -> list[Path]:
    """Paths of files, and of all images below folders, in the order of the given paths.

    Files in folders that are neither named nor built like images, such as a licence, are left out, which is noted.

    Raises:
        InputError: for a path that does not exist, or a folder without images.
    """
    files, strays = list[Path](), list[str]()
    for path in paths:
        below = files_below(path)[0] if path.is_dir() else [path]
        keeps = [not path.is_dir() or pixels.is_image(file) for file in below]
        if not path.exists() or not any(keeps):
            raise InputError(f"no images at {path}; allowed: image files, and folders of them")
        files += compress(below, keeps)
        strays += [file.name for file, keep in zip(below, keeps, strict=True) if not keep]
    for note in no_images(strays):
        say(note)
    return files


def resize_of(network: ExportedNetwork) -> ResizeName:
    """How pictures that are not square become square for a network: as those that it was trained on.

    Raises:
        InputError: if its manifest names no way that is known here.
    """
    # Absent from manifests of older versions, whose networks take the central square.
    name = network.manifest["input"].get("resize", DEFAULT_RESIZE)
    return resize_name(name)


def read_image(path: Path, shape: tuple[int, int, int], resize: ResizeName = DEFAULT_RESIZE) -> Images:
    """(channels, height, width) as for training: upright, made square by `resize`; grey or colour by `shape`.

    Raises:
        InputError: if the file is not an image.
    """
    channels, side, _ = shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings of decoders about odd metadata
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        values = pixels.read(path, side, resize).values
    if len(values) > channels:
        return np.asarray(Image.fromarray(np.ascontiguousarray(values.transpose(1, 2, 0))).convert("L"))[None]
    return np.broadcast_to(values, shape)


def classify(network: ExportedNetwork, files: Sequence[Path], setting: int | None = None) -> Iterator[Classified]:
    """Predictions for the files, in their order; a file that cannot be read yields its error."""
    resize = resize_of(network)
    for at in range(0, len(files), BATCH):
        some = files[at : at + BATCH]
        results = [_image_or_error(path, network.shape, resize) for path in some]
        images = [result for result in results if not isinstance(result, str)]
        answer = network.run(np.stack(images) if images else np.zeros((0, *network.shape), np.uint8), setting)
        answers = iter(zip(answer.classes, answer.probabilities, answer.exits, answer.macs, strict=True))
        for path, result in zip(some, results, strict=True):
            if isinstance(result, str):
                yield Classified(str(path), error=result)
                continue
            c, probabilities, exit, macs = next(answers)
            yield Classified(str(path), network.labels[c], float(probabilities[c]), int(exit), int(macs))


def show(guard: Guard, network: ExportedNetwork, rows: Sequence[Classified]) -> None:
    """Let a guard see classified images, in a random order: files are often sorted by class."""
    place, answers = {stage.exit: x for x, stage in enumerate(network.stages)}, network.labels.index
    for i in np.random.default_rng(guard.images).permutation(len(rows)):
        row = rows[i]
        if row.error is None and row.label is not None and row.exit is not None and row.probability is not None:
            guard.see(place[row.exit], row.probability, answers(row.label))


def _image_or_error(path: Path, shape: tuple[int, int, int], resize: ResizeName) -> Images | str:
    try:
        return read_image(path, shape, resize)
    except InputError as error:
        return str(error)
