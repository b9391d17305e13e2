"""Measurements of a network at operating points: exit rates, accuracy, cost, and checks against limits."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from surrogate_nas.exits.best import best_first, wants_cheapest
from surrogate_nas.exits.limit_table import Quantity, kept_text, spending_of
from surrogate_nas.exits.limits import Limits
from surrogate_nas.foundation.arrays import Array, Bools, Floats, Ints
from surrogate_nas.foundation.errors import JobError

P95 = 0.95
ROUNDING = 1e-9


@dataclass(frozen=True)
class Spending:
    """One cost of samples, by the position where they leave."""

    rates: Array
    """(…, E) exit probabilities."""
    costs: Array
    """(…, E) cost of leaving at each position; shapes broadcast."""

    @cached_property
    def expected(self) -> Array:
        """(…) expected cost Σ p_e M_e."""
        return np.asarray((self.rates * self.costs).sum(axis=-1))

    @cached_property
    def worst(self) -> Array:
        """(…) largest cost of a sample: M_E, if every branch before is charged."""
        return np.asarray(self.costs.max(axis=-1))

    @cached_property
    def p95(self) -> Array:
        """(…) 95th percentile: the least cost that 95 % of the samples do not exceed."""
        p95: Array = np.full(np.broadcast_shapes(self.rates.shape, self.costs.shape)[:-1], np.inf)
        for e in range(self.costs.shape[-1]):
            cost = self.costs[..., e]
            share = (self.rates * (self.costs <= cost[..., None])).sum(axis=-1)
            p95 = np.minimum(p95, np.where(share >= P95 - ROUNDING, cost, np.inf))
        return p95


@dataclass(frozen=True, slots=True)
class Figures:
    """Quantities that limits bound, measured or predicted; shapes broadcast."""

    accuracy: Array
    drop: Array
    """Accuracy of the last exit on all samples, less the accuracy."""
    macs: Spending
    parameters: Array
    weight_bytes: Array
    activation_bytes: Array
    cost: Spending | None = None
    """Cost by the study's cost table, if it has one."""

    def get(self, quantity: Quantity) -> Array | None:
        """(…) one of the quantities; `None` for an unknown cost."""
        statistic, amount = spending_of(quantity)
        spending: Any = getattr(self, amount)
        values: Array | None = getattr(spending, statistic) if spending is not None and statistic else spending
        return values

    def excess(self, limits: Limits) -> Floats:
        """(…) sum of relative excesses over the limits; 0 where all hold."""
        return np.zeros(np.broadcast_shapes(self.accuracy.shape, np.shape(self.parameters))) + limits.excess(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """Measurements of one network at T operating points."""

    thresholds: Floats
    """(T, E − 1) thresholds, ∞ where an exit is off or does not exist."""
    leaving: Ints
    """(T, E) number of samples that leave at each position."""
    correct: Ints
    """(T, E) number of these samples that are classified correctly."""
    last_correct: Ints
    """(T,) number of samples that the last exit would classify correctly."""
    macs: Ints
    """(T, E) MACs M_e of leaving at each position; see `Cost.macs`."""
    costs: Floats
    """(T, E) cost of leaving at each position by the study's cost table; NaN without one."""
    objective: Floats
    """(T,) expected cost to minimise."""
    parameters: Ints
    """(T,) parameters of the whole network."""
    weight_bytes: Ints
    """(T,) bytes of weights of the whole network, as deployed."""
    activation_bytes: Ints
    """(T,) bytes of activations at the worst moment, with the exits that are on."""

    def __len__(self) -> int:
        return len(self.thresholds)

    def __getitem__(self, index: Array | slice) -> "Measurements":
        return Measurements(**{name: getattr(self, name)[index] for name in self.__slots__})

    @classmethod
    def concatenate(cls, parts: Sequence["Measurements"]) -> "Measurements":
        """Join the measurements of several networks, in order."""
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in cls.__slots__})

    @property
    def n(self) -> int:
        """Number of samples."""
        return int(self.leaving[0].sum())

    @property
    def rates(self) -> Floats:
        """(T, E) exit probabilities p_e."""
        return np.asarray(self.leaving / self.leaving.sum(axis=1, keepdims=True))

    @property
    def exit_accuracy(self) -> Floats:
        """(T, E) accuracy a_e of the samples that leave at each position; NaN where no sample does."""
        return np.where(self.leaving > 0, self.correct / np.maximum(self.leaving, 1), np.nan)

    @property
    def accuracy(self) -> Floats:
        """(T,) accuracy Σ p_e a_e."""
        return np.asarray(self.correct.sum(axis=1) / self.leaving.sum(axis=1))

    @property
    def drop(self) -> Floats:
        """(T,) accuracy of the last exit on all samples, less the accuracy."""
        return np.asarray((self.last_correct - self.correct.sum(axis=1)) / self.leaving.sum(axis=1))

    @property
    def expected_macs(self) -> Floats:
        """(T,) expected MACs Σ p_e M_e."""
        return np.asarray((self.leaving * self.macs).sum(axis=1) / self.leaving.sum(axis=1))

    @property
    def worst_macs(self) -> Ints:
        """(T,) largest MACs of a sample: those of the last exit, if every branch before is charged."""
        return np.asarray(self.macs.max(axis=1))

    @property
    def figures(self) -> Figures:
        """(T,) quantities that limits bound."""
        cost = None if np.isnan(self.costs).any() else Spending(self.rates, self.costs)
        return Figures(
            self.accuracy,
            self.drop,
            Spending(self.rates, self.macs),
            self.parameters,
            self.weight_bytes,
            self.activation_bytes,
            cost,
        )

    def feasible(self, limits: Limits) -> Bools:
        """(T,) whether each operating point keeps every limit."""
        return np.asarray(self.violation(limits) <= 0)

    def violation(self, limits: Limits) -> Floats:
        """(T,) sum of relative excesses over the limits; 0 where every limit holds."""
        return self.figures.excess(limits)

    def best(self, limits: Limits) -> int:
        """Index of the best operating point within the limits; see `best_first`.

        Raises:
            JobError: if none keeps the limits; the message names those that the closest point exceeds.
        """
        violation = self.violation(limits)
        if (violation > 0).all():
            closest = self[np.array([violation.argmin()])]
            raise JobError(f"no thresholds keep {limits}; the closest setting has {closest._description(limits)}")
        return int(best_first(self.accuracy, self.objective, violation, cheapest=wants_cheapest(limits))[0])

    def _description(self, limits: Limits) -> str:
        """Text with accuracy, expected MACs and every exceeded limit of a single operating point, rounded so that it
        would keep these numbers as limits."""
        accuracy, macs = self.accuracy.item(), self.expected_macs.item()
        figures = {
            "accuracy": f"accuracy {kept_text(accuracy, floor=True)}",
            "expected_macs": f"expected MACs {kept_text(macs)}",
        }
        return ", ".join((figures | {b.limit.quantity: str(b) for b in limits.broken(self.figures)}).values())
