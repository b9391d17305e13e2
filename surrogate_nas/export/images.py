"""Read image files for an exported network, and classify them."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from surrogate_nas.datasets import pixels
from surrogate_nas.datasets.dataset import Images
from surrogate_nas.datasets.tree import files_below
from surrogate_nas.export.runtime import BATCH, ExportedNetwork
from surrogate_nas.foundation.errors import InputError


@dataclass(frozen=True, slots=True)
class Classified:
    """An image file with its prediction, or the error that prevented one."""

    image: str
    label: str | None = None
    probability: float | None = None
    exit: int | None = None
    """Number of the exit at which it left; 1 is the first position of the architecture."""
    macs: int | None = None
    error: str | None = None
    """Why there is no prediction."""


def image_files(paths: Sequence[Path]) -> list[Path]:
    """The files themselves, and all files below the folders, in the order of their paths.

    Raises:
        InputError: for a path with nothing at it, or a folder without files.
    """
    files = list[Path]()
    for path in paths:
        below = files_below(path)[0] if path.is_dir() else [path]
        if not path.exists() or not below:
            raise InputError(f"no images at {path}; allowed: image files, and folders of them")
        files += below
    return files


def read_image(path: Path, shape: tuple[int, int, int]) -> Images:
    """(channels, height, width) as for training: upright, central square, resized; grey or colour by `shape`.

    Raises:
        InputError: if it is no image.
    """
    channels, side, _ = shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # decoders' of odd metadata
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        values = pixels.read(path, side).values
    if len(values) > channels:
        return np.asarray(Image.fromarray(np.ascontiguousarray(values.transpose(1, 2, 0))).convert("L"))[None]
    return np.broadcast_to(values, shape)


def classify(network: ExportedNetwork, files: Sequence[Path], setting: int | None = None) -> Iterator[Classified]:
    """Predictions for the files, in their order; a file that cannot be read yields its error."""
    for at in range(0, len(files), BATCH):
        some = files[at : at + BATCH]
        results = [_image_or_error(path, network.shape) for path in some]
        images = [result for result in results if not isinstance(result, str)]
        answer = network.run(np.stack(images) if images else np.zeros((0, *network.shape), np.uint8), setting)
        answers = iter(zip(answer.classes, answer.probabilities, answer.exits, answer.macs, strict=True))
        for path, result in zip(some, results, strict=True):
            if isinstance(result, str):
                yield Classified(str(path), error=result)
                continue
            c, probabilities, exit, macs = next(answers)
            yield Classified(str(path), network.labels[c], float(probabilities[c]), int(exit), int(macs))


def _image_or_error(path: Path, shape: tuple[int, int, int]) -> Images | str:
    try:
        return read_image(path, shape)
    except InputError as error:
        return str(error)
