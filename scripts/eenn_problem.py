"""The table of early-exit networks as a problem for `bench_search`: strategies search it, nothing is trained."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from search_runs import BEGINNING, Plan, Run
from search_table import limit_of

from surrogate_nas.config import Limits, Settings
from surrogate_nas.cost import charged
from surrogate_nas.eenn_table import EennTable
from surrogate_nas.exits import Exits
from surrogate_nas.measurements import Measurements
from surrogate_nas.problem import Problem, initial_proposals, make_proposal
from surrogate_nas.record import Proposal, Record
from surrogate_nas.search.bayesian import Bayesian
from surrogate_nas.search.front import Floats, Front
from surrogate_nas.search.individuals import at_genes, genes_of
from surrogate_nas.search.loop import search
from surrogate_nas.search.published import Aebnas, at_nachos
from surrogate_nas.search.strategies import STRATEGIES
from surrogate_nas.search.strategy import Fit, Strategy
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.validation import Fitted, fit_surrogate
from surrogate_nas.thresholds import by_aebnas

POLICY = "margin"
"""That of the published strategies."""
OURS: Mapping[str, tuple[str, bool]] = {
    "ours": ("auto", True), "ours-stack": ("stack", True), "ours-gp": ("gp", True), "ours-xgb": ("xgb", True),
    "ours-single-point": ("auto", False),
}  # fmt: skip
"""Surrogate, and whether an architecture is valued by its whole curve."""
EENN_STRATEGIES = (*OURS, *(name for name in STRATEGIES if name != "bayesian"))
MEASURES = {
    "hypervolume": "whole curves of all trained networks, tune",
    "test_hypervolume": "the same, chosen on tune, measured on test",
    "delivered": "what the strategy itself has, tune",
}


@dataclass(frozen=True)
class EennProblem:
    """What is searched, and how fronts are measured; see `search_runs.Benchmark`."""

    table: EennTable
    limits: Limits
    strategies = EENN_STRATEGIES
    measures = MEASURES

    @classmethod
    def load(cls, folder: Path, max_cost: str | None = None, min_target: str | None = None) -> "EennProblem":
        """From the table's folder, with a cap on worst-case MACs and a floor of accuracy, or percentiles of both.

        Raises:
            InputError: for a folder that is no table, or limits that cannot be.
        """
        free = cls(EennTable.load(folder), Limits())
        last = [record.outputs.tune.correct[-1].mean() for record in free.everything if record.outputs]
        cap, floor = limit_of("--max-cost", max_cost, free.worst), limit_of("--min-target", min_target, np.array(last))
        return cls(free.table, Limits(max_worst_macs=cap, min_accuracy=floor))

    @property
    def most(self) -> int:
        """Networks within the cap."""
        cap = self.limits.max_worst_macs
        return len(self.worst) if cap is None else int((self.worst <= cap).sum())

    @cached_property
    def described(self) -> Mapping[str, Any]:
        """What was asked, and what that means."""
        return {"kind": "eenn-table", "table": self.table.space.spec.name, "networks": len(self.worst), "policy": POLICY,
                "limits": self.limits.model_dump(exclude_none=True), "reference": self.reference,
                "hypervolume_of_table": self.best, "aebnas_target_macs": self.target}  # fmt: skip

    @cached_property
    def worst(self) -> Floats:
        """(n,) worst-case MACs of the table's networks."""
        cost = self.task(Settings(), 0).costing.of_indices(self.table.space, self.table.trained)
        return np.asarray(charged(*cost.priced, None, cost.charge_heads).max(axis=1), dtype=np.float64)

    @property
    def target(self) -> float:
        """Expected MACs that AEBNAS is drawn to, as nothing else asks for any: half of the median worst case."""
        return float(np.median(self.worst) / 2)

    @cached_property
    def reference(self) -> tuple[float, float]:
        """(log₁₀ of the largest worst-case MACs, chance accuracy), or the limits."""
        cap, floor = self.limits.max_worst_macs, self.limits.min_accuracy
        return float(np.log10(cap or self.worst.max())), floor or 1 / self.table.shape.classes

    def task(self, settings: Settings, seed: int) -> Problem:
        """The table's, by its policy."""
        return self.table.problem(settings.updated({"policy": POLICY}), seed)

    @cached_property
    def everything(self) -> list[Record]:
        """One of each network."""
        task, architectures = self.task(Settings(), 0), self.table.space.architectures(self.table.trained)
        return self.table.evaluate([make_proposal(task, a, 0, rank, "user") for rank, a in enumerate(architectures)])

    @cached_property
    def best(self) -> tuple[float, float]:
        """Hypervolumes on tune and test of the front of the whole table."""
        tune, test = self._volumes(self.task(Settings(), 0), self.everything, _whole_curve, last_only=True)
        return tune[-1], test[-1]

    def run(self, plan: Plan) -> Run:
        """See `search_runs.Benchmark`."""
        settings = {
            "initial": plan.initial, "budget": plan.budget, "batch": plan.batch, "repeats": False,
            "limits": self.limits.model_dump(),
        }  # fmt: skip
        task = self.task(Settings().updated(settings), plan.seed)
        start = initial_proposals(task, plan.initial, [], 0)
        begun = time.process_time()
        strategy = self._strategy(plan.strategy, task)
        records = search(
            task, self.table.evaluate(start), start, self.table.evaluate, strategy, excluded=self.table.missing
        )
        seconds = (time.process_time() - begun) / max(len(records) - plan.initial, 1)
        tune, test = self._volumes(task, records, _whole_curve)
        own, _ = self._volumes(task, records, self._delivered(plan.strategy))
        best, best_on_test = (value or np.inf for value in self.best)  # nothing is a share of nothing
        return {
            **vars(plan), "hypervolume": [v / best for v in tune], "test_hypervolume": [v / best_on_test for v in test],
            "delivered": [v / best for v in own], "seconds_per_proposal": seconds,
            "evaluated": [str(r.architecture) for r in records], **self._limits_kept(task, records, plan.initial),
        }  # fmt: skip

    def _strategy(self, name: str, task: Problem) -> Strategy:
        if name in OURS:
            surrogate, curves = OURS[name]
            return Bayesian(_fit(task, surrogate), curves=curves)
        return Aebnas(self.target) if name == "aebnas" else STRATEGIES[name](_fit(task, "auto"))

    def _delivered(self, name: str) -> "Points":
        """The thresholds at which a strategy has a network."""
        points: dict[str, Points] = {
            "nachos": lambda exits, proposal, limits: at_nachos(exits, limits),
            "aebnas": lambda exits, proposal, limits: by_aebnas(exits, Limits(max_macs=self.target)),
            "edanas": lambda exits, proposal, limits: at_genes(exits, genes_of(proposal)),
            "nsga2": lambda exits, proposal, limits: at_genes(exits, genes_of(proposal)),
        }
        return points.get(name, _whole_curve)

    def _volumes(
        self, task: Problem, records: Sequence[Record], points: "Points", *, last_only: bool = False
    ) -> tuple[list[float], list[float]]:
        """After each training, on tune, and on test at the thresholds that are on the front on tune."""
        limits, none = task.settings.limits, np.zeros(0)
        front = Front.of(none, none, *self.reference)
        seen = np.zeros((4, 0))  # log₁₀ cost and accuracy on tune, then on test
        tune, test = list[float](), list[float]()
        for number, record in enumerate(records, start=1):
            assert record.outputs is not None
            found = points(task.view(record.architecture, record.outputs), record.proposal, limits)
            found = found[found.feasible(limits)]
            tested = task.view(record.architecture, record.outputs, "test").measure(found.thresholds)
            new = np.stack([np.log10(found.objective), found.accuracy, np.log10(tested.objective), tested.accuracy])
            front, seen = front.with_points(new[0], new[1]), np.concatenate([seen, new], axis=1)
            if not last_only or number == len(records):
                on_front = ((front.cost[:, None] == seen[0]) & (front.accuracy[:, None] == seen[1])).any(axis=0)
                tune.append(front.hypervolume)
                test.append(Front.of(seen[2, on_front], seen[3, on_front], *self.reference).hypervolume)
        return tune, test

    def _limits_kept(self, task: Problem, records: Sequence[Record], initial: int) -> Run:
        limits = task.settings.limits
        if limits == Limits():
            return {}
        feasible = [bool(len(exits.within(limits))) for _, exits in task.views(records)]
        proposed = task.costing.of_indices(self.table.space, self.table.space.indices([r.architecture for r in records]))
        worst = charged(*proposed.priced, None, proposed.charge_heads).max(axis=1)
        after, nearest = feasible[max(BEGINNING, initial) :], None
        if not any(feasible):
            most = [exits.curve.accuracy.max() for _, exits in task.views(records)]
            closest = records[int(np.argmax(most))].architecture
            anywhere = any(len(exits.within(limits)) for _, exits in task.views(self.everything))
            nearest = {"network": str(closest), "target": float(max(most)), "the_table_has_any": anywhere}
        return {
            "above_cap": int((worst[initial:] > (limits.max_worst_macs or np.inf)).sum()),
            "feasible_after_beginning": float(np.mean(after)) if after else None, "nearest": nearest,
        }  # fmt: skip


Points = Callable[[Exits, Proposal, Limits], Measurements]


def _whole_curve(exits: Exits, proposal: Proposal, limits: Limits) -> Measurements:
    return exits.within(limits)


def _fit(task: Problem, surrogate: str) -> Fit:
    def fit(records: Sequence[Record]) -> Fitted:
        views = task.views(records)
        design = DesignMatrix.build(views, task.space, task.costing)
        return fit_surrogate(design, [exits for _, exits in views], surrogate, task.seed)

    return fit
