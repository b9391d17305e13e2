"""Contents of a report, read from the study once; the sections are rendered from them without the study."""

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
from surrogate_nas.datasets.dataset import Splits
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.measurements import Measurements
from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.exits.policies import POLICIES
from surrogate_nas.foundation.arrays import evenly
from surrogate_nas.foundation.errors import InputError, JobError
from surrogate_nas.report.latency import Latency, read_latencies
from surrogate_nas.report.leaving import Examples
from surrogate_nas.study.baselines import name_of
from surrogate_nas.study.finals import Final
from surrogate_nas.study.payoff import Payoff, payoff
from surrogate_nas.study.results import Measured, Solution
from surrogate_nas.study.study import Study
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
    """Figures with every early exit off."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """A hand-made network, trained to compare the front with."""

    name: str
    """Name of the architecture; followed by the record's id if two baselines have the same."""
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
        """Whether the measured value lies in the interval."""
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
    """Limits of what the records can tell; see `Archive.remarks`."""
    networks: tuple[TrainedNetwork, ...]
    front: tuple[Solution, ...]
    nearest: Solution | None
    """The solution nearest to the limits, if none is within them."""
    predictions: tuple[CheckedPrediction, ...]
    surrogate: FittedSurrogate | None
    """`None` while too few networks have been trained."""
    payoff: Payoff | None
    """Whether early exits pay; `None` until a network has been trained."""
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
    classes: Classes
    examples: Examples
    splits: SplitSizes
    generated: datetime
    version: str

    @classmethod
    def of(cls, study: Study) -> "Contents":
        """Read the contents from a study; fits its surrogate if that is not up to date."""
        records, baselines = study.records(), study.baselines()
        trained_records = [r for r in records if r.outputs is not None]
        front = tuple(study.front()) if trained_records else ()
        nearest = study.nearest() if trained_records and not front else None
        splits = _splits(study)
        return cls(
            header=study.archive.header,
            costing=study.home.costing,
            positions=study.space.positions,
            limits=study.settings.limits,
            records=tuple(records),
            remarks=tuple(study.archive.remarks()),
            networks=tuple(_network(study, r) for r in trained_records),
            front=front,
            nearest=nearest,
            predictions=tuple(_checked_predictions(study, trained_records)),
            surrogate=_fit_surrogate(study),
            payoff=payoff(study.solutions, front) if trained_records else None,
            hypervolume=tuple(study.hypervolume()) if records else (),
            baselines=_baselines(study, [r for r in baselines if r.outputs is not None]),
            failed_baselines=tuple(r for r in baselines if r.failure is not None),
            finals=tuple(study.finals()) if trained_records else (),
            calibration=_calibration(front),
            latencies=tuple(read_latencies(study.path)),
            classes=_classes(study, [*trained_records, *baselines]),
            examples=Examples.of([nearest] if nearest else front, splits, study.solutions.views),
            splits=_split_sizes(splits, trained_records),
            generated=datetime.now(UTC),
            version=importlib.metadata.version(PACKAGE),
        )

    @property
    def failures(self) -> tuple[Record, ...]:
        """Records of failed trainings."""
        return tuple(r for r in self.records if r.failure is not None)


def _calibration(front: Sequence[Solution]) -> tuple[tuple[str, tuple[ExitCalibration, ...]], ...]:
    records = list({s.record.id: s.record for s in front}.values())
    networks = [records[i] for i in evenly(len(records), MOST_CALIBRATED)]
    return tuple(
        (r.id, tuple(ExitCalibration.of(r.architecture, r.outputs))) for r in networks if r.outputs is not None
    )


def _network(study: Study, record: Record) -> TrainedNetwork:
    test = study.exits(record, "test")
    to_the_end = study.measured(record, "test", _all_off(study, record))
    return TrainedNetwork(record, int(test.cost.parameters[0]), _curve(study, record), to_the_end)


def _all_off(study: Study, record: Record) -> OperatingPoint:
    return OperatingPoint((None,) * (record.architecture.positions - 1), study.policy)


def _curve(study: Study, record: Record) -> Measurements:
    return study.exits(record, "test").measure(study.exits(record, "tune").curve.thresholds)


def _baselines(study: Study, records: Sequence[Record]) -> tuple[Baseline, ...]:
    names = Counter(name_of(r.architecture) for r in records)
    return tuple(_baseline(study, r, unique=names[name_of(r.architecture)] == 1) for r in records)


def _baseline(study: Study, record: Record, *, unique: bool) -> Baseline:
    name, curve = name_of(record.architecture), _curve(study, record)
    best = study.operating_point(record, curve.thresholds[-1])  # on tune, where it was ordered
    return Baseline(
        name if unique else f"{name} {record.id}",
        study.solution(record, _all_off(study, record)),
        study.solution(record, best),
        curve,
    )


def _classes(study: Study, records: Sequence[Record]) -> Classes:
    n = study.home.shape.classes
    try:
        names = study.images.dataset.classes
    except (InputError, JobError):
        names = tuple(str(c) for c in range(n))
    labels = next((r.outputs.test.labels for r in records if r.outputs is not None), None)
    return Classes(names, () if labels is None else tuple(np.bincount(labels, minlength=n).tolist()))


def _checked_predictions(study: Study, records: Sequence[Record]) -> Iterator[CheckedPrediction]:
    """Check the records whose accuracy and expected MACs were predicted; not every strategy predicts them."""
    for record in records:
        prediction = record.proposal.prediction
        if prediction is not None and _can_be_checked(prediction, study.space.positions - 1):
            yield _checked_prediction(study, record, prediction)


def _can_be_checked(prediction: Mapping[str, Any], early: int) -> bool:
    """Whether it has a threshold or off for each early exit, and means with intervals; strategies may store others."""
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


def _checked_prediction(study: Study, record: Record, prediction: Mapping[str, Any]) -> CheckedPrediction:
    temperatures = study.temperatures(record)
    point = OperatingPoint(tuple(prediction["thresholds"]), prediction.get("policy", study.policy), temperatures)
    outcome = study.measured(record, "tune", point)
    accuracy = PredictionCheck.of(prediction["accuracy"], outcome.accuracy)
    return CheckedPrediction(
        record, point, accuracy, PredictionCheck.of(prediction["expected_macs"], outcome.expected_macs)
    )


def _fit_surrogate(study: Study) -> FittedSurrogate | None:
    try:
        return study.fit()
    except JobError:  # fewer networks than a surrogate needs
        return None


def _splits(study: Study) -> Splits | None:
    try:
        return study.splits()
    except (InputError, JobError):  # a study may be reported where its images are not
        return None


def _split_sizes(splits: Splits | None, records: Sequence[Record]) -> SplitSizes:
    if splits is None:
        outputs = records[0].outputs if records else None
        return SplitSizes(None, *((len(outputs.tune.labels), len(outputs.test.labels)) if outputs else (None, None)))
    return SplitSizes(len(splits.train), len(splits.tune), len(splits.test))
