"""What a network does at operating points: who leaves where, who is right, what it spends, and limits on all that."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from surrogate_nas.exits.limits import Limits
from surrogate_nas.foundation.arrays import Array, Floats
from surrogate_nas.foundation.errors import JobError

P95 = 0.95
ROUNDING = 1e-9


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
        sizes = (
            (self.parameters, limits.max_params),
            (self.weight_bytes, limits.max_weight_bytes),
            (self.activation_bytes, limits.max_activation_bytes),
        )
        pairs = [(value, cap) for value, cap in sizes if cap is not None]
        for spent, end in ((self.macs, "macs"), (self.cost, "cost")):
            for statistic, start in (("expected", "max"), ("p95", "max_p95"), ("worst", "max_worst")):
                cap = getattr(limits, f"{start}_{end}")
                if spent is not None and cap is not None:
                    pairs.append((getattr(spent, statistic), cap))
        return pairs

    def excess(self, limits: Limits) -> Floats:
        """Sum of relative excesses over the limits, Σ max(value / cap − 1, 0) + max(1 − accuracy / floor, 0); 0 where
        all hold."""
        total = np.zeros(np.broadcast_shapes(self.accuracy.shape, np.shape(self.parameters)))
        with np.errstate(over="ignore"):  # over the tiniest limits by ∞ is over them all the same
            for value, cap in self.capped(limits):
                total = total + np.maximum(value / cap - 1, 0)
            if limits.min_accuracy is not None:
                total = total + np.maximum(1 - self.accuracy / limits.min_accuracy, 0)
        return total


@dataclass(frozen=True, slots=True, kw_only=True)
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
        return Measurements(**{name: getattr(self, name)[index] for name in self.__slots__})

    @classmethod
    def concatenate(cls, parts: Sequence["Measurements"]) -> "Measurements":
        """The operating points of several networks, in order."""
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in cls.__slots__})

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
        return Figures(
            self.accuracy, Spent(self.rates, self.macs), self.parameters, self.weight_bytes, self.activation_bytes, cost
        )

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
