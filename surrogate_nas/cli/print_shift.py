"""Output of `shift`: JSON, a table for people, and a CSV file."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from surrogate_nas.cli.output import print_line, print_table, with_legend
from surrogate_nas.cli.print_solutions import percentages
from surrogate_nas.datasets.corruptions import CORRUPTIONS
from surrogate_nas.documents import measurement_document, solution_document
from surrogate_nas.exits.limit_table import Quantity, marked
from surrogate_nas.foundation.files import replaced
from surrogate_nas.study.query_files import exit_columns
from surrogate_nas.study.shift import Shift, ShiftedImages

COLUMNS = (
    "test images",
    "level",
    "test accuracy [95 %]",
    "expected test MACs",
    "ratio to clean",
    "test exit rates %",
    "limits kept on test",
)
QUANTITIES: tuple[Quantity | None, ...] = (None, None, "accuracy", "expected_macs", None, None, None)


def document(shift: Shift) -> dict[str, Any]:
    """All results of a shift as a JSON document."""
    return {
        "network": solution_document(shift.solution, shift.limits),
        "limits": shift.limits.model_dump(),
        "clean": _row_document(shift.clean),
        "shifted": [_row_document(row) for row in shift.shifted],
        "mean_accuracy": shift.mean_accuracy,
        "mean_expected_macs": shift.mean_macs,
        "warnings": shift.warnings(),
    }


def _row_document(row: ShiftedImages) -> dict[str, Any]:
    broken = [{"what": b.limit.words, "value": b.value, "limit": b.cap} for b in row.broken]
    return {
        "corruption": row.corruption,
        "level": row.level,
        "parameter": _parameter(row),
        "broken": broken,
        **measurement_document(row.measured),
    }


def _parameter(row: ShiftedImages) -> float | None:
    return CORRUPTIONS[row.corruption].parameters[row.level - 1] if row.level else None


def show(shift: Shift) -> None:
    """Print one row per corruption and level, clean images first; then the warnings."""
    clean = shift.clean.measured
    rows = []
    for row in (shift.clean, *shift.shifted):
        m = row.measured
        cells = (
            row.corruption,
            row.level or "–",
            f"{m.accuracy:.4f} [{m.accuracy_interval[0]:.4f}, {m.accuracy_interval[1]:.4f}]",
            f"{m.expected_macs:,.0f}",
            f"{m.expected_macs / clean.expected_macs:.2f}",
            percentages(m.rates),
            f"no: {', '.join(b.limit.words for b in row.broken)}" if row.broken else "yes",
        )
        rows.append(marked(cells, QUANTITIES, [b.limit.name for b in row.broken]))
    point = shift.solution.printed
    at = f" at thresholds {point}" if str(point) else ""  # a network of one stage has no thresholds
    title = f"Network {shift.solution.record.id}{at}, limits: {shift.limits}"
    note = f"{clean.n} test images, clean and corrupted, at the same thresholds"
    print_table(title, COLUMNS, rows, with_legend(note, rows))
    print_line(
        f"mean over {len(shift.shifted)} corruptions and levels, on test: accuracy {shift.mean_accuracy:.4f}, "
        f"expected MACs {shift.mean_macs:,.0f}, {shift.mean_macs / clean.expected_macs:.2f} times those of clean images"
    )
    for warning in shift.warnings():
        print_line(f"warning: {warning}")


def write(shift: Shift, path: Path) -> None:
    """Write a CSV file with one row per corruption and level, atomically."""
    with replaced(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(_cells(shift))


def _cells(shift: Shift) -> Iterator[list[Any]]:
    yield [
        "corruption",
        "level",
        "parameter",
        "n",
        "accuracy",
        "accuracy_low",
        "accuracy_high",
        "expected_macs",
        "expected_macs_low",
        "expected_macs_high",
        "p95_macs",
        "worst_macs",
        *exit_columns(len(shift.clean.measured.rates)),
        "broken",
    ]
    for row in (shift.clean, *shift.shifted):
        m = row.measured
        yield [
            row.corruption,
            row.level,
            _parameter(row),
            m.n,
            m.accuracy,
            *m.accuracy_interval,
            m.expected_macs,
            *m.expected_macs_interval,
            m.p95_macs,
            m.worst_macs,
            *m.rates,
            *m.exit_accuracy,
            "; ".join(b.limit.words for b in row.broken),
        ]
