"""What exits do: confidence scores, operating points, and every consequence of a choice of thresholds.

Nothing here retrains or runs a network: all follows from what each exit said of each held-out sample.

Positions are counted over the space, so that networks compare: arrays have E columns whether or not a network has an
exit at each. Thresholds in arrays are ∞ where an exit is off.
"""

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate_nas.config import Limits, PolicyName
from surrogate_nas.cost import Cost, charged
from surrogate_nas.errors import InputError
from surrogate_nas.measurements import Measurements
from surrogate_nas.policies import having_left

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Array = npt.NDArray[Any]

OFF = math.inf
DECIMALS = (3, 4, 6, 9, 12)
MAX_SETTINGS = 110_000
LEVELS = (257, 129, 65, 33, 17, 9, 5, 3)
FINEST_STEP = 1 / 32
MOVES = 3
CHUNK = 1024
"""Settings measured at a time, which bounds the memory that it takes."""
WORD_BYTES = 8


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A threshold for every early exit position; `None` switches the exit off.

    A sample leaves at the first exit whose score is at least its threshold, else at the last.

    >>> OperatingPoint.parse("0.8,off,0.6", positions=4)
    OperatingPoint(thresholds=(0.8, None, 0.6), policy='max_softmax', temperatures=())
    """

    thresholds: tuple[float | None, ...]
    """One per position but the last. Where a network has no exit it has no effect."""
    policy: PolicyName = "max_softmax"
    temperatures: tuple[float, ...] = ()
    """One per position, by which logits are divided before they are scored; `()` is 1 everywhere."""

    def __post_init__(self) -> None:
        if self.temperatures and len(self.temperatures) != len(self.thresholds) + 1:
            got, needed = len(self.temperatures), len(self.thresholds) + 1
            raise InputError(f"{needed} exits need {needed} temperatures or none, got {got}")
        for threshold in self.thresholds:
            if threshold is not None and not 0 <= threshold <= 1:
                raise InputError(f"threshold {threshold} is not in [0, 1] and not off")

    @classmethod
    def parse(cls, text: str, positions: int, policy: PolicyName = "max_softmax") -> "OperatingPoint":
        """Read `0.8,off,0.6`.

        Raises:
            InputError: for a wrong number of thresholds, or one that is neither a number in [0, 1] nor `off`.
        """
        words = [word.strip() for word in text.split(",")]
        if len(words) != positions - 1:
            raise InputError(f"{positions} exits need {positions - 1} thresholds, got {len(words)}: {text!r}")
        try:
            return cls(tuple(None if word == "off" else float(word) for word in words), policy)
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"thresholds {text!r}: each is a number in [0, 1] or off") from None

    @classmethod
    def from_array(
        cls, thresholds: Floats, policy: PolicyName = "max_softmax", temperatures: tuple[float, ...] = ()
    ) -> "OperatingPoint":
        """From (E − 1,) thresholds with ∞ for off."""
        return cls(tuple(None if np.isinf(t) else float(t) for t in thresholds), policy, temperatures)

    def temperature(self, position: int) -> float:
        """Of the exit at a position."""
        return self.temperatures[position] if self.temperatures else 1.0

    def array(self) -> Floats:
        """(E − 1,) thresholds with ∞ for off."""
        return np.array([OFF if t is None else t for t in self.thresholds], dtype=np.float64)

    def __str__(self) -> str:
        return ",".join("off" if t is None else repr(float(t)).removesuffix(".0") for t in self.thresholds)


@dataclass(frozen=True, slots=True)
class Ranked:
    """Scores by their ranks, which compare faster than the scores and as exactly."""

    ordered: tuple[Floats, ...]
    """Per exit (N,) scores, ascending."""
    ranks: tuple[Ints, ...]
    """Per exit (N,) how many scores are smaller."""

    @classmethod
    def of(cls, compared: npt.NDArray[np.float32]) -> "Ranked":
        """From (exits, N) scores."""
        ordered = tuple(np.sort(row.astype(np.float64)) for row in compared)
        ranks = (np.searchsorted(order, row) for order, row in zip(ordered, compared, strict=True))
        return cls(ordered, tuple(r.astype(np.int32) for r in ranks))

    def passes(self, i: int, thresholds: Floats) -> Array:
        """(T, words) packed: whether the i-th exit's scores reach each of (T,) thresholds."""
        distinct, of = np.unique(thresholds, return_inverse=True)
        smaller = np.searchsorted(self.ordered[i], distinct).astype(np.int32)
        return packed(self.ranks[i] >= smaller[:, None])[of.ravel()]


