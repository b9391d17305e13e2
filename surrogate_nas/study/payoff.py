"""Payoff of early exits in a study: networks with early exits compared with the same networks without, on test.

Networks and thresholds were chosen on tune. Both sides of a comparison are measured on the same test images, so its
intervals are those of paired differences, which vary less with the sample of images than either accuracy does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from surrogate_nas.archive.record import Record
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.intervals import paired_bootstrap
from surrogate_nas.exits.limit_table import LimitUnit, on_expected
from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.study.baselines import without_exits
from surrogate_nas.study.results import Solution
from surrogate_nas.study.solutions import Solutions

LEAST_SAVING = 0.05
"""Smallest saving, as a share of the cost, that is worth the complexity of early exits."""
MOST_LOSS = 0.01
"""Largest accepted drop of the measured accuracy; a larger one counts as a loss even if it is not significant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Comparison of a solution with a network run to its last exit, on the same test images."""

    network: str
    """Id of the solution's record."""
    against: str
    """Id of the record run to its last exit: the solution's own, or that of its backbone trained without exits."""
    saved: float
    """Mean saving as a share of the other network's cost; negative where the solution costs more."""
    saved_interval: tuple[float, float]
    """95 % interval over test images, by a paired bootstrap."""
    accuracy_change: float
    """Accuracy of the solution minus that of the other network."""
    accuracy_interval: tuple[float, float]
    """95 % interval over test images, by a paired bootstrap."""
    images: int
    """Number of test images."""

    @property
    def loses(self) -> bool:
        """Whether the solution is less accurate: significantly (interval below 0), or by more than `MOST_LOSS`."""
        return self.accuracy_interval[1] < 0 or self.accuracy_change < -MOST_LOSS

    @property
    def gains(self) -> bool:
        """Whether accuracy is gained significantly (the interval lies above 0) at no more cost."""
        return self.accuracy_interval[0] > 0 and self.saved >= 0

    @property
    def pays(self) -> bool:
        """Whether accuracy is gained, or at least `LEAST_SAVING` of the cost is saved and accuracy is not lost."""
        return self.gains or (self.saved >= LEAST_SAVING and not self.loses)


@dataclass(frozen=True, slots=True, kw_only=True)
class Payoff:
    """Whether early exits pay in a study, and by how much."""

    unit: LimitUnit
    """Compared cost, which is the one that the study minimises: MACs, or cost by its cost table."""
    words: str
    """Description of the preferred solution, such as "the most accurate within the limits"."""
    preferred: Comparison
    """The preferred solution compared with its network run to the last exit; see `Solutions.preferred`."""
    front: tuple[Comparison, ...]
    """Each solution of the front compared with its network run to the last exit; cheapest first."""
    static: Comparison | None
    """The preferred solution compared with its backbone trained without exits; without that baseline, the last solution
    of the front that has one. `None` if there is none."""

    @property
    def pays(self) -> bool:
        """Whether early exits pay for the preferred solution; see `Comparison.pays`."""
        return self.preferred.pays

    @property
    def paying(self) -> tuple[Comparison, ...]:
        """The solutions of the front for which early exits pay."""
        return tuple(c for c in self.front if c.pays)

    @property
    def median_saving(self) -> float | None:
        """Median saving of the solutions of the front for which early exits pay; `None` if there are none."""
        return median(c.saved for c in self.paying) if self.paying else None

    @property
    def verdict(self) -> str:
        """A sentence on whether early exits pay for the preferred solution, and by how much."""
        one = self.preferred
        verdict = f"Early exits {'pay' if self.pays else 'do not pay'} here: network {one.network}, {self.words},"
        if one.saved == 0 and not any(one.accuracy_interval):
            return f"{verdict} gains nothing from early exits."
        link = "but at" if one.saved >= LEAST_SAVING and one.loses else "at"
        cost, accuracy = _cost_text(one, self.unit), _accuracy_text(one)
        return f"{verdict} answers with {cost} than when run to its last exit, {link} {accuracy}."

    @property
    def sentences(self) -> list[str]:
        """Sentences on the preferred solution, on the front, and on the static network if there is one."""
        lines = [self.verdict]
        if self.front:
            share = self.median_saving
            saving = "" if share is None else f"; their median saving is {_share(share)} of the {self.unit}"
            lines.append(f"On the front they pay for {len(self.paying)} of {len(self.front)} solutions{saving}.")
        if self.static is not None:
            lines.append(
                f"Against the backbone of {self.static.network} trained without exits: "
                f"{_cost_text(self.static, self.unit)}, {_accuracy_text(self.static)}."
            )
        return lines


