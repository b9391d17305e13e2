"""Exits of one network on one split, and their accuracy and cost at any thresholds.

Nothing here trains or runs a network: everything is computed from the held-out outputs of its exits.

Positions are counted over the space, so that networks are comparable: arrays have E columns whether or not a network
has an exit at each. Thresholds in arrays are ∞ where an exit is off.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from surrogate_nas.architecture.cost import Cost, costs_of_leaving
from surrogate_nas.exits import coordinates
from surrogate_nas.exits.clusters import cell_counts
from surrogate_nas.exits.front import pareto_order
from surrogate_nas.exits.grid import cumulative_histogram, levels_for, quantiles, with_axes
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.measurements import Measurements
from surrogate_nas.exits.operating_point import OFF, OperatingPoint
from surrogate_nas.exits.policies import POLICIES, PolicyName, having_left
from surrogate_nas.exits.ranks import Ranks, pack_bits
from surrogate_nas.foundation.arrays import Array, Bools, Floats, Floats32, Ints, evenly
from surrogate_nas.foundation.errors import InputError

FINEST_STEP = 1 / 32
"""Final step, a share of an exit's samples, of the local search over thresholds of many exits."""
MOVES = 3
"""Number of iterations of the local search per step length."""
BEAM, ROUNDS = 32, 16
"""For the search over many exits: number of settings, evenly spaced along its front, that each round changes; and
largest number of rounds."""
SETTINGS_AT_ONCE = 16_384
"""Number of settings that the local search compares at a time."""
CHUNK = 1024
"""Number of settings measured at a time, to bound the memory."""


