"""All that a report shows, read from the study once. What follows from it needs no study."""

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from surrogate_nas.archive import Header
from surrogate_nas.config import Limits
from surrogate_nas.errors import InputError, JobError
from surrogate_nas.exits import Measurements, OperatingPoint
from surrogate_nas.record import Record, exits_of
from surrogate_nas.study import Measured, Solution, Study
from surrogate_nas.surrogates.validation import Fitted

PACKAGE = "surrogate-nas"
ROUNDING = 1e-9  # a measured share may differ from an interval's end by rounding alone


@dataclass(frozen=True, slots=True)
class Network:
    """One trained network, measured on test."""

    record: Record
    parameters: int
    curve: Measurements
    """At the thresholds of its tune curve, cheapest on tune first."""
    to_the_end: Measured
    """With every early exit off."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A prediction with its 90 % interval, and what the training then measured on tune."""

    mean: float
    low: float
    high: float
    measured: float

    @classmethod
    def of(cls, predicted: Sequence[float], measured: float) -> "Compared":
        """From (mean, low, high)."""
        mean, low, high = predicted
        return cls(mean, low, high, measured)

    @property
    def inside(self) -> bool:
        """Whether the measured value lies in the interval."""
        slack = ROUNDING * max(abs(self.measured), 1)
        return self.low - slack <= self.measured <= self.high + slack


@dataclass(frozen=True, slots=True)
class Verified:
    """A network that was predicted before it was trained."""

    record: Record
    operating_point: OperatingPoint
    """At which it was predicted."""
    accuracy: Compared
    expected_macs: Compared


@dataclass(frozen=True, slots=True)
class SplitSizes:
    """Images of each split; `None` where it cannot be told."""

    train: int | None
    tune: int | None
    test: int | None


@dataclass(frozen=True)
class Contents:
    """All that a report shows."""

    header: Header
    positions: int
    """Exit positions of the space."""
    limits: Limits
    records: tuple[Record, ...]
    """In the order they were proposed; failures are among them."""
    networks: tuple[Network, ...]
    front: tuple[Solution, ...]
    nearest: Solution | None
    """What comes nearest to the limits, where nothing keeps them."""
    verified: tuple[Verified, ...]
    fitted: Fitted | None
    """`None` while too few networks have been trained."""
    hypervolume: tuple[float, ...]
    """After each of the records."""
    splits: SplitSizes
    generated: datetime
    version: str

    @classmethod
    def of(cls, study: Study) -> "Contents":
        """Read a study, and fit its surrogate if that is not up to date."""
        records = study.records()
        trained = [r for r in records if r.outputs is not None]
        front = tuple(study.front()) if trained else ()
        return cls(
            header=study.folder.archive.header,
            positions=study.folder.space.positions,
            limits=study.settings.limits,
            records=tuple(records),
            networks=tuple(_network(study, r) for r in trained),
            front=front,
            nearest=study.nearest() if trained and not front else None,
            verified=tuple(_verified(study, r) for r in trained if r.proposal.prediction is not None),
            fitted=_fitted(study),
            hypervolume=tuple(study.hypervolume()) if records else (),
            splits=_split_sizes(study, trained),
            generated=datetime.now(UTC),
            version=importlib.metadata.version(PACKAGE),
        )

    @property
    def failed(self) -> tuple[Record, ...]:
        """Trainings that gave no outputs."""
        return tuple(r for r in self.records if r.failure is not None)


def _network(study: Study, record: Record) -> Network:
    tune, test = study.exits(record, "tune"), study.exits(record, "test")
    none_on = OperatingPoint((None,) * (test.positions - 1), test.policy)
    return Network(record, test.parameters, test.measure(tune.curve.thresholds), Measured.of(test.at(none_on)))


def _verified(study: Study, record: Record) -> Verified:
    said = record.proposal.prediction
    assert said is not None
    assert record.outputs is not None
    point = OperatingPoint(tuple(said["thresholds"]), said["policy"])
    exits = exits_of(record.architecture, record.outputs.tune, study.folder.shape, point.policy)
    measured = Measured.of(exits.at(point))
    accuracy = Compared.of(said["accuracy"], measured.accuracy)
    return Verified(record, point, accuracy, Compared.of(said["expected_macs"], measured.expected_macs))


def _fitted(study: Study) -> Fitted | None:
    try:
        return study.fit()
    except JobError:  # fewer networks than a surrogate needs
        return None


def _split_sizes(study: Study, trained: Sequence[Record]) -> SplitSizes:
    try:
        splits = study.folder.splits()
    except (InputError, JobError):  # a study may be reported where its images are not
        outputs = trained[0].outputs if trained else None
        return SplitSizes(None, *((len(outputs.tune.labels), len(outputs.test.labels)) if outputs else (None, None)))
    return SplitSizes(len(splits.train), len(splits.tune), len(splits.test))