def packed(samples: npt.NDArray[np.bool_]) -> Array:
    """(…, N) of samples as (…, words) of 64 bits, the last filled up with zeros: counting is then 64 samples a step."""
    bits = np.packbits(samples, axis=-1)
    missing = -bits.shape[-1] % WORD_BYTES
    return np.pad(bits, [(0, 0)] * (bits.ndim - 1) + [(0, missing)]).view(np.uint64)


def levels_for(early: int) -> int:
    """Quantiles of each early exit's grid: 2ʲ + 1, so that finer grids hold coarser ones."""
    return next((L for L in LEVELS if (L + 1) ** early <= MAX_SETTINGS), LEVELS[-1])


def quantiles(values: Array, shares: Floats) -> Floats:
    """Quantiles of scores as thresholds, with as few decimals as leave the same samples on either side."""
    exact = np.clip(np.quantile(values.astype(np.float64), shares), 0, 1)
    ordered = np.sort(values.astype(np.float64))
    smaller, result, settled = np.searchsorted(ordered, exact), exact.copy(), np.zeros(exact.shape, dtype=bool)
    for decimals in DECIMALS:
        for rounded in (exact.round(decimals), np.floor(exact * 10**decimals) / 10**decimals):
            same = ~settled & (np.searchsorted(ordered, rounded) == smaller)
            result[same], settled = rounded[same], settled | same
    return result


def _cumulative_histogram(level: list[Array], shape: tuple[int, ...], weights: Array | None) -> Floats:
    """Entry (k₁, …): weighted number of samples with level_j ≤ k_j for every j."""
    flat = np.ravel_multi_index(tuple(level), shape)
    histogram: Floats = np.bincount(flat, weights=weights, minlength=math.prod(shape)).reshape(shape).astype(np.float64)
    for axis in range(len(shape)):
        histogram = histogram.cumsum(axis=axis)
    return histogram


def _padded(array: Array, ndim: int) -> Array:
    return array.reshape(array.shape + (1,) * (ndim - array.ndim))


def pareto_order(gain: Array, cost: Array) -> npt.NDArray[np.int64]:
    """Indices of the points that no other beats in (gain up, cost down), cheapest first; one of equals."""
    order = np.lexsort((-gain, cost))
    best_before = np.concatenate([[-np.inf], np.maximum.accumulate(gain[order])[:-1]])
    return np.asarray(order[gain[order] > best_before], dtype=np.int64)


