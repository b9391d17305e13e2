"""The table of early-exit networks as a problem for `bench_search`: strategies search it, nothing is trained."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from search_by_scalars import by_scalars
from search_runs import BEGINNING, Plan, Run
from search_table import limit_of

from surrogate_nas.architecture.cost import costs_of_leaving
from surrogate_nas.archive.record import Proposal, Record
from surrogate_nas.exits.choosing import by_aebnas
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.front import Front
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.measurements import Measurements
from surrogate_nas.foundation.arrays import Bools, Floats, Ints
from surrogate_nas.search.bayesian.strategy import Bayesian
from surrogate_nas.search.evolutionary.individuals import at_genes, genes_of
from surrogate_nas.search.evolutionary.published import Aebnas, at_nachos
from surrogate_nas.search.loop import search
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.proposals import initial_proposals, make_proposal
from surrogate_nas.search.registry import STRATEGIES
from surrogate_nas.search.strategy import FitSurrogate, Strategy
from surrogate_nas.search.tabular.table import EennTable
from surrogate_nas.settings import Settings
from surrogate_nas.space.candidates import keeps_exact_limits
from surrogate_nas.space.costs import cost_of_indices
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.fit import FittedSurrogate, fit_surrogate

POLICY = "margin"
"""The exit policy of the published strategies."""
OURS: Mapping[str, tuple[str, bool]] = {
    "ours": ("auto", True),
    "ours-stack": ("stack", True),
    "ours-gp": ("gp", True),
    "ours-xgb": ("xgb", True),
    "ours-single-point": ("auto", False),
    "ours-xgb-single-point": ("xgb", False),
}
"""Surrogate, and whether an architecture is valued by its whole curve."""
EENN_STRATEGIES = (*OURS, "two-scalars", *(name for name in STRATEGIES if name != "bayesian"))
CURVE_MEANINGS = {
    "hypervolume": "whole curves of all trained networks, tune",
    "test_hypervolume": "the same, chosen on tune, measured on test",
    "delivered": "what the strategy itself has, tune",
}


@dataclass(frozen=True)
class EennProblem:
    """A search on the table, with hypervolumes of its fronts; see `search_runs.Benchmark`."""

    table: EennTable
    limits: Limits
    strategies = EENN_STRATEGIES
    curve_meanings = CURVE_MEANINGS

    @classmethod
    def load(cls, folder: Path, max_cost: str | None = None, min_target: str | None = None) -> "EennProblem":
        """Load the table's folder, with a cap on worst-case MACs and a floor of accuracy, or percentiles of both.

        Raises:
            InputError: for a folder that is no table, or limits that cannot be.
        """
        free = cls(EennTable.load(folder), Limits())
        last = [tune.correct[-1].mean() for _, tune, _ in free.everything]
        cap, floor = limit_of("--max-cost", max_cost, free.worst), limit_of("--min-target", min_target, np.array(last))
        return cls(free.table, Limits(max_worst_macs=cap, min_accuracy=floor))

    @property
    def most(self) -> int:
        """Networks within the cap."""
        return int(self._keeps_exact_limits(self.table.trained).sum())

    def _keeps_exact_limits(self, rows: Ints) -> Bools:
        cost = cost_of_indices(self.table.space, rows, self.task(Settings(), 0).costing)
        return keeps_exact_limits(cost, self.table.space.genes.present(rows), self.limits)

    @cached_property
    def description(self) -> Mapping[str, Any]:
        """Limits and figures of the table."""
        return {
            "kind": "eenn-table",
            "table": self.table.space.spec.name,
            "networks": len(self.worst),
            "policy": POLICY,
            "limits": self.limits.model_dump(exclude_none=True),
            "reference": self.reference,
            "hypervolume_of_table": self.best,
            "aebnas_target_macs": self.target,
        }

    @cached_property
    def worst(self) -> Floats:
        """(n,) worst-case MACs of the table's networks."""
        cost = cost_of_indices(self.table.space, self.table.trained, self.task(Settings(), 0).costing)
        return np.asarray(
            costs_of_leaving(*cost.objective_costs, None, cost.charge_heads).max(axis=1), dtype=np.float64
        )

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
        """The table's problem under its policy."""
        return self.table.problem(settings.updated({"policy": POLICY}), seed)

    @cached_property
    def everything(self) -> list["Trained"]:
        """One training of each network."""
        task, architectures = self.task(Settings(), 0), self.table.space.architectures(self.table.trained)
        proposals = [make_proposal(task, a, 0, rank, "user") for rank, a in enumerate(architectures)]
        return _trained(task, self.table.evaluate(proposals))

    @cached_property
    def best(self) -> tuple[float, float]:
        """Hypervolumes on tune and test of the front of the whole table."""
        tune, test = self._volumes(self.everything, _whole_curve, last_only=True)
        return tune[-1], test[-1]

    def run(self, plan: Plan) -> Run:
        """See `search_runs.Benchmark`."""
        settings = {
            "initial": plan.initial,
            "budget": plan.budget,
            "batch": plan.batch,
            "repeats": False,
            "limits": self.limits.model_dump(),
        }
        task = self.task(Settings().updated(settings), plan.seed)
        start = initial_proposals(task, plan.initial, [], 0)
        begun = time.process_time()
        strategy = self._strategy(plan.strategy, task)
        records = search(
            task, self.table.evaluate(start), start, self.table.evaluate, strategy, listed=self.table.trained
        )
        seconds = (time.process_time() - begun) / max(len(records) - plan.initial, 1)
        trained = _trained(task, records)
        tune, test = self._volumes(trained, _whole_curve)
        own, _ = self._volumes(trained, self._delivered(plan.strategy))
        best, best_on_test = (value or np.inf for value in self.best)  # nothing is a share of nothing
        return {
            **vars(plan),
            "hypervolume": [v / best for v in tune],
            "test_hypervolume": [v / best_on_test for v in test],
            "delivered": [v / best for v in own],
            "seconds_per_proposal": seconds,
            "evaluated": [str(r.architecture) for r in records],
            **self._limit_figures(trained, plan.initial),
        }

    def _strategy(self, name: str, task: Problem) -> Strategy:
        if name in OURS:
            surrogate, curves = OURS[name]
            return Bayesian(fitting(task, surrogate), curves=curves)
        if name == "two-scalars":
            return by_scalars
        return Aebnas(self.target) if name == "aebnas" else STRATEGIES[name](fitting(task, "auto"))

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
        self, trained: Sequence["Trained"], points: "Points", *, last_only: bool = False
    ) -> tuple[list[float], list[float]]:
        """Hypervolumes after each training, on tune, and on test at the thresholds of the front on tune."""
        limits, none = self.limits, np.zeros(0)
        front = Front.of(none, none, *self.reference)
        figures = np.zeros((4, 0))  # log₁₀ cost and accuracy on tune, then on test
        volumes = list[float](), list[float]()
        for number, (proposal, tune, test) in enumerate(trained, start=1):
            curve = points(tune, proposal, limits)
            curve = curve[curve.feasible(limits)]
            tested = test.measure(curve.thresholds)
            new = np.stack([np.log10(curve.objective), curve.accuracy, np.log10(tested.objective), tested.accuracy])
            front, figures = front.with_points(new[0], new[1]), np.concatenate([figures, new], axis=1)
            if not last_only or number == len(trained):
                on_front = ((front.cost[:, None] == figures[0]) & (front.accuracy[:, None] == figures[1])).any(axis=0)
                volumes[0].append(front.hypervolume)
                volumes[1].append(Front.of(figures[2, on_front], figures[3, on_front], *self.reference).hypervolume)
        return volumes

    def _limit_figures(self, trained: Sequence["Trained"], initial: int) -> Run:
        if self.limits == Limits():
            return {}
        feasible = [bool(len(tune.within(self.limits))) for _, tune, _ in trained]
        architectures = [proposal.architecture for proposal, _, _ in trained]
        after, nearest = feasible[max(BEGINNING, initial) :], None
        if not any(feasible):
            violation = [tune.curve.violation(self.limits).min() for _, tune, _ in trained]
            i = int(np.argmin(violation))
            nearest = {
                "network": str(architectures[i]),
                "target": float(trained[i][1].curve.accuracy.max()),
                "the_table_has_any": any(len(tune.within(self.limits)) for _, tune, _ in self.everything),
            }
        keeps = self._keeps_exact_limits(self.table.space.indices(architectures))
        return {
            "above_cap": int((~keeps[initial:]).sum()),
            "feasible_after_beginning": float(np.mean(after)) if after else None,
            "nearest": nearest,
        }


Trained = tuple[Proposal, Exits, Exits]
"""A proposal, and its exits on tune and on test."""
Points = Callable[[Exits, Proposal, Limits], Measurements]


def _trained(task: Problem, records: Sequence[Record]) -> list[Trained]:
    return [(record.proposal, tune, task.views.test(record)) for record, tune in task.views.trained(records)]


def _whole_curve(exits: Exits, proposal: Proposal, limits: Limits) -> Measurements:
    return exits.within(limits)


def fitting(task: Problem, surrogate: str) -> FitSurrogate:
    def fit(records: Sequence[Record]) -> FittedSurrogate:
        views = task.views.trained(records)
        design = DesignMatrix.build(views, task.space, task.costing)
        return fit_surrogate(design, [exits for _, exits in views], surrogate, task.seed)

    return fit
