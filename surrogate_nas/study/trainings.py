"""Carry out the trainings of a study, and store their records."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.ladder import passes_text
from surrogate_nas.archive.record import GROUPS, STUDIED, Proposal, Record
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.machine import amount, size_of
from surrogate_nas.foundation.progress import Bar, console, duration, every, say
from surrogate_nas.search.proposals import (
    baseline_proposals,
    final_proposals,
    initial_proposals,
    next_round,
    promotions,
    top_proposals,
    user_proposals,
)
from surrogate_nas.study.estimate import Plan, estimated_seconds
from surrogate_nas.study.home import Home
from surrogate_nas.study.images import StudyImages
from surrogate_nas.study.paths import CHECKPOINTS, DATA, trunk_path, unfinished_path, weights_path
from surrogate_nas.study.pruning import kept_weights
from surrogate_nas.study.workers import make_executor
from surrogate_nas.training.devices import device_here
from surrogate_nas.training.executors.deadline import Deadline
from surrogate_nas.training.executors.jobs import DataSource, Executor, Job
from surrogate_nas.training.recipe import Recipe

TELL_EVERY = 15.0
"""Seconds between lines of progress in a log; they are at most twice as far apart."""
ENDED = ("diverged", "error")
"""Kinds of failures that a resumed training would repeat, so that its stored state is removed."""


class Trainer:
    """Training of the proposals of one study."""

    def __init__(self, home: Home, images: StudyImages) -> None:
        self.home, self.images = home, images
        self._deadline: Deadline | None = None
        """Deadline of the active `at_work` block."""
        self._running: dict[str, float] = {}
        """Finished share of each training that runs."""
        self._time_left: Callable[[], str] | None = None
        """Function that returns the time that is left, in words; `None` estimates it from the trainings."""
        self.on_record: Callable[[Record], None] = lambda record: None
        """Function that is called with each record, including its outputs, once it is stored."""

    @contextmanager
    def shown_by(self, running: dict[str, float], time_left: Callable[[], str]) -> Iterator[None]:
        """Keep the finished shares of the trainings that run in `running` inside the block, and show the time left as
        `time_left` tells it."""
        self._running, self._time_left = running, time_left
        try:
            yield
        finally:
            self._running, self._time_left = {}, None

    @contextmanager
    def at_work(self, deadline: Deadline | None = None) -> Iterator[Deadline]:
        """Hold the study's lock inside the block; yields the deadline, by default `max_hours` after the block starts.

        A nested block has the deadline of the outer one, so that all trainings of a command share it.

        Raises:
            InputError: if another command holds the lock.
        """
        with self.home.changing():
            if self._deadline is not None:
                yield self._deadline
                return
            of_settings = deadline is None
            self._deadline = deadline = deadline or Deadline.in_hours(self.home.settings.max_hours)
            try:
                yield deadline
            finally:
                self._deadline = None
            if of_settings and not deadline.may_start():
                pending = sum(len(self.home.archive.pending(group)) for group in GROUPS)
                say(f"time limit reached with {pending} trainings pending; run the same command again to continue")

    # ------------------------------------------------------------------ choice of trainings

    def collect(self, n: int, total: int | None = None) -> list[Record]:
        """Train n more sampled architectures; for `total` see `evaluate`."""
        with self.at_work():
            taken = self._studied()
            return self.evaluate(initial_proposals(self.home.problem, n, taken, next_round(taken)), total)

    def collect_architectures(self, architectures: Sequence[Architecture], passes: int | None = None) -> list[Record]:
        """Train architectures; one that has been trained before is trained again with another seed.

        On a ladder they are trained to the rung of so many image passes, by default that of new networks.
        """
        self.home.space.indices(architectures)
        with self.at_work():
            return self.evaluate(user_proposals(self.home.problem, architectures, self._next_round(), passes))

    def promote(self, records: Sequence[Record], rung: int | None) -> list[Record]:
        """Train networks on to a rung, by default each to its next; see `Study.promote`."""
        trained = list[Record]()
        with self.at_work():
            for passes, trainings in grouped_by_rung(self.home, records, rung).items():
                trained += self.evaluate(promotions(trainings, passes, self._next_round()))
        place = {r.proposal.training: i for i, r in enumerate(records)}
        return sorted(trained, key=lambda r: place[r.proposal.training])

    def collect_at_the_top(self, architectures: Sequence[Architecture], seeds: int) -> list[Record]:
        """Train architectures to the top rung, each with several seeds: trainings that there are go on first."""
        with self.at_work():
            proposals = self._studied()
            return self.evaluate(
                top_proposals(self.home.problem, architectures, seeds, proposals, next_round(proposals))
            )

    def _studied(self) -> list[Proposal]:
        """Proposals of networks that surrogates learn from, at all rungs."""
        return [p for group in STUDIED for p in self.home.archive.proposals(group)]

    def _next_round(self) -> int:
        return next_round(self._studied())

    def collect_finals(self, architectures: Sequence[Architecture], seeds: int) -> list[Record]:
        """Train architectures at full fidelity, each with several seeds; existing trainings are not repeated."""
        return self.evaluate(final_proposals(self.home.problem, architectures, seeds))

    def collect_baselines(self, architectures: Sequence[Architecture], passes: int | None = None) -> list[Record]:
        """Train architectures once each, outside the search; for `passes` see `collect_architectures`."""
        return self.evaluate(baseline_proposals(self.home.problem, architectures, passes))

    def finish_pending(self) -> list[Record]:
        """Train the proposals left pending by an interruption."""
        archive = self.home.archive
        finished = self.evaluate(archive.pending(), self.home.settings.budget)
        promoted = sorted(archive.pending("promoted"), key=lambda p: p.passes or 0)
        return finished + self.evaluate(promoted) if promoted else finished

    # ------------------------------------------------------------------ training

    def evaluate(self, proposals: Sequence[Proposal], total: int | None = None) -> list[Record]:
        """Store proposals of one group, train those without a record, and return the records in the proposals' order.

        Trainings that cannot end by the deadline are missing from the result: they stay pending, and resume from their
        last epoch. Outputs are read only for earlier records among the proposals.

        Args:
            proposals: proposals of one group.
            total: total number of trainings for the progress display; by default these are the last ones.
        """
        if not proposals:
            return []
        _ = self.images.dataset  # raises here if the data is missing or has changed
        archive, group, place = self.home.archive, proposals[0].group, {p.id: i for i, p in enumerate(proposals)}
        groups = STUDIED if group in STUDIED else (group,)  # what is promoted may have been collected at that rung
        with self.at_work() as deadline:
            archive.propose(proposals)
            waiting = [p for g in groups for p in archive.pending(g) if p.id in place]
            waiting.sort(key=lambda p: place[p.id])
            for _record in self._train(waiting, len(waiting), total, deadline):
                pass
            self.home.prune()
        records = [r for g in groups for r in archive.records(g) if r.id in place]
        return self.home.problem.views.with_outputs(sorted(records, key=lambda r: place[r.id]))

    def train_as_workers_free(self, proposals: Iterator[Proposal], most: int | None) -> Iterator[Record]:
        """Train up to `most` proposals, or all, taking one whenever a worker is free. Each is stored before it is
        trained; its record is stored, then yielded."""

        def store_each() -> Iterator[Proposal]:
            for proposal in proposals:
                self.home.archive.propose([proposal])
                yield proposal

        _ = self.images.dataset
        with self.at_work() as deadline:
            yield from self._train(store_each(), most, self.home.settings.budget, deadline)
            self.home.prune()

    def _train(
        self, proposals: Iterable[Proposal], count: int | None, total: int | None, deadline: Deadline
    ) -> Iterator[Record]:
        """Train `count` proposals, or for `None` all, and store and yield each record as it finishes."""
        if count == 0 or not deadline.may_start():
            return
        plan = self.plan(self._at_a_time if count is None else count)
        plan.check(self.home.path)
        done = len(self.home.archive.studied())
        if resuming := sum(self._job(p).unfinished.is_file() for p in proposals) if isinstance(proposals, list) else 0:
            say(f"{resuming} of {count} trainings resume from their last epoch")
        bar = Bar(plan.trainings)
        progress = TrainingProgress(bar, done, total or done + plan.trainings, self._running, self._time_left)
        with bar.display(), every(TELL_EVERY, progress.tell):
            jobs = (self._job(p) for p in proposals)
            for record in self._executor(plan).run(jobs, progress.advance, deadline):
                self._store(record)
                progress.count(record)
                self.on_record(record)
                yield record

    @property
    def _at_a_time(self) -> int:
        return max(self.plan(1).workers, 1)

    def _store(self, record: Record) -> None:
        self.home.archive.add(record)
        if record.failure is None:
            self.home.problem.views.outputs(record)  # caches them, so that they are not read again
        if record.failure is None or record.failure.kind in ENDED:
            unfinished_path(self.home.path / CHECKPOINTS, record.id).unlink(missing_ok=True)

    def _executor(self, plan: Plan) -> Executor:
        settings = self.home.settings
        fixed = settings.executor == "ray" or settings.workers == 0
        return make_executor(settings, None if fixed else min(plan.workers, plan.trainings))

    def _job(self, proposal: Proposal) -> Job:
        home, header = self.home, self.home.archive.header
        cuts = header.seed, header.tune_share, header.sealed_share
        source, weights = DataSource(home.path / DATA, *cuts), home.path / CHECKPOINTS
        return Job(
            proposal=proposal,
            source=source,
            recipe=self._recipe(proposal),
            device=home.settings.device if home.settings.executor == "ray" else device_here(home.settings.device),
            checkpoint=weights_path(weights, proposal.id),
            unfinished=unfinished_path(weights, proposal.id),
            trunk=None if home.problem.ladder is None else trunk_path(weights, proposal.training),
            top=None if home.problem.ladder is None else home.problem.ladder.top,
            backbone=home.space.spec.backbone,
            charge_heads=home.costing.charge_heads,
        )

    def _recipe(self, proposal: Proposal) -> Recipe:
        """The recipe of a proposal's fidelity, with the time limit of the settings."""
        settings = self.home.settings
        if proposal.fidelity == self.home.problem.fidelity:
            return settings.recipe
        recipes = {r.fidelity: r for r in (settings.full_recipe, settings.recipe)}
        return recipes.get(proposal.fidelity) or Recipe.of_fidelity(proposal.fidelity)

    # ------------------------------------------------------------------ time and disk

    def plan(self, trainings: int) -> Plan:
        """Resources of a number of trainings."""
        return Plan.of(self.home.problem, self.images.splits(), trainings)

    def seconds_left(self, plan: Plan | None = None) -> float | None:
        """Estimated seconds of the remaining trainings of the budget; `None` without a training to estimate from.

        Args:
            plan: resources of these trainings, if they are known.
        """
        home = self.home
        left = home.settings.budget - home.archive.count()
        if left <= 0:
            return 0.0
        return estimated_seconds(home.problem, self.images.splits(), plan or self.plan(left), home.archive.records())

    def announce(self) -> None:
        """Print the study, its progress and the resources of the remaining trainings."""
        home, header, settings = self.home, self.home.archive.header, self.home.settings
        done = home.archive.count()
        plan = self.plan(max(settings.budget - done, 0))
        seconds = self.seconds_left(plan)
        time_left = "unknown before the first training" if seconds is None else duration(seconds)
        stream = f", stream {settings.stream}" if settings.stream else ""
        say(
            f"study {home.path}: data {header.data}, space {header.space.name}, seed {header.seed}{stream}, "
            f"{settings.limits}; "
            f"{done} of {settings.budget} trainings done, {plan.workers} at a time; "
            f"estimated time: {time_left}"
        )
        say(
            f"disk: {amount(size_of(home.path))} used, at most {amount(plan.disk)} more "
            f"(weights kept: {kept_weights(settings)})"
            + (f"; memory: about {amount(plan.memory)} per training" if plan.memory else "")
            + (f", and {amount(plan.gpu.memory)} of the GPU" if plan.gpu else "")
        )


