"""What a study answers: of a network that was trained what was measured, of any other what is predicted."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from surrogate_nas.exits import Exits, OperatingPoint
from surrogate_nas.record import Record

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Measured:
    """A trained network at one operating point on one split."""

    accuracy: float
    accuracy_interval: tuple[float, float]
    """95 % Wilson interval."""
    expected_macs: float
    worst_macs: int
    rates: tuple[float, ...]
    """Exit probability of each position."""
    exit_accuracy: tuple[float | None, ...]
    """Accuracy of those who leave at each position; `None` where nobody does."""
    class_accuracy: tuple[float | None, ...]
    """Accuracy of the samples of each class; `None` for a class that the split has none of."""
    balanced_accuracy: float
    """Mean of the accuracies of the classes: each class counts as much as any other, however rare it is."""
    n: int
    """Samples of the split."""

    @classmethod
    def of(
        cls, exits: Exits, labels: npt.NDArray[np.int64], classes: int, operating_point: OperatingPoint
    ) -> "Measured":
        """At one operating point.

        Args:
            exits: of the network on a split.
            labels: (N,) of that split.
            classes: that there are.
            operating_point: under the exits' policy.
        """
        measured = exits.at(operating_point)
        interval = binomtest(int(measured.correct.sum()), measured.n).proportion_ci(CONFIDENCE, method="wilson")
        right = exits.correct[exits.route(operating_point), np.arange(measured.n)]
        of_class, correct = (np.bincount(labels, weights=w, minlength=classes) for w in (None, right))
        per_class = np.divide(correct, of_class, out=np.full(classes, np.nan), where=of_class > 0)
        return cls(
            float(measured.accuracy[0]), (float(interval.low), float(interval.high)),
            float(measured.expected_macs[0]), int(measured.worst_macs[0]),
            tuple(float(p) for p in measured.rates[0]), _or_none(measured.exit_accuracy[0]),
            _or_none(per_class), float(np.nanmean(per_class)), measured.n,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Solution:
    """A trained network with thresholds: chosen on tune, to be believed on test."""

    record: Record
    operating_point: OperatingPoint
    parameters: int
    tune: Measured
    test: Measured


@dataclass(frozen=True, slots=True)
class Answer:
    """What is predicted of one architecture at one operating point, and what was measured if it was trained.

    Intervals are (mean, low, high) with 90 % between low and high: of what a fresh training would measure on tune.
    """

    encoding: str
    thresholds: str
    accuracy: tuple[float, float, float]
    expected_macs: tuple[float, float, float]
    exit_probabilities: list[tuple[float, float, float]]
    exit_accuracies: list[tuple[float, float, float] | None]
    """`None` where there is no exit or it is off."""
    feasible_probability: float
    macs: list[int]
    """Exact, to each exit position."""
    worst_macs: int
    parameters: int
    trained: list[dict[str, Any]]
    """For each training of this architecture its id, seed and exact values on tune."""


def _or_none(values: npt.NDArray[np.float64]) -> tuple[float | None, ...]:
    return tuple(None if np.isnan(v) else float(v) for v in values)
