"""Tables of records."""

from collections.abc import Sequence
from typing import Any

from surrogate_nas.cli.output import print_table

RECORD_COLUMNS = {
    "name": "baseline",
    "id": "network",
    "round": "round",
    "origin": "origin",
    "status": "status",
    "seconds": "seconds",
    "last_exit_macs": "MACs to the end",
    "parameters": "parameters",
    "message": "why",
    "encoding": "encoding",
}


def print_records(rows: Sequence[dict[str, Any]]) -> None:
    """Print a table of records, with the columns present in its rows."""
    title = f"{len(rows)} record{'' if len(rows) == 1 else 's'}"
    names = [name for name in RECORD_COLUMNS if rows and name in rows[0]]
    cells = [[f"{r[n]:,}" if n in ("last_exit_macs", "parameters") else r[n] for n in names] for r in rows]
    print_table(title, [RECORD_COLUMNS[name] for name in names], cells)
