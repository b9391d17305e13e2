"""The state of a study: records by kind, pending trainings, and time spent and left."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from surrogate_nas.archive.openings import spent_by
from surrogate_nas.archive.record import GROUPS, STUDIED, Origin, Record
from surrogate_nas.foundation.display import displayed_by
from surrogate_nas.foundation.lock import holder_of
from surrogate_nas.study.home import Home
from surrogate_nas.study.paths import CHECKPOINTS, unfinished_path
from surrogate_nas.study.time_plan import TimePlan

ORIGINS: tuple[Origin, ...] = get_args(Origin)


@dataclass(frozen=True, slots=True)
class Trainings:
    """Numbers of trainings of one origin."""

    trained: int = 0
    """Number of records with outputs."""
    failed: int = 0
    """Number of records of failures."""
    pending: int = 0
    """Number of proposals without a record."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """Sealed images, and how often they have been looked at."""

    images: int
    """Number of images, or of their groups."""
    openings: int
    """Number of times that they have been looked at."""
    spent: float
    """Part of δ that the openings have spent."""
    delta: float
    """δ of all certificates of the study together."""


@displayed_by(
    lambda s: {
        "study": s.path,
        "trainings": f"{s.trainings} of {s.budget}",
        **{origin: f"{t.trained} trained, {t.failed} failed, {t.pending} pending" for origin, t in s.records.items()},
        **s.rungs,
        **{f"accuracy at {rung}": accuracy for rung, accuracy in s.accuracy.items()},
        "working": s.working,
        "seconds spent": s.seconds_spent,
        "seconds left": s.seconds_left,
    }
)
@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Status:
    """State of a study at one moment."""

    path: Path
    """Folder of the study."""
    data: str
    """Name of the data set."""
    space: str
    """Name of the search space."""
    seed: int
    """Seed of the study."""
    budget: int
    """Number of trainings of the search that the study may do in total."""
    trainings: int
    """Number of finished trainings of the search, including failures."""
    records: Mapping[Origin, Trainings]
    """Numbers of trainings by origin: sampled (`initial`), proposed by the search, named by the user, baselines and
    finals."""
    rungs: Mapping[str, int]
    """Numbers of networks trained to each rung of the ladder, baselines left out; empty without a ladder."""
    pending: tuple[str, ...]
    """Ids of proposals without a record: running now, or to be trained by the next command."""
    begun: tuple[str, ...]
    """Ids of pending trainings with a stored epoch, from which they resume."""
    time: TimePlan | None
    """Time and plan of a study that is searched by time; `None` for one with a budget of trainings."""
    accuracy: Mapping[str, float]
    """Highest accuracy on tune within the limits at each rung that a network was trained to."""
    sealed: Sealed | None
    """Images that certify; `None` in a study without a confidence."""
    working: str | None
    """Command that is changing the study now; `None` if there is none."""
    seconds_spent: float
    """Sum of the durations of all trainings, in seconds."""
    seconds_left: float | None
    """Estimated seconds of the remaining trainings of the budget; `None` without a training to estimate from."""


def status_of(home: Home, seconds_left: float | None) -> Status:
    """The state of a study; only listings are read.

    Args:
        home: home of the study.
        seconds_left: estimated seconds of the remaining trainings; see `Status`.
    """
    records = [r for group in GROUPS for r in home.archive.records(group)]
    pending = [p for group in GROUPS for p in home.archive.pending(group)]
    trained = Counter(r.proposal.origin for r in records if r.failure is None)
    failed = Counter(r.proposal.origin for r in records if r.failure is not None)
    waiting = Counter(p.origin for p in pending)
    origins = [origin for origin in ORIGINS if trained[origin] + failed[origin] + waiting[origin]]
    header = home.archive.header
    return Status(
        path=home.path,
        data=header.data,
        space=header.space.name,
        seed=header.seed,
        budget=home.settings.budget,
        trainings=home.archive.count(),
        records={o: Trainings(trained[o], failed[o], waiting[o]) for o in origins},
        rungs=_trained_to(home, records),
        pending=tuple(p.id for p in pending),
        begun=tuple(p.id for p in pending if unfinished_path(home.path / CHECKPOINTS, p.id).is_file()),
        time=TimePlan.read(home.path),
        accuracy=_accuracy_at(home, records),
        sealed=_sealed(home),
        working=holder_of(home.path),
        seconds_spent=sum(r.seconds for r in records),
        seconds_left=seconds_left,
    )


def _sealed(home: Home) -> Sealed | None:
    seal, openings = home.archive.header.seal, home.archive.openings()
    return None if seal is None else Sealed(seal.draws, len(openings), spent_by(openings), seal.delta)


def _trained_to(home: Home, records: Sequence[Record]) -> Mapping[str, int]:
    ladder = home.problem.ladder
    counts = Counter(r.proposal.passes for r in records if r.failure is None and r.proposal.group in STUDIED)
    return {} if ladder is None else {ladder.name(passes): counts[passes] for passes in ladder.rungs}


def _accuracy_at(home: Home, records: Sequence[Record]) -> Mapping[str, float]:
    ladder, limits = home.problem.ladder, home.settings.limits
    best = dict[str, float]()
    for passes in () if ladder is None else ladder.rungs:
        at = [r for r in records if r.proposal.passes == passes and r.proposal.group in STUDIED]
        accuracies = [exits.within(limits).accuracy.max(initial=-1) for _, exits in home.problem.views.trained(at)]
        if ladder is not None and (most := max(accuracies, default=-1)) >= 0:
            best[ladder.name(passes)] = float(most)
    return best
