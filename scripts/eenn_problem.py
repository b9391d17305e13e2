"""The table of early-exit networks as a problem for `bench_search`: strategies search it, nothing is trained."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from surrogate_nas.config import Settings
from surrogate_nas.cost import charged
from surrogate_nas.eenn_table import EennTable
from surrogate_nas.problem import Problem, initial_proposals, make_proposal
from surrogate_nas.record import Record
from surrogate_nas.search.bayesian import Bayesian
from surrogate_nas.search.front import Floats, Front
from surrogate_nas.search.loop import search
from surrogate_nas.search.strategies import STRATEGIES
from surrogate_nas.search.strategy import Fit, Strategy
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.validation import Fitted, fit_surrogate

POLICY = "margin"
"""That of the published strategies."""
OURS: Mapping[str, tuple[str, bool]] = {
    "ours": ("auto", True), "ours-stack": ("stack", True), "ours-gp": ("gp", True), "ours-xgb": ("xgb", True),
    "ours-single-point": ("auto", False),
}  # fmt: skip
"""Surrogate, and whether an architecture is valued by its whole curve."""


@dataclass(frozen=True)
class EennProblem:
    """What is searched, and how fronts are measured."""

    table: EennTable

    @classmethod
    def load(cls, folder: Path) -> "EennProblem":
        """From the table's folder."""
        return cls(EennTable.load(folder))

    @cached_property
    def reference(self) -> tuple[float, float]:
        """(log₁₀ of the largest worst-case MACs, chance accuracy)."""
        cost = self._task(Settings(), 0).costing.of_indices(self.table.space, self.table.trained)
        worst = charged(*cost.priced, None, cost.charge_heads).max()
        return float(np.log10(worst)), 1 / self.table.shape.classes

    def _task(self, settings: Settings, seed: int) -> Problem:
        return self.table.problem(settings.updated({"policy": POLICY}), seed)

    @cached_property
    def best(self) -> tuple[float, float]:
        """Hypervolumes on tune and test of the front of the whole table."""
        task = self._task(Settings(), 0)
        architectures = self.table.space.architectures(self.table.trained)
        proposals = [make_proposal(task, a, 0, rank, "user") for rank, a in enumerate(architectures)]
        records = self.table.evaluate(proposals)
        tune, test = self._volumes(task, records, at=[len(records)])
        return tune[0], test[0]

    def run(
        self, strategy: str, seed: int, initial: int, budget: int, batch: int, limits: Mapping[str, float]
    ) -> dict[str, Any]:
        """One search: hypervolume on tune, and on test at the thresholds chosen on tune, after every training."""
        settings = {"initial": initial, "budget": budget, "batch": batch, "limits": dict(limits), "repeats": False}
        task = self._task(Settings().updated(settings), seed)
        start = initial_proposals(task, initial, [], 0)
        begun = time.perf_counter()
        chosen = _strategy(strategy, task)
        records = search(
            task, self.table.evaluate(start), start, self.table.evaluate, chosen, excluded=self.table.missing
        )
        seconds = (time.perf_counter() - begun) / max(len(records) - initial, 1)
        tune, test = self._volumes(task, records, at=range(initial, len(records) + 1))
        return {
            "strategy": strategy, "seed": seed, "hypervolume": tune, "test_hypervolume": test,
            "seconds_per_proposal": seconds, "evaluated": [str(r.architecture) for r in records],
            "feasible": [bool(len(e.within(task.settings.limits))) for _, e in task.views(records)],
        }  # fmt: skip

    def _volumes(self, task: Problem, records: Sequence[Record], at: Sequence[int]) -> tuple[list[float], list[float]]:
        """After so many trainings."""
        tune, test, wanted = list[float](), list[float](), set(at)
        none = np.zeros(0)
        front = Front.of(none, none, *self.reference)
        points: list[tuple[Floats, Floats, Floats, Floats]] = []
        for k, record in enumerate(records, 1):
            assert record.outputs is not None
            found = task.view(record.architecture, record.outputs).within(task.settings.limits)
            tested = task.view(record.architecture, record.outputs, "test").measure(found.thresholds)
            cost, accuracy = np.log10(found.objective), found.accuracy
            front = front.with_points(cost, accuracy)
            points.append((cost, accuracy, np.log10(tested.objective), tested.accuracy))
            if k in wanted:
                tune.append(front.hypervolume)
                c, a, tc, ta = (np.concatenate(column) for column in zip(*points, strict=True))
                on_front = (front.cost[:, None] == c).T & (front.accuracy[:, None] == a).T
                keep = on_front.any(axis=1)
                test.append(Front.of(tc[keep], ta[keep], *self.reference).hypervolume)
        return tune, test


def _fit(task: Problem, surrogate: str) -> Fit:
    def fit(records: Sequence[Record]) -> Fitted:
        views = task.views(records)
        design = DesignMatrix.build(views, task.space, task.costing)
        return fit_surrogate(design, [exits for _, exits in views], surrogate, task.seed)

    return fit


def _strategy(name: str, task: Problem) -> Strategy:
    if name in OURS:
        surrogate, curves = OURS[name]
        return Bayesian(_fit(task, surrogate), curves=curves)
    return STRATEGIES[name](_fit(task, "auto"))
