"""Limits that a user sets, and the one rule that checks values against them.

Callers pass a mapping from quantities to values: of candidates before training, of a network at many thresholds, or of
one measurement. The table in `limit_table` says which quantities have limits and how they are worded: a new limit is a
row there and a field here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypedDict

import numpy as np
from pydantic import Field

from surrogate_nas.architecture.cost import Objective
from surrogate_nas.exits.limit_table import LIMITS, Limit, Quantity, exact_text, kept_text, on_expected, rounded_text
from surrogate_nas.foundation.arrays import Array, Bools, Floats
from surrogate_nas.foundation.fields import Amount, Bytes, Config, Share

TOLERANCE = 1e-12
"""Relative excess up to which a limit holds, so that a value keeps a limit equal to it despite rounding errors."""


class QuantityValues(Protocol):
    """A mapping from quantities to numbers or arrays."""

    def get(self, quantity: Quantity, /) -> Any:
        """Values of one quantity; `None` if they are unknown, which breaks no limit."""


def relative_excess(limit: Limit, values: Any, cap: float) -> Floats:
    """(…) excess over a limit relative to it, value / cap − 1 or 1 − value / floor; 0 where it holds."""
    with np.errstate(over="ignore"):  # an excess of ∞, over the tiniest limits, is an excess too
        share = np.asarray(values) / cap
    over = 1 - share if limit.floor else share - 1
    return np.where(over > TOLERANCE, over, 0)


@dataclass(frozen=True, slots=True)
class BrokenLimit:
    """A limit, its amount `cap`, and a value that exceeds it."""

    limit: Limit
    value: float
    cap: float

    @property
    def by(self) -> float:
        """Excess of the value over the limit, relative to the limit."""
        return float(relative_excess(self.limit, self.value, self.cap))

    def __str__(self) -> str:
        """
        >>> print(BrokenLimit(LIMITS[0], 15224.0, 1000.0), BrokenLimit(LIMITS[-2], 0.85, 0.9), sep=", ")
        expected MACs 15,224 > 1,000, accuracy 0.85 < 0.9
        """
        same = rounded_text(self.value) == rounded_text(self.cap)
        value = exact_text(self.value) if same else kept_text(self.value, floor=self.limit.floor)
        return f"{self.limit.words} {value} {'<' if self.limit.floor else '>'} {exact_text(self.cap)}"


def _unset(name: str) -> Any:
    return Field(default=None, description=next(limit.about for limit in LIMITS if limit.name == name))


class LimitFields(TypedDict, total=False):
    """Keys of a mapping with limits; `None` is no limit."""

    max_macs: float | str | None
    max_worst_macs: float | str | None
    max_p95_macs: float | str | None
    max_params: float | str | None
    max_weight_bytes: float | str | None
    max_activation_bytes: float | str | None
    max_cost: float | str | None
    max_worst_cost: float | str | None
    max_p95_cost: float | str | None
    min_accuracy: float | str | None
    max_drop: float | str | None


class Limits(Config):
    """Limits that every solution must keep; `None` is no limit."""

    max_macs: Amount | None = _unset("max_macs")
    max_worst_macs: Amount | None = _unset("max_worst_macs")
    max_p95_macs: Amount | None = _unset("max_p95_macs")
    max_params: Amount | None = _unset("max_params")
    max_weight_bytes: Bytes | None = _unset("max_weight_bytes")
    max_activation_bytes: Bytes | None = _unset("max_activation_bytes")
    max_cost: Amount | None = _unset("max_cost")
    max_worst_cost: Amount | None = _unset("max_worst_cost")
    max_p95_cost: Amount | None = _unset("max_p95_cost")
    min_accuracy: Share | None = _unset("min_accuracy")
    max_drop: Share | None = _unset("max_drop")

    # ------------------------------------------------------------------ values against limits

    @property
    def active(self) -> list[tuple[Limit, float]]:
        """Limits that are set, each with its amount."""
        caps = ((limit, getattr(self, limit.name)) for limit in LIMITS)
        return [(limit, cap) for limit, cap in caps if cap is not None]

    def excess(self, values: QuantityValues) -> Floats:
        """(…) sum of relative excesses over the limits, Σ max(value / cap − 1, 0) + max(1 − accuracy / floor, 0); 0
        where all hold. Values broadcast."""
        total: Array = np.zeros(())
        for limit, cap in self.active:
            value = values.get(limit.quantity)
            if value is not None:
                total = total + relative_excess(limit, value, cap)
        return total

    def keeps(self, values: QuantityValues) -> Bools:
        """(…) whether all limits hold."""
        return np.asarray(self.excess(values) <= 0)

    def broken(self, values: QuantityValues) -> tuple[BrokenLimit, ...]:
        """Limits that scalar values exceed."""
        values_of_limits = ((limit, values.get(limit.quantity), cap) for limit, cap in self.active)
        pairs = ((limit, np.asarray(value).item(), cap) for limit, value, cap in values_of_limits if value is not None)
        return tuple(
            BrokenLimit(limit, value, cap) for limit, value, cap in pairs if relative_excess(limit, value, cap) > 0
        )

    # ------------------------------------------------------------------ which limits are set

    def budget(self, objective: Objective) -> float | None:
        """Limit on the expected value of the objective; `None` if there is none."""
        cap: float | None = getattr(self, on_expected(objective).name)
        return cap

    def with_budget(self, objective: Objective, budget: float | None) -> "Limits":
        """Copy with another limit on the expected value of the objective, or with none."""
        return self.model_copy(update={on_expected(objective).name: budget})

    @property
    def limits_cost(self) -> bool:
        """Whether a limit needs a cost table."""
        return any(limit.needs_cost_table for limit, _ in self.active)

    @property
    def limits_accuracy(self) -> bool:
        """Whether a limit is set on accuracy, or on what is lost of it."""
        return any(limit.of_accuracy for limit, _ in self.active)

    @property
    def limits_spending(self) -> bool:
        """Whether a limit is set on a quantity, other than accuracy, that depends on thresholds."""
        return any(limit.depends_on != "network" and not limit.of_accuracy for limit, _ in self.active)

    def only_cuts(self, objective: Objective) -> bool:
        """Whether the best points within these limits are those of the unlimited front that keep them."""
        least = on_expected(objective)
        return all(limit.depends_on == "network" or limit.of_accuracy or limit is least for limit, _ in self.active)

    # ------------------------------------------------------------------ words

    def phrases(self, share: Callable[[float], str] = exact_text) -> list[str]:
        """Text of each limit that is set; `share` formats fractions."""
        texts = ((row, (share if row.unit == "fraction" else exact_text)(cap)) for row, cap in self.active)
        return [f"{row.words} {row.sign} {text}" for row, text in texts]

    def __str__(self) -> str:
        """
        >>> str(Limits(max_macs=3e6, min_accuracy=0.9)), str(Limits())
        ('expected MACs ≤ 3,000,000, accuracy ≥ 0.9', 'no limits')
        """
        return ", ".join(self.phrases()) or "no limits"
