"""The search by time of a study: how long trainings take here, what the time is enough for, the search, and the report.

Time counts while a command runs. What a kill leaves pending is trained first by the next command, and the rest follows
from the archive and the time that is left, so that nothing is decided twice.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial

import numpy as np

from surrogate_nas.archive.ladder import FURTHEST, FURTHEST_FOR_ONE, Ladder, passes_text
from surrogate_nas.archive.record import STUDIED, Proposal, Record
from surrogate_nas.foundation import numerals
from surrogate_nas.foundation.arrays import Floats
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.progress import duration, every, say
from surrogate_nas.search.registry import schedule_named
from surrogate_nas.search.strategy import History
from surrogate_nas.search.timed.clock import Clock
from surrogate_nas.search.timed.halving import planned
from surrogate_nas.search.timed.loop import search_in_time, search_in_time_asynchronously
from surrogate_nas.search.timed.seconds import MEASURING, TrainingSeconds, timings_of
from surrogate_nas.study.creation import on_ladder
from surrogate_nas.study.estimate import Plan, probed_seconds, sampled_work
from surrogate_nas.study.fitting import fit
from surrogate_nas.study.solutions import Solutions
from surrogate_nas.study.time_plan import Stopwatch, TimePlan
from surrogate_nas.study.trainings import Trainer
from surrogate_nas.training.executors.deadline import Deadline

NOTE_EVERY = 2.0
"""Seconds between two notes of the time spent, which a kill loses at most."""
NETWORKS, NETWORKS_FOR_ONE = 12, 4
"""Networks that could be trained to the top of a new ladder in the time, if nothing else were done; and where a single
one is looked for, not a front."""
TIMINGS = 4
"""Timings of trainings that replace the probe."""
ENOUGH, ENOUGH_FOR_ONE = 4, 2
"""Networks that could be trained to a rung in all of the time, for it to be the top of a search; and where a single one
is looked for."""
REACH = 100
"""Image passes of a rung, relative to the longest training so far, up to which timings tell how long it takes."""
LEAST_RESERVE, RESERVE = 2.0, 0.03
"""Least seconds kept for a report before there was one, and share of the time."""
TRIAL_REPORT = 0.5
"""Share of the time after which a first report is written, which shows how long the last one takes."""
GROWTH = 1.6
"""Seconds of the last report, relative to those of the first, which has about half as many networks."""
CERTIFIED = 8
"""Networks that time is kept for to measure on the sealed images."""
SLACK = 0.01
"""Share of the time that is kept for starting and ending the command."""


def is_timed(trainer: Trainer) -> bool:
    """Whether a study is searched by time."""
    return TimePlan.read(trainer.home.path) is not None


def read_time(time: float | str) -> float:
    """Seconds of a time as people write it; raises `InputError` for anything else, and unless it is above 0."""
    try:
        seconds = numerals.seconds(time)
    except ValueError as error:
        raise InputError(f"time {error}") from None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        raise InputError(f"time {time!r} is not a time; allowed: seconds above 0, or text such as 25m or 1h30m")
    return float(seconds)


def run(
    trainer: Trainer,
    solutions: Solutions,
    seconds: float,
    report: Callable[[], object],
    certify: Callable[[], object] = lambda: None,
) -> list[Record]:
    """Search by time, and write the report; see `Study.run`.

    Args:
        trainer: trainer of the study.
        solutions: its solutions.
        seconds: time to add to what is left of earlier commands.
        report: function that writes the report.
        certify: function that certifies what was found, before the last report.

    Raises:
        InputError: for a study whose trainings are not on a ladder, or without any time left.
    """
    home = trainer.home
    with home.changing():
        _require_ladder(trainer, seconds)
        watch = Stopwatch(home.path, seconds)
        if watch.left <= 0:
            raise InputError(
                f"study {home.path} has spent all of its {duration(watch.granted)}; give it more, such as --time 10m"
            )
        search = TimedSearch(trainer, solutions, watch, report)
        with (
            every(NOTE_EVERY, watch.note),
            trainer.at_work(search.deadline),
            trainer.shown_by(watch.running, search.told),
        ):
            try:
                search.run()
            finally:
                watch.running.clear()
                watch.note()
        certify()
        report()
        watch.note()
    return solutions.views.with_outputs(home.archive.studied())


def _require_ladder(trainer: Trainer, seconds: float) -> None:
    """Give the study a ladder, if it has none and no trainings; raise `InputError` if it has.

    For a front, twice as many image passes are worth as much as twice as many networks where there are about
    `NETWORKS`. Near a limit networks differ less, so that fewer do; see docs/results/time.md.
    """
    home = trainer.home
    if home.problem.ladder is not None:
        return
    if home.archive.proposals():
        raise InputError(
            f"study {home.path} has trainings of whole epochs; a search by time trains on a ladder, in a new study"
        )
    splits, settings = trainer.images.splits(), home.settings
    images = len(splits.train)
    auto = partial(Ladder.auto, images, min(settings.recipe.batch_size, images))
    bounded, plan = replace(home.problem, ladder=auto()), trainer.plan(1)
    ladder = auto()
    if plan.device == "cpu":
        predicted = probed_seconds(bounded, splits, plan.workers)
        networks, furthest = (NETWORKS, FURTHEST) if settings.goal == "front" else (NETWORKS_FOR_ONE, FURTHEST_FOR_ONE)
        each = seconds * max(plan.workers, 1) / networks
        ladder = auto(predicted.passes_in(each, sampled_work(bounded)), furthest)
    home.begin_ladder(ladder, on_ladder(settings, ladder, images))


class TimedSearch:
    """The search of one command."""

    def __init__(self, trainer: Trainer, solutions: Solutions, watch: Stopwatch, report: Callable[[], object]) -> None:
        self.trainer, self.solutions, self.watch, self.report = trainer, solutions, watch, report
        self.home, self.problem = trainer.home, trainer.home.problem
        assert self.problem.ladder is not None
        self.ladder: Ladder = self.problem.ladder
        splits = trainer.images.splits()
        self.held_out = len(splits.tune) + len(splits.test)
        settings = self.home.settings
        self.enough = ENOUGH if settings.goal == "front" else ENOUGH_FOR_ONE
        self.schedule = schedule_named(settings.strategy, partial(fit, self.home), settings.goal)
        self._reported, self._known, self._reach = False, False, math.inf
        self.deadline = Deadline()
        self.keep(max(LEAST_RESERVE, RESERVE * watch.granted))

    def keep(self, seconds: float) -> None:
        """Keep seconds for the report, which the trainings must leave."""
        ends = self.deadline.clock() + self.watch.left - seconds - SLACK * self.watch.granted
        self.deadline.end = ends

    def told(self) -> str:
        """The time that is left, for a line of progress."""
        return f"{duration(max(self.watch.left, 0))} of {duration(self.watch.granted)} left"

    def run(self) -> None:
        """Probe, plan, and search."""
        self.seconds = self._seconds(self.home.archive.studied())
        self.watch.top = self._top()
        self._announce()
        self.watch.note()
        self.trainer.finish_pending()
        records = self.solutions.views.with_outputs(self.home.archive.studied())
        taken = [p for group in STUDIED for p in self.home.archive.proposals(group)]
        if self.home.settings.asynchronous:
            search_in_time_asynchronously(self.problem, records, taken, self._train_freely, self.schedule, self.clock)
        else:
            search_in_time(self.problem, records, taken, self._train, self.schedule, self.clock)

    def _train(self, proposals: Sequence[Proposal]) -> list[Record]:
        return self.trainer.evaluate(proposals)

    def _train_freely(self, proposals: Iterator[Proposal]) -> Iterator[Record]:
        return self.trainer.train_as_workers_free(proposals, None)

    # ------------------------------------------------------------------ time

    def clock(self, history: History) -> Clock:
        """The time that is left now, and what trainings are predicted to take."""
        self.seconds = self._seconds(history.records)
        self._replan(history)
        self._report_once()
        clock = Clock(
            left=self.deadline.end - self.deadline.clock(),
            total=self.watch.granted,
            workers=self.workers,
            seconds=self.seconds,
            top=self.watch.top,
        )
        steps = self._typical_steps()
        ratio = self.schedule.ratio_in(clock, steps)
        self.watch.planned = tuple(planned(clock, steps, self._begun(history.records), ratio))
        return clock

    def _replan(self, history: History) -> None:
        """Follow what trainings take here, up and down, but not below a rung that was reached; and say so."""
        before, rungs = self.watch.top, self.ladder.rungs
        self.watch.top = max(self._top(), sum(passes <= history.reached for passes in rungs))
        if self.watch.top != before:
            takes, name = float(self._typical_steps().sum()), self.ladder.name(rungs[self.watch.top - 1])
            say(
                f"study {self.home.path}: a network takes about {duration(takes)} to the top of the ladder; "
                f"from here on, networks are trained to {name}"
            )

    @cached_property
    def plan(self) -> Plan:
        """Resources of a training."""
        return self.trainer.plan(1)

    @property
    def workers(self) -> int:
        """Number of trainings at a time."""
        return max(self.plan.workers, 1)

    def _seconds(self, records: Sequence[Record]) -> TrainingSeconds:
        timings = timings_of(records, self.problem.costing, self.held_out)
        self._known = len(timings) >= TIMINGS or self.plan.device == "cpu"
        if len(timings) >= TIMINGS:
            self._reach = REACH * max(timing.passes for timing in timings)
            return TrainingSeconds.of(timings, self.held_out)
        return probed_seconds(self.problem, self.trainer.images.splits(), self.workers)

    def _report_once(self) -> None:
        """Write a first report when half of the time is spent, and keep the time for the last one."""
        if self._reported or self.watch.spent < TRIAL_REPORT * self.watch.granted or not self.solutions.records():
            return
        self._reported, start = True, self.deadline.clock()
        self.report()
        self.keep(GROWTH * (self.deadline.clock() - start) + self._certifying())

    def _certifying(self) -> float:
        """Predicted seconds of measuring networks on the sealed images, if there are any."""
        seal = self.problem.seal
        each = np.median(self.seconds.each_pass(sampled_work(self.problem)))
        return 0.0 if seal is None else CERTIFIED * MEASURING * seal.draws * float(each)

    # ------------------------------------------------------------------ plan

    def _typical_steps(self) -> Floats:
        """(R,) median predicted seconds of the steps of sampled networks to each rung."""
        steps = Clock(0, 0, 1, self.seconds, len(self.ladder.rungs)).steps(
            sampled_work(self.problem), self.ladder.rungs
        )
        return np.asarray(np.median(steps, axis=0))

    def _top(self) -> int:
        """Number of the highest rung to which enough networks can be trained in all of the time, as far as timings
        tell; the last one where nothing is known yet of how fast trainings are."""
        if not self._known:
            return len(self.ladder.rungs)
        whole = np.cumsum(self._typical_steps())
        in_time = self.enough * whole <= self.watch.granted * self.workers
        enough = np.flatnonzero(in_time & (np.array(self.ladder.rungs) <= self._reach))
        return max(int(enough.max(initial=0)) + 1, self.home.settings.rung)

    def _announce(self) -> None:
        ladder, watch, path = self.ladder, self.watch, float(self._typical_steps().sum())
        takes = f"about {duration(path)}" if self._known else "a time not known before the first trainings"
        say(
            f"study {self.home.path}: {self.told()}, {self.workers} trainings at a time; a network takes {takes} "
            f"to the top ({passes_text(ladder.top)} image passes)"
        )
        if watch.top < len(ladder.rungs):
            passes = ladder.rungs[watch.top - 1]
            say(
                f"{duration(watch.granted)} is too little for the top: networks are trained to {ladder.name(passes)}; "
                f"about {duration(self.enough * path / self.workers)} is enough, and more time goes on from here"
            )

    def _begun(self, records: Sequence[Record]) -> list[int]:
        """Numbers of networks at each rung so far."""
        return [sum(r.failure is None and r.proposal.passes == passes for r in records) for passes in self.ladder.rungs]
