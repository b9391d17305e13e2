"""Pool of architectures with good predictions at some budget, for immediate answers on the best within any limits.

`Study.best` runs a search for its limits, which takes a second or more. The pool is evolved once for many budgets when
a surrogate is loaded; a request with limits only ranks its members.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.foundation.arrays import Floats, Ints
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.search.bayesian.curve_value import threshold_grid
from surrogate_nas.search.best_predicted import ranking
from surrogate_nas.search.problem import Problem
from surrogate_nas.space import moves
from surrogate_nas.space.candidates import Candidates, keeps_exact_limits, untaken
from surrogate_nas.space.sampling import spread_rows
from surrogate_nas.study.query import Respondent, about
from surrogate_nas.study.results import Answer
from surrogate_nas.surrogates.behavior import behavior_at
from surrogate_nas.surrogates.predictor import Predictor

FIRST, CHILDREN, GENERATIONS = 1024, 768, 6
BUDGETS, PER_BUDGET = 24, 12
"""Number of budgets, evenly spaced in the logarithm, and number of architectures kept for each."""
SHORTLIST = 16
"""Smallest number of architectures in the final ranking, which has four for each of the best n."""
CHUNK = 256


@dataclass(frozen=True)
class Pool:
    """Architectures for all budgets, with their mean predicted curves."""

    candidates: Candidates
    """The n architectures."""
    accuracy: Floats
    """(n, T) predicted accuracy at the settings of the threshold grid."""
    spent: Floats
    """(n, T) log₁₀ of the expected cost that is minimised."""

    @classmethod
    def of(cls, problem: Problem, predictor: Predictor) -> "Pool":
        """Evolve a pool from trained architectures and samples spread over the cost, with the study's seed."""
        space, costing, rng = problem.space, problem.costing, np.random.default_rng(problem.seed)
        trained = predictor.design.candidates.indices
        rows = np.concatenate([trained, spread_rows(space, FIRST, costing, Limits(), rng)])
        taken: set[bytes] = set()
        first = untaken(space, rows, costing, Limits(), taken)
        pool = cls._predict(predictor, first)._elite()
        taken |= {row.tobytes() for row in first.indices}
        for _ in range(GENERATIONS):
            parents = pool.candidates.indices
            left, right = (parents[rng.integers(len(parents), size=CHILDREN)] for _ in range(2))
            children = moves.mutate(space.genes, moves.crossover(space.genes, left, right, rng), rng)
            new = untaken(space, children, costing, Limits(), taken)
            if len(new):
                taken |= {row.tobytes() for row in new.indices}
                pool = pool._joined(cls._predict(predictor, new), problem)._elite()
        return pool

    @classmethod
    @torch.no_grad()
    def _predict(cls, predictor: Predictor, candidates: Candidates) -> "Pool":
        grid, parts = threshold_grid(predictor.design.basis), []
        for start in range(0, len(candidates), CHUNK):
            some = candidates[slice(start, start + CHUNK)]
            mean = torch.from_numpy(predictor.coefficients(some, 0, 0, fresh=False)[0])
            behavior = behavior_at(predictor.design, some, mean[:, None], grid[None])
            parts.append((behavior.accuracy, np.log10(behavior.objective)))
        accuracy, spent = (np.concatenate(column) for column in zip(*parts, strict=True))
        return cls(candidates, accuracy, spent)

    def _joined(self, other: "Pool", problem: Problem) -> "Pool":
        rows = np.concatenate([self.candidates.indices, other.candidates.indices])
        curves = (np.concatenate(pair) for pair in ((self.accuracy, other.accuracy), (self.spent, other.spent)))
        return Pool(Candidates.of_indices(problem.space, rows, problem.costing), *curves)

    def _elite(self) -> "Pool":
        """Members that are among the most accurate within some budget."""
        elite: set[int] = set()
        for budget in np.linspace(self.spent.min(), self.spent.max(), BUDGETS + 1)[1:]:
            within = np.where(self.spent <= budget, self.accuracy, -np.inf).max(axis=1)
            best = np.argsort(-within, kind="stable")[:PER_BUDGET]
            elite.update(best[np.isfinite(within[best])].tolist())
        rows = np.array(sorted(elite), dtype=np.int64)
        return Pool(self.candidates[rows], self.accuracy[rows], self.spent[rows])

    def best(self, respondent: Respondent, n: int) -> tuple[list[Answer], list[Sequence[int]]]:
        """Up to n members with the best predictions within the respondent's limits, and their choice indices.

        Raises:
            InputError: if no member keeps the exact limits.
        """
        space, policy = respondent.problem.space, respondent.problem.policy
        able, thresholds = self._likely(respondent, max(4 * n, SHORTLIST))
        pairs = zip(about(space, able), thresholds, strict=True)
        questions = [replace(q, point=OperatingPoint.from_array(t, policy)) for q, t in pairs]
        answers = [answer for block in respondent.answer(questions) for answer in block]
        order = respondent.order(answers)[:n]
        return [answers[i] for i in order], [questions[i].row for i in order]

    def _likely(self, respondent: Respondent, most: int) -> tuple[Ints, Floats]:
        """(k, G) rows and (k, E − 1) thresholds of up to `most` members, the best by their mean curves first."""
        limits, predictor = respondent.limits, respondent.predictor
        keeps = keeps_exact_limits(self.candidates.cost, self.candidates.present, limits)
        if not keeps.any():
            raise InputError(f"none of the architectures predicted in advance keeps {limits}")
        able = self.candidates[np.flatnonzero(keeps)]
        thresholds = predictor.best_thresholds(able, limits, threshold_grid(predictor.design.basis))
        mean = torch.from_numpy(predictor.coefficients(able, 0, 0, fresh=False))
        behavior = behavior_at(predictor.design, able, mean, thresholds)
        excess = behavior.excess(limits)[0]
        feasible = np.where(excess <= 0, 1.0, -excess)  # members that exceed the limits are sorted by their excess
        best = ranking(limits, feasible, behavior.accuracy[0], behavior.objective[0])[:most]
        return able.indices[best], thresholds[best]