@dataclass(frozen=True)
class Exits:
    """Exits of one network on one split under one policy."""

    policy: PolicyName
    present: Bools
    """(E,) whether there is an exit; true at the last."""
    scores: Floats32
    """(E, N) confidence of each exit by itself; ignored where there is no exit."""
    correct: Bools
    """(E, N) whether each exit classifies each sample correctly."""
    cost: Cost
    """Cost of this network (n = 1)."""
    groups: Ints | None = None
    """(N,) group numbers: samples of one group are not independent. `None` where all are."""

    @cached_property
    def clusters(self) -> Ints | None:
        """(N,) group numbers from 0 without a gap; `None` where each sample is a group of its own."""
        if self.groups is None:
            return None
        distinct, clusters = np.unique(self.groups, return_inverse=True)
        return None if len(distinct) == self.samples else clusters.ravel()

    @property
    def positions(self) -> int:
        """Exit positions E."""
        return len(self.present)

    @property
    def samples(self) -> int:
        """Number of samples N."""
        return int(self.scores.shape[1])

    @cached_property
    def early(self) -> tuple[int, ...]:
        """Positions before the last that have an exit."""
        return tuple(np.flatnonzero(self.present[:-1]).tolist())

    def compared_scores(self, on: Iterable[int]) -> Floats32:
        """(E, N) scores to compare with thresholds where the early exits `on` are on.

        These are the confidences of the exits; under a cumulative policy, they include the gates that were run before.
        """
        if not POLICIES[self.policy].cumulative:
            return self.scores
        result, left_probability = self.scores.copy(), np.zeros(self.samples, dtype=np.float32)
        for e in on:
            left_probability = result[e] = having_left(left_probability, self.scores[e])
        return result

    def _only_present(self, thresholds: Floats) -> Floats:
        if thresholds.ndim != 2 or thresholds.shape[1] != self.positions - 1:
            raise InputError(f"{self.positions} exits need {self.positions - 1} thresholds, got {thresholds.shape[-1]}")
        return np.where(self.present[:-1], thresholds, OFF)

    def route(self, operating_point: OperatingPoint) -> Ints:
        """(N,) position at which each sample leaves."""
        return self.leave(operating_point.array())

    def leave(self, thresholds: Floats) -> Ints:
        """(N,) position at which each sample leaves at (E − 1,) thresholds."""
        thresholds = self._only_present(thresholds[None])[0]
        passes = np.ones_like(self.correct)  # every sample passes at the last exit
        passes[:-1] = self.compared_scores(np.flatnonzero(np.isfinite(thresholds)))[:-1] >= thresholds[:, None]
        return np.asarray(passes.argmax(axis=0))

    def right(self, leaving: Ints) -> Bools:
        """(N,) whether samples that leave at these (N,) positions are classified correctly."""
        return np.asarray(self.correct[leaving, np.arange(self.samples)])

    def group_counts(self, leaving: Ints) -> Ints | None:
        """(G, 2 E) samples of each group that leave at each of (N,) positions and are right, then those that are wrong.

        `None` where each sample is a group of its own.
        """
        if self.clusters is None:
            return None
        cell = np.where(self.right(leaving), leaving, self.positions + leaving)
        return cell_counts(self.clusters, cell, 2 * self.positions)

    def outcomes(self, operating_point: OperatingPoint) -> tuple[Bools, Array]:
        """(N,) whether each sample is classified correctly, and (N,) its cost, of the kind to minimise."""
        route = self.route(operating_point)
        on = np.isfinite(self._only_present(operating_point.array()[None]))
        costs = costs_of_leaving(*self.cost.objective_costs, on, self.cost.charge_heads)[0]
        return self.right(route), costs[route]

    def measure(self, thresholds: Floats) -> Measurements:
        """Measurements at each of (T, E − 1) thresholds."""
        thresholds = self._only_present(thresholds)
        T, E = len(thresholds), self.positions
        leaving, correct = np.zeros((T, E), dtype=np.int64), np.zeros((T, E), dtype=np.int64)
        for ranks, rows, on in self._ranked(thresholds):
            for at in range(0, len(rows), CHUNK):
                some = rows[at : at + CHUNK]
                leaving[some], correct[some] = self._route_all(on, ranks, thresholds[some][:, list(on)])
        return self._measurements(thresholds, leaving, correct)

    def _ranked(self, thresholds: Floats) -> Iterator[tuple[Sequence[Ranks], Ints, tuple[int, ...]]]:
        """Ranks of the scores of exits that are compared together, the rows of thresholds they apply to, and the exits.

        Patterns with the same first exits follow each other, and share the ranks of those exits.
        """
        path, before = list[tuple[Floats32, Ranks]](), tuple[int, ...]()
        for on, rows in self._by_pattern(thresholds):
            shared = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(before, on, strict=False)))
            del path[shared:]
            for e in on[shared:]:
                score = self.scores[e]
                if POLICIES[self.policy].cumulative:
                    score = having_left(path[-1][0] if path else 0.0, score)
                path.append((score, Ranks.of(score)))
            before = on
            yield [ranks for _, ranks in path], rows, on

    def _by_pattern(self, thresholds: Floats) -> Iterator[tuple[tuple[int, ...], Ints]]:
        """Sets of early exits that are compared together, and the rows of thresholds that each applies to."""
        if not POLICIES[self.policy].cumulative:  # scores are independent; no sample takes an exit that is off
            yield self.early, np.arange(len(thresholds))
            return
        patterns, of = np.unique(np.isfinite(thresholds), axis=0, return_inverse=True)
        for i, pattern in enumerate(patterns):
            yield tuple(np.flatnonzero(pattern).tolist()), np.flatnonzero(of.ravel() == i)

    def _route_all(self, on: tuple[int, ...], ranks: Sequence[Ranks], thresholds: Floats) -> tuple[Ints, Ints]:
        """(T, E) numbers of samples that leave, and of the correct ones among them, at (T, len(on)) thresholds."""
        T, E = len(thresholds), self.positions
        leaving, correct = np.zeros((T, E), dtype=np.int64), np.zeros((T, E), dtype=np.int64)
        inside: Array = pack_bits(np.ones(self.samples, dtype=bool))[None]
        for i, e in enumerate((*on, E - 1)):
            leaves = inside & ranks[i].passes(thresholds[:, i]) if e < E - 1 else inside
            leaving[:, e] = np.bitwise_count(leaves).sum(axis=1)
            correct[:, e] = np.bitwise_count(leaves & self._right[e]).sum(axis=1)
            inside = inside & ~leaves
        return leaving, correct

    @cached_property
    def _right(self) -> Array:
        """(E, words) `correct` as bits."""
        return pack_bits(self.correct)

    def at(self, operating_point: OperatingPoint) -> Measurements:
        """Measurements at one operating point (T = 1)."""
        return self.measure(operating_point.array()[None])

    def _measurements(self, thresholds: Floats, leaving: Array, correct: Array) -> Measurements:
        cost, T, on = self.cost, len(thresholds), np.isfinite(thresholds)
        macs, others = cost.macs(on), cost.others(on)
        costs = np.full(macs.shape, np.nan) if others is None else others
        return Measurements(
            thresholds=thresholds,
            leaving=leaving,
            correct=correct,
            last_correct=np.repeat(np.count_nonzero(self.correct[-1]), T),
            macs=macs,
            costs=costs,
            objective=self._total_cost(thresholds, leaving) / leaving.sum(axis=1),
            parameters=np.repeat(cost.parameters, T),
            weight_bytes=np.repeat(cost.weight_bytes, T),
            activation_bytes=cost.memory(on),
        )

    def _total_cost(self, thresholds: Floats, leaving: Array) -> Array:
        """(T,) objective summed over all samples: exact for integers, so that ties are recognised."""
        on = np.isfinite(thresholds)
        return np.asarray(
            (leaving * costs_of_leaving(*self.cost.objective_costs, on, self.cost.charge_heads)).sum(axis=1)
        )

    # ------------------------------------------------------------------ the best thresholds

    @cached_property
    def curve(self) -> Measurements:
        """Accuracy–cost curve over all thresholds, including off: Pareto-optimal points, cheapest first.

        Exhaustive over which exits are on and a grid of score quantiles: 257 levels for one or two early exits, 33 for
        three, 17 for four, fewer for up to eight. For four to eight, the Pareto-optimal points of the grid are then
        improved by moving one threshold at a time, in ever smaller steps. For more than eight, a local search that
        changes one exit at a time, from several starts, replaces the grid.
        """
        return self._pareto(Limits())

    def within(self, limits: Limits) -> Measurements:
        """Pareto-optimal points among the settings of the grid that keep the limits, cheapest first; possibly none.

        Limits on accuracy and on the expected objective only cut parts of the curve off; other limits may lead to
        points that are not on the curve.
        """
        if limits.only_cuts(self.cost.objective):
            return self.curve[self.curve.feasible(limits)]
        return self._pareto(limits)

    def best(self, limits: Limits) -> Measurements:
        """Best operating point within the limits (T = 1); see `Measurements.best`.

        Raises:
            JobError: if none keeps the limits; the message describes the closest point.
        """
        points = self.within(limits)
        points = points if len(points) else self.curve
        return points[np.array([points.best(limits)])]

    def _pareto(self, limits: Limits) -> Measurements:
        levels = levels_for(len(self.early))
        best = self._by_coordinates(limits) if levels is None else self._by_grid(levels, limits)
        step = 1 / ((levels or coordinates.LEVELS) - 1)
        while step > FINEST_STEP and len(best):
            step /= 2
            for _ in range(MOVES):
                best = self._improved(best, self._neighbours(best.thresholds, step), limits)
        return best

    def _by_grid(self, levels: int, limits: Limits) -> Measurements:
        """Pareto-optimal points of the whole grid."""
        parts = [self._undominated(*part, limits) for part in self._settings(levels)]
        thresholds, correct, total_cost = (np.concatenate(column) for column in zip(*parts, strict=True))
        return self.measure(thresholds[pareto_order(correct, total_cost)])

    def _by_coordinates(self, limits: Limits) -> Measurements:
        """Pareto-optimal points of a local search that changes one exit at a time, from several starts, until no change
        is better."""
        nothing, done = self.measure(np.zeros((0, self.positions - 1))), set[bytes]()
        best = self._improved(nothing, coordinates.starts(self), limits)
        for _ in range(ROUNDS):
            new = [row for row in best.thresholds if row.tobytes() not in done]
            if not new:
                break
            beam = np.stack(new)[evenly(len(new), BEAM)]
            done |= {row.tobytes() for row in beam}
            best = self._improved(best, coordinates.changed(self, beam), limits)
        return best[best.feasible(limits)]

    def _improved(self, best: Measurements, others: Floats, limits: Limits) -> Measurements:
        """Pareto-optimal points within limits among `best` and (T, E − 1) others; if there are none, the points closest
        to the limits."""
        for at in range(0, len(others), SETTINGS_AT_ONCE):
            points = self.measure(np.concatenate([best.thresholds, others[at : at + SETTINGS_AT_ONCE]]))
            violation = points.violation(limits)
            if violation.min() > 0:
                best = points[np.argsort(violation, kind="stable")[:BEAM]]
                continue
            points = points[violation <= 0]
            order = pareto_order(points.correct.sum(axis=1), self._total_cost(points.thresholds, points.leaving))
            best = points[order]
        return best

    def _undominated(
        self, thresholds: Floats, leaving: Array, correct: Array, limits: Limits
    ) -> tuple[Floats, Array, Array]:
        """Thresholds within limits that no others in this batch dominate, their correct samples and total costs."""
        if limits != Limits():
            right = np.zeros_like(leaving)
            right[:, 0] = correct  # only the sum matters for limits
            rows = self._measurements(thresholds, leaving, right).feasible(limits)
            thresholds, leaving, correct = thresholds[rows], leaving[rows], correct[rows]
        total_cost = self._total_cost(thresholds, leaving)
        order = pareto_order(correct, total_cost)
        return thresholds[order], correct[order], total_cost[order]

    def _settings(self, levels: int) -> Iterator[tuple[Floats, Array, Array]]:
        """All settings of the grid, `off` included: (T, E − 1) thresholds, (T, E) numbers of samples that leave at each
        position, and (T,) numbers of correct samples."""
        if not POLICIES[self.policy].cumulative:
            yield self._settings_of(self.early, levels)
            return
        for count in range(len(self.early) + 1):
            for on in itertools.combinations(self.early, count):
                thresholds, leaving, correct = self._settings_of(on, levels)
                all_on = np.isfinite(thresholds[:, list(on)]).all(axis=1)
                yield thresholds[all_on], leaving[all_on], correct[all_on]

    def _settings_of(self, on: tuple[int, ...], levels: int) -> tuple[Floats, Array, Array]:
        """Settings of the grid in which only the exits `on` may be on; returns the arrays that `_settings` yields.

        One joint histogram of the samples over the grid gives all settings at once: the number of samples that have not
        left after exit e is a cumulative sum over its first e axes.
        """
        scores, shape = self.compared_scores(on), (levels + 1,) * len(on)
        grids = [np.append(quantiles(scores[e], np.linspace(0, 1, levels)), OFF) for e in on]
        level = [np.searchsorted(grid[:-1], scores[e], side="right") for e, grid in zip(on, grids, strict=True)]
        leaving, correct = np.zeros((*shape, self.positions), dtype=np.int64), np.zeros(shape)
        inside: Array = np.full((1,) * len(shape), self.samples)
        for i, e in enumerate(on):
            inside, right = (
                cumulative_histogram(level[: i + 1], shape[: i + 1], weights) for weights in (None, self.correct[e])
            )
            leaving[..., e] = with_axes(inside[..., -1:] - inside, len(shape))
            correct += with_axes(right[..., -1:] - right, len(shape))
        leaving[..., -1] = inside
        correct += cumulative_histogram(level, shape, self.correct[-1]) if level else self.correct[-1].sum()
        thresholds = np.full((*leaving.shape[:-1], self.positions - 1), OFF)
        for i, (e, grid) in enumerate(zip(on, grids, strict=True)):
            thresholds[..., e] = grid.reshape((-1,) + (1,) * (len(on) - 1 - i))
        T = correct.size  # not −1: for an array without early positions, NumPy cannot infer the length
        return thresholds.reshape(T, self.positions - 1), leaving.reshape(T, self.positions), correct.ravel()

    def _neighbours(self, thresholds: Floats, step: float) -> Floats:
        """Settings with one threshold moved by a step of its exit's quantiles, up or down."""
        neighbours = []
        for on, rows in self._by_pattern(thresholds):
            scores = self.compared_scores(on)
            for e in on:
                sorted_scores = np.sort(scores[e])
                here = rows[np.isfinite(thresholds[rows, e])]
                share = np.searchsorted(sorted_scores, thresholds[here, e]) / max(self.samples - 1, 1)
                others = np.concatenate([thresholds[here]] * 2)
                others[:, e] = quantiles(sorted_scores, np.clip(np.concatenate([share - step, share + step]), 0, 1))
                neighbours.append(others)
        return np.concatenate(neighbours) if neighbours else thresholds[:0]
