"""Result types: measurements of trained networks and predictions for the others."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.architecture.cost import Objective
from surrogate_nas.archive.openings import Outcome
from surrogate_nas.archive.record import Record
from surrogate_nas.certificates.evidence import Evidence
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.intervals import CONFIDENCE, bootstrap, share_interval
from surrogate_nas.exits.limit_table import Quantity, limit_on, on_expected
from surrogate_nas.exits.limits import BrokenLimit, Limits
from surrogate_nas.exits.measurements import Spending
from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.foundation.arrays import Floats, Ints
from surrogate_nas.foundation.display import displayed_by


@displayed_by(lambda m: {"accuracy": m.accuracy, "expected_macs": m.expected_macs, "rates": m.rates, "images": m.n})
@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Measured:
    """A trained network at one operating point on one split."""

    accuracy: float
    accuracy_interval: tuple[float, float]
    """95 % Wilson interval; see `intervals.share_interval`."""
    accuracy_bound: float
    """Lower bound of the accuracy on new images, one-sided at 95 % and by itself: exact (Clopper and Pearson); with
    groups by betting. It is one on test, which chose nothing; on tune the choice has used up what it promises."""
    drop: float
    """Accuracy of the last exit on all samples, less the accuracy."""
    drop_bound: float
    """Upper bound of the drop, like that of the accuracy."""
    expected_macs: float
    expected_macs_interval: tuple[float, float]
    """95 % bootstrap interval over samples; see `intervals.bootstrap`."""
    p95_macs: int
    """95th percentile of the MACs over samples."""
    worst_macs: int
    rates: tuple[float, ...]
    """Exit rate of each position: the share of samples that leave there."""
    exit_accuracy: tuple[float | None, ...]
    """Accuracy of the samples that leave at each position; `None` where none leaves."""
    class_accuracy: tuple[float | None, ...]
    """Accuracy of the samples of each class; `None` for a class without samples in the split."""
    balanced_accuracy: float
    """Mean accuracy over classes: each class counts equally, however rare it is."""
    n: int
    """Number of samples in the split."""
    parameters: int
    weight_bytes: int
    """Size of the weights as deployed."""
    activation_bytes: int
    """Peak activation memory at batch 1, with the exits that are on."""
    cost: tuple[float, float, float] | None
    """Cost by the study's cost table, if it has one: expected, 95th percentile, worst case."""

    @classmethod
    def of(cls, exits: Exits, labels: Ints, classes: int, operating_point: OperatingPoint) -> "Measured":
        """Measure a network at one operating point.

        Args:
            exits: exits of the network on a split.
            labels: (N,) class indices of the samples of that split.
            classes: number of classes.
            operating_point: operating point under the policy of `exits`.
        """
        measurements = exits.at(operating_point)
        figures = measurements.figures
        leaving = exits.route(operating_point)
        is_correct, cells = exits.right(leaving), exits.group_counts(leaving)
        m, evidence = measurements, Evidence(exits, operating_point)
        _, macs_interval = bootstrap(m.leaving[0], m.correct[0], m.macs[0], CONFIDENCE, cells)
        of_class, correct = (np.bincount(labels, weights=w, minlength=classes) for w in (None, is_correct))
        per_class = np.divide(correct, of_class, out=np.full(classes, np.nan), where=of_class > 0)
        return cls(
            accuracy=float(measurements.accuracy[0]),
            accuracy_interval=share_interval(is_correct, exits.clusters),
            accuracy_bound=evidence.bound(limit_on("accuracy"), 1 - CONFIDENCE),
            drop=float(measurements.drop[0]),
            drop_bound=evidence.bound(limit_on("drop"), 1 - CONFIDENCE),
            expected_macs=float(measurements.expected_macs[0]),
            expected_macs_interval=macs_interval,
            p95_macs=int(figures.macs.p95[0]),
            worst_macs=int(figures.macs.worst[0]),
            rates=tuple(float(p) for p in measurements.rates[0]),
            exit_accuracy=_or_none(measurements.exit_accuracy[0]),
            class_accuracy=_or_none(per_class),
            balanced_accuracy=float(np.nanmean(per_class)),
            n=measurements.n,
            parameters=int(measurements.parameters[0]),
            weight_bytes=int(measurements.weight_bytes[0]),
            activation_bytes=int(measurements.activation_bytes[0]),
            cost=_cost(figures.cost),
        )

    @property
    def quantities(self) -> dict[Quantity, float]:
        """Values of all quantities that can be limited."""
        values: dict[Quantity, float] = {
            "accuracy": self.accuracy,
            "drop": self.drop,
            "expected_macs": self.expected_macs,
            "p95_macs": self.p95_macs,
            "worst_macs": self.worst_macs,
            "parameters": self.parameters,
            "weight_bytes": self.weight_bytes,
            "activation_bytes": self.activation_bytes,
        }
        if self.cost is not None:
            values["expected_cost"], values["p95_cost"], values["worst_cost"] = self.cost
        return values

    def broken(self, limits: Limits) -> tuple[BrokenLimit, ...]:
        """Limits that these measurements break."""
        return limits.broken(self.quantities)

    def broken_names(self, limits: Limits) -> list[str]:
        """Names of the limits that these measurements break."""
        return [broken.limit.name for broken in self.broken(limits)]

    def expected(self, objective: Objective) -> float:
        """Expected MACs, or the expected cost by the study's cost table."""
        return self.quantities[on_expected(objective).quantity]