def grouped_by_rung(home: Home, records: Sequence[Record], rung: int | None) -> dict[int, list[Proposal]]:
    """Trainings to promote by the rung to train them to, in image passes, the lowest first.

    Args:
        home: the study.
        records: trained networks.
        rung: number of the rung, from 1; by default the next of each network.

    Raises:
        InputError: for a study without a ladder, a baseline, or a rung that is not above a network's own.
    """
    of_passes: dict[int, list[Proposal]] = {}
    for record in records:
        of_passes.setdefault(_rung_above(home, record, rung), []).append(record.proposal)
    return dict(sorted(of_passes.items()))


def _rung_above(home: Home, record: Record, rung: int | None) -> int:
    ladder, proposal = home.problem.ladder, record.proposal
    if ladder is None:
        raise InputError(f"study {home.path} has no ladder, so that no network can be promoted")
    if proposal.group == "baseline" or proposal.passes is None:
        raise InputError(f"{record.id} is a baseline, which is not promoted; allowed: networks of the search")
    own = ladder.number(proposal.passes)
    passes = ladder.passes(min(own + 1, len(ladder.rungs)) if rung is None else rung)
    if passes <= proposal.passes:
        raise InputError(f"{record.id} was trained to {ladder.name(proposal.passes)}; allowed: a rung above it")
    return passes


