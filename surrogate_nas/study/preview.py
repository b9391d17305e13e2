"""Previews of commands that train: all checks and estimates are made, and nothing is trained or written."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.header import Header
from surrogate_nas.archive.record import STUDIED, Group, Proposal, Record
from surrogate_nas.datasets.dataset import Splits
from surrogate_nas.datasets.splitting import split
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.proposals import (
    baseline_proposals,
    final_proposals,
    initial_proposals,
    next_round,
    promotions,
    top_proposals,
)
from surrogate_nas.study.baselines import choose_baselines
from surrogate_nas.study.checks import require_without_time
from surrogate_nas.study.creation import NewStudy
from surrogate_nas.study.estimate import Plan, estimated_seconds, training_seconds
from surrogate_nas.study.finals import to_finalize
from surrogate_nas.study.home import Home
from surrogate_nas.study.images import StudyImages
from surrogate_nas.study.solutions import Solutions
from surrogate_nas.study.time_plan import TimePlan
from surrogate_nas.study.trainings import grouped_by_rung
from surrogate_nas.study.verification import missing_trainings, require_seeds, to_verify
from surrogate_nas.training.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """Trainings that a command would do, with their time, memory and disk."""

    path: Path
    new: bool
    """Whether the study would be created."""
    header: Header
    problem: Problem
    recipe: Recipe
    """Recipe of the trainings."""
    passes: int | None
    """Rung of the trainings, in image passes; `None` without a ladder."""
    done: int
    """Number of trainings of the search in the archive."""
    networks: tuple[tuple[Architecture, int], ...]
    """Networks to train, each with its number of trainings; empty if they are not known yet."""
    plan: Plan
    """Number of trainings, and their memory and disk."""
    seconds: float | None
    """Estimated time; `None` if it cannot be estimated before the first training."""
    by_time: bool = False
    """Whether the time is given, and decides how many trainings there are."""


@dataclass(frozen=True, slots=True)
class Ground:
    """Parts of a study, new or opened, from which a preview is computed."""

    path: Path
    header: Header
    problem: Problem
    splits: Splits
    home: Home | None = None
    """Home of the study; `None` for a new one."""

    @classmethod
    def of(cls, study: NewStudy | Home) -> "Ground":
        """Parts of a new or an opened study."""
        if isinstance(study, Home):
            splits = StudyImages(study, store_copy=False).splits()
            return cls(study.path, study.archive.header, study.problem, splits, study)
        return cls(
            study.path,
            study.header,
            study.problem,
            split(study.data, study.header.seed, study.header.tune_share, study.header.sealed_share),
        )

    def records(self) -> list[Record]:
        """Records of the search."""
        return self.home.archive.studied() if self.home else []

    def proposals(self) -> list[Proposal]:
        """Proposals of the search."""
        return self.home.archive.proposals() if self.home else []

    def pending(self) -> int:
        """Number of proposals of the search without a record."""
        return len(self.home.archive.pending()) if self.home else 0

    def missing(self, proposals: Sequence[Proposal], *groups: Group) -> list[Architecture]:
        """Architectures of proposals without a record, each repeated for each of its trainings."""
        trained = {r.id for group in groups for r in self.home.archive.records(group)} if self.home else set()
        return [proposal.architecture for proposal in proposals if proposal.id not in trained]

    def preview(
        self,
        trainings: int,
        networks: Sequence[Architecture] = (),
        recipe: Recipe | None = None,
        passes: int | None = None,
        *,
        with_fits: bool = False,
    ) -> Preview:
        """Preview of a number of trainings, of given networks if they are known; on a ladder, to the rung of so many
        image passes, by default that of new networks.

        Raises:
            InputError: if the machine has too little disk or memory.
        """
        plan, records = Plan.of(self.problem, self.splits, trainings), self.records()
        plan.check(self.path)
        if with_fits:
            seconds = estimated_seconds(self.problem, self.splits, plan, records)
        else:
            seconds = training_seconds(self.problem, self.splits, plan, records, networks, recipe, passes)
        return Preview(
            path=self.path,
            new=self.home is None,
            header=self.header,
            problem=self.problem,
            recipe=recipe or self.problem.settings.recipe,
            passes=passes or self.problem.passes,
            done=sum(r.proposal.group == "search" for r in records),
            networks=tuple(Counter(networks).items()),
            plan=plan,
            seconds=seconds,
        )


def of_run(study: NewStudy | Home) -> Preview:
    """Preview of `Study.run` with a budget."""
    ground = Ground.of(study)
    require_without_time(ground.problem.settings)
    done = ground.home.archive.count() if ground.home else 0
    return ground.preview(max(ground.problem.settings.budget - done, 0), with_fits=True)


def of_time(study: NewStudy | Home, seconds: float) -> Preview:
    """Preview of `Study.run` by time.

    Raises:
        InputError: for a study whose trainings are not on a ladder, or without time.
    """
    ground = Ground.of(study)
    before = TimePlan.read(ground.path)
    seconds += 0.0 if before is None else before.left
    return replace(ground.preview(ground.pending() + 1), seconds=seconds, by_time=True)


def of_collect(study: NewStudy | Home, n: int, architectures: Sequence[Architecture] = ()) -> Preview:
    """Preview of `Study.collect`: of given architectures, or of n sampled ones.

    Raises:
        InputError: if too few networks keep the limits, or an architecture is not in the space.
    """
    ground = Ground.of(study)
    if architectures:
        ground.problem.space.indices(architectures)
        return ground.preview(ground.pending() + len(architectures), architectures)
    taken = ground.proposals()
    initial_proposals(ground.problem, n, taken, next_round(taken))
    return ground.preview(ground.pending() + n)


def of_search(home: Home, rounds: int | None) -> Preview:
    """Preview of `Study.search`."""
    require_without_time(home.settings)
    ground, settings = Ground.of(home), home.settings
    left = max(settings.budget - len(ground.proposals()), 0)
    new = left if rounds is None else min(rounds * settings.batch, left)
    return ground.preview(ground.pending() + new, with_fits=True)


def of_finalize(home: Home, ids: Sequence[str], at: Sequence[float], seeds: int, recipe: Recipe | None) -> Preview:
    """Preview of `Study.finalize`, whose errors it raises."""
    architectures = to_finalize(Solutions(home), ids, at, seeds, recipe)
    if (ladder := home.problem.ladder) is not None:
        ground = Ground.of(home)
        taken = [p for group in STUDIED for p in home.archive.proposals(group)]
        proposals = top_proposals(home.problem, architectures, seeds, taken, next_round(taken))
        missing = ground.missing(proposals, *STUDIED)
        return ground.preview(len(missing), missing, passes=ladder.top)
    if recipe is not None:
        home.preview({"final": recipe.model_dump()})
    ground = Ground.of(home)
    missing = ground.missing(final_proposals(home.problem, architectures, seeds), "final")
    return ground.preview(len(missing), missing, home.settings.full_recipe)


def of_promote(home: Home, records: Sequence[Record], rung: int | None) -> Preview:
    """Preview of `Study.promote`, whose errors it raises; the rung is the highest."""
    ground, of_passes = Ground.of(home), grouped_by_rung(home, records, rung)
    proposals = [p for passes, trainings in of_passes.items() for p in promotions(trainings, passes, 0)]
    missing = ground.missing(proposals, *STUDIED)
    return ground.preview(len(missing), missing, passes=max(of_passes, default=None))


def of_verify(home: Home, ids: Sequence[str], seeds: int) -> Preview:
    """Preview of `Study.verify`, whose errors it raises, for the present front, without pending trainings."""
    require_seeds(seeds)
    solutions, ground = Solutions(home), Ground.of(home)
    missing = missing_trainings(solutions, to_verify(solutions, ids), seeds)
    return ground.preview(ground.pending() + len(missing), missing, passes=solutions.passes)


def of_baselines(home: Home, *, everything: bool) -> Preview:
    """Preview of `Study.baselines`, whose errors it raises."""
    ground = Ground.of(home)
    solutions = Solutions(home)
    chosen = choose_baselines(solutions, everything=everything).architectures
    missing = ground.missing(baseline_proposals(home.problem, chosen, solutions.passes), "baseline")
    return ground.preview(len(missing), missing, passes=solutions.passes)
