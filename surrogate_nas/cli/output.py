"""Tables and lines printed for people."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from surrogate_nas.exits.limit_table import BREAKS, BREAKS_LEGEND

MOST_ROWS = 12
WIDTH_OF_FILES = 180
INDENT = "  "
ENCODINGS = ("encoding", "sample")
"""Keys of rows whose values are encodings."""
GAP = 2
"""Largest number of blanks between columns."""
ROW = "row"
"""Key of the row number in the style of cells."""
console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH_OF_FILES)


class EncodingTable(Table):
    """A table with an encoding on a separate line below each row, unbroken, so that a double click selects it."""

    encodings: Sequence[str] = ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = list(Segment.split_lines(super().__rich_console__(console, options)))  # type: ignore[arg-type]
        rows = [_row_of(line) for line in lines]
        for line, row, after in zip(lines, rows, [*rows[1:], None], strict=True):
            yield from (*line, Segment.line())
            if row is not None and row != after and row < len(self.encodings):
                yield from (Segment(INDENT + self.encodings[row]), Segment.line())


def _row_of(line: Iterable[Segment]) -> int | None:
    """Row number of a printed line; `None` for headings and notes."""
    return next((s.style.meta[ROW] for s in line if s.style is not None and ROW in s.style.meta), None)


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    note: str = "",
    *,
    encodings: Sequence[str] = (),
    wide: bool = False,
) -> None:
    """Print a table, with numbers aligned to the right.

    On a terminal, cells wrap at spaces if the table does not fit otherwise; in a file, they never wrap. Words are never
    broken.

    Args:
        title: heading of the table.
        columns: heading of each column.
        rows: cells of each row.
        note: text below the table.
        encodings: encoding of each row, printed below it on one line.
        wide: whether to print each row on one line of any length, with its encoding at the end.
    """
    if wide and encodings:
        columns = [*columns, "encoding"]
        rows = [[*row, encoding] for row, encoding in zip(rows, encodings, strict=True)]
    heading = Text(title, style="table.title") if title else None
    table = EncodingTable(title=heading, title_justify="left", box=None, pad_edge=False)
    table.encodings = () if wide else encodings
    cells = [[str(row[i]) for row in rows] for i in range(len(columns))]
    least, fold = _least_widths(columns, cells, wide=wide)
    for column, texts, width in zip(columns, cells, least, strict=True):
        numeric = all(text[:1].isdigit() or text in ("", "–") for text in texts)
        side: Literal["left", "right"] = "right" if numeric else "left"
        table.add_column(Text(column), justify=side, min_width=width, max_width=width if fold else None)
    for i, row in enumerate(rows):
        table.add_row(*(Text(str(cell)) for cell in row), style=Style(meta={ROW: i}))
    console.print(table, crop=False)
    if note:
        console.print(note, markup=False)


def _least_widths(columns: Sequence[str], cells: Sequence[Sequence[str]], *, wide: bool) -> tuple[list[int], bool]:
    """Smallest width of each column, and whether the room is too narrow for columns at full width.

    Headings wrap unless `wide`; cells wrap on a terminal that has room for wrapped cells but not for whole ones.
    """
    headings = [cell_len(column) if wide else _longest_word(column) for column in columns]
    whole = [max([least, *map(cell_len, texts)]) for least, texts in zip(headings, cells, strict=True)]
    words = [max(map(_longest_word, (column, *texts))) for column, texts in zip(columns, cells, strict=True)]
    words[0] = whole[0]  # the first column, which names the row, never wraps
    room = console.width - GAP * (len(columns) - 1)
    if console.is_terminal and not wide and sum(words) <= room < sum(whole):
        return _folded(words, whole, room), True
    return whole, sum(max(pair) for pair in zip(whole, map(cell_len, columns), strict=True)) > room


def _folded(words: Sequence[int], whole: Sequence[int], room: int) -> list[int]:
    """Widths of columns, as many of them at full width as the room allows, those that need the least first."""
    widths = list(words)
    for i in sorted(range(len(widths)), key=lambda i: whole[i] - words[i]):
        if sum(widths) + whole[i] - words[i] <= room:
            widths[i] = whole[i]
    return widths


def _longest_word(text: str) -> int:
    """Width of the longest word of a text; words are never broken."""
    return max(map(cell_len, text.split()), default=0)


def print_line(text: str) -> None:
    """Print text without added line breaks, so that paths and encodings stay whole, and without markup."""
    console.print(text, soft_wrap=True, markup=False)


def with_legend(note: str, rows: Sequence[Sequence[str]]) -> str:
    """A note on a table, and the meaning of the sign of broken limits if a cell has it."""
    return f"{note}\n{BREAKS_LEGEND}" if any(BREAKS in cell for row in rows for cell in row) else note


def print_rows(rows: Sequence[dict[str, Any]], title: str, note: str = "", *, wide: bool = False) -> None:
    """Print rows as a table, with their keys as headings; `wide` and encodings as in `print_table`."""
    names = [name for name in rows[0] if name not in ENCODINGS]
    cells = [[_cell(row[name]) for name in names] for row in rows]
    encodings = [row[name] for row in rows for name in ENCODINGS if name in row]
    print_table(title, [name.replace("_", " ") for name in names], cells, note, encodings=encodings, wide=wide)


def _cell(value: object) -> object:
    """Text of a cell: integers with thousands separators, a list of two numbers as a range."""
    if isinstance(value, list):
        return "–".join(f"{x:,}" for x in value)
    return f"{value:,}" if isinstance(value, int) else value
