"""Output of `status`."""

from typing import TYPE_CHECKING

from surrogate_nas.cli.output import console, print_table
from surrogate_nas.foundation.progress import duration

if TYPE_CHECKING:
    from surrogate_nas.study.status import Status

MOST_IDS = 8


def print_status(status: "Status") -> None:
    """Print trainings by origin, pending ones, the running command, and time spent and left."""
    console.print(
        f"{status.path}: data {status.data}, space {status.space}, seed {status.seed}; "
        f"{status.trainings} of {status.budget} trainings of the search ended",
        soft_wrap=True,
    )
    rows = [(origin, t.trained, t.failed, t.pending) for origin, t in status.records.items()]
    print_table("", ("origin", "trained", "failed", "pending"), rows)
    if status.rungs:
        text = ", ".join(f"{name}: {count}" for name, count in status.rungs.items())
        console.print(f"networks trained to {text}", soft_wrap=True)
    if status.pending:
        ids = " ".join(status.pending[:MOST_IDS]) + (" …" if len(status.pending) > MOST_IDS else "")
        console.print(f"pending: {ids} ({len(status.begun)} of {len(status.pending)} have started)", soft_wrap=True)
    console.print(f"running command: {status.working or 'none'}", soft_wrap=True)
    left = status.seconds_left
    estimate = "unknown before the first training" if left is None else f"about {duration(left)}"
    console.print(f"training time: {duration(status.seconds_spent)} spent, summed over workers; left: {estimate}")