class TrainingProgress:
    """Progress of a batch of trainings: a bar on a terminal, and one line for each finished training."""

    def __init__(
        self,
        bar: Bar,
        done_before: int,
        total: int,
        running: dict[str, float],
        time_left: Callable[[], str] | None,
    ) -> None:
        """Build for `total` trainings, of which `done_before` are already done.

        Args:
            bar: bar to show.
            done_before, total: numbers of trainings.
            running: finished share of each training that runs, which this keeps up to date.
            time_left: function that returns the time left in words; `None` estimates it from these trainings.
        """
        self._bar, self._first, self._total, self._time_of = bar, done_before, total, time_left
        self._share = running
        self._count = 0
        self._start = self._told = time.monotonic()

    def advance(self, proposal: Proposal, share: float) -> None:
        """Update the finished share of a training, in [0, 1]."""
        self._share[proposal.id] = share
        self._refresh()

    def count(self, record: Record) -> None:
        """Count a finished training and print its line."""
        self._share.pop(record.id, None)
        self._count += 1
        passes, failure = record.proposal.passes, record.failure
        rung = "" if passes is None else f" to {passes_text(passes)} passes"
        outcome = f"trained{rung}" if failure is None else f"failed ({failure.kind}: {failure.message})"
        number = self._first + self._count
        place = f"{number}/{self._total}" if self._time_of is None else f"{number}"
        say(f"[{place}] {record.id} {outcome} in {duration(record.seconds)}; {self._time_left()}")
        self._told = time.monotonic()
        self._refresh()

    def tell(self) -> None:
        """Print how far trainings are, in a log: a terminal has the bar."""
        if console.is_terminal or time.monotonic() - self._told < TELL_EVERY:
            return
        self._told = time.monotonic()
        running = ", ".join(f"{id} {share:.0%}" for id, share in list(self._share.items())) or "the first epoch"
        say(f"training {running}; {self._time_left()}")

    def _trainings_done(self) -> float:
        return self._count + sum(self._share.values())

    def _time_left(self) -> str:
        if self._time_of is not None:
            return self._time_of()
        done = self._trainings_done()
        if done <= 0:
            return "time left unknown"
        rate = done / (time.monotonic() - self._start)
        remaining = max(self._total - self._first - done, 0)
        return f"about {duration(remaining / rate)} of training left"

    def _refresh(self) -> None:
        self._bar.at(self._trainings_done(), f"training {' '.join(self._share)}", self._time_left())
