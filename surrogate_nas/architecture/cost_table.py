"""Cost tables: one number per unit, timed or from another source, in a CSV file."""

import csv
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from surrogate_nas.architecture.units import AnyUnit
from surrogate_nas.foundation.errors import InputError, one_line
from surrogate_nas.foundation.files import replaced

UNIT, SPREAD, RUNS = "unit", "spread", "runs"


@dataclass(frozen=True, slots=True)
class Entry:
    """The cost of one unit."""

    value: float
    spread: float | None = None
    """Relative interquartile range of the timed runs."""
    runs: int | None = None
    """Number of timed runs."""


@dataclass(frozen=True, eq=False)
class CostTable:
    """A `CostModel` that looks up the cost of each unit. Two tables are equal only if they are the same object."""

    name: str
    """Unit of the cost as text: `µs`."""
    entries: Mapping[str, Entry]
    """Costs by the text form of each unit."""
    source: str = "the cost table"
    """Path of the file, for messages."""

    def cost(self, unit: AnyUnit) -> float:
        """Cost of one unit; raises `InputError` for one that is not in the table."""
        entry = self.entries.get(str(unit))
        if entry is None:
            raise InputError(
                f"{self.source} has no row for the unit {str(unit)!r}; `surrogate-nas spaces measure` measures it"
            )
        return entry.value

    def missing(self, units: Iterable[AnyUnit]) -> list[AnyUnit]:
        """Units that are not in the table."""
        return [unit for unit in units if str(unit) not in self.entries]

    @classmethod
    def read(cls, path: Path) -> "CostTable":
        """Read a CSV file with the columns `unit`, the name of the cost, and optionally `spread` and `runs`.

        Raises:
            InputError: one line with the file, the line, and the value got.
        """
        try:
            rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{path} cannot be read: {one_line(error)}") from None
        if not rows or len(rows[0]) < 2 or rows[0][0] != UNIT:
            got = repr(",".join(rows[0])) if rows else "an empty file"
            raise InputError(f"{path}, line 1: expected 'unit' and the name of the cost, as in 'unit,µs', got {got}")
        if len(set(rows[0][2:])) < len(rows[0][2:]):
            raise InputError(f"{path}, line 1: duplicate column names in {','.join(rows[0])!r}")
        entries: dict[str, Entry] = {}
        for line, row in enumerate(rows[1:], 2):
            where = f"{path}, line {line}"
            if len(row) != len(rows[0]):
                raise InputError(f"{where}: expected {len(rows[0])} values, got {len(row)}")
            if row[0] in entries:
                raise InputError(f"{where}: duplicate unit {row[0]!r}")
            optional = dict(zip(rows[0][2:], row[2:], strict=True))
            entries[row[0]] = Entry(
                _number(row[1], where),
                _number(optional[SPREAD], where) if optional.get(SPREAD) else None,
                int(_number(optional[RUNS], where)) if optional.get(RUNS) else None,
            )
        return cls(rows[0][1], entries, str(path))

    def write(self, path: Path) -> None:
        """Write a CSV file that `read` accepts, atomically."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([UNIT, self.name, SPREAD, RUNS])
        for unit, entry in sorted(self.entries.items()):
            writer.writerow(
                [
                    unit,
                    f"{entry.value:.6g}",
                    "" if entry.spread is None else f"{entry.spread:.3g}",
                    "" if entry.runs is None else entry.runs,
                ]
            )
        with replaced(path) as partial:
            partial.write_text(text.getvalue(), encoding="utf-8")


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise InputError(f"{where}: {text!r} is not a number ≥ 0")
    return value
