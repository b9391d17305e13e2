"""Splits and groups of images from a CSV file.

The columns are `image`, and `split` or `group` or both. Images of one group, such as photographs of one object, are
always in the same split.
"""

import csv
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from io import StringIO
from pathlib import Path

import numpy as np

from surrogate_nas.datasets.dataset import PARTS, TEST, TO_CUT, TRAIN, TUNE, Dataset, GivenSplits
from surrogate_nas.datasets.notes import lacking_classes
from surrogate_nas.foundation.arrays import Ints
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.files import replaced

VALIDATION = ("val", "valid", "validation")
"""Other names of the tune split in data sets."""
COLUMNS = ("image", "split", "group")
_NUMBERS = {"": TO_CUT, "train": TRAIN, "tune": TUNE, "test": TEST, **dict.fromkeys(VALIDATION, TUNE)}


@dataclass(frozen=True, slots=True)
class _Row:
    """Split and group of one image."""

    line: int
    """Line number in the file, from 1."""
    part: int
    group: str


@dataclass(frozen=True)
class SplitFile:
    """A CSV file of splits and groups."""

    path: Path
    rows: dict[str, _Row]
    """Rows by image name, which is the path below the data folder, or the number."""

    @classmethod
    def read(cls, path: Path) -> "SplitFile":
        """Read a file.

        Raises:
            InputError: for a wrong header, a line with another number of cells, a duplicate image, or an unknown split.
        """
        try:
            lines = list(_lines(path.read_text(encoding="utf-8-sig")))
        except (OSError, ValueError, csv.Error):
            raise InputError(f"{path} is not a readable CSV file") from None
        if not lines:
            raise InputError(f"{path} is empty; expected the columns {', '.join(COLUMNS)}")
        (_, columns), *others = lines
        if "image" not in columns or len(columns) < 2 or len({*columns} & {*COLUMNS}) < len(columns):
            raise InputError(f"{path} has the columns {', '.join(columns)}; expected image, and split or group or both")
        rows = dict[str, _Row]()
        for line, cells in others:
            if len(cells) != len(columns):
                raise InputError(f"line {line} of {path} has {len(cells)} cells; expected {len(columns)}")
            values = dict(zip(columns, cells, strict=True))
            name, part = values["image"].removeprefix("./"), values.get("split", "").lower()
            if part not in _NUMBERS:
                allowed = f"allowed: {', '.join(PARTS)}, or empty to let the study choose"
                raise InputError(f"line {line} of {path} has the split {part!r}; {allowed}")
            if name in rows:
                raise InputError(f"line {line} of {path} repeats image {name!r} of line {rows[name].line}")
            rows[name] = _Row(line, _NUMBERS[part], values.get("group", ""))
        return cls(path, rows)

    def write(self, path: Path) -> None:
        """Write the lines, sorted by image, to another file, atomically."""
        with replaced(path) as partial:
            partial.write_text(self._text, encoding="utf-8")

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the lines, independent of their order."""
        return hashlib.sha256(self._text.encode()).hexdigest()

    @property
    def _text(self) -> str:
        text = StringIO()
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(COLUMNS)
        lines.writerows((name, (*PARTS, "")[row.part], row.group) for name, row in sorted(self.rows.items()))
        return text.getvalue()

    def given(self, names: Sequence[str], own_parts: Ints) -> GivenSplits:
        """Splits and groups of a data set's images.

        An image without a split in the file joins the split of its group, if another image of the group has one. If the
        file has no splits at all, those of the data set are kept. An image without a group is a group by itself.

        Args:
            names: (N,) names of the images.
            own_parts: (N,) split numbers of the images in the data set itself.

        Raises:
            InputError: for an image without a line, a line without an image, or a group in two splits.
        """
        self._require_same_images(names)
        rows = [self.rows[name] for name in names]
        parts = np.array([row.part for row in rows]) if any(row.part != TO_CUT for row in rows) else None
        if not any(row.group for row in rows):
            return GivenSplits(parts, None, self.digest)
        number = dict[str, int]()
        keys = (f"group {row.group}" if row.group else f"image {name}" for name, row in zip(names, rows, strict=True))
        groups = np.array([number.setdefault(key, len(number)) for key in keys])
        followed = self._followed(names, rows, own_parts if parts is None else parts, groups)
        return GivenSplits(None if parts is None else followed, groups, self.digest)

    def _require_same_images(self, names: Sequence[str]) -> None:
        known = set(names)
        for name, row in self.rows.items():
            if name not in known:
                like = f"expected names like {names[0]!r}"
                raise InputError(f"line {row.line} of {self.path} names {name!r}, which is not an image; {like}")
        if lacking := [name for name in names if name not in self.rows]:
            count = f"{len(lacking):,} of {len(names):,} images"
            raise InputError(f"{self.path} has no line for {count}, the first of them {lacking[0]!r}; each needs one")

    def _followed(self, names: Sequence[str], rows: Sequence[_Row], parts: Ints, groups: Ints) -> Ints:
        """(N,) splits, with undecided images in that of their group; raises `InputError` for a group in two splits."""
        side = np.full(groups.max() + 1, TO_CUT)
        np.maximum.at(side, groups, parts)
        followed = np.where(parts == TO_CUT, side[groups], parts)
        if (astray := followed != side[groups]).any():
            one = int(astray.argmax())
            other = int(((groups == groups[one]) & (parts == side[groups[one]])).argmax())
            both = f"{PARTS[parts[one]]} ({names[one]}) and {PARTS[parts[other]]} ({names[other]})"
            raise InputError(f"group {rows[one].group!r} of {self.path} is in both {both}; allowed: one split")
        return followed

    def notes(self) -> tuple[str, ...]:
        """A sentence on the groups; empty if there are none."""
        sizes = Counter(row.group for row in self.rows.values() if row.group)
        if not sizes:
            return ()
        single = sum(not row.group for row in self.rows.values())
        (largest, size), alone = sizes.most_common(1)[0], f", and {single:,} without a group" if single else ""
        return (f"images are in {len(sizes):,} groups{alone}; the largest, {largest!r}, has {size:,} images",)


def with_given(dataset: Dataset, file: SplitFile, given: GivenSplits) -> Dataset:
    """Add the splits and groups of a file to a data set."""
    notes = dataset.notes
    if given.parts is not None:
        own = ((PARTS[number], part.labels) for number, part in dataset.parts.items() if number != TRAIN)
        untrue = {note for name, labels in own for note in lacking_classes(dataset.classes, labels, name)}
        notes = tuple(note for note in notes if note not in untrue)
    return replace(dataset, given=given, notes=(*notes, *file.notes()))


def with_splits(dataset: Dataset, file: SplitFile) -> Dataset:
    """Add the splits and groups of a file that names images by number, from 0 in the order of `Dataset.parts`.

    Raises:
        InputError: as `SplitFile.given`.
    """
    names = [str(i) for i in range(len(dataset.labels))]
    return with_given(dataset, file, file.given(names, dataset.own_parts))


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and cells of the lines that are not blank."""
    reader = csv.reader(StringIO(text), strict=True)
    for cells in reader:
        if any(cell.strip() for cell in cells):
            yield reader.line_num, [cell.strip() for cell in cells]
