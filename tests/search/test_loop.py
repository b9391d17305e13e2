"""Laws of the loop and of what it proposes; training is replaced by drawn outputs, which the loop allows."""

from collections.abc import Sequence

import numpy as np
import pytest
from botorch.acquisition.multi_objective import logei

from surrogate_nas.architecture.costing import Costing
from surrogate_nas.archive.record import Proposal, Record
from surrogate_nas.search.bayesian.acquisition import FEASIBLE_ENOUGH, SAFE, safe
from surrogate_nas.search.bayesian.strategy import Bayesian, KnownFront, known_front
from surrogate_nas.search.loop import search
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.proposals import initial_proposals
from surrogate_nas.search.registry import at_random
from surrogate_nas.search.strategy import History
from surrogate_nas.space.candidates import Candidates, keeps_exact_limits
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.fit import FittedSurrogate, fit_surrogate
from tests.helpers.outputs import SHAPE, problem, tune_exits, verify

pytestmark = pytest.mark.usefixtures("quick_fits")

FITS: dict[tuple[str, ...], FittedSurrogate] = {}
"""Surrogates of the same records are the same, which the contract of surrogates tests: each is fitted once."""


def fit(task: Problem, records: Sequence[Record]) -> FittedSurrogate:
    ids = tuple(record.id for record in records)
    if ids not in FITS:
        design = DesignMatrix.build(task.views.trained(records), task.space, Costing(SHAPE))
        FITS[ids] = fit_surrogate(design, tune_exits(records), "gp", task.seed)
    return FITS[ids]


def known(task: Problem, records: Sequence[Record]) -> KnownFront:
    return known_front(History(task, records, [r.proposal for r in records], 1))


def searched(task: Problem, rounds: int | None = None) -> list[Record]:
    start = initial_proposals(task, 16, [], 0)
    return search(task, verify(start), start, verify, Bayesian(lambda records: fit(task, records)), rounds=rounds)


@pytest.fixture(scope="module")
def limited() -> tuple[Problem, list[Record]]:
    limits = {"max_macs": 6e4, "max_worst_macs": 2e5, "max_params": 12_000, "min_accuracy": 0.6}
    task = problem(budget=24, initial=16, batch=4, limits=limits, repeats=False)
    return task, searched(task)


def test_a_search_spends_its_budget_on_distinct_architectures(limited: tuple[Problem, list[Record]]) -> None:
    task, records = limited
    assert len(records) == task.settings.budget
    assert len({r.architecture for r in records}) == len(records)
    assert [(r.proposal.round, r.proposal.rank) for r in records[16:]] == [(1, i) for i in range(4)] + [
        (2, i) for i in range(4)
    ]


def test_no_proposal_breaks_an_exact_limit(limited: tuple[Problem, list[Record]]) -> None:
    task, records = limited
    candidates = Candidates.of(task.space, [r.architecture for r in records], Costing(SHAPE))
    assert keeps_exact_limits(candidates.cost, candidates.present, task.settings.limits).all()


def test_proposals_say_what_was_predicted_of_them(limited: tuple[Problem, list[Record]]) -> None:
    for record in limited[1][16:]:
        prediction = record.proposal.prediction
        assert prediction is not None
        mean, low, high = prediction["accuracy"]
        assert 0 <= low <= mean <= high <= 1
        assert len(prediction["thresholds"]) == 2


def test_the_search_improves_on_its_initial_sample(limited: tuple[Problem, list[Record]]) -> None:
    task, records = limited
    before, after = known(task, records[:16]).front, known(task, records).front
    assert after.hypervolume > before.hypervolume


def test_the_same_seed_makes_the_same_proposals(limited: tuple[Problem, list[Record]]) -> None:
    task, records = limited
    assert [r.proposal for r in searched(task, rounds=1)] == [r.proposal for r in records[:20]]


def test_a_search_resumed_after_a_round_makes_the_same_proposals(limited: tuple[Problem, list[Record]]) -> None:
    task, records = limited
    stored = [r.proposal for r in records[:20]]
    resumed = search(task, records[:20], stored, verify, Bayesian(lambda records: fit(task, records)))
    assert [r.proposal for r in resumed] == [r.proposal for r in records]


@pytest.mark.slow
def test_a_floor_that_nothing_known_meets_is_still_searched_for() -> None:
    limits = {"max_macs": 3e4, "min_accuracy": 1.0}
    task = problem(budget=18, initial=16, batch=2, limits=limits)
    records = searched(task)
    assert len(known(task, records[:16]).front.cost) == 0
    assert len(records) == 18


def test_a_round_that_comes_back_incomplete_ends_the_search() -> None:
    task = problem(budget=24, initial=16, batch=4)
    start = initial_proposals(task, 16, [], 0)

    def one_less(proposals: Sequence[Proposal]) -> list[Record]:
        return verify(proposals[:-1])

    assert len(search(task, verify(start), start, one_less, at_random)) == 19


def test_no_kernel_is_compiled(limited: tuple[Problem, list[Record]]) -> None:
    assert limited
    assert getattr(logei, "_C", None) is None  # older versions have no kernel to compile


def test_a_space_that_is_used_up_proposes_nothing_and_ends_the_search(user_space: SearchSpace) -> None:
    task = Problem(user_space, SHAPE, problem(budget=200, initial=16).settings, 0)
    start = initial_proposals(task, 16, [], 0)
    everything = initial_proposals(task, user_space.size, [], 0)
    records = search(task, verify(start), everything, verify, at_random)
    assert [r.proposal for r in records] == start


def test_once_limits_have_been_kept_often_only_likely_candidates_are_left() -> None:
    probability = np.array([0.2, SAFE, 0.99, 0.5])
    assert safe(probability, FEASIBLE_ENOUGH, 2).tolist() == [False, True, True, False]
    assert safe(probability, FEASIBLE_ENOUGH - 1, 2).all()
    assert safe(probability, FEASIBLE_ENOUGH, 3).all()