def _of_solution(solution: "Solution") -> Mapping[str, object]:
    return {
        "id": solution.id,
        "thresholds": solution.operating_point.rounded(),
        "test accuracy": solution.accuracy,
        "expected test MACs": solution.macs,
        "architecture": str(solution.architecture),
    }


@dataclass(frozen=True, slots=True)
class Certificate:
    """Limits that a network at its thresholds keeps on new images like those of the study, with a probability over the
    draw of the images that certify: all certificates of a study hold together with it."""

    limits: Limits
    """The limits that were tested; those that are exact hold in any case."""
    confidence: float
    opening: int
    """Number of the opening of the sealed images, from 1."""
    images: int
    """Number of sealed images, or of their groups."""
    tested: Outcome
    """Result of the test on them."""

    def document(self) -> dict[str, Any]:
        """For JSON, and for the manifest of an export."""
        return {
            "limits": self.limits.model_dump(exclude_none=True),
            "confidence": self.confidence,
            "opening": self.opening,
            "images": self.images,
            **asdict(self.tested),
        }

    def __str__(self) -> str:
        """
        >>> tested = Outcome(p_value=0.01, right=208, worse=2, better=1, answers="", passed=True)
        >>> print(Certificate(Limits(min_accuracy=0.9), 0.9, 1, 215, tested))
        accuracy ≥ 0.9 on new images: certified at 90 % by 215 sealed images, with all of the study together
        """
        return (
            f"{self.limits} on new images: certified at {100 * self.confidence:.4g} % by {self.images} sealed images, "
            "with all of the study together"
        )


@displayed_by(_of_solution)
@dataclass(frozen=True, slots=True, repr=False)
class Solution:
    """A trained network with thresholds chosen on tune, measured on tune and test.

    `accuracy` and `macs` are measured on test, on which nothing is chosen; `tune` and `test` have all measurements.
    """

    record: Record
    operating_point: OperatingPoint
    printed: OperatingPoint
    """Operating point for tables, rounded to the fewest digits that give the same measurements; see `exits.digits`."""
    tune: Measured
    """Measurements on tune, on which thresholds are chosen."""
    test: Measured
    """Measurements on test."""
    certificate: Certificate | None = None
    """Certificate at these thresholds; `None` without one."""

    @property
    def id(self) -> str:
        """Id of the network's record."""
        return self.record.id

    @property
    def architecture(self) -> Architecture:
        """Architecture of the network."""
        return self.record.architecture

    @property
    def thresholds(self) -> tuple[float | None, ...]:
        """Threshold of each early exit; `None` for an exit that is off."""
        return self.operating_point.thresholds

    @property
    def accuracy(self) -> float:
        """Accuracy on test."""
        return self.test.accuracy

    @property
    def macs(self) -> float:
        """Expected multiply-accumulates on test."""
        return self.test.expected_macs

    @property
    def parameters(self) -> int:
        """Parameters of the network."""
        return self.tune.parameters


