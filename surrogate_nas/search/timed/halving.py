"""Successive halving by measurement, with a strategy that chooses which networks begin.

Of the networks that were measured at a rung, the best third to sixth go on to the next; while none may, a new network
begins (ASHA: Li et al., MLSys 2020, arXiv 1810.05934). Here the order at a rung is by hypervolume, a network begins or
goes on only if it can reach the top in the time that is left, and toward the end no network begins: what was begun is
ended. Where none can, and none is there, the top is a lower rung.

With surrogates, new networks are those that promise most at the highest rung with enough measurements (as in BOHB:
Falkner et al., ICML 2018, arXiv 1807.01774).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.record import Proposal, Record
from surrogate_nas.foundation.arrays import Floats
from surrogate_nas.search.proposals import promotions
from surrogate_nas.search.strategy import History, Strategy, propose, sampled
from surrogate_nas.search.timed.clock import Clock, Step
from surrogate_nas.search.timed.ranking import Curves, Networks
from surrogate_nas.search.timed.seconds import timings_of, work_of
from surrogate_nas.settings import FEWEST_NETWORKS

RATIO, RATIO_FOR_ONE = 3, 6
"""Networks at a rung for each that goes on to the next; and the most of them, where a single one is looked for."""
RATIO_BY_TIME = 0.5
"""Networks at a rung for each that goes on, relative to those that could be trained to the top in all of the time."""
FIRST = 10
"""Number of sampled networks before the strategy chooses, and of networks at a rung at which it compares."""
SAMPLING = 0.3
"""Largest share of the time in which networks are sampled."""
ROUND, MOST = 0.03, 128
"""Share of the time that a round takes, and its largest number of trainings."""
BEGINNING = 0.7
"""Share of the time in which networks begin."""
MARGIN = 1.2
"""Seconds that must be left for a network to go on, relative to the predicted ones: three of four trainings that went
on took no longer."""


class Schedule(Protocol):
    """A function from a history, and the time that is left, to the next trainings.

    It keeps no state, so that the same history with the same predicted seconds has the same trainings.
    """

    def __call__(self, history: History, clock: Clock) -> Sequence[Step]:
        """Trainings to carry out at once; none if nothing more can end in time."""


@dataclass(frozen=True)
class Halving:
    """Successive halving with a strategy."""

    strategy: Strategy
    """Strategy that chooses which networks begin."""
    ratios: tuple[float, float] = (RATIO, RATIO)
    """Networks at a rung for each that goes on to the next, least and most; it grows with the time. With 1 all go on,
    each before the next begins."""
    growing: bool = False
    """Whether networks go on beyond the second rung only while the orders at the two highest rungs differ (PASHA:
    Bohdal et al., ICLR 2023, arXiv 2207.06940); the best are trained to the top at the end."""

    def __call__(self, history: History, clock: Clock) -> list[Step]:
        """The trainings of a round, those that take longest first. While there is none, and the top was not reached,
        it is the rung below."""
        problem = history.problem
        assert problem.ladder is not None
        while not (steps := _Round(self, history, clock).steps()):
            if clock.top <= problem.settings.rung or problem.ladder.rungs[clock.top - 1] <= history.reached:
                break
            clock = replace(clock, top=clock.top - 1)
        return steps

    def ratio_in(self, clock: Clock, steps: Floats) -> float:
        """Networks at a rung for each that goes on, where a network takes (R,) seconds from each rung to the next."""
        networks = clock.total * clock.workers / max(float(steps[: clock.top].sum()), 1e-9)
        return float(np.clip(RATIO_BY_TIME * networks, *self.ratios))


class _Round:
    """The decisions of one round. Rungs are numbered from 0."""

    def __init__(self, halving: Halving, history: History, clock: Clock) -> None:
        self.halving, self.history, self.clock, self.problem = halving, history, clock, history.problem
        ladder = self.problem.ladder
        assert ladder is not None
        self.rungs, self.first = ladder.rungs[: clock.top], self.problem.settings.rung - 1
        self.gone = {(p.training, p.passes) for p in history.taken}
        """Trainings, each with a rung to which it was trained, or is."""
        self.chosen: list[Step] = []
        self.new = 0
        """Number of networks to begin."""
        self.any_left = True
        """Whether there may be networks that have not begun."""

    def steps(self) -> list[Step]:
        """Trainings of the round, those that take longest first."""
        if sample := self._sample():
            return sample
        if not self._at(self.first):  # every training failed
            return []
        self._fill()
        new = self._begin()
        if len(new) < self.new:
            self.new, self.any_left = len(new), False
            self._fill()
        return sorted(self.chosen + new, key=lambda step: -step.seconds)

    def _fill(self) -> None:
        """Choose trainings until the round has no more room."""
        while self._has_room():
            step = self._promotion(by_quota=True)
            if step is None and self._may_begin():
                self.new += 1
                continue
            step = step or self._promotion(by_quota=False)
            if step is None:
                return
            self.chosen.append(step)
            self.gone.add((step.proposal.training, step.proposal.passes))

    def _sample(self) -> list[Step]:
        """The first networks, which are sampled: `FIRST` of them, or as many as take `SAMPLING` of the time."""
        begun = sum(p.group == "search" for p in self.history.taken)
        left = SAMPLING * self.clock.total - (self.clock.total - self.clock.left)
        if begun >= FIRST or (begun >= FEWEST_NETWORKS and left <= 0):
            return []
        steps = self._timed(sampled(self.history, FIRST - begun))
        ends = np.cumsum([step.seconds for step in steps]) / self.clock.workers
        return steps[: max(int((ends <= left).sum()), FEWEST_NETWORKS - begun, 1)]

    def _has_room(self) -> bool:
        """Whether the round takes further trainings: until it has its share of the time, and each worker its part."""
        longest = max((step.seconds for step in self.chosen), default=0.0)
        share = max(ROUND * self.clock.total, longest) * self.clock.workers
        return self._spent < share and len(self.chosen) + self.new < MOST

    @property
    def _spent(self) -> float:
        """Predicted seconds of what was chosen, summed over workers."""
        return sum(step.seconds for step in self.chosen) + self.new * float(self._typical[self.first])

    @property
    def _left(self) -> float:
        """Seconds that are left after what was chosen."""
        return self.clock.left - self._spent / self.clock.workers

    # ------------------------------------------------------------------ networks that go on

    def _promotion(self, *, by_quota: bool) -> Step | None:
        """The best network of the highest rung from which one may go on; without a quota, from the highest rung on
        which one waits."""
        top = self._cap if by_quota else len(self.rungs) - 1
        for rung in range(top - 1, self.first - 1, -1):
            order = self._order(rung)
            waiting = order[: int(len(order) / self._ratio)] if by_quota else order
            for record, steps in waiting:
                proposal, passes = record.proposal, self.rungs[rung + 1]
                if (proposal.training, passes) in self.gone or MARGIN * steps[rung + 1 :].sum() > self._left:
                    continue
                seconds = float(steps[rung + 1])
                [promoted] = promotions([proposal], passes, self.history.round)
                told = {"seconds": seconds, "seconds_left": self.clock.left}
                return Step(replace(promoted, rank=len(self.chosen), prediction=told), seconds)
        return None

    @cached_property
    def _ratio(self) -> float:
        """Networks at a rung for each that goes on to the next."""
        return self.halving.ratio_in(self.clock, self._typical)

    def _order(self, rung: int) -> list[tuple[Record, Floats]]:
        """Networks that were measured at a rung, the best first, each with its predicted seconds of all steps."""
        if rung not in self._orders:
            networks = self._at(rung)
            seconds = self.clock.seconds
            paces = seconds.paces(timings_of([r for r, _ in networks], self.problem.costing, seconds.held_out))
            steps = self._steps_of(networks) * paces[:, None]
            order = self._curves(networks).best_first()
            self._orders[rung] = [(networks[i][0], steps[i]) for i in order]
        return self._orders[rung]

    @cached_property
    def _orders(self) -> dict[int, list[tuple[Record, Floats]]]:
        return {}

    def _at(self, rung: int) -> Networks:
        return self.history.at(self.rungs[rung])

    def _curves(self, networks: Networks) -> Curves:
        return Curves(self.problem, networks, self.problem.reference(self.history.records))

    def _steps_of(self, networks: Networks) -> Floats:
        """(n, R) predicted seconds of the steps to each rung."""
        if not networks:
            return np.zeros((0, len(self.rungs)))
        return self._steps([record.architecture for record, _ in networks])

    def _steps(self, architectures: Sequence[Architecture]) -> Floats:
        """(n, R) predicted seconds of the steps to each rung; the first is that of new networks, and 0 are those
        below."""
        steps = self.clock.steps(work_of(architectures, self.problem.costing), self.rungs)
        steps[:, self.first] = steps[:, : self.first + 1].sum(axis=1)
        steps[:, : self.first] = 0.0
        return steps

    @cached_property
    def _cap(self) -> int:
        """The highest rung to which networks go on."""
        top = len(self.rungs) - 1
        if not self.halving.growing:
            return top
        cap = min(self.first + 1, top)
        while cap < top and self._orders_differ(cap - 1, cap):
            cap += 1
        return cap

    def _orders_differ(self, lower: int, higher: int) -> bool:
        """Whether two networks have another order at the higher of two rungs, by more than the error of measuring."""
        below = {record.proposal.training: (record, exits) for record, exits in self._at(lower)}
        both = [(below[r.proposal.training], (r, e)) for r, e in self._at(higher) if r.proposal.training in below]
        if not both:
            return False
        low, high = (self._curves([pair[k] for pair in both]).hypervolumes for k in (0, 1))
        error = np.sqrt(2 * 0.25 / both[0][0][1].samples)  # of a difference of accuracies
        return bool(((low[:, None] - low > error) & (high - high[:, None] > error)).any())

    # ------------------------------------------------------------------ new networks

    @cached_property
    def _typical(self) -> Floats:
        """(R,) mean predicted seconds of the steps of networks that were measured at the first rung."""
        return np.asarray(self._steps_of(self._at(self.first)).mean(axis=0))

    def _may_begin(self) -> bool:
        """Whether another network may begin, and reach the top in the time that is left."""
        used = self.clock.total - self._left
        return self.any_left and used < BEGINNING * self.clock.total and float(self._typical.sum()) <= self._left

    def _begin(self) -> list[Step]:
        """New networks to their first rung."""
        if not self.new:
            return []
        history = replace(self.history, passes=self.rungs[self._compared])
        if len(history.trained) < FEWEST_NETWORKS:
            proposals = sampled(history, self.new)
        else:
            proposals = propose(self.halving.strategy, history, self.new)
        after = len(self.chosen)
        return self._timed([replace(p, rank=after + i) for i, p in enumerate(proposals)])

    @property
    def _compared(self) -> int:
        """The highest rung with enough measurements to compare networks."""
        enough = [k for k in range(self.first, len(self.rungs)) if len(self._at(k)) >= FIRST]
        return max(enough, default=self.first)

    def _timed(self, proposals: Sequence[Proposal]) -> list[Step]:
        """Steps of new networks to their first rung, which keep their predicted seconds."""
        steps = self._steps([p.architecture for p in proposals])
        told = [
            replace(p, prediction={**(p.prediction or {}), "seconds": float(s), "seconds_left": self.clock.left})
            for p, s in zip(proposals, steps[:, self.first], strict=True)
        ]
        return [Step(p, float(s[self.first])) for p, s in zip(told, steps, strict=True)]


def planned(clock: Clock, steps: Floats, begun: Sequence[int], ratio: float) -> list[float]:
    """Numbers of networks that are expected at each rung when the time ends.

    Args:
        clock: the time that is left.
        steps: (R,) predicted seconds of a network from each rung to the next.
        begun: (R,) numbers of networks at each rung so far.
        ratio: networks at a rung for each that goes on to the next.
    """
    share = [ratio**-k if k < clock.top else 0.0 for k in range(len(begun))]
    until = max(clock.left - (1 - BEGINNING) * clock.total, 0.0)
    more = until * clock.workers / max(float(np.dot(steps, share)), 1e-9)
    counts = [n + more * s for n, s in zip(begun, share, strict=True)]
    last = (max(clock.left, 0.0) - until) * clock.workers / max(float(steps[clock.top - 1]), 1e-9)
    counts[clock.top - 1] += last
    return counts
