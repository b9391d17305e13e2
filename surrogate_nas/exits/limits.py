"""Limits that a user sets: the one table of them, and the one rule by which anything is held against them.

Whoever knows values – of candidates before training, of a network at many thresholds, of one measurement – hands over
a mapping from quantities to values; which of them are limited, how far they are beyond, and how that is told to people
follows from the table. A new limit is one row and one field.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self, get_args

import numpy as np
from pydantic import model_validator

from surrogate_nas.architecture.cost import Objective
from surrogate_nas.foundation.arrays import Array, Bools, Floats
from surrogate_nas.foundation.fields import Amount, Config, Share

Quantity = Literal[
    "expected_macs",
    "worst_macs",
    "p95_macs",
    "parameters",
    "weight_bytes",
    "activation_bytes",
    "expected_cost",
    "worst_cost",
    "p95_cost",
    "accuracy",
]
Decided = Literal["network", "exits", "samples"]
"""What a quantity depends on: the network alone; also on which exits are on; also on where samples leave. The last is
known from a training only, the others before it."""
Unit = Literal["MACs", "parameters", "bytes", "cost", "fraction"]
TOLERANCE = 1e-12
"""Relative excess up to which a limit holds: sums of floating-point numbers are no more exact, and so every value keeps
the limit that equals it."""
WHOLE = 1000
"""From this on, measured values are told as whole numbers."""


def spending_of(quantity: Quantity) -> tuple[str, str]:
    """Statistic and amount of what samples spend; an empty statistic for other quantities.

    >>> spending_of("p95_macs"), spending_of("weight_bytes")
    (('p95', 'macs'), ('', 'weight_bytes'))
    """
    statistic, _, amount = quantity.partition("_")
    return (statistic, amount) if amount in get_args(Objective) else ("", quantity)


class Values(Protocol):
    """A mapping from quantities to numbers or arrays."""

    def get(self, quantity: Quantity, /) -> Any:
        """Values of one quantity, or `None` where they are not known; these break no limit."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A row of the table: what one field of `Limits` bounds."""

    name: str
    """Field of `Limits`; the option is the same with dashes."""
    quantity: Quantity
    words: str
    """The quantity for people."""
    unit: Unit
    """That of the study's cost table for `cost`."""
    decided: Decided
    floor: bool = False
    """Whether values have to be at least the limit, instead of at most."""

    @property
    def sign(self) -> str:
        """What stands between a value that keeps the limit and the limit."""
        return "≥" if self.floor else "≤"

    @property
    def statistic(self) -> str:
        """Over samples, of a quantity that they spend: `expected`, `p95` or `worst`; else empty."""
        return spending_of(self.quantity)[0]

    @property
    def exact(self) -> bool:
        """Whether values are known before a training; else they are learned."""
        return self.decided != "samples"

    @property
    def needs_cost_table(self) -> bool:
        """Whether only a cost table can tell values."""
        return self.unit == "cost"

    def excess(self, values: Any, cap: float) -> Floats:
        """Relative excess over a limit, value / cap − 1 or 1 − value / floor; 0 where it holds."""
        with np.errstate(over="ignore"):  # over the tiniest limits by ∞ is over them all the same
            share = np.asarray(values) / cap
        over = 1 - share if self.floor else share - 1
        return np.where(over > TOLERANCE, over, 0)


def exact_text(value: float) -> str:
    """A limit for people, to its last digit.

    >>> exact_text(3e6), exact_text(45058.25), exact_text(0.955)
    ('3,000,000', '45,058.25', '0.955')
    """
    return f"{float(value):,}".removesuffix(".0")


def rounded_text(value: float) -> str:
    """A measured value for people.

    >>> rounded_text(45058.25), rounded_text(12.3456789)
    ('45,058', '12.3457')
    """
    return f"{value:,.0f}" if abs(value) >= WHOLE else f"{value:g}"


LIMITS: tuple[Limit, ...] = (
    Limit("max_macs", "expected_macs", "expected MACs", "MACs", "samples"),
    Limit("max_worst_macs", "worst_macs", "worst-case MACs", "MACs", "exits"),
    Limit("max_p95_macs", "p95_macs", "95 % of images' MACs", "MACs", "samples"),
    Limit("max_params", "parameters", "parameters", "parameters", "network"),
    Limit("max_weight_bytes", "weight_bytes", "bytes of weights", "bytes", "network"),
    Limit("max_activation_bytes", "activation_bytes", "bytes of activations", "bytes", "exits"),
    Limit("max_cost", "expected_cost", "expected cost", "cost", "samples"),
    Limit("max_worst_cost", "worst_cost", "worst-case cost", "cost", "exits"),
    Limit("max_p95_cost", "p95_cost", "95 % of images' cost", "cost", "samples"),
    Limit("min_accuracy", "accuracy", "accuracy", "fraction", "samples", floor=True),
)
"""Every limit there is, in the order of the fields of `Limits`."""


def on_expected(objective: Objective) -> Limit:
    """The limit on the expected cost that is minimised."""
    return next(limit for limit in LIMITS if limit.quantity == f"expected_{objective}")


