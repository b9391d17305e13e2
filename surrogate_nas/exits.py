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
from surrogate_nas.cost import Cost
from surrogate_nas.errors import InputError, JobError

Floats = npt.NDArray[np.float64]
Array = npt.NDArray[Any]

OFF = math.inf
THRESHOLD_DECIMALS = 6
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


def scores(policy: PolicyName, logits: Array) -> npt.NDArray[np.float32]:
    """Confidence in [0, 1], larger = surer, of (…, C) logits; shape (…).

    >>> scores("margin", np.array([[0.0, 0.0], [9.0, -9.0]])).round(3).tolist()
    [0.0, 1.0]
    """
    return _POLICIES[policy](softmax(logits)).astype(np.float32)


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


def excess(accuracy: Array, expected_macs: Array, worst_macs: Array, parameters: Array | int, limits: Limits) -> Floats:
    """Sum of relative excesses over the limits, 0 where all hold; shapes broadcast.

    Measured and predicted values are held against the limits by this one rule.
    """
    total = np.zeros(np.broadcast_shapes(accuracy.shape, worst_macs.shape, np.shape(parameters)))
    caps = ((expected_macs, limits.max_macs), (worst_macs, limits.max_worst_macs), (parameters, limits.max_params))
    for value, cap in caps:
        if cap is not None:
            total = total + np.maximum(value / cap - 1, 0)
    if limits.min_accuracy is not None:
        total = total + np.maximum(1 - accuracy / limits.min_accuracy, 0)
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
    expected_macs: Floats
    """(T,) Σ p_e M_e."""
    worst_macs: npt.NDArray[np.int64]
    """(T,) M_E."""

    def __len__(self) -> int:
        return len(self.thresholds)

    def __getitem__(self, index: Array | slice) -> "Measurements":
        return Measurements(self.thresholds[index], self.leaving[index], self.correct[index],
                            self.expected_macs[index], self.worst_macs[index])  # fmt: skip

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

    def feasible(self, limits: Limits, parameters: int) -> npt.NDArray[np.bool_]:
        """(T,) which operating points keep every limit."""
        return np.asarray(self.violation(limits, parameters) <= 0)

    def violation(self, limits: Limits, parameters: int) -> Floats:
        """(T,) sum of relative excesses over the limits; 0 where every limit holds."""
        return excess(self.accuracy, self.expected_macs, self.worst_macs, parameters, limits)

    def best(self, limits: Limits, parameters: int) -> int:
        """Index of the best operating point within the limits.

        The most accurate one when average or worst-case MACs are limited, or when nothing is; the cheapest one when
        only an accuracy floor is given.

        Raises:
            JobError: if none keeps the limits; the message shows the nearest.
        """
        violation = self.violation(limits, parameters)
        if (violation > 0).all():
            nearest = int(violation.argmin())
            raise JobError(
                f"no thresholds keep {limits}; nearest: accuracy {self.accuracy[nearest]:.4f}, "
                f"expected MACs {self.expected_macs[nearest]:,.0f}, worst-case MACs {self.worst_macs[nearest]:,}, "
                f"parameters {parameters:,}"
            )
        cheapest = limits.min_accuracy is not None and limits.max_macs is None and limits.max_worst_macs is None
        order = (-self.accuracy, self.expected_macs) if cheapest else (self.expected_macs, -self.accuracy)
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

    @property
    def parameters(self) -> int:
        """Parameters of the network."""
        return int(self.cost.parameters[0])

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
        on = np.isfinite(thresholds)
        charged = np.concatenate([np.where(on, self.cost.branch[0, :-1], 0), np.zeros((len(on), 1), np.int64)], axis=1)
        macs = self.cost.backbone[0] + np.cumsum(charged, axis=1)  # (T, E)
        expected = (leaving * macs).sum(axis=1) / leaving.sum(axis=1)
        return Measurements(thresholds, leaving, correct, expected, macs[:, -1])

    @cached_property
    def curve(self) -> Measurements:
        """The accuracy–MACs curve over thresholds and exits off: Pareto-optimal points, cheapest first.

        Exhaustive over a grid of score quantiles (20 levels and `off` per exit; fewer where there would be more than
        a million settings). One joint histogram of the samples over the grid answers for all settings at once: the
        samples still inside after exit e are a cumulative sum over its first e axes.
        """
        early = np.flatnonzero(self.present[:-1])
        if len(early) == 0:
            return self.measure(np.full((1, self.positions - 1), OFF))
        levels = min(20, int(MAX_GRID_CELLS ** (1 / len(early))) - 1)
        grids = [_quantile_grid(self.scores[e], levels) for e in early]
        shape = tuple(len(grid) + 1 for grid in grids)
        level = [np.searchsorted(grid, self.scores[e], side="right") for grid, e in zip(grids, early, strict=True)]

        correct = np.zeros(shape)
        backbone, branch = self.cost.backbone[0], self.cost.branch[0]
        macs = np.full(
            shape, float(self.scores.shape[1] * backbone[-1])
        )  # summed over samples: exact, so ties are seen
        for i, e in enumerate(early):
            inside, right = (
                _cumulative_histogram(level[: i + 1], shape[: i + 1], weights) for weights in (None, self.correct[e])
            )
            reached = inside[..., -1:]
            correct += _padded(right[..., -1:] - right, len(shape))
            macs -= _padded((reached - inside) * (backbone[-1] - backbone[e]), len(shape))
            on = np.arange(shape[i]) < shape[i] - 1
            macs += _padded(reached * branch[e] * on, len(shape))
        correct += _cumulative_histogram(level, shape, self.correct[-1])

        index = pareto_order(correct.ravel(), macs.ravel())
        thresholds = np.full((len(index), self.positions - 1), OFF)
        for grid, e, k in zip(grids, early, np.unravel_index(index, shape), strict=True):
            thresholds[:, e] = np.append(grid, OFF)[k]
        return self.measure(thresholds)


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
