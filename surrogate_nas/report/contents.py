"""Contents of a report, read from the study once; sections are rendered from them without the study."""

import importlib.metadata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from surrogate_nas.architecture.costing import Costing
from surrogate_nas.archive.header import Header
from surrogate_nas.archive.record import Record
from surrogate_nas.archive.views import ExitCalibration
from surrogate_nas.certificates.evidence import learned
from surrogate_nas.datasets.dataset import Splits
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.measurements import Measurements
from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.exits.policies import POLICIES
from surrogate_nas.foundation.arrays import evenly
from surrogate_nas.foundation.errors import InputError, JobError
from surrogate_nas.report.guards import GuardState, read_guards
from surrogate_nas.report.latency import Latency, read_latencies
from surrogate_nas.report.leaving import Examples
from surrogate_nas.study.baselines import name_of
from surrogate_nas.study.certifying import shortfall
from surrogate_nas.study.finals import Final, finals
from surrogate_nas.study.fitting import fit
from surrogate_nas.study.home import Home
from surrogate_nas.study.images import StudyImages
from surrogate_nas.study.payoff import Payoff, payoff
from surrogate_nas.study.results import Measured, Solution
from surrogate_nas.study.solutions import Solutions
from surrogate_nas.surrogates.fit import FittedSurrogate

PACKAGE = "surrogate-nas"
MOST_CALIBRATED = 6
ROUNDING = 1e-9  # a measured share may differ from an interval's end by rounding alone


@dataclass(frozen=True, slots=True)
class TrainedNetwork:
    """One trained network, measured on test."""

    record: Record
    parameters: int
    curve: Measurements
    """Test measurements at the thresholds of its tune curve, cheapest on tune first."""
    to_the_end: Measured
    """Test measurements with every early exit off."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """A hand-made network, trained for comparison with the front."""

    name: str
    """Name of the architecture, followed by the record's id if two baselines have the same name."""
    exits_off: Solution
    """The baseline with every early exit off."""
    most_accurate: Solution
    """The baseline at its most accurate thresholds on tune."""
    curve: Measurements
    """Test measurements at the thresholds of its tune curve, cheapest on tune first."""

    @property
    def has_exits(self) -> bool:
        """Whether the network has early exits."""
        return len(self.exits_off.record.architecture.exit_positions) > 1


@dataclass(frozen=True, slots=True)
class Classes:
    """Names of the classes and their numbers of test images."""

    names: tuple[str, ...]
    """Class indices as text if the data set cannot be read."""
    images: tuple[int, ...]
    """Test images per class; empty until a network has been trained."""


@dataclass(frozen=True, slots=True)
class PredictionCheck:
    """A predicted mean with its 90 % interval, and the value measured on tune after the training."""

    mean: float
    low: float
    high: float
    measurement: float

    @classmethod
    def of(cls, prediction: Sequence[float], measurement: float) -> "PredictionCheck":
        """Build from a prediction (mean, low, high) and the measured value."""
        mean, low, high = prediction
        return cls(mean, low, high, measurement)

    @property
    def inside(self) -> bool:
        """Whether the measured value lies inside the interval."""
        slack = ROUNDING * max(abs(self.measurement), 1)
        return self.low - slack <= self.measurement <= self.high + slack


@dataclass(frozen=True, slots=True)
class CheckedPrediction:
    """Predictions for a network before its training, with the values measured after it."""

    record: Record
    operating_point: OperatingPoint
    """Thresholds for which the predictions were made."""
    accuracy: PredictionCheck
    expected_macs: PredictionCheck


@dataclass(frozen=True, slots=True)
class SplitSizes:
    """Images per split; `None` if unknown."""

    train: int | None
    tune: int | None
    test: int | None


