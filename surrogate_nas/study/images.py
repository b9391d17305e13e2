"""A study's images: its own copy, or else the source, read again."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from surrogate_nas import datasets
from surrogate_nas.datasets import stored as store
from surrogate_nas.datasets.dataset import Dataset, Splits
from surrogate_nas.datasets.resizing import DEFAULT_RESIZE, resize_name
from surrogate_nas.datasets.split_file import SplitFile, with_splits
from surrogate_nas.datasets.splitting import settled, split
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.progress import say
from surrogate_nas.settings import Settings
from surrogate_nas.study.home import Home
from surrogate_nas.study.paths import DATA, SPLITS


def read_images(
    data: str | Path | Dataset,
    settings: Settings,
    image_size: int | None,
    flips: bool | None,
    splits: Path | None = None,
    resize: str | None = None,
) -> Dataset:
    """Read the images of a study, with splits and groups from a CSV file, and report all conversions on stderr."""
    if isinstance(data, Dataset):
        if image_size not in (None, data.shape.size):
            size = data.shape.size
            raise InputError(f"images in memory have {size} pixels, got image_size {image_size}; resize them first")
        if resize is not None and resize_name(resize) != data.resize:
            raise InputError(
                f"images in memory were made square by {data.resize}, got resize {resize}; pass resize to from_torch"
            )
        data = data if flips is None else replace(data, flips=flips)
        return data if splits is None else _reported(with_splits(data, SplitFile.read(splits)), data.notes)
    dataset = datasets.load(
        str(data),
        settings.data_root,
        settings.download,
        image_size=image_size,
        flips=flips,
        splits=splits,
        resize=resize or DEFAULT_RESIZE,
    )
    return _reported(dataset, known=())


def settle_splits(dataset: Dataset, seed: int, tune_share: float) -> Dataset:
    """Decide the splits of a data set where a file gives splits or groups, and report irregularities on stderr."""
    return _reported(settled(dataset, seed, tune_share), dataset.notes)


def _reported(dataset: Dataset, known: Sequence[str]) -> Dataset:
    for note in dataset.notes:
        if note not in known:
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
            InputError: if neither exists, or the images differ from those that the study was created with.
        """
        header, copy = self.home.archive.header, self.home.path / DATA
        dataset = store.load(copy) if copy.is_file() else self._read_again()
        digest = None if dataset.given is None else dataset.given.digest
        if (dataset.fingerprint(), digest) != (header.fingerprint, header.splits):
            raise InputError(f"data set {dataset.name!r} differs from the one that {self.home.path} was created with")
        if self._store_copy and not copy.is_file():
            with suppress(InputError):  # where nothing can be written, the source is read each time
                store.save(dataset, copy)
        return dataset

    def _read_again(self) -> Dataset:
        header, settings, splits = self.home.archive.header, self.home.settings, self.home.path / SPLITS
        source = header.data
        if source not in datasets.dataset_names():
            source = str(settings.data_root or source)
        dataset = read_images(
            source, settings, header.shape.size, None, splits if header.splits else None, header.resize
        )
        return settle_splits(dataset, header.seed, header.tune_share)

    def require_data(
        self,
        data: str | Path | Dataset | None,
        image_size: int | None,
        flips: bool | None,
        splits: Path | None = None,
        resize: str | None = None,
        tune_share: float | None = None,
        confidence: float | None = None,
    ) -> None:
        """Raise `InputError` if an argument differs from the images or splits of the study; `None` is not checked."""
        path, header = self.home.path, self.home.archive.header
        if image_size not in (None, header.shape.size):
            raise InputError(f"study {path} has images of {header.shape.size} pixels, got --image-size {image_size}")
        if resize is not None and resize_name(resize) != header.resize:
            raise InputError(f"study {path} was created with --resize {header.resize}, got --resize {resize}")
        if flips not in (None, self.dataset.flips):
            was, got = ("" if f else "no-" for f in (self.dataset.flips, flips))
            raise InputError(f"study {path} was created with --{was}flips, got --{got}flips")
        if tune_share not in (None, header.tune_share):
            had = f"has tune share {header.tune_share:g}"
            raise InputError(f"study {path} {had}, got --tune-share {tune_share:g}; another share needs a new study")
        if confidence not in (None, header.confidence):
            sealed = "has no sealed images" if header.confidence is None else f"has confidence {header.confidence:g}"
            raise InputError(f"study {path} {sealed}, got --confidence {confidence:g}; another needs a new study")
        if splits is not None and SplitFile.read(splits).digest != header.splits:
            raise InputError(
                f"study {path} was created with other splits, got --splits {splits}; they need a new study"
            )
        if data is None or data == header.data:
            return
        name = data.name if isinstance(data, Dataset) else str(data)
        other = InputError(f"study {path} has data {header.data}, got --data {name}; other data need a new study")
        if isinstance(data, Dataset):
            if data.fingerprint() != header.fingerprint:
                raise other
            return
        if name in datasets.dataset_names():
            raise other
        if (stamp := datasets.source_stamp(name)) is not None and stamp == header.source_stamp:
            return
        again = read_images(data, self.home.settings, header.shape.size, flips, resize=header.resize)
        if again.fingerprint() != header.fingerprint:
            raise other

    def splits(self) -> Splits:
        """The splits."""
        header = self.home.archive.header
        return split(self.dataset, header.seed, header.tune_share, header.sealed_share)
