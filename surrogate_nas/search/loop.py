"""The search: fit, propose, verify by training, refit, until the budget is spent.

Training is an argument: a tabular benchmark passes a table.
"""

from collections.abc import Callable, Sequence

import numpy as np

from surrogate_nas.candidates import Candidates, taken_rows
from surrogate_nas.exits import pareto_order
from surrogate_nas.measurements import Measurements
from surrogate_nas.problem import Problem, make_proposal
from surrogate_nas.record import Proposal, Record
from surrogate_nas.search.acquisition import Known, select
from surrogate_nas.search.front import Front
from surrogate_nas.surrogates.predictor import Predictor
from surrogate_nas.surrogates.scores import Spread
from surrogate_nas.surrogates.validation import Fitted

Evaluate = Callable[[Sequence[Proposal]], Sequence[Record]]
"""Trains proposals and returns a record for each that was carried out, in their order."""
Fit = Callable[[Sequence[Record]], Fitted]
"""Fits surrogates to records."""


def known_front(problem: Problem, records: Sequence[Record]) -> Known:
    """The feasible front of what has been trained."""
    views, limits = problem.views(records), problem.settings.limits
    rows = Candidates.of(problem.space, [r.architecture for r, _ in views], problem.costing)
    within = [exits.within(limits) for _, exits in views]
    owner = np.concatenate([np.full(len(m), i) for i, m in enumerate(within)])
    points = Measurements.concatenate(within)
    thresholds, cost, accuracy = points.thresholds, np.log10(points.objective), points.accuracy
    reference_cost, reference_accuracy = problem.reference(records)
    counts = (cost < reference_cost) & (accuracy > reference_accuracy)
    on_front = np.flatnonzero(counts)[pareto_order(accuracy[counts], cost[counts])]
    front = Front(cost[on_front], accuracy[on_front], reference_cost, reference_accuracy)
    best = np.unique(owner[on_front])
    if len(best) == 0:
        nearest = [exits.curve.violation(limits).min() for _, exits in views]
        best = np.argsort(nearest, kind="stable")[:4]
    return Known(front, rows.indices[best], rows[owner[on_front]], thresholds[on_front])


def propose(
    problem: Problem, predictor: Predictor, records: Sequence[Record], taken: Sequence[Proposal], round: int, q: int
) -> list[Proposal]:
    """The next q trainings, with what is predicted of them."""
    limits = problem.settings.limits
    rows = taken_rows(problem.space, [p.architecture for p in taken])
    chosen = select(
        predictor,
        problem.space,
        problem.costing,
        limits,
        known_front(problem, records),
        rows,
        q,
        problem.seed_of(round),
    )
    proposals = []
    for rank, (candidate, thresholds) in enumerate(chosen):
        said = predictor.predict(candidate, thresholds[None], limits, problem.seed_of(round))
        prediction = {
            "surrogate": predictor.kind, "policy": problem.policy,
            "thresholds": [None if np.isinf(t) else float(t) for t in thresholds],
            "accuracy": _interval(said.accuracy), "expected_macs": _interval(said.expected_macs),
            "feasible": float(said.feasible[0]),
        }  # fmt: skip
        architecture = problem.space.architectures(candidate.indices)[0]
        proposals.append(make_proposal(problem, architecture, round, rank, "search", prediction))
    return proposals


def _interval(estimate: Spread) -> list[float]:
    return [float(estimate.mean[0]), float(estimate.low[0]), float(estimate.high[0])]


def search(
    problem: Problem, records: Sequence[Record], taken: Sequence[Proposal], evaluate: Evaluate, fit: Fit,
    *, rounds: int | None = None,
) -> list[Record]:  # fmt: skip
    """Rounds of fitting, proposing and verifying.

    Args:
        problem: what is searched.
        records: what has been trained.
        taken: every proposal so far, carried out or not; they count against the budget.
        evaluate: trains a round's proposals. A round that comes back incomplete ends the search.
        fit: surrogates of everything trained so far.
        rounds: at most so many; `None` goes on until the budget is spent.

    Returns:
        All records, the given ones first.
    """
    records, taken, settings, done = list(records), list(taken), problem.settings, 0
    while len(taken) < settings.budget and (rounds is None or done < rounds):
        round = max(p.round for p in taken) + 1
        q = min(settings.batch, settings.budget - len(taken))
        proposals = propose(problem, fit(records).predictor, records, taken, round, q)
        new = evaluate(proposals)
        records += new
        taken += proposals
        done += 1
        if len(new) < q:
            break
    return records
