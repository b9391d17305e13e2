"""Table of limits: name of each, the quantity that it bounds, its wording, and when values are known.

This module imports nothing heavy, so that the command line can build its options from the table.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Literal

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
    "drop",
]
"""A quantity that limits bound."""
STATISTICS = ("expected", "worst", "p95")
"""Statistics of a cost over samples."""
LimitUnit = Literal["MACs", "parameters", "bytes", "cost", "fraction"]
DependsOn = Literal["network", "exits", "samples"]
"""Dependence of a quantity: on the network alone; also on which exits are on; also on where samples leave. The last
needs a training, the others are known before it."""
BREAKS = "†"
"""Mark after a figure of the test split that breaks a limit."""
BREAKS_LEGEND = f"{BREAKS} breaks a limit on test; limits were kept on tune, the split that thresholds were chosen on"
WHOLE = 1000
"""Smallest measured value that is written as a whole number; smaller ones have four digits."""


def spending_of(quantity: Quantity) -> tuple[str, str]:
    """Statistic and kind of a cost that differs between samples; for any other quantity, an empty statistic.

    >>> spending_of("p95_macs"), spending_of("weight_bytes")
    (('p95', 'macs'), ('', 'weight_bytes'))
    """
    statistic, _, amount = quantity.partition("_")
    return (statistic, amount) if statistic in STATISTICS else ("", quantity)


@dataclass(frozen=True, slots=True)
class Limit:
    """A kind of limit: a row of the table."""

    name: str
    """Field of `Limits`; the command-line option is the same with dashes."""
    quantity: Quantity
    """Quantity that the limit bounds."""
    words: str
    """Quantity in words, for messages and tables."""
    unit: LimitUnit
    """Unit of the quantity; `cost` is the unit of the study's cost table."""
    depends_on: DependsOn
    about: str
    """Help text of the option and the field."""
    floor: bool = False
    """Whether values must be at least the limit, instead of at most."""

    @property
    def sign(self) -> str:
        """Relation of a value that keeps the limit to the limit."""
        return "≥" if self.floor else "≤"

    @property
    def statistic(self) -> str:
        """Statistic of a cost over samples, one of `STATISTICS`; empty for other quantities."""
        return spending_of(self.quantity)[0]

    @property
    def exact(self) -> bool:
        """Whether values are known before a training; otherwise a surrogate predicts them."""
        return self.depends_on != "samples"

    @property
    def needs_cost_table(self) -> bool:
        """Whether values need a cost table."""
        return self.unit == "cost"

    @property
    def of_accuracy(self) -> bool:
        """Whether the quantity follows from accuracy, so that only samples answered wrong make it worse."""
        return self.quantity in ("accuracy", "drop")


LIMITS: tuple[Limit, ...] = (
    Limit(
        "max_macs",
        "expected_macs",
        "expected MACs",
        "MACs",
        "samples",
        "Largest expected (mean) number of multiply-accumulates (MACs) per image, such as 3M.",
    ),
    Limit(
        "max_worst_macs",
        "worst_macs",
        "worst-case MACs",
        "MACs",
        "exits",
        "Largest number of MACs of an image that goes to the last exit, such as 5M.",
    ),
    Limit(
        "max_p95_macs",
        "p95_macs",
        "95th-percentile MACs",
        "MACs",
        "samples",
        "Largest number of MACs of 95 % of the images, such as 4M.",
    ),
    Limit(
        "max_params",
        "parameters",
        "parameters",
        "parameters",
        "network",
        "Largest number of parameters of the whole network, such as 200k.",
    ),
    Limit(
        "max_weight_bytes",
        "weight_bytes",
        "bytes of weights",
        "bytes",
        "network",
        "Largest size of the network's weights as deployed, in bytes: 256kB (powers of ten) or 256KiB (powers of two).",
    ),
    Limit(
        "max_activation_bytes",
        "activation_bytes",
        "bytes of activations",
        "bytes",
        "exits",
        "Largest size of activations in memory at any moment, for one image, in bytes: 64kB or 64KiB.",
    ),
    Limit(
        "max_cost",
        "expected_cost",
        "expected cost",
        "cost",
        "samples",
        "Largest expected (mean) cost per image, in the unit of the cost table.",
    ),
    Limit(
        "max_worst_cost",
        "worst_cost",
        "worst-case cost",
        "cost",
        "exits",
        "Largest cost of an image that goes to the last exit, in the unit of the cost table.",
    ),
    Limit(
        "max_p95_cost",
        "p95_cost",
        "95th-percentile cost",
        "cost",
        "samples",
        "Largest cost of 95 % of the images, in the unit of the cost table.",
    ),
    Limit(
        "min_accuracy",
        "accuracy",
        "accuracy",
        "fraction",
        "samples",
        "Smallest accuracy, as a fraction or a percentage: 0.9 or 90%.",
        floor=True,
    ),
    Limit(
        "max_drop",
        "drop",
        "drop",
        "fraction",
        "samples",
        "Largest drop of accuracy below that of the network's own last exit, as a fraction or percentage: 0.01 or 1%.",
    ),
)
"""All kinds of limits, in the order of the fields of `Limits`."""


def limit_on(quantity: Quantity) -> Limit:
    """Limit on a quantity."""
    return next(limit for limit in LIMITS if limit.quantity == quantity)


def on_expected(objective: Literal["macs", "cost"]) -> Limit:
    """Limit on the expected value of the objective."""
    return limit_on("expected_macs" if objective == "macs" else "expected_cost")


def exact_text(value: float) -> str:
    """Text of a limit, to its last digit.

    >>> exact_text(3e6), exact_text(45058.25), exact_text(0.955)
    ('3,000,000', '45,058.25', '0.955')
    """
    return f"{float(value):,}".removesuffix(".0")


def kept_text(value: float, *, floor: bool = False) -> str:
    """Text of the tightest limit that a value keeps: the digits of `rounded_text`, rounded up, or down for a floor.

    >>> kept_text(45058.25), kept_text(12.3411), kept_text(0.86666, floor=True), kept_text(0.9)
    ('45,059', '12.35', '0.8666', '0.9')
    """
    exact = Decimal(repr(float(value)))
    last = 0 if abs(value) >= WHOLE else exact.adjusted() - 3
    rounded = exact.quantize(Decimal(1).scaleb(last), rounding=ROUND_FLOOR if floor else ROUND_CEILING)
    return exact_text(float(rounded))


def rounded_text(value: float) -> str:
    """Text of a measured value.

    >>> rounded_text(45058.25), rounded_text(12.3456789)
    ('45,058', '12.35')
    """
    return f"{value:,.0f}" if abs(value) >= WHOLE else f"{value:.4g}"


def marked(cells: Sequence[object], quantities: Sequence[Quantity | None], broken: Collection[str]) -> list[str]:
    """Mark every figure in a row of a table that breaks a limit.

    Args:
        cells: cells of the row; the first names it, and is marked for limits on quantities without a column.
        quantities: quantity in each column with figures of the test split; `None` for any other column.
        broken: names of the limits that figures of the test split break.

    >>> marked(["a1", 0.85, 12], [None, "accuracy", None], ["min_accuracy"])
    ['a1', '0.85†', '12']
    >>> marked(["a1", 0.85, 12], [None, "accuracy", None], ["max_p95_macs"])
    ['a1†', '0.85', '12']
    """
    over = {limit.quantity for limit in LIMITS if limit.name in broken}
    signs = [quantity in over for quantity in quantities]
    signs[0] = signs[0] or not over <= set(quantities)
    return [f"{cell}{BREAKS if sign else ''}" for cell, sign in zip(cells, signs, strict=True)]