@displayed_by(lambda tier: {"budget": tier.budget, **_of_solution(tier.solution)})
@dataclass(frozen=True, slots=True, repr=False)
class Tier:
    """Setting of a network for one budget of the expected cost."""

    budget: float
    """Limit on the expected cost, of the kind that the study minimises."""
    limits: Limits
    """Limits that the solution keeps on tune, the budget among them."""
    solution: Solution
    test_accuracy_interval: tuple[float, float]
    """95 % bootstrap interval over samples, like that of the expected MACs."""


class Interval(NamedTuple):
    """Predicted mean, and a 90 % interval of the value that a fresh training would measure on tune."""

    mean: float
    low: float
    high: float


@displayed_by(
    lambda a: {
        "encoding": a.encoding,
        "thresholds": a.thresholds and OperatingPoint.parse(a.thresholds, a.thresholds.count(",") + 2).rounded(),
        "accuracy": a.accuracy,
        "expected_macs": a.expected_macs,
        "cautions": len(a.cautions),
        "feasible_probability": a.feasible_probability,
        "trained": len(a.trained),
    }
)
@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """Prediction for one architecture at one operating point, and its measurements if it was trained.

    `mean`, `low` and `high` are those of the accuracy.
    """

    encoding: str
    thresholds: str
    accuracy: Interval
    expected_macs: Interval
    exit_probabilities: list[Interval]
    exit_accuracies: list[Interval | None]
    """Accuracy of the samples that leave at each position; `None` where none is predicted to."""
    feasible_probability: float
    """Probability that the network keeps the limits on tune; with sealed images, that they will be certified."""
    macs: list[int]
    """Exact MACs from the input to each exit position."""
    worst_macs: int
    parameters: int
    weight_bytes: int
    activation_bytes: int
    cost: Interval | None
    """Expected cost by the study's cost table, if it has one."""
    trained: list[dict[str, Any]]
    """Trainings of this architecture: id, seed and measurements on tune of each, its accuracy on test with a bound, and
    its certificate at these thresholds, if there is one."""
    cautions: list[str]
    """Exits, choices and costs of this architecture that no trained network has; see `ApplicabilityDomain`."""
    passes: int | None = None
    """Rung that is predicted, and that `trained` are measured at, in image passes; `None` without a ladder."""
    going_on: list[dict[str, Any]] | None = None
    """Trainings of this architecture that have reached only lower rungs: id and seed, the image passes so far, and the
    accuracy and expected MACs predicted at `passes` from what they have shown; `None` without a ladder."""

    @property
    def fields(self) -> dict[str, Any]:
        """Fields by name; those about rungs only on a ladder."""
        on_ladder = () if self.passes is not None else ("passes", "going_on")
        return {name: getattr(self, name) for name in self.__slots__ if name not in on_ladder}

    @property
    def mean(self) -> float:
        """Predicted mean of the accuracy on tune."""
        return self.accuracy.mean

    @property
    def low(self) -> float:
        """Lower end of the accuracy's 90 % interval."""
        return self.accuracy.low

    @property
    def high(self) -> float:
        """Upper end of the accuracy's 90 % interval."""
        return self.accuracy.high


def _cost(spent: Spending | None) -> tuple[float, float, float] | None:
    return None if spent is None else (float(spent.expected[0]), float(spent.p95[0]), float(spent.worst[0]))


def _or_none(values: Floats) -> tuple[float | None, ...]:
    return tuple(None if np.isnan(v) else float(v) for v in values)
