"""A study's images: its own copy, or what it was made of, read again."""

from dataclasses import replace
from pathlib import Path

from surrogate_nas import datasets
from surrogate_nas.datasets.dataset import Dataset
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.progress import say
from surrogate_nas.settings import Settings


def read(data: str | Path | Dataset, settings: Settings, image_size: int | None, flips: bool | None) -> Dataset:
    """The images that are meant; what was done to them is said."""
    if isinstance(data, Dataset):
        if image_size not in (None, data.shape.size):
            size = data.shape.size
            raise InputError(f"images in memory have {size} pixels, got image_size {image_size}; resize them before")
        return data if flips is None else replace(data, flips=flips)
    loaded = datasets.load(str(data), settings.data_root, settings.download, image_size=image_size, flips=flips)
    for note in loaded.notes:
        say(f"data {loaded.name}: {note}")
    return loaded
