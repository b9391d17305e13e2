"""A study's images: its own copy, or else the source, read again."""

from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from surrogate_nas import datasets
from surrogate_nas.datasets import stored as store
from surrogate_nas.datasets.dataset import Dataset, Splits
from surrogate_nas.datasets.splitting import split
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.progress import say
from surrogate_nas.settings import Settings
from surrogate_nas.study.home import Home
from surrogate_nas.study.paths import DATA


def read_images(data: str | Path | Dataset, settings: Settings, image_size: int | None, flips: bool | None) -> Dataset:
    """Read the images of a study; every change made to them is reported."""
    if isinstance(data, Dataset):
        if image_size not in (None, data.shape.size):
            size = data.shape.size
            raise InputError(f"images in memory have {size} pixels, got image_size {image_size}; resize them before")
        return data if flips is None else replace(data, flips=flips)
    dataset = datasets.load(str(data), settings.data_root, settings.download, image_size=image_size, flips=flips)
    for note in dataset.notes:
        say(f"data {dataset.name}: {note}")
    return dataset


class StudyImages:
    """The images of one study."""

    def __init__(self, home: Home, *, store_copy: bool = True) -> None:
        self.home, self._store_copy = home, store_copy

    @cached_property
    def dataset(self) -> Dataset:
        """The study's own copy of its images, or else the source, read again.

        Raises:
            InputError: if neither exists, or the images are not those of the study.
        """
        header, copy = self.home.archive.header, self.home.path / DATA
        source = self._source
        dataset = (
            store.load(copy) if copy.is_file() else read_images(source, self.home.settings, header.shape.size, None)
        )
        if dataset.fingerprint() != header.fingerprint:
            raise InputError(f"data set {dataset.name!r} is not the one that {self.home.path} was made with")
        if self._store_copy and not copy.is_file():
            with suppress(InputError):  # where nothing can be written it is read again each time
                store.save(dataset, copy)
        return dataset

    @property
    def _source(self) -> str:
        name = self.home.archive.header.data
        return name if name in datasets.dataset_names() else str(self.home.settings.data_root or name)

    def require_data(self, data: str | Path | Dataset | None, image_size: int | None, flips: bool | None) -> None:
        """Raise `InputError` if the arguments name other images than those of the study; `None` is any."""
        path, header = self.home.path, self.home.archive.header
        if image_size not in (None, header.shape.size):
            raise InputError(f"study {path} has images of {header.shape.size} pixels, got --image-size {image_size}")
        if flips not in (None, self.dataset.flips):
            was, got = ("" if f else "no-" for f in (self.dataset.flips, flips))
            raise InputError(f"study {path} was made with --{was}flips, got --{got}flips")
        if data is None or data == header.data:
            return
        name = data.name if isinstance(data, Dataset) else str(data)
        other = InputError(f"study {path} has data {header.data}, got --data {name}; that needs a study of its own")
        if isinstance(data, Dataset):
            if data.fingerprint() != header.fingerprint:
                raise other
            return
        if name in datasets.dataset_names():
            raise other
        if (stamp := datasets.source_stamp(name)) is not None and stamp == header.source_stamp:
            return
        if read_images(data, self.home.settings, header.shape.size, flips).fingerprint() != header.fingerprint:
            raise other

    def splits(self) -> Splits:
        """Train, tune and test."""
        header = self.home.archive.header
        return split(self.dataset, header.seed, header.tune_share)