@dataclass(frozen=True, slots=True)
class Broken:
    """A limit that a value does not keep."""

    limit: Limit
    value: float
    cap: float

    @property
    def by(self) -> float:
        """How far the value is beyond the limit, relative to that."""
        return float(self.limit.excess(self.value, self.cap))

    def __str__(self) -> str:
        """
        >>> print(Broken(LIMITS[0], 15224.0, 1000.0), Broken(LIMITS[-1], 0.85, 0.9), sep=", ")
        expected MACs 15,224 > 1,000, accuracy 0.85 < 0.9
        """
        rounded = rounded_text(self.value)
        value = exact_text(self.value) if rounded == rounded_text(self.cap) else rounded
        return f"{self.limit.words} {value} {'<' if self.limit.floor else '>'} {exact_text(self.cap)}"


class Limits(Config):
    """What every solution must keep to; `None` is no limit."""

    max_macs: Amount | None = None
    """At most so many expected (average) multiply-accumulates (MACs) per image."""
    max_worst_macs: Amount | None = None
    """At most so many MACs of an image that goes to the last exit."""
    max_p95_macs: Amount | None = None
    """At most so many MACs of 95 % of the images."""
    max_params: Amount | None = None
    """At most so many parameters of the whole network."""
    max_weight_bytes: Amount | None = None
    """At most so many bytes of weights of the whole network, as deployed."""
    max_activation_bytes: Amount | None = None
    """At most so many bytes of activations alive at the worst moment, for one image."""
    max_cost: Amount | None = None
    """At most this expected (average) cost per image, by the study's cost table."""
    max_worst_cost: Amount | None = None
    """At most this cost of an image that goes to the last exit."""
    max_p95_cost: Amount | None = None
    """At most this cost of 95 % of the images."""
    min_accuracy: Share | None = None
    """At least this accuracy, a fraction."""

    @model_validator(mode="after")
    def _average_below_worst_case(self) -> Self:
        for mean, worst in (("max_macs", "max_worst_macs"), ("max_cost", "max_worst_cost")):
            average, cap = getattr(self, mean), getattr(self, worst)
            if average is not None and cap is not None and average > cap:
                raise ValueError(f"{mean} {average:g} is above {worst} {cap:g}, but no average exceeds the worst case")
        return self

    # ------------------------------------------------------------------ values against limits

    @property
    def given(self) -> list[tuple[Limit, float]]:
        """The limits that are set, each with its amount."""
        caps = ((limit, getattr(self, limit.name)) for limit in LIMITS)
        return [(limit, cap) for limit, cap in caps if cap is not None]

    def excess(self, values: Values) -> Floats:
        """(…) sum of relative excesses over the limits; 0 where all hold. Values broadcast."""
        total: Array = np.zeros(())
        for limit, cap in self.given:
            value = values.get(limit.quantity)
            if value is not None:
                total = total + limit.excess(value, cap)
        return total

    def keeps(self, values: Values) -> Bools:
        """(…) where all limits hold."""
        return np.asarray(self.excess(values) <= 0)

    def broken(self, values: Values) -> tuple[Broken, ...]:
        """The limits that single values do not keep."""
        known = ((limit, values.get(limit.quantity), cap) for limit, cap in self.given)
        pairs = ((limit, np.asarray(value).item(), cap) for limit, value, cap in known if value is not None)
        return tuple(Broken(limit, value, cap) for limit, value, cap in pairs if limit.excess(value, cap) > 0)

    # ------------------------------------------------------------------ which limits are set

    def budget(self, objective: Objective) -> float | None:
        """The limit on the expected cost that is minimised."""
        cap: float | None = getattr(self, on_expected(objective).name)
        return cap

    def with_budget(self, objective: Objective, budget: float | None) -> "Limits":
        """These with another limit on the expected cost that is minimised, or with none."""
        return self.model_copy(update={on_expected(objective).name: budget})

    @property
    def limits_cost(self) -> bool:
        """Whether anything is limited that only a cost table can tell."""
        return any(limit.needs_cost_table for limit, _ in self.given)

    @property
    def limits_spending(self) -> bool:
        """Whether anything is limited that thresholds decide, beside accuracy."""
        return any(limit.decided != "network" and not limit.floor for limit, _ in self.given)

    def only_cuts(self, objective: Objective) -> bool:
        """Whether the best points within these limits are those of the unlimited front that keep them."""
        least = on_expected(objective)
        return all(limit.decided == "network" or limit.floor or limit is least for limit, _ in self.given)

    # ------------------------------------------------------------------ words

    def phrases(self, share: Callable[[float], str] = exact_text) -> list[str]:
        """Each limit that is set, for people; fractions as `share` tells them."""
        told = ((row, (share if row.unit == "fraction" else exact_text)(cap)) for row, cap in self.given)
        return [f"{row.words} {row.sign} {text}" for row, text in told]

    def __str__(self) -> str:
        """
        >>> str(Limits(max_macs=3e6, min_accuracy=0.9)), str(Limits())
        ('expected MACs ≤ 3,000,000, accuracy ≥ 0.9', 'no limits')
        """
        return ", ".join(self.phrases()) or "no limits"
