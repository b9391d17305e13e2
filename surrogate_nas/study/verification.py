"""Verification: the front trained again with other seeds, to measure how much of its accuracy was luck.

A front is selected from many noisy measurements, so its accuracies are biased upwards (winner's curse). Trainings with
other seeds, which were not selected, show the accuracy to expect of training a network again.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.outputs import Split
from surrogate_nas.archive.record import STUDIED
from surrogate_nas.foundation.display import displayed_by
from surrogate_nas.foundation.errors import InputError, JobError
from surrogate_nas.study.results import Solution
from surrogate_nas.study.solutions import Solutions
from surrogate_nas.study.trainings import Trainer

FEWEST_SEEDS = 2


@dataclass(frozen=True, slots=True)
class Claim:
    """A solution on the front, and trainings of its architecture with other seeds within the same expected cost."""

    solution: Solution
    """Solution on the front."""
    again: tuple[Solution, ...]
    """Solutions of the other seeds that can keep this cost, each at its own best thresholds on tune."""


@displayed_by(
    lambda v: {
        "trainings": v.trainings,
        "tune accuracy claimed": v.claimed("tune"),
        "again": v.again("tune"),
        "test accuracy claimed": v.claimed("test"),
        "again on test": v.again("test"),
        "architecture": str(v.architecture),
    }
)
@dataclass(frozen=True, slots=True, repr=False)
class Verification:
    """Claims of one architecture on the front."""

    architecture: Architecture
    """Architecture on the front."""
    claims: tuple[Claim, ...]
    """The architecture's solutions on the front, cheapest first; at least one of them has been trained again."""
    trainings: int
    """Total number of successful trainings of this architecture."""

    @property
    def _repeated_claims(self) -> Sequence[Claim]:
        return [claim for claim in self.claims if claim.again]

    def claimed(self, split: Split) -> float:
        """Mean accuracy of the solutions on the front, on `tune` or `test`."""
        return mean(_accuracy(claim.solution, split) for claim in self._repeated_claims)

    def again(self, split: Split) -> float:
        """Mean accuracy with other seeds on `tune` or `test`, over solutions and seeds."""
        return mean(mean(_accuracy(s, split) for s in claim.again) for claim in self._repeated_claims)


def _accuracy(solution: Solution, split: Split) -> float:
    return (solution.tune if split == "tune" else solution.test).accuracy


def verify(trainer: Trainer, solutions: Solutions, ids: Sequence[str], seeds: int) -> list[Verification]:
    """Train the networks on the front again with other seeds; see `Study.verify`."""
    require_seeds(seeds)
    with trainer.at_work():
        trainer.finish_pending()
        front = to_verify(solutions, ids)
        trainer.collect_architectures(missing_trainings(solutions, front, seeds), solutions.passes)
    architectures = dict.fromkeys(s.record.architecture for s in front)
    return [v for a in architectures if (v := _verification(solutions, a, front)) is not None]


def require_seeds(seeds: int) -> None:
    """Raise `InputError` for too few seeds to compare."""
    if seeds < FEWEST_SEEDS:
        raise InputError(f"seeds {seeds} is too few: at least {FEWEST_SEEDS}, counting the one of the search")


def to_verify(solutions: Solutions, ids: Sequence[str]) -> list[Solution]:
    """Solutions of the front to verify: of some records, or all; raises as `Study.verify`."""
    front = solutions.front()
    if not front:
        raise JobError(f"no trained network keeps {solutions.limits}: there is no front to verify")
    on_front = list(dict.fromkeys(s.record.id for s in front))
    if unknown := [id for id in ids if id not in on_front]:
        raise InputError(f"network {unknown[0]} is not on the front; allowed: {', '.join(on_front)}")
    return [s for s in front if not ids or s.record.id in ids]


def missing_trainings(solutions: Solutions, front: Sequence[Solution], seeds: int) -> list[Architecture]:
    """Architectures of a front, each as often as it has to be trained to have so many trainings."""
    archive = solutions.home.archive
    proposals = (p for group in STUDIED for p in archive.proposals(group) if p.passes == solutions.passes)
    trainings = Counter(p.architecture for p in proposals)
    architectures = dict.fromkeys(s.record.architecture for s in front)
    return [a for a in architectures for _ in range(seeds - trainings[a])]


def _verification(solutions: Solutions, architecture: Architecture, front: Sequence[Solution]) -> Verification | None:
    settings, objective = solutions.home.settings, solutions.home.settings.objective
    trained = [r for r in solutions.records() if r.architecture == architecture and r.failure is None]
    claims = []
    for solution in (s for s in front if s.record.architecture == architecture):
        within = settings.limits.with_budget(objective, solution.tune.expected(objective))
        others = (solutions.within(r, within) for r in trained if r.id != solution.record.id)
        claims.append(Claim(solution, tuple(s for s in others if s is not None)))
    return Verification(architecture, tuple(claims), len(trained)) if any(c.again for c in claims) else None
