"""Tables of records."""

from collections.abc import Sequence
from typing import Any

from surrogate_nas.cli.output import print_line, print_table

RECORD_COLUMNS = {
    "name": "baseline",
    "id": "network",
    "round": "round",
    "origin": "origin",
    "passes": "image passes",
    "status": "status",
    "seconds": "seconds",
    "last_exit_macs": "MACs to the last exit",
    "parameters": "parameters",
    "message": "reason",
}
EXACT = "MACs and parameters are exact; nothing in this table is measured on a split"


def print_records(rows: Sequence[dict[str, Any]], *, wide: bool = False) -> None:
    """Print a table of records, with the columns present in its rows; `wide` as in `print_table`."""
    title = f"{len(rows)} record{'' if len(rows) == 1 else 's'}"
    if not rows:
        print_line(title)
        return
    names = [name for name in RECORD_COLUMNS if any(name in row for row in rows)]
    cells = [[_cell(name, row.get(name, "")) for name in names] for row in rows]
    encodings = [row["encoding"] for row in rows]
    print_table(title, [RECORD_COLUMNS[name] for name in names], cells, EXACT, encodings=encodings, wide=wide)


def _cell(name: str, value: object) -> object:
    return f"{value:,}" if name in ("passes", "last_exit_macs", "parameters") else value