@dataclass(frozen=True)
class Exits:
    """One policy's view of one network's outputs on one split."""

    policy: PolicyName
    present: npt.NDArray[np.bool_]
    """(E,) whether there is an exit; true at the last."""
    scores: npt.NDArray[np.float32]
    """(E, N) confidence of each exit by itself; ignored where there is no exit."""
    correct: npt.NDArray[np.bool_]
    """(E, N)."""
    cost: Cost
    """Of this one network (n = 1)."""

    @property
    def positions(self) -> int:
        """Exit positions E."""
        return len(self.present)

    @property
    def samples(self) -> int:
        """N."""
        return int(self.scores.shape[1])

    @cached_property
    def early(self) -> tuple[int, ...]:
        """Positions before the last that have an exit."""
        return tuple(np.flatnonzero(self.present[:-1]).tolist())

    def compared(self, on: Iterable[int]) -> npt.NDArray[np.float32]:
        """(E, N) what is compared with thresholds where the early exits `on` are on.

        That is each exit's own confidence, but under `cumulative_gate`, which counts the gates that were run before.
        """
        if self.policy != "cumulative_gate":
            return self.scores
        compared, left = self.scores.copy(), np.zeros(self.samples, dtype=np.float32)
        for e in on:
            left = compared[e] = having_left(left, self.scores[e])
        return compared

    def _only_present(self, thresholds: Floats) -> Floats:
        if thresholds.ndim != 2 or thresholds.shape[1] != self.positions - 1:
            raise InputError(f"{self.positions} exits need {self.positions - 1} thresholds, got {thresholds.shape[-1]}")
        return np.where(self.present[:-1], thresholds, OFF)

    def route(self, operating_point: OperatingPoint) -> npt.NDArray[np.int64]:
        """(N,) position at which each sample leaves."""
        thresholds = self._only_present(operating_point.array()[None])[0]
        passes = self.compared(np.flatnonzero(np.isfinite(thresholds)))[:-1] >= thresholds[:, None]
        return np.where(passes.any(axis=0), passes.argmax(axis=0), self.positions - 1)

    def measure(self, thresholds: Floats) -> Measurements:
        """What happens at each of (T, E − 1) thresholds."""
        thresholds = self._only_present(thresholds)
        T, E = len(thresholds), self.positions
        leaving, correct = np.zeros((T, E), dtype=np.int64), np.zeros((T, E), dtype=np.int64)
        for on, rows in self._by_what_is_on(thresholds):
            ranked = Ranked.of(self.compared(on)[list(on)])
            for at in range(0, len(rows), CHUNK):
                some = rows[at : at + CHUNK]
                leaving[some], correct[some] = self._route_all(on, ranked, thresholds[some][:, list(on)])
        return self._measurements(thresholds, leaving, correct)

    def _by_what_is_on(self, thresholds: Floats) -> Iterator[tuple[tuple[int, ...], Ints]]:
        """Early exits that are compared, and the rows of thresholds that this is for."""
        if self.policy != "cumulative_gate":  # exits do not know of each other: an exit that is off is one nobody takes
            yield self.early, np.arange(len(thresholds))
            return
        patterns, of = np.unique(np.isfinite(thresholds), axis=0, return_inverse=True)
        for i, pattern in enumerate(patterns):
            yield tuple(np.flatnonzero(pattern).tolist()), np.flatnonzero(of.ravel() == i)

    def _route_all(self, on: tuple[int, ...], ranked: Ranked, thresholds: Floats) -> tuple[Ints, Ints]:
        """(T, E) samples that leave, and of those who is right, at (T, len(on)) thresholds."""
        T, E = len(thresholds), self.positions
        leaving, correct = np.zeros((T, E), dtype=np.int64), np.zeros((T, E), dtype=np.int64)
        inside: Array = packed(np.ones(self.samples, dtype=bool))[None]
        for i, e in enumerate((*on, E - 1)):
            leaves = inside & ranked.passes(i, thresholds[:, i]) if e < E - 1 else inside
            leaving[:, e] = np.bitwise_count(leaves).sum(axis=1)
            correct[:, e] = np.bitwise_count(leaves & self._right[e]).sum(axis=1)
            inside = inside & ~leaves
        return leaving, correct

    @cached_property
    def _right(self) -> Array:
        """(E, words) of `correct`."""
        return packed(self.correct)

    def at(self, operating_point: OperatingPoint) -> Measurements:
        """What happens at one operating point (T = 1)."""
        return self.measure(operating_point.array()[None])

    def _measurements(self, thresholds: Floats, leaving: Array, correct: Array) -> Measurements:
        cost, T, on = self.cost, len(thresholds), np.isfinite(thresholds)
        macs, others = cost.macs(on), cost.others(on)
        costs = np.full(macs.shape, np.nan) if others is None else others
        return Measurements(
            thresholds, leaving, correct, macs, costs, self._spent(thresholds, leaving) / leaving.sum(axis=1),
            np.repeat(cost.parameters, T), np.repeat(cost.weight_bytes, T), cost.memory(on),
        )  # fmt: skip

    def _spent(self, thresholds: Floats, leaving: Array) -> Array:
        """(T,) of the objective by all samples together: for integers exact, so ties are seen."""
        on = np.isfinite(thresholds)
        return np.asarray((leaving * charged(*self.cost.priced, on, self.cost.charge_heads)).sum(axis=1))

    # ------------------------------------------------------------------ the best thresholds

    @cached_property
    def curve(self) -> Measurements:
        """The accuracy–cost curve over thresholds and exits off: Pareto-optimal points, cheapest first.

        Exhaustive over which exits are on and a grid of score quantiles: 257 levels for one or two early exits, 33 for
        three, 17 for four. For more exits the grid is coarser, and its Pareto-optimal points are then improved by
        moving one threshold at a time, in ever smaller steps.
        """
        return self._pareto(Limits())

    def within(self, limits: Limits) -> Measurements:
        """Pareto-optimal points among the settings of the grid that keep the limits, cheapest first; perhaps none.

        Limits on accuracy and on the expected objective only cut the curve; under others, points that are not on the
        curve may be on this one.
        """
        if limits.only_cuts(self.cost.objective):
            return self.curve[self.curve.feasible(limits)]
        return self._pareto(limits)

    def best(self, limits: Limits) -> Measurements:
        """The best operating point within the limits (T = 1); see `Measurements.best`.

        Raises:
            JobError: if none keeps the limits; the message shows the nearest.
        """
        points = self.within(limits)
        points = points if len(points) else self.curve
        return points[np.array([points.best(limits)])]

    def _pareto(self, limits: Limits) -> Measurements:
        levels = levels_for(len(self.early))
        parts = [self._kept(*part, limits) for part in self._settings(levels)]
        thresholds, correct, spent = (np.concatenate(column) for column in zip(*parts, strict=True))
        best = self.measure(thresholds[pareto_order(correct, spent)])
        step = 1 / (levels - 1)
        while step > FINEST_STEP and len(best):
            step /= 2
            for _ in range(MOVES):
                best = self._moved(best, step, limits)
        return best

    def _moved(self, best: Measurements, step: float, limits: Limits) -> Measurements:
        """The Pareto-optimal of these and their neighbours."""
        moved = self.measure(np.concatenate([best.thresholds, self._neighbours(best.thresholds, step)]))
        moved = moved[moved.feasible(limits)]
        return moved[pareto_order(moved.correct.sum(axis=1), self._spent(moved.thresholds, moved.leaving))]

    def _kept(self, thresholds: Floats, leaving: Array, correct: Array, limits: Limits) -> tuple[Floats, Array, Array]:
        """Thresholds within limits that no others of the same exits beat, samples who are right, and what all spend."""
        if limits != Limits():
            right = np.zeros_like(leaving)
            right[:, 0] = correct  # only the sum matters for limits
            rows = self._measurements(thresholds, leaving, right).feasible(limits)
            thresholds, leaving, correct = thresholds[rows], leaving[rows], correct[rows]
        spent = self._spent(thresholds, leaving)
        order = pareto_order(correct, spent)
        return thresholds[order], correct[order], spent[order]

    def _settings(self, levels: int) -> Iterator[tuple[Floats, Array, Array]]:
        """All settings of the grid, `off` among them: (T, E − 1) thresholds, (T, E) who leaves where, and (T,) how many
        are right."""
        if self.policy != "cumulative_gate":
            yield self._settings_of(self.early, levels)
            return
        for count in range(len(self.early) + 1):
            for on in itertools.combinations(self.early, count):
                thresholds, leaving, correct = self._settings_of(on, levels)
                all_on = np.isfinite(thresholds[:, list(on)]).all(axis=1)
                yield thresholds[all_on], leaving[all_on], correct[all_on]

    def _settings_of(self, on: tuple[int, ...], levels: int) -> tuple[Floats, Array, Array]:
        """The same where only some exits may be on.

        One joint histogram of the samples over the grid answers for all settings at once: the samples still inside
        after exit e are a cumulative sum over its first e axes.
        """
        compared, shape = self.compared(on), (levels + 1,) * len(on)
        grids = [np.append(quantiles(compared[e], np.linspace(0, 1, levels)), OFF) for e in on]
        level = [np.searchsorted(grid[:-1], compared[e], side="right") for e, grid in zip(on, grids, strict=True)]
        leaving, correct = np.zeros((*shape, self.positions), dtype=np.int64), np.zeros(shape)
        inside: Array = np.full((1,) * len(shape), self.samples)
        for i, e in enumerate(on):
            inside, right = (
                _cumulative_histogram(level[: i + 1], shape[: i + 1], weights) for weights in (None, self.correct[e])
            )
            leaving[..., e] = _padded(inside[..., -1:] - inside, len(shape))
            correct += _padded(right[..., -1:] - right, len(shape))
        leaving[..., -1] = inside
        correct += _cumulative_histogram(level, shape, self.correct[-1]) if level else self.correct[-1].sum()
        thresholds = np.full((*leaving.shape[:-1], self.positions - 1), OFF)
        for i, (e, grid) in enumerate(zip(on, grids, strict=True)):
            thresholds[..., e] = grid.reshape((-1,) + (1,) * (len(on) - 1 - i))
        return thresholds.reshape(-1, self.positions - 1), leaving.reshape(-1, self.positions), correct.ravel()

    def _neighbours(self, thresholds: Floats, step: float) -> Floats:
        """Thresholds of which one is moved by a step of its exit's quantiles, up or down."""
        moved = []
        for on, rows in self._by_what_is_on(thresholds):
            compared = self.compared(on)
            for e in on:
                ordered = np.sort(compared[e])
                here = rows[np.isfinite(thresholds[rows, e])]
                share = np.searchsorted(ordered, thresholds[here, e]) / max(self.samples - 1, 1)
                for by in (-step, step):
                    other = thresholds[here].copy()
                    other[:, e] = quantiles(ordered, np.clip(share + by, 0, 1))
                    moved.append(other)
        return np.concatenate(moved) if moved else thresholds[:0]
