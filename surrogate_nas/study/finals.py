"""Final trainings: networks of the front at full fidelity, with several seeds, and the agreement of their ranking with
that at low fidelity."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from scipy.stats import kendalltau, t

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.architecture.cost import Objective
from surrogate_nas.archive.record import Record
from surrogate_nas.exits.intervals import CONFIDENCE
from surrogate_nas.exits.limit_table import kept_text, on_expected
from surrogate_nas.exits.limits import Limits
from surrogate_nas.foundation.display import displayed_by
from surrogate_nas.foundation.errors import InputError, JobError
from surrogate_nas.foundation.fields import parse
from surrogate_nas.study.checks import require_gates
from surrogate_nas.study.results import Solution
from surrogate_nas.study.solutions import Solutions
from surrogate_nas.study.trainings import Trainer
from surrogate_nas.training.recipe import Recipe

FEWEST_RANKED = 3


@displayed_by(
    lambda f: {
        "best": f.best.id,
        "seeds": len(f.solutions),
        "test accuracy": f.test_accuracy,
        "95 % interval": f.test_interval,
        "expected test MACs": f.test_macs,
        "architecture": str(f.architecture),
    }
)
@dataclass(frozen=True, slots=True, repr=False)
class Final:
    """One architecture at full fidelity within some limits."""

    architecture: Architecture
    """Architecture that was trained to the end."""
    low: Solution | None
    """Solution at low fidelity, within the same limits; `None` without such a training, or if it breaks the limits."""
    solutions: tuple[Solution, ...]
    """Solutions of the seeds that can keep the limits, each at its own best thresholds on tune."""
    beyond: int
    """Number of seeds that cannot keep the limits at any thresholds."""

    @property
    def best(self) -> Solution:
        """Solution of the seed with the highest tune accuracy."""
        return max(self.solutions, key=lambda s: s.tune.accuracy)

    @property
    def tune_accuracy(self) -> float:
        """Mean tune accuracy over seeds."""
        return mean(s.tune.accuracy for s in self.solutions)

    @property
    def test_accuracy(self) -> float:
        """Mean test accuracy over seeds."""
        return mean(s.test.accuracy for s in self.solutions)

    @property
    def test_deviation(self) -> float:
        """Sample standard deviation of the test accuracy over seeds; NaN for a single seed."""
        return stdev(s.test.accuracy for s in self.solutions) if len(self.solutions) > 1 else math.nan

    @property
    def test_interval(self) -> tuple[float, float]:
        """95 % interval of the test accuracy: over seeds by Student's t; for a single seed, over its test samples."""
        n = len(self.solutions)
        if n == 1:
            return self.solutions[0].test.accuracy_interval
        reach = float(t.ppf((1 + CONFIDENCE) / 2, n - 1)) * self.test_deviation / math.sqrt(n)
        return max(self.test_accuracy - reach, 0.0), min(self.test_accuracy + reach, 1.0)

    def broken_names(self, limits: Limits) -> list[str]:
        """Names of the limits that are broken by the mean test measurements over seeds."""
        figures = [s.test.quantities for s in self.solutions]
        return [b.limit.name for b in limits.broken({q: mean(f[q] for f in figures) for q in figures[0]})]

    @property
    def test_macs(self) -> float:
        """Mean over seeds of the expected MACs on test."""
        return mean(s.test.expected_macs for s in self.solutions)

    @property
    def test_cost(self) -> float | None:
        """Mean over seeds of the expected cost on test by the study's cost table, if it has one."""
        costs = [s.test.cost[0] for s in self.solutions if s.test.cost is not None]
        return mean(costs) if costs else None


@dataclass(frozen=True, slots=True)
class RankAgreement:
    """Agreement of the rankings at low and at full fidelity."""

    tau: float
    """Kendall's τ between the tune accuracies."""
    n: int
    """Number of architectures."""

    @classmethod
    def of(cls, finals: Sequence[Final]) -> "RankAgreement | None":
        """Agreement for these networks; `None` for fewer than three, or if all have the same accuracy."""
        pairs = [(f.low.tune.accuracy, f.tune_accuracy) for f in finals if f.low is not None]
        if len(pairs) < FEWEST_RANKED:
            return None
        tau = float(kendalltau(*zip(*pairs, strict=True)).statistic)
        return None if math.isnan(tau) else cls(tau, len(pairs))