@dataclass(frozen=True, kw_only=True)
class Contents:
    """Contents of a report."""

    header: Header
    costing: Costing
    positions: int
    """Number of exit positions of the space."""
    limits: Limits
    records: tuple[Record, ...]
    """Records of the search in the order of proposal, failures included."""
    remarks: tuple[str, ...]
    """Caveats about the stored measurements; see `Archive.remarks`."""
    networks: tuple[TrainedNetwork, ...]
    front: tuple[Solution, ...]
    nearest: Solution | None
    """The network closest to the limits, if none keeps them."""
    certified: tuple[Solution, ...]
    """Certified solutions within the limits, cheapest first."""
    uncertified: tuple[str, ...]
    """Reasons why nothing is certified; empty without a confidence, or where something is."""
    predictions: tuple[CheckedPrediction, ...]
    surrogate: FittedSurrogate | None
    """The fitted surrogate; `None` if too few networks have been trained."""
    payoff: Payoff | None
    """Comparison of early exits with their absence; `None` until a network has been trained."""
    rung: str | None
    """Rung of all records, in words; `None` without a ladder."""
    hypervolume: tuple[float, ...]
    """Hypervolume after each of the records."""
    baselines: tuple[Baseline, ...]
    failed_baselines: tuple[Record, ...]
    finals: tuple[Final, ...]
    """Networks at full fidelity, the most accurate on tune first."""
    calibration: tuple[tuple[str, tuple[ExitCalibration, ...]], ...]
    """Record ids of some networks of the front, each with the calibration of its exits."""
    latencies: tuple[Latency, ...]
    """Latencies of exported networks that were timed."""
    guards: tuple[GuardState, ...]
    """Guards of exported networks that were watched."""
    classes: Classes
    examples: Examples
    splits: SplitSizes
    generated: datetime
    version: str

    @classmethod
    def of(cls, solutions: Solutions, images: StudyImages) -> "Contents":
        """Read the contents from a study; fits its surrogate if it is out of date."""
        home, records, baselines = solutions.home, solutions.records(), solutions.records("baseline")
        trained_records = [r for r in records if r.outputs is not None]
        front = tuple(solutions.front()) if trained_records else ()
        nearest = solutions.nearest() if trained_records and not front else None
        splits, certified = _splits(images), solutions.certified(solutions.limits) if trained_records else []
        return cls(
            header=home.archive.header,
            costing=home.costing,
            positions=home.space.positions,
            limits=solutions.limits,
            records=tuple(records),
            remarks=tuple(home.archive.remarks()),
            networks=tuple(_network(solutions, r) for r in trained_records),
            front=front,
            nearest=nearest,
            certified=tuple(certified),
            uncertified=() if certified or not trained_records else _uncertified(solutions),
            predictions=tuple(_checked_predictions(solutions, trained_records)),
            surrogate=_fit_surrogate(home),
            payoff=payoff(solutions, front) if trained_records else None,
            rung=solutions.rung_name,
            hypervolume=tuple(solutions.hypervolume()) if records else (),
            baselines=_baselines(solutions, [r for r in baselines if r.outputs is not None]),
            failed_baselines=tuple(r for r in baselines if r.failure is not None),
            finals=tuple(finals(solutions, solutions.limits)) if trained_records else (),
            calibration=_calibration(front),
            latencies=tuple(read_latencies(home.path)),
            guards=tuple(read_guards(home.path)),
            classes=_classes(images, home.shape.classes, [*trained_records, *baselines]),
            examples=Examples.of([nearest] if nearest else front, splits, solutions.views),
            splits=_split_sizes(splits, trained_records),
            generated=datetime.now(UTC),
            version=importlib.metadata.version(PACKAGE),
        )

    @property
    def failures(self) -> tuple[Record, ...]:
        """Records of failed trainings."""
        return tuple(r for r in self.records if r.failure is not None)


def _uncertified(solutions: Solutions) -> tuple[str, ...]:
    """Why nothing is certified in a study with sealed images."""
    asked_for = solutions.home.archive.header.seal is not None and learned(solutions.limits)
    return tuple(shortfall(solutions, solutions.limits)) if asked_for else ()


def _calibration(front: Sequence[Solution]) -> tuple[tuple[str, tuple[ExitCalibration, ...]], ...]:
    records = list({s.record.id: s.record for s in front}.values())
    networks = [records[i] for i in evenly(len(records), MOST_CALIBRATED)]
    return tuple(
        (r.id, tuple(ExitCalibration.of(r.architecture, r.outputs))) for r in networks if r.outputs is not None
    )


