"""A search by time that trains what promises most per second, for `eenn_time.py`: tried, and not what the package does.

Every network, new or begun, is worth the expected improvement of the hypervolume at the top by its curve there, as the
surrogate predicts it, per second that it still takes to get there. It is trained to its next rung, and then everything
is predicted anew. Where none is predicted to improve, it is worth what it would be alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from surrogate_nas.archive.record import Proposal, Record
from surrogate_nas.exits.front import Front
from surrogate_nas.foundation.arrays import Floats
from surrogate_nas.search.bayesian.curve_value import CurveValue, threshold_grid
from surrogate_nas.search.bayesian.strategy import known_front
from surrogate_nas.search.proposals import make_proposal, promotions
from surrogate_nas.search.strategy import FitSurrogate, History, sampled
from surrogate_nas.search.timed.clock import Clock, Step
from surrogate_nas.search.timed.halving import FIRST, ROUND
from surrogate_nas.search.timed.seconds import work_of
from surrogate_nas.space.candidates import Candidates
from surrogate_nas.surrogates.predictor import Predictor


@dataclass(frozen=True)
class ByValue:
    """The schedule; it chooses among all networks of a table."""

    fit: FitSurrogate
    power: float = 1.0
    """Power of the seconds that an improvement is divided by; 0 for improvements alone."""

    def __call__(self, history: History, clock: Clock) -> list[Step]:
        """The trainings of a round."""
        begun = sum(p.group == "search" for p in history.taken)
        if begun < FIRST:
            return [Step(p, 0.0) for p in sampled(history, FIRST - begun)]
        return _Round(history, clock, self.fit(history.records).predictor, self.power).steps()


class _Round:
    def __init__(self, history: History, clock: Clock, predictor: Predictor, power: float) -> None:
        self.history, self.clock, self.power = history, clock, power
        assert history.problem.ladder is not None
        self.rungs, self.first = history.problem.ladder.rungs, history.problem.settings.rung - 1
        latest: dict[str, Record] = {}
        for record in history.records:
            latest[record.proposal.training] = record
        self.started = [r for r in latest.values() if r.proposal.passes != self.rungs[-1]]
        self.new = history.sample(history.size, np.random.default_rng(history.seed))
        self.predictor = predictor.at(self.rungs[-1])

    def steps(self) -> list[Step]:
        """Trainings chosen one after the other, each beside the sampled curves of those before it."""
        parts = []
        if self.started:
            candidates = self.history.candidates([r.architecture for r in self.started])
            trainings = [r.proposal.training for r in self.started]
            parts.append(self._curves(self.predictor.of_trainings(trainings), candidates))
        if len(self.new):
            parts.append(self._curves(self.predictor, self.new))
        if not parts:
            return []
        cost, accuracy = (np.concatenate([part[k] for part in parts], axis=1) for k in (0, 1))
        seconds = self._seconds()
        rest, chosen, room, left = seconds.sum(axis=1), list[Step](), ROUND * self.clock.total, self.clock.left
        fronts, open_ = [self._front()] * len(cost), np.ones(len(rest), dtype=bool)

        def mean_gains() -> Floats:
            gains = [f.improvement(c, a) for f, c, a in zip(fronts, cost, accuracy, strict=True)]
            return np.asarray(np.mean(gains, axis=0))

        while room > 0 and (may := open_ & (rest <= left)).any():
            gains = mean_gains()
            if gains[may].max() <= 0:
                fronts = [self._empty] * len(cost)
                gains = mean_gains()
            value = np.where(may, gains / rest**self.power, -1)
            best = int(value.argmax())
            step = float(seconds[best][seconds[best] > 0][0])
            chosen.append(Step(self._proposal(best, len(chosen)), step))
            open_[best], room, left = False, room - step, left - step
            fronts = [f.with_points(c[best], a[best]) for f, c, a in zip(fronts, cost, accuracy, strict=True)]
        return chosen

    def _curves(self, predictor: Predictor, candidates: Candidates) -> tuple[Floats, Floats]:
        settings, seed = self.history.problem.settings, self.history.seed
        grid = threshold_grid(predictor.design.basis)
        value = CurveValue(predictor, self._front(), settings.limits, grid, seed, goal=settings.goal)
        return value.curves(candidates)[:2]

    def _front(self) -> Front:
        """Front at the top; until a network is there, an empty one."""
        return known_front(replace(self.history, passes=self.rungs[-1])).front if self._at_the_top else self._empty

    @property
    def _at_the_top(self) -> bool:
        return any(r.proposal.passes == self.rungs[-1] for r in self.history.records)

    @property
    def _empty(self) -> Front:
        return Front.of(np.zeros(0), np.zeros(0), *self.history.problem.reference(self.history.records))

    def _seconds(self) -> Floats:
        """(n, R) predicted seconds of the steps that are left: of the networks that began, then of new ones."""
        problem = self.history.problem
        new = problem.space.architectures(self.new.indices)
        work = work_of([*(r.architecture for r in self.started), *new], problem.costing)
        steps = self.clock.steps(work, self.rungs)
        steps[:, self.first] = steps[:, : self.first + 1].sum(axis=1)
        steps[:, : self.first] = 0.0
        for i, record in enumerate(self.started):
            steps[i, : self.rungs.index(record.proposal.passes or 0) + 1] = 0.0
        return steps

    def _proposal(self, index: int, rank: int) -> Proposal:
        if index < len(self.started):
            own: Sequence[Proposal] = [self.started[index].proposal]
            passes = self.rungs[self.rungs.index(own[0].passes or 0) + 1]
            return promotions(own, passes, self.history.round)[0]
        row = self.new.indices[[index - len(self.started)]]
        architecture = self.history.problem.space.architectures(row)[0]
        return make_proposal(self.history.problem, architecture, self.history.round, rank, "search")
