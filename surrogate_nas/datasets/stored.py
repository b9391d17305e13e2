"""A study's own copy of its data, in one safetensors file, so that the source is read once."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from surrogate_nas.datasets.dataset import PARTS, TEST, TUNE, Dataset, GivenSplits, LabeledImages
from surrogate_nas.datasets.resizing import DEFAULT_RESIZE, resize_name
from surrogate_nas.foundation.arrays import Array
from surrogate_nas.foundation.errors import InputError, one_line
from surrogate_nas.foundation.files import replaced

FORMATS = (1, 2)
"""Format versions: 2 adds an official tune split and given splits or groups, which readers of 1 would ignore."""
ALL_MAY_READ_AND_WRITE = 0o666
DESCRIPTION = "surrogate_nas.dataset"
GIVEN, GROUPS = "given.parts", "given.groups"
"""Names of the arrays of given splits and groups."""


def save(dataset: Dataset, path: Path) -> None:
    """Write a data set to `path`, atomically.

    Raises:
        InputError: if it cannot be written.
    """
    tensors: dict[str, Array] = {}
    for number, part in dataset.parts.items():
        tensors[f"{PARTS[number]}.images"] = np.ascontiguousarray(part.images)
        tensors[f"{PARTS[number]}.labels"] = np.ascontiguousarray(part.labels)
    given = dataset.given
    if given is not None:
        arrays = ((GIVEN, given.parts), (GROUPS, given.groups))
        tensors |= {name: array for name, array in arrays if array is not None}
    description = {
        "format": FORMATS[dataset.tune is not None or given is not None],
        "name": dataset.name,
        "classes": dataset.classes,
        "flips": dataset.flips,
        "notes": dataset.notes,
        "resize": dataset.resize,
        "oblong": dataset.oblong,
        **({} if given is None else {"splits": given.digest}),
    }
    try:
        with replaced(path) as partial:
            save_file(tensors, partial, metadata={DESCRIPTION: json.dumps(description)})
            partial.chmod(path.parent.stat().st_mode & ALL_MAY_READ_AND_WRITE)  # of the folder, not of a temporary file
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be written: {one_line(error)}") from None


def load(path: Path) -> Dataset:
    """Read a file of `save`.

    Raises:
        InputError: if there is no such file, or it is damaged or of another kind.
    """
    if not path.is_file():
        raise InputError(f"no data at {path}")
    try:
        with safe_open(path, framework="numpy") as file:
            description = json.loads((file.metadata() or {})[DESCRIPTION])
            if description["format"] not in FORMATS:
                raise InputError(f"format {description['format']}; allowed: {', '.join(map(str, FORMATS))}")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no iterator
        tune, test = (_part(tensors, n) if f"{n}.images" in tensors else None for n in (PARTS[TUNE], PARTS[TEST]))
        texts = (tuple(description["classes"]), description["flips"], tuple(description["notes"]))
        # Absent from copies of older versions, which took the central square.
        resize, oblong = resize_name(description.get("resize", DEFAULT_RESIZE)), description.get("oblong", 0.0)
        train = _part(tensors, "train")
        dataset = Dataset(description["name"], train, test, *texts, tune=tune, resize=resize, oblong=oblong)
        return _with_given(dataset, tensors, description["splits"]) if "splits" in description else dataset
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged or not a study's data: {one_line(error)}") from None


def _with_given(dataset: Dataset, tensors: dict[str, Array], digest: str) -> Dataset:
    for name in (GIVEN, GROUPS):
        array = tensors.get(name, dataset.labels)
        if array.dtype != np.int64 or array.shape != dataset.labels.shape:
            raise ValueError(f"{name} are {array.dtype}{array.shape}")
    return replace(dataset, given=GivenSplits(tensors.get(GIVEN), tensors.get(GROUPS), digest))


def _part(tensors: dict[str, Array], name: str) -> LabeledImages:
    images, labels = tensors[f"{name}.images"], tensors[f"{name}.labels"]
    if images.dtype != np.uint8 or images.ndim != 4 or labels.dtype != np.int64 or labels.ndim != 1:
        raise ValueError(f"{name} has images {images.dtype}{images.shape} and labels {labels.dtype}{labels.shape}")
    return LabeledImages(images, labels)
