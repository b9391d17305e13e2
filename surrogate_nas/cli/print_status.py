"""Output of `status`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from surrogate_nas.cli.output import console, print_table
from surrogate_nas.foundation.progress import duration

if TYPE_CHECKING:
    from surrogate_nas.study.status import Status

MOST_IDS = 8
BARS = "▁▂▃▄▅▆▇█"


def print_status(status: "Status") -> None:
    """Print trainings by origin, pending ones, the running command, and time spent and left."""
    ended = f"{status.trainings}" if status.time else f"{status.trainings} of {status.budget}"
    console.print(
        f"{status.path}: data {status.data}, space {status.space}, seed {status.seed}; "
        f"{ended} trainings of the search ended",
        soft_wrap=True,
    )
    rows = [(origin, t.trained, t.failed, t.pending) for origin, t in status.records.items()]
    print_table("", ("origin", "trained", "failed", "pending"), rows)
    if status.rungs:
        _print_rungs(status)
    if status.pending:
        ids = " ".join(status.pending[:MOST_IDS]) + (" …" if len(status.pending) > MOST_IDS else "")
        console.print(f"pending: {ids} ({len(status.begun)} of {len(status.pending)} have started)", soft_wrap=True)
    if (sealed := status.sealed) is not None:
        console.print(
            f"sealed: {sealed.images:,} images, {sealed.openings} opening{'s' * (sealed.openings != 1)}, "
            f"{sealed.spent:.4g} of δ = {sealed.delta:.4g} spent",
            soft_wrap=True,
        )
    console.print(f"running command: {status.working or 'none'}", soft_wrap=True)
    if status.time is None:
        left = status.seconds_left
        estimate = "unknown before the first training" if left is None else f"about {duration(left)}"
        console.print(f"training time: {duration(status.seconds_spent)} spent, summed over workers; left: {estimate}")
    else:
        console.print(f"time: {status.time.text(running=status.working is not None)}", soft_wrap=True)


def _print_rungs(status: "Status") -> None:
    """Print how many networks were trained to each rung, how many are expected, and the best accuracy there."""
    planned = status.time.planned if status.time else ()
    rows = [
        (
            name,
            count,
            f"{planned[i]:.0f}" if i < len(planned) else "",
            f"{status.accuracy[name]:.3f}" if name in status.accuracy else "",
        )
        for i, (name, count) in enumerate(status.rungs.items())
    ]
    title = f"Accuracy by rung: {sparkline([*status.accuracy.values()])}" if len(status.accuracy) > 1 else ""
    print_table(title, ("rung", "trained", "planned", "best on tune"), rows)


def sparkline(values: Sequence[float]) -> str:
    """Values as bars, from the lowest to the highest.

    >>> sparkline([0.5, 0.6, 0.9])
    '▁▃█'
    """
    low, width = min(values), max(max(values) - min(values), 1e-9)
    return "".join(BARS[round((value - low) / width * (len(BARS) - 1))] for value in values)
