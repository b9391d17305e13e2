"""Section on the guards of exported networks: whether images have changed since the networks were chosen."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ValidationError

from surrogate_nas.report.text import count, entry, escape, html_table, paragraph, percent, section

STATES = "exports/*/guard.json"
COLUMNS = ("network", "images", "of an alarm", "alarm after")


class GuardState(BaseModel):
    """State of the guard of one exported network, as `infer --watch` or the device's own program wrote it."""

    network: str = ""
    """Name of its folder."""
    images: int
    alarm_at: int | None
    evidence: float
    """Share of what raises the alarm."""
    run_length: float
    """Images until a false alarm, on average, while nothing changes."""


def read_guards(study: Path) -> Iterator[GuardState]:
    """Guards of all exports in a study's folder; unreadable files are skipped."""
    for path in sorted(study.glob(STATES)):
        try:
            yield GuardState.model_validate_json(path.read_bytes()).model_copy(update={"network": path.parent.name})
        except (OSError, ValidationError):
            continue


def guards_section(guards: tuple[GuardState, ...]) -> str:
    """Section with a row per network; empty without guards."""
    if not guards:
        return ""
    note = (
        "Each guard compares, without labels, where images leave, how surely and with which answers, with the images "
        f"that its network was chosen on. While nothing changes, an alarm takes {count(guards[0].run_length)} images "
        "on average."
    )
    rows = [entry(_cells(guard)) for guard in guards]
    table = html_table("Guards of exported networks", COLUMNS, rows)
    changed = [g.network for g in guards if g.alarm_at is not None]
    warning = paragraph(
        f"Images have changed for {escape(', '.join(changed))}: certificates no longer hold there.", "warning"
    )
    return section("Have images changed?", paragraph(note, "note"), *([warning] if changed else []), table)


def _cells(guard: GuardState) -> list[str]:
    alarm = "–" if guard.alarm_at is None else count(guard.alarm_at)
    return [escape(guard.network), count(guard.images), percent(min(guard.evidence, 1)), alarm]
