"""A table of all trainings of a study."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from surrogate_nas.archive.record import GROUPS, Record
from surrogate_nas.foundation.arrays import Array
from surrogate_nas.study.solutions import Solutions


def frame_of(solutions: Solutions) -> Any:
    """Table with a row for each training: those of the search, baselines, finals, each in the order of proposal.

    `accuracy` is that of the last exit on tune, and `accuracy_1`, `accuracy_2`, … those of the exit positions; they are
    NaN for failures and where there is no exit. `macs` are the exact multiply-accumulates to the last exit, including
    every branch before it.

    Returns:
        A `pandas.DataFrame` where pandas is installed, else a mapping from the columns' names to (n,) arrays.
    """
    records = [r for group in GROUPS for r in solutions.records(group)]
    columns = _columns(solutions, records)
    if find_spec("pandas") is None:
        return columns
    return import_module("pandas").DataFrame(columns)


def _columns(solutions: Solutions, records: Sequence[Record]) -> Mapping[str, Array]:
    costs = [solutions.home.costing.of(r.architecture) for r in records]
    positions = max((r.architecture.positions for r in records), default=solutions.home.space.positions)
    accuracies = np.array([_accuracies(r, positions) for r in records]).reshape(-1, positions)
    return {
        "id": _texts(r.id for r in records),
        "origin": _texts(r.proposal.origin for r in records),
        "round": np.array([r.proposal.round for r in records], dtype=np.int64),
        "seed": np.array([r.proposal.seed for r in records], dtype=np.int64),
        "status": _texts("trained" if r.failure is None else r.failure.kind for r in records),
        "seconds": np.array([r.seconds for r in records], dtype=np.float64),
        "accuracy": np.array([r.accuracy for r in records], dtype=np.float64),
        **{f"accuracy_{e}": column for e, column in enumerate(accuracies.T, 1)},
        "macs": np.array([cost.macs()[0, -1] for cost in costs], dtype=np.int64),
        "parameters": np.array([cost.parameters[0] for cost in costs], dtype=np.int64),
        "encoding": _texts(str(r.architecture) for r in records),
    }


def _accuracies(record: Record, positions: int) -> list[float]:
    """(positions,) accuracy on tune of the exit at each position; NaN where there is none."""
    accuracies = [np.nan] * positions
    if record.outputs is not None:
        right = record.outputs.tune.right.mean(axis=1).tolist()
        for position, accuracy in zip(record.architecture.exit_positions, right, strict=True):
            accuracies[position] = accuracy
    return accuracies


def _texts(values: Any) -> Array:
    return np.array(list(values), dtype=object)
