"""A study's images: its own copy, or else the source, read again."""

from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from surrogate_nas import datasets
from surrogate_nas.datasets import stored as store
from surrogate_nas.datasets.dataset import Dataset, Splits
from surrogate_nas.datasets.resizing import DEFAULT_RESIZE, resize_name
from surrogate_nas.datasets.splitting import split
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.progress import say
from surrogate_nas.settings import Settings
from surrogate_nas.study.home import Home
from surrogate_nas.study.paths import DATA


def read_images(
    data: str | Path | Dataset,
    settings: Settings,
    image_size: int | None,
    flips: bool | None,
    resize: str | None = None,
) -> Dataset:
    """Read the images of a study; every change made to them is reported."""
    if isinstance(data, Dataset):
        if image_size not in (None, data.shape.size):
            size = data.shape.size
            raise InputError(f"images in memory have {size} pixels, got image_size {image_size}; resize them before")
        if resize is not None and resize_name(resize) != data.resize:
            raise InputError(
                f"images in memory were made square by {data.resize}, got resize {resize}; give it to from_torch"
            )
        return data if flips is None else replace(data, flips=flips)
    dataset = datasets.load(
        str(data),
        settings.data_root,
        settings.download,
        image_size=image_size,
        flips=flips,
        resize=resize or DEFAULT_RESIZE,
    )
    for note in dataset.notes:
        say(f"data {dataset.name}: {note}")
    return dataset


class StudyImages:
    """The images of one study."""

    def __init__(self, home: Home) -> None:
        self._home = home

    @cached_property
    def dataset(self) -> Dataset:
        """The study's own copy of its images, or else the source, read again.

        Raises:
            InputError: if neither exists, or the images are not those of the study.
        """
        header, copy = self._home.archive.header, self._home.path / DATA
        source = self._source
        dataset = (
            store.load(copy)
            if copy.is_file()
            else read_images(source, self._home.settings, header.shape.size, None, header.resize)
        )
        if dataset.fingerprint() != header.fingerprint:
            raise InputError(f"data set {dataset.name!r} is not the one that {self._home.path} was made with")
        if not copy.is_file():
            with suppress(InputError):  # where nothing can be written it is read again each time
                store.save(dataset, copy)
        return dataset

    @property
    def _source(self) -> str:
        name = self._home.archive.header.data
        return name if name in datasets.dataset_names() else str(self._home.settings.data_root or name)

    def require_data(
        self, data: str | None, image_size: int | None, flips: bool | None, resize: str | None = None
    ) -> None:
        """Raise `InputError` if the arguments name other images than those of the study; `None` is any."""
        path, header = self._home.path, self._home.archive.header
        if image_size not in (None, header.shape.size):
            raise InputError(f"study {path} has images of {header.shape.size} pixels, got --image-size {image_size}")
        if resize is not None and resize_name(resize) != header.resize:
            raise InputError(f"study {path} was made with --resize {header.resize}, got --resize {resize}")
        if flips not in (None, self.dataset.flips):
            was, got = ("" if f else "no-" for f in (self.dataset.flips, flips))
            raise InputError(f"study {path} was made with --{was}flips, got --{got}flips")
        if data in (None, header.data):
            return
        other = InputError(f"study {path} has data {header.data}, got --data {data}; that needs a study of its own")
        if data in datasets.dataset_names():
            raise other
        if (stamp := datasets.source_stamp(data)) is not None and stamp == header.source_stamp:
            return
        again = read_images(data, self._home.settings, header.shape.size, flips, header.resize)
        if again.fingerprint() != header.fingerprint:
            raise other

    def splits(self) -> Splits:
        """Train, tune and test."""
        header = self._home.archive.header
        return split(self.dataset, header.seed, header.tune_share)
