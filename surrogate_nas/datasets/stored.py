"""A study's own copy of its data, in one safetensors file, so that the source is read once."""

import json
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from surrogate_nas.datasets.dataset import Dataset, LabeledImages
from surrogate_nas.datasets.resizing import DEFAULT_RESIZE, resize_name
from surrogate_nas.foundation.arrays import Array
from surrogate_nas.foundation.errors import InputError, one_line
from surrogate_nas.foundation.files import replaced

FORMAT = 1
ALL_MAY_READ_AND_WRITE = 0o666
DESCRIPTION = "surrogate_nas.dataset"


def save(dataset: Dataset, path: Path) -> None:
    """Write `path`, whole or not at all.

    Raises:
        InputError: if it cannot be written.
    """
    tensors: dict[str, Array] = {}
    for name, part in (("train", dataset.train), ("test", dataset.test)):
        if part is not None:
            tensors[f"{name}.images"] = np.ascontiguousarray(part.images)
            tensors[f"{name}.labels"] = np.ascontiguousarray(part.labels)
    description = {
        "format": FORMAT,
        "name": dataset.name,
        "classes": dataset.classes,
        "flips": dataset.flips,
        "notes": dataset.notes,
        "resize": dataset.resize,
        "oblong": dataset.oblong,
    }
    try:
        with replaced(path) as partial:
            save_file(tensors, partial, metadata={DESCRIPTION: json.dumps(description)})
            partial.chmod(path.parent.stat().st_mode & ALL_MAY_READ_AND_WRITE)  # as the folder's, not its owner's alone
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be written: {one_line(error)}") from None


def load(path: Path) -> Dataset:
    """Read a file of `save`.

    Raises:
        InputError: if there is no such file, or it is damaged or another's.
    """
    if not path.is_file():
        raise InputError(f"no data at {path}")
    try:
        with safe_open(path, framework="numpy") as file:
            description = json.loads((file.metadata() or {})[DESCRIPTION])
            if description["format"] != FORMAT:
                raise InputError(f"format {description['format']}; allowed: {FORMAT}")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no iterator
        test = _part(tensors, "test") if "test.images" in tensors else None
        texts = (tuple(description["classes"]), description["flips"], tuple(description["notes"]))
        # Absent from copies of older versions, which took the central square.
        resize, oblong = resize_name(description.get("resize", DEFAULT_RESIZE)), description.get("oblong", 0.0)
        return Dataset(description["name"], _part(tensors, "train"), test, *texts, resize=resize, oblong=oblong)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged or not a study's data: {one_line(error)}") from None


def _part(tensors: dict[str, Array], name: str) -> LabeledImages:
    images, labels = tensors[f"{name}.images"], tensors[f"{name}.labels"]
    if images.dtype != np.uint8 or images.ndim != 4 or labels.dtype != np.int64 or labels.ndim != 1:
        raise ValueError(f"{name} has images {images.dtype}{images.shape} and labels {labels.dtype}{labels.shape}")
    return LabeledImages(images, labels)
