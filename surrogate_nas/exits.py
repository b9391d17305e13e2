"""What exits do: confidence scores, operating points, and every consequence of a choice of thresholds.

Nothing here retrains or runs a network: all follows from what each exit said of each held-out sample.

Positions are counted over the space, so that networks compare: arrays have E columns whether or not a network has an
exit at each. Thresholds in arrays are ∞ where an exit is off.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate_nas.config import Limits, PolicyName
from surrogate_nas.cost import Cost, charged
from surrogate_nas.errors import InputError, JobError

Floats = npt.NDArray[np.float64]
Array = npt.NDArray[Any]

OFF = math.inf
THRESHOLD_DECIMALS = 6
P95 = 0.95
ROUNDING = 1e-9
MAX_GRID_CELLS = 1_000_000


def softmax(logits: Array) -> npt.NDArray[np.float32]:
    """Softmax over the last axis, in float32."""
    shifted = logits.astype(np.float32)
    shifted -= shifted.max(axis=-1, keepdims=True)
    np.exp(shifted, out=shifted)
    result: npt.NDArray[np.float32] = shifted / shifted.sum(axis=-1, keepdims=True)
    return result


def _max_softmax(probabilities: Array) -> Array:
    return np.asarray(probabilities.max(axis=-1))


def _margin(probabilities: Array) -> Array:
    top = np.partition(probabilities, -2, axis=-1)[..., -2:]
    return np.asarray(top[..., 1] - top[..., 0])


def _entropy(probabilities: Array) -> Array:
    tiny = np.finfo(np.float32).tiny
    entropy = -(probabilities * np.log(np.maximum(probabilities, tiny))).sum(axis=-1)
    return np.asarray(np.clip(1 - entropy / math.log(probabilities.shape[-1]), 0, 1))


_POLICIES: dict[PolicyName, Callable[[Array], Array]] = {
    "max_softmax": _max_softmax,  # largest class probability
    "margin": _margin,  # largest minus second largest (EDANAS, IJCNN 2023)
    "entropy": _entropy,  # 1 − entropy / log C (after BranchyNet, arXiv 1709.01686)
}
POLICY_NAMES: tuple[PolicyName, ...] = tuple(_POLICIES)
"""Policies that need logits only; `gate` needs what a branch says beside them."""


def scores(policy: PolicyName, logits: Array) -> npt.NDArray[np.float32]:
    """Confidence in [0, 1], larger = surer, of (…, C) logits; shape (…).

    >>> scores("margin", np.array([[0.0, 0.0], [9.0, -9.0]])).round(3).tolist()
    [0.0, 1.0]
    """
    return _POLICIES[policy](softmax(logits)).astype(np.float32)


def gate_scores(gates: Array) -> npt.NDArray[np.float32]:
    """Confidence in [0, 1] of gates' logits: a learned one (NACHOS, arXiv 2401.13330)."""
    clipped = np.clip(gates.astype(np.float32), -80, 80)
    return np.asarray(1 / (1 + np.exp(-clipped)), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A threshold for every early exit position; `None` switches the exit off.

    A sample leaves at the first exit whose score is at least its threshold, else at the last.

    >>> OperatingPoint.parse("0.8,off,0.6", positions=4)
    OperatingPoint(thresholds=(0.8, None, 0.6), policy='max_softmax')
    """

    thresholds: tuple[float | None, ...]
    """One per position but the last. Where a network has no exit it has no effect."""
    policy: PolicyName = "max_softmax"

    def __post_init__(self) -> None:
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
    def from_array(cls, thresholds: Floats, policy: PolicyName = "max_softmax") -> "OperatingPoint":
        """From (E − 1,) thresholds with ∞ for off."""
        return cls(tuple(None if np.isinf(t) else float(t) for t in thresholds), policy)

    def array(self) -> Floats:
        """(E − 1,) thresholds with ∞ for off."""
        return np.array([OFF if t is None else t for t in self.thresholds], dtype=np.float64)

    def __str__(self) -> str:
        return ",".join("off" if t is None else f"{t:g}" for t in self.thresholds)


@dataclass(frozen=True)
class Spent:
    """What samples spend of one cost."""

    rates: Array
    """(…, E) exit probabilities."""
    costs: Array
    """(…, E) of leaving at each position; shapes broadcast."""

    @cached_property
    def expected(self) -> Array:
        """(…) Σ p_e M_e."""
        return np.asarray((self.rates * self.costs).sum(axis=-1))

    @cached_property
    def worst(self) -> Array:
        """(…) the most that any sample can spend: M_E, where every branch before is charged."""
        return np.asarray(self.costs.max(axis=-1))

    @cached_property
    def p95(self) -> Array:
        """(…) the least cost that 95 % of the samples keep to."""
        p95: Array = np.full(np.broadcast_shapes(self.rates.shape, self.costs.shape)[:-1], np.inf)
        for e in range(self.costs.shape[-1]):
            cost = self.costs[..., e]
            covered = (self.rates * (self.costs <= cost[..., None])).sum(axis=-1)
            p95 = np.minimum(p95, np.where(covered >= P95 - ROUNDING, cost, np.inf))
        return p95


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that limits speak of; shapes broadcast. Measured and predicted values are held against them alike."""

    accuracy: Array
    macs: Spent
    parameters: Array
    weight_bytes: Array
    activation_bytes: Array
    cost: Spent | None = None
    """Of the study's cost table, if it has one."""

    def capped(self, limits: Limits) -> list[tuple[Array, float]]:
        """Each value that has a limit, with it."""
        sizes = ((self.parameters, limits.max_params), (self.weight_bytes, limits.max_weight_bytes),
                 (self.activation_bytes, limits.max_activation_bytes))  # fmt: skip
        pairs = [(value, cap) for value, cap in sizes if cap is not None]
        for spent, end in ((self.macs, "macs"), (self.cost, "cost")):
            for statistic, start in (("expected", "max"), ("p95", "max_p95"), ("worst", "max_worst")):
                cap = getattr(limits, f"{start}_{end}")
                if spent is not None and cap is not None:
                    pairs.append((getattr(spent, statistic), cap))
        return pairs

    def excess(self, limits: Limits) -> Floats:
        """Sum of relative excesses over the limits, 0 where all hold."""
        total = np.zeros(np.broadcast_shapes(self.accuracy.shape, np.shape(self.parameters)))
        for value, cap in self.capped(limits):
            total = total + np.maximum(value / cap - 1, 0)
        if limits.min_accuracy is not None:
            total = total + np.maximum(1 - self.accuracy / limits.min_accuracy, 0)
        return total


@dataclass(frozen=True, slots=True)
class Measurements:
    """One network at T operating points."""

    thresholds: Floats
    """(T, E − 1), ∞ where off or where there is no exit."""
    leaving: npt.NDArray[np.int64]
    """(T, E) samples that leave at each position."""
    correct: npt.NDArray[np.int64]
    """(T, E) of those, the ones classified correctly."""
    macs: npt.NDArray[np.int64]
    """(T, E) M_e; see `Cost.macs`."""
    costs: Floats
    """(T, E) the same of the study's cost table; NaN without one."""
    objective: Floats
    """(T,) expected cost that is to be minimised."""
    parameters: npt.NDArray[np.int64]
    """(T,)."""
    weight_bytes: npt.NDArray[np.int64]
    """(T,)."""
    activation_bytes: npt.NDArray[np.int64]
    """(T,) alive at the worst moment, of what is on."""

    def __len__(self) -> int:
        return len(self.thresholds)

    def __getitem__(self, index: Array | slice) -> "Measurements":
        return Measurements(*(getattr(self, name)[index] for name in self.__slots__))

    @classmethod
    def concatenate(cls, parts: Sequence["Measurements"]) -> "Measurements":
        """The operating points of several networks, in order."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__slots__))

    @property
    def n(self) -> int:
        """Samples."""
        return int(self.leaving[0].sum())

    @property
    def rates(self) -> Floats:
        """(T, E) exit probabilities p_e."""
        return np.asarray(self.leaving / self.leaving.sum(axis=1, keepdims=True))

    @property
    def exit_accuracy(self) -> Floats:
        """(T, E) accuracy a_e of the samples that leave there; NaN where nobody does."""
        return np.where(self.leaving > 0, self.correct / np.maximum(self.leaving, 1), np.nan)

    @property
    def accuracy(self) -> Floats:
        """(T,) Σ p_e a_e."""
        return np.asarray(self.correct.sum(axis=1) / self.leaving.sum(axis=1))

    @property
    def expected_macs(self) -> Floats:
        """(T,) Σ p_e M_e."""
        return np.asarray((self.leaving * self.macs).sum(axis=1) / self.leaving.sum(axis=1))

    @property
    def worst_macs(self) -> npt.NDArray[np.int64]:
        """(T,) of an image that goes where it costs most: to the last exit, where every branch before is charged."""
        return np.asarray(self.macs.max(axis=1))

    @property
    def figures(self) -> Figures:
        """(T,) what limits speak of."""
        cost = None if np.isnan(self.costs).any() else Spent(self.rates, self.costs)
        return Figures(self.accuracy, Spent(self.rates, self.macs), self.parameters, self.weight_bytes,
                       self.activation_bytes, cost)  # fmt: skip

    def feasible(self, limits: Limits) -> npt.NDArray[np.bool_]:
        """(T,) which operating points keep every limit."""
        return np.asarray(self.violation(limits) <= 0)

    def violation(self, limits: Limits) -> Floats:
        """(T,) sum of relative excesses over the limits; 0 where every limit holds."""
        return self.figures.excess(limits)

    def best(self, limits: Limits) -> int:
        """Index of the best operating point within the limits.

        The most accurate one when some cost is limited, or when nothing is; the cheapest one when only an accuracy
        floor is given.

        Raises:
            JobError: if none keeps the limits; the message shows the nearest.
        """
        violation = self.violation(limits)
        if (violation > 0).all():
            nearest = int(violation.argmin())
            raise JobError(
                f"no thresholds keep {limits}; nearest: accuracy {self.accuracy[nearest]:.4f}, "
                f"expected MACs {self.expected_macs[nearest]:,.0f}, worst-case MACs {self.worst_macs[nearest]:,}, "
                f"parameters {self.parameters[nearest]:,}"
            )
        cheapest = limits.min_accuracy is not None and not limits.limits_spending
        order = (-self.accuracy, self.objective) if cheapest else (self.objective, -self.accuracy)
        ranked = np.lexsort((*order, violation > 0))
        return int(ranked[0])


@dataclass(frozen=True)
class Exits:
    """One policy's view of one network's outputs on one split."""

    policy: PolicyName
    present: npt.NDArray[np.bool_]
    """(E,) whether there is an exit; true at the last."""
    scores: npt.NDArray[np.float32]
    """(E, N); ignored where there is no exit."""
    correct: npt.NDArray[np.bool_]
    """(E, N)."""
    cost: Cost
    """Of this one network (n = 1)."""

    @property
    def positions(self) -> int:
        """Exit positions E."""
        return len(self.present)

    def _only_present(self, thresholds: Floats) -> Floats:
        if thresholds.ndim != 2 or thresholds.shape[1] != self.positions - 1:
            raise InputError(f"{self.positions} exits need {self.positions - 1} thresholds, got {thresholds.shape[-1]}")
        return np.where(self.present[:-1], thresholds, OFF)

    def route(self, operating_point: OperatingPoint) -> npt.NDArray[np.int64]:
        """(N,) position at which each sample leaves."""
        thresholds = self._only_present(operating_point.array()[None])[0]
        passes = self.scores[:-1] >= thresholds[:, None]
        return np.where(passes.any(axis=0), passes.argmax(axis=0), self.positions - 1)

    def measure(self, thresholds: Floats) -> Measurements:
        """What happens at each of (T, E − 1) thresholds."""
        thresholds = self._only_present(thresholds)
        T, E, N = len(thresholds), self.positions, self.scores.shape[1]
        leaving, correct = np.zeros((T, E), dtype=np.int64), np.zeros((T, E), dtype=np.int64)
        inside = np.ones((T, N), dtype=bool)
        for e in range(E):
            leaves = inside & (self.scores[e] >= thresholds[:, e, None]) if e < E - 1 else inside
            leaving[:, e] = leaves.sum(axis=1)
            correct[:, e] = (leaves & self.correct[e]).sum(axis=1)
            inside = inside & ~leaves
        return self._measurements(thresholds, leaving, correct)

    def at(self, operating_point: OperatingPoint) -> Measurements:
        """What happens at one operating point (T = 1)."""
        return self.measure(operating_point.array()[None])

    def _measurements(self, thresholds: Floats, leaving: Array, correct: Array) -> Measurements:
        cost, T, on = self.cost, len(thresholds), np.isfinite(thresholds)
        macs, others = cost.macs(on), cost.others(on)
        costs = np.full(macs.shape, np.nan) if others is None else others
        priced = charged(*cost.priced, on, cost.charge_heads)
        return Measurements(
            thresholds, leaving, correct, macs, costs, (leaving * priced).sum(axis=1) / leaving.sum(axis=1),
            np.repeat(cost.parameters, T), np.repeat(cost.weight_bytes, T), cost.memory(on),
        )  # fmt: skip

    @cached_property
    def curve(self) -> Measurements:
        """The accuracy–cost curve over thresholds and exits off: Pareto-optimal points, cheapest first.

        Exhaustive over a grid of score quantiles (20 levels and `off` per exit; fewer where there would be more than
        a million settings).
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
        grids, leaving, correct = self._settings
        shape = tuple(len(grid) for grid in grids.values())
        thresholds = np.full((len(leaving), self.positions - 1), OFF)
        for (e, grid), k in zip(grids.items(), np.indices(shape), strict=True):
            thresholds[:, e] = grid[k.ravel()]
        priced = charged(*self.cost.priced, np.isfinite(thresholds), self.cost.charge_heads)
        spent = (leaving * priced).sum(axis=1)  # over samples: for integers exact, so ties are seen
        rows = np.arange(len(leaving))
        if limits != Limits():
            right = np.zeros_like(leaving)
            right[:, 0] = correct  # only the sum matters for limits
            rows = np.flatnonzero(self._measurements(thresholds, leaving, right).feasible(limits))
        return self.measure(thresholds[rows[pareto_order(correct[rows], spent[rows])]])

    @cached_property
    def _settings(self) -> tuple[dict[int, Floats], Array, Floats]:
        """The thresholds of each early exit, and for all their settings (E of them) who leaves where, and who is right.

        One joint histogram of the samples over the grid answers for all settings at once: the samples still inside
        after exit e are a cumulative sum over its first e axes.
        """
        early = np.flatnonzero(self.present[:-1])
        levels = min(20, int(MAX_GRID_CELLS ** (1 / max(len(early), 1))) - 1)
        grids = {int(e): _quantile_grid(self.scores[e], levels) for e in early}
        shape = tuple(len(grid) + 1 for grid in grids.values())
        level = [np.searchsorted(grid, self.scores[e], side="right") for e, grid in grids.items()]
        leaving, correct = np.zeros((*shape, self.positions), dtype=np.int64), np.zeros(shape)
        inside: Array = np.full((1,) * len(shape), self.scores.shape[1])
        for i, e in enumerate(grids):
            inside, right = (
                _cumulative_histogram(level[: i + 1], shape[: i + 1], weights) for weights in (None, self.correct[e])
            )
            leaving[..., e] = _padded(inside[..., -1:] - inside, len(shape))
            correct += _padded(right[..., -1:] - right, len(shape))
        leaving[..., -1] = inside
        correct += _cumulative_histogram(level, shape, self.correct[-1]) if level else self.correct[-1].sum()
        thresholds = {e: np.append(grid, OFF) for e, grid in grids.items()}
        return thresholds, leaving.reshape(-1, self.positions), correct.ravel()


def _quantile_grid(values: Array, levels: int) -> Floats:
    quantiles = np.quantile(values.astype(np.float64), np.linspace(0, 1, levels))
    return np.unique(np.clip(quantiles.round(THRESHOLD_DECIMALS), 0, 1))


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