def _network(solutions: Solutions, record: Record) -> TrainedNetwork:
    test = solutions.views.test(record)
    to_the_end = solutions.measured(record, "test", _all_off(solutions, record))
    return TrainedNetwork(record, int(test.cost.parameters[0]), _curve(solutions, record), to_the_end)


def _all_off(solutions: Solutions, record: Record) -> OperatingPoint:
    return OperatingPoint((None,) * (record.architecture.positions - 1), solutions.home.problem.policy)


def _curve(solutions: Solutions, record: Record) -> Measurements:
    return solutions.views.test(record).measure(solutions.views.tune(record).curve.thresholds)


def _baselines(solutions: Solutions, records: Sequence[Record]) -> tuple[Baseline, ...]:
    names = Counter(name_of(r.architecture) for r in records)
    return tuple(_baseline(solutions, r, unique=names[name_of(r.architecture)] == 1) for r in records)


def _baseline(solutions: Solutions, record: Record, *, unique: bool) -> Baseline:
    name, curve = name_of(record.architecture), _curve(solutions, record)
    best = solutions.at(record, curve.thresholds[-1])  # on tune, where it was ordered
    return Baseline(
        name if unique else f"{name} {record.id}",
        solutions.solution(record, _all_off(solutions, record)),
        best,
        curve,
    )


def _classes(images: StudyImages, n: int, records: Sequence[Record]) -> Classes:
    try:
        names = images.dataset.classes
    except (InputError, JobError):
        names = tuple(str(c) for c in range(n))
    labels = next((r.outputs.test.labels for r in records if r.outputs is not None), None)
    return Classes(names, () if labels is None else tuple(np.bincount(labels, minlength=n).tolist()))


def _checked_predictions(solutions: Solutions, records: Sequence[Record]) -> Iterator[CheckedPrediction]:
    """Check the records whose accuracy and expected MACs were predicted; not every strategy predicts them."""
    for record in records:
        prediction = record.proposal.prediction
        if prediction is not None and _can_be_checked(prediction, solutions.home.space.positions - 1):
            yield _checked_prediction(solutions, record, prediction)


def _can_be_checked(prediction: Mapping[str, Any], early: int) -> bool:
    """Whether a prediction has thresholds for all early exits, and means with intervals; strategies may store less."""
    thresholds, policy = prediction.get("thresholds"), prediction.get("policy", "max_softmax")
    if not isinstance(thresholds, list) or len(thresholds) != early or policy not in tuple(POLICIES):
        return False
    settings = [t for t in thresholds if t is not None]
    return (
        _are_numbers(settings, len(settings))
        and all(0 <= t <= 1 for t in settings)
        and all(_are_numbers(prediction.get(name), 3) for name in ("accuracy", "expected_macs"))
    )


def _are_numbers(values: object, n: int) -> bool:
    return isinstance(values, list) and len(values) == n and all(isinstance(v, int | float) for v in values)


def _checked_prediction(solutions: Solutions, record: Record, prediction: Mapping[str, Any]) -> CheckedPrediction:
    policy, temperatures = prediction.get("policy", solutions.home.problem.policy), solutions.views.temperatures(record)
    point = OperatingPoint(tuple(prediction["thresholds"]), policy, temperatures)
    outcome = solutions.measured(record, "tune", point)
    accuracy = PredictionCheck.of(prediction["accuracy"], outcome.accuracy)
    return CheckedPrediction(
        record, point, accuracy, PredictionCheck.of(prediction["expected_macs"], outcome.expected_macs)
    )


def _fit_surrogate(home: Home) -> FittedSurrogate | None:
    try:
        return fit(home, home.archive.studied())
    except JobError:  # fewer networks than a surrogate needs
        return None


def _splits(images: StudyImages) -> Splits | None:
    try:
        return images.splits()
    except (InputError, JobError):  # a study may be reported without its images
        return None


def _split_sizes(splits: Splits | None, records: Sequence[Record]) -> SplitSizes:
    if splits is None:
        outputs = records[0].outputs if records else None
        return SplitSizes(None, *((len(outputs.tune.labels), len(outputs.test.labels)) if outputs else (None, None)))
    return SplitSizes(len(splits.train), len(splits.tune), len(splits.test))
