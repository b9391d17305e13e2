"""Trained weights on disk: where they are, and whose are worth keeping."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from surrogate_nas.exits import pareto_order
from surrogate_nas.measurements import Measurements
from surrogate_nas.problem import Problem
from surrogate_nas.record import Record

WEIGHTS, UNFINISHED = ".safetensors", ".unfinished"


def weights_path(folder: Path, id: str) -> Path:
    """Where the weights of a record are."""
    return folder / f"{id}{WEIGHTS}"


def unfinished_path(folder: Path, id: str) -> Path:
    """Where the state of a training between two epochs is."""
    return folder / f"{id}{UNFINISHED}"


def prune(folder: Path, kept: set[str], going_on: set[str]) -> None:
    """Remove weights that are not to be kept, and what interrupted commands have left half written.

    Args:
        folder: of the weights.
        kept: ids whose weights are kept.
        going_on: ids whose training may go on, from its last epoch.
    """
    wanted = {weights_path(folder, id) for id in kept} | {unfinished_path(folder, id) for id in going_on}
    for path in folder.iterdir():
        if path not in wanted:
            path.unlink(missing_ok=True)


def on_front(problem: Problem, records: Sequence[Record]) -> set[str]:
    """Ids of the networks with a point on the front on tune, of all points or of those within the limits.

    The front of all points has that of any limits on expected MACs and accuracy in it, so those may change later.
    """
    views = problem.views(records)
    limits = problem.settings.limits
    return {r.id for curves in ([(r, v.curve) for r, v in views], [(r, v.within(limits)) for r, v in views])
            for r in front_of(curves)}  # fmt: skip


def front_of(curves: Sequence[tuple[Record, Measurements]]) -> list[Record]:
    """The network of each point that no other beats, cheapest first; with several points, as often."""
    if not curves:
        return []
    accuracy, cost = (np.concatenate([getattr(m, name) for _, m in curves]) for name in ("accuracy", "objective"))
    owner = np.concatenate([np.full(len(m), i) for i, (_, m) in enumerate(curves)])
    return [curves[i][0] for i in owner[pareto_order(accuracy, cost)]]