def finalize(
    trainer: Trainer, solutions: Solutions, ids: Sequence[str], at: Sequence[float], seeds: int, recipe: Recipe | None
) -> list[Final]:
    """Train networks at full fidelity, each with several seeds; see `Study.finalize`."""
    home = trainer.home
    with trainer.at_work():
        architectures = to_finalize(solutions, ids, at, seeds, recipe)
        if recipe is not None:
            home.update({"final": recipe.model_dump()})
        if home.problem.ladder is None:
            trainer.collect_finals(architectures, seeds)
        else:
            trainer.collect_at_the_top(architectures, seeds)
    return [f for f in finals(solutions, home.settings.limits) if f.architecture in architectures]


def to_finalize(
    solutions: Solutions, ids: Sequence[str], at: Sequence[float], seeds: int, recipe: Recipe | None
) -> list[Architecture]:
    """Check the arguments of `finalize` and select the architectures: those of records, else the most accurate of the
    front within each budget, else the front."""
    if seeds < 1:
        raise InputError(f"seeds {seeds} is not a positive integer")
    architectures, settings = _selected(solutions, ids, at), solutions.home.settings
    full = recipe or settings.full_recipe
    if (ladder := solutions.home.problem.ladder) is not None:
        if recipe is not None:
            raise InputError(
                f"finalize trains to the top rung of the ladder, {ladder.name(ladder.top)}; it takes no other recipe"
            )
        return architectures
    if full.fidelity == settings.recipe.fidelity:
        raise InputError(f"the final recipe equals that of the search, {full.fidelity}: set more epochs")
    require_gates(solutions.home.space.spec, full)
    return architectures


def _selected(solutions: Solutions, ids: Sequence[str], at: Sequence[float]) -> list[Architecture]:
    if ids:
        return list(dict.fromkeys(solutions.home.archive.find(id).architecture for id in ids))
    solutions = _at_the_rung_of_the_search(solutions)
    front = solutions.front()
    if not front:
        raise JobError(f"no trained network keeps {solutions.limits}: there is no front to finalize")
    objective = solutions.home.settings.objective
    solutions_to_train = [_within_budget(front, budget, objective) for budget in at] if at else front
    return list(dict.fromkeys(s.record.architecture for s in solutions_to_train))


def _within_budget(front: Sequence[Solution], budget: float, objective: Objective) -> Solution:
    """The most accurate solution of a front, cheapest first, within a budget of the minimised expected cost."""
    row = on_expected(objective)
    within = parse(Limits, {row.name: budget}, "budget")
    affordable = [solution for solution in front if within.keeps(solution.tune.quantities)]
    if not affordable:
        cheapest = kept_text(front[0].tune.expected(objective))
        raise InputError(f"budget {budget:g} is below the cheapest solution's {row.words}, {cheapest}")
    return affordable[-1]


def _at_the_rung_of_the_search(solutions: Solutions) -> Solutions:
    """Solutions at the rung of new networks; without a ladder, those of the search."""
    home = solutions.home
    return solutions if home.problem.ladder is None else Solutions(home, home.settings.rung)


def _final_records(solutions: Solutions) -> list[Record]:
    """Successful trainings with the final recipe, or at the top rung of the ladder."""
    home = solutions.home
    if (ladder := home.problem.ladder) is not None:
        return [r for r in Solutions(home, len(ladder.rungs)).records() if r.failure is None]
    fidelity = home.settings.full_recipe.fidelity
    return [r for r in solutions.records("final") if r.failure is None and r.proposal.fidelity == fidelity]


def finals(solutions: Solutions, limits: Limits) -> list[Final]:
    """Architectures trained with the final recipe, within limits; see `Study.finals`."""
    of: dict[Architecture, list[Record]] = {}
    for record in _final_records(solutions):
        of.setdefault(record.architecture, []).append(record)
    searched = _at_the_rung_of_the_search(solutions).records()
    search_records = {r.architecture: r for r in reversed(searched) if r.failure is None and r.architecture in of}
    finals_within = []
    for architecture, records in of.items():
        low = search_records.get(architecture)
        full = [s for r in records if (s := solutions.within(r, limits)) is not None]
        if full:
            before = None if low is None else solutions.within(low, limits)
            finals_within.append(Final(architecture, before, tuple(full), len(records) - len(full)))
    return sorted(finals_within, key=lambda f: -f.tune_accuracy)
