"""Tables printed for people."""

import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from surrogate_nas.exits.limit_table import BREAKS, BREAKS_LEGEND

MOST_ROWS = 12
WIDTH_OF_FILES = 180
console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH_OF_FILES)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], note: str = "") -> None:
    """Print a table, with numbers aligned to the right; all columns but the first may wrap."""
    table = Table(
        title=title, title_justify="left", caption=note or None, caption_justify="left", box=None, pad_edge=False
    )
    for i, column in enumerate(columns):
        numeric = all(str(row[i])[:1].isdigit() or str(row[i]) in ("", "–") for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold", no_wrap=i == 0)
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console.print(table)


def with_legend(note: str, rows: Sequence[Sequence[str]]) -> str:
    """A note on a table, with the meaning of the sign of broken limits where a cell has it."""
    return f"{note}\n{BREAKS_LEGEND}" if any(BREAKS in cell for row in rows for cell in row) else note


def print_rows(rows: Sequence[dict[str, Any]], title: str) -> None:
    """Print rows as a table, with their keys as columns."""
    cells = [
        [
            f"{v:,}" if isinstance(v, int) else "–".join(f"{x:,}" for x in v) if isinstance(v, list) else v
            for v in row.values()
        ]
        for row in rows
    ]
    print_table(title, [name.replace("_", " ") for name in rows[0]], cells)
