"""A table of networks as a problem to search: the target is known only of rows that were evaluated, the cost of all."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from bench_surrogates import Table

from surrogate_nas.exits.front import Front, pareto_order
from surrogate_nas.foundation.arrays import Bools, Floats, Ints
from surrogate_nas.foundation.errors import InputError

LOWEST = 5.0
"""The percentile of the target that is the reference point, where there is no floor."""


@dataclass(frozen=True)
class TableProblem:
    """Target up, cost down; the cost is linear and divided by the largest."""

    table: Table
    cost: Floats
    """(N,)."""
    cap: float | None = None
    """On the cost."""
    floor: float | None = None
    """On the target."""

    @classmethod
    def of(cls, table: Table, max_cost: str | None = None, min_target: str | None = None) -> "TableProblem":
        """The problem with limits given as text: in the table's units, or as a percentile of the table such as 30%.

        Raises:
            InputError: for a cost that does not vary, or limits that cannot be.
        """
        if "cost" not in table.kinds or not {"ordinal", "nominal"} & set(table.kinds):
            raise InputError("--inputs and --cost: at least one of the inputs, and the cost, have to vary")
        spent = 10.0 ** table.X[:, table.kinds.index("cost")]
        cap = limit_of("--max-cost", max_cost, spent)
        if cap is not None and cap < spent.min():
            raise InputError(f"--max-cost {max_cost}: allowed is at least {spent.min():.6g}, the cheapest row's cost")
        cap = None if cap is None else cap / spent.max()
        return cls(table, spent / spent.max(), cap, limit_of("--min-target", min_target, table.y))

    @cached_property
    def genes(self) -> list[int]:
        """Columns that are chosen."""
        return [j for j, kind in enumerate(self.table.kinds) if kind != "cost"]

    @cached_property
    def levels(self) -> list[Floats]:
        """Values of each of them, ascending."""
        return [np.unique(self.table.X[:, j]) for j in self.genes]

    @cached_property
    def codes(self) -> Ints:
        """(N, d) index of each value among the levels."""
        columns = [np.searchsorted(v, self.table.X[:, j]) for j, v in zip(self.genes, self.levels, strict=True)]
        return np.stack(columns, axis=1)

    @cached_property
    def nominal(self) -> Bools:
        """(d,) whether values only differ."""
        return np.array([self.table.kinds[j] == "nominal" for j in self.genes])

    @cached_property
    def allowed(self) -> Bools:
        """(N,) within the cap, which is known before anything is trained."""
        return np.ones(len(self.cost), dtype=np.bool_) if self.cap is None else self.cost <= self.cap * (1 + 1e-12)

    @cached_property
    def reference(self) -> tuple[float, float]:
        """Cost and target that bound the hypervolume."""
        lowest = float(np.percentile(self.table.y, LOWEST)) if self.floor is None else self.floor
        return (float(self.cost.max()) if self.cap is None else self.cap), lowest

    def front(self, rows: Sequence[int] | Ints) -> Front:
        """The Pareto front of these rows."""
        rows = np.asarray(rows, dtype=np.int64)
        return Front.of(self.cost[rows], self.table.y[rows], *self.reference)

    def on_front(self, rows: Sequence[int]) -> Ints:
        """The rows on their front."""
        inside = np.array(rows, dtype=np.int64)
        inside = inside[(self.cost[inside] < self.reference[0]) & (self.table.y[inside] > self.reference[1])]
        return inside[pareto_order(self.table.y[inside], self.cost[inside])]

    @cached_property
    def best(self) -> float:
        """Hypervolume of the complete table's front; 0 where no row keeps the limits."""
        return self.front(np.arange(len(self.cost))).hypervolume

    def curve(self, rows: Sequence[int]) -> list[float]:
        """Share of the best hypervolume after each of these rows; 0 throughout where there is none to be had."""
        hypervolumes = [self.front(rows[: i + 1]).hypervolume for i in range(len(rows))]
        return [min(value / self.best, 1.0) if self.best > 0 else 0.0 for value in hypervolumes]

    def feasible(self, rows: Sequence[int] | Ints) -> Bools:
        """Which of these rows keep the limits."""
        rows = np.asarray(rows, dtype=np.int64)
        return self.allowed[rows] & (self.table.y[rows] >= (-np.inf if self.floor is None else self.floor))

    def initial(self, count: int, seed: int) -> list[int]:
        """Random rows within the cap."""
        return np.random.default_rng(seed).permutation(np.flatnonzero(self.allowed))[:count].tolist()

    def untaken(self, taken: Sequence[int]) -> Ints:
        """Rows within the cap that are not among these."""
        free = self.allowed.copy()
        free[list(taken)] = False
        return np.flatnonzero(free)

    def distance(self, codes: Ints, rows: Ints) -> Floats:
        """(n,) of rows from a choice: 1 for each name that differs, and what numbers differ by, of their range."""
        range_ = np.array([len(v) - 1 for v in self.levels])
        off = np.abs(self.codes[rows] - codes)
        return np.where(self.nominal, off > 0, off / range_).sum(axis=1)

    def nearest(self, codes: Ints, taken: Sequence[int], rng: np.random.Generator) -> int:
        """The untaken row that is nearest to a choice; any of those that are equally near."""
        free = self.untaken(taken)
        distance = self.distance(codes, free)
        return int(rng.choice(free[distance <= distance.min() + 1e-9]))

    def document(self) -> dict[str, Any]:
        """Figures of the problem, for the JSON file."""
        return {
            "rows": len(self.cost),
            "reference": list(self.reference),
            "cap": self.cap,
            "floor": self.floor,
            "rows_within_cap": int(self.allowed.sum()),
            "hypervolume_of_table": self.best,
        }


def limit_of(option: str, text: str | None, values: Floats) -> float | None:
    """A number, or a percentile of the values such as 30%."""
    if text is None:
        return None
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        number = np.nan
    if not np.isfinite(number) or (text.endswith("%") and not 0 <= number <= 100):
        raise InputError(f"{option} {text}: allowed is a number, or a percentile of the table from 0% to 100%")
    return float(np.percentile(values, number)) if text.endswith("%") else number


class Search(Protocol):
    """A strategy on one problem with one seed."""

    def __call__(self, evaluated: list[int], q: int) -> list[int]:
        """q rows that are not evaluated yet; targets of those that are may be read."""
