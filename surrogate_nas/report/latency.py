"""Section on latency: times of exported networks, measured by the command `measure`, and their MACs."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel, ValidationError

from surrogate_nas.report.text import count, entry, escape, html_table, paragraph, percent, section

TIMED = "exports/*/latency.json"
COLUMNS = (
    "network",
    "batch",
    "early exits, median µs",
    "early exits, 95th percentile µs",
    "to the end, µs",
    "without early exits, µs",
    "time, share of to the end",
    "MACs, share of to the end",
)


class Timing(BaseModel):
    """Time of a batch in microseconds."""

    median: float
    """Median over batches."""
    p95: float
    """95th percentile over batches."""


class BatchTimings(BaseModel):
    """Timings of one batch size: with early exits, through all exits, and without early exits."""

    routed: Timing
    to_the_end: Timing
    static: Timing
    routed_over_to_the_end: float


class Machine(BaseModel):
    """Machine on which a network was timed."""

    processor: str


class Macs(BaseModel):
    """MACs of the timed setting."""

    expected: float
    to_the_end: float


class Latency(BaseModel):
    """Latency of one exported network, as written by `measure`."""

    network: str
    setting: int
    threads: int
    machine: Machine
    batch: Mapping[int, BatchTimings]
    macs: Macs


def read_latencies(study: Path) -> Iterator[Latency]:
    """Latencies of all exports in a study's folder; unreadable files are skipped."""
    for path in sorted(study.glob(TIMED)):
        try:
            yield Latency.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            continue


def latency_section(latencies: tuple[Latency, ...]) -> str:
    """Section with a table row per network and batch size; empty if no network was timed."""
    if not latencies:
        return ""
    where = {f"{one.threads} thread{'s' if one.threads > 1 else ''} of {one.machine.processor}" for one in latencies}
    note = (
        f"Exported networks, timed with ONNX Runtime on {escape('; '.join(sorted(where)))}, with the test images in "
        "their folders; medians over batches. To the end: every exit is run, and no image leaves early. MACs are means "
        "over all test images."
    )
    rows = [_entry(one) for one in latencies]
    return section("Latency", paragraph(note, "note"), html_table("Latency of exported networks", COLUMNS, rows))


def _entry(latency: Latency) -> str:
    macs = latency.macs.expected / latency.macs.to_the_end
    rows = [
        [
            escape(f"{latency.network}, setting {latency.setting}"),
            str(size),
            count(one.routed.median),
            count(one.routed.p95),
            count(one.to_the_end.median),
            count(one.static.median),
            percent(one.routed_over_to_the_end),
            percent(macs),
        ]
        for size, one in sorted(latency.batch.items())
    ]
    return entry(*rows)