def payoff(solutions: Solutions, front: Sequence[Solution]) -> Payoff:
    """Measure whether early exits pay for the trained networks of a study.

    The verdict is about one solution, `Solutions.preferred`. Its early exits pay if they save at least 5 % of the
    expected cost on test, compared with the same network with every early exit off, without losing accuracy: the change
    of accuracy is not significantly below 0 (95 %, paired bootstrap over test images), and at least −1 point. They also
    pay if accuracy is significantly higher at no more cost, which occurs where the last exit is poorly trained.

    Args:
        solutions: solutions of the study.
        front: front of the study; may be empty.

    Raises:
        JobError: if no network has been trained yet.
    """
    preferred = solutions.preferred(front)
    words = "the cheapest within the limits" if solutions.wants_cheapest else "the most accurate within the limits"
    return Payoff(
        unit=on_expected(solutions.home.settings.objective).unit,
        words=words if front else "the closest to the limits",
        preferred=_against_itself(solutions, preferred),
        front=tuple(_against_itself(solutions, s) for s in front),
        static=_against_static(solutions, [*front, preferred]),
    )


def _against_itself(solutions: Solutions, solution: Solution) -> Comparison:
    """Compare a solution with its network run to the last exit."""
    return _compare(solution, _exits(solutions, solution), solution.record, _exits(solutions, solution))


def _against_static(solutions: Solutions, candidates: Sequence[Solution]) -> Comparison | None:
    """Compare the last candidate whose backbone was trained without exits with that baseline; `None` if none was."""
    static = {r.architecture: r for r in solutions.records("baseline") if r.failure is None}
    for solution in reversed(candidates):
        architecture = solution.record.architecture
        record = static.get(without_exits(architecture))
        if record is not None and len(architecture.exit_positions) > 1:
            return _compare(solution, _exits(solutions, solution), record, solutions.views.test(record))
    return None


def _exits(solutions: Solutions, solution: Solution) -> Exits:
    point = solution.operating_point
    return solutions.views.under(solution.record, "test", point.policy, point.temperatures)


def _compare(solution: Solution, exits: Exits, record: Record, other: Exits) -> Comparison:
    """Compare a solution with a network with every early exit off."""
    right, cost = exits.outcomes(solution.operating_point)
    right_to_the_end, full_cost = other.outcomes(OperatingPoint((None,) * (other.positions - 1), other.policy))
    values = np.stack([1 - cost / full_cost, right.astype(np.float64) - right_to_the_end], axis=1)
    (saved, accuracy_change), (saved_interval, accuracy_interval) = (
        values.mean(axis=0),
        paired_bootstrap(values, exits.clusters),
    )
    return Comparison(
        network=solution.record.id,
        against=record.id,
        saved=float(saved),
        saved_interval=saved_interval,
        accuracy_change=float(accuracy_change),
        accuracy_interval=accuracy_interval,
        images=len(values),
    )


def _cost_text(comparison: Comparison, unit: str) -> str:
    """
    >>> _share(0.407)
    '41 %'
    """
    kind = "less" if unit == "cost" else "fewer"
    return f"{_share(abs(comparison.saved))} {kind if comparison.saved >= 0 else 'more'} {unit}"


def _accuracy_text(comparison: Comparison) -> str:
    low, high = comparison.accuracy_interval
    return (
        f"{_points(comparison.accuracy_change)} points of accuracy [{_points(low)}, {_points(high)}] "
        f"({comparison.images:,} test images)"
    )


def _share(share: float) -> str:
    return f"{100 * share:.0f} %"


def _points(change: float) -> str:
    """
    >>> _points(0.0031), _points(-0.005), _points(-0.0001)
    ('+0.3', '−0.5', '+0.0')
    """
    return f"{round(100 * change, 1) + 0.0:+.1f}".replace("-", "−")
