"""Laws of the front, of proposals, and of the loop; training is replaced by drawn outputs, which the loop allows."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from botorch.acquisition.multi_objective import logei
from botorch.utils.multi_objective.hypervolume import Hypervolume
from hypothesis import given
from hypothesis import strategies as st

from surrogate_nas.architecture.costing import Costing
from surrogate_nas.archive.record import Proposal, Record
from surrogate_nas.archive.views import exits_of
from surrogate_nas.exits.front import Front
from surrogate_nas.exits.limits import Limits
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.search.bayesian.acquisition import FEASIBLE_ENOUGH, SAFE, safe
from surrogate_nas.search.bayesian.strategy import Bayesian, Known, known_front
from surrogate_nas.search.loop import search
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.proposals import initial_proposals
from surrogate_nas.search.strategy import History
from surrogate_nas.space import moves
from surrogate_nas.space.candidates import Candidates, keeps_exact_limits
from surrogate_nas.space.sampling import sample_within
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.fit import Fitted, fit_surrogate
from tests.helpers.outputs import SHAPE, problem, verify

points = st.lists(st.tuples(st.floats(-1, 2), st.floats(-1, 2)), min_size=1, max_size=12)


def front_of(pairs: list[tuple[float, float]]) -> Front:
    cost, accuracy = np.array(pairs).T
    return Front.of(cost, accuracy, 1.0, 0.1)


@given(points)
def test_hypervolume_equals_botorchs(pairs: list[tuple[float, float]]) -> None:
    theirs = Hypervolume(torch.tensor([0.1, -1.0], dtype=torch.float64))
    front = front_of(pairs)
    found = theirs.compute(torch.from_numpy(np.stack([front.accuracy, -front.cost], axis=1)))
    assert abs(front.hypervolume - found) < 1e-9


@given(points, points)
def test_improvement_of_a_set_is_the_difference_of_hypervolumes(
    pairs: list[tuple[float, float]], more: list[tuple[float, float]]
) -> None:
    front, (cost, accuracy) = front_of(pairs), np.array(more).T
    assert (
        abs(front.improvement(cost, accuracy) - (front.with_points(cost, accuracy).hypervolume - front.hypervolume))
        < 1e-9
    )


def test_improvement_is_vectorised_over_sets() -> None:
    rng = np.random.default_rng(0)
    front = front_of([(0.2, 0.3), (0.5, 0.6)])
    cost, accuracy = rng.uniform(0, 1, (2, 4, 5, 6))
    one_by_one = [[front.improvement(cost[i, j], accuracy[i, j]) for j in range(5)] for i in range(4)]
    assert np.allclose(front.improvement(cost, accuracy), one_by_one)


@given(st.integers(0, 2**32 - 1), st.floats(3.5, 5.5))
def test_exact_limits_reject_only_what_no_thresholds_could_save(seed: int, log_macs: float) -> None:
    space, cap = problem().space, 10**log_macs
    found = Candidates.of_indices(space, moves.sample(space.genes, 3, np.random.default_rng(seed)), Costing(SHAPE))
    possible = []
    for i in range(3):
        settings = [np.array([a, b]) & found.present[i, :-1] for a in (False, True) for b in (False, True)]
        reachable = [found.cost.macs(on)[i][np.append(on, True)].min() for on in settings]
        possible.append(min(reachable) <= cap)
    assert keeps_exact_limits(found.cost, found.present, Limits(max_macs=cap)).tolist() == possible


def test_a_sample_within_limits_is_distinct_and_keeps_them() -> None:
    limits, space = Limits(max_worst_macs=2e4, max_params=4000), problem().space
    drawn = sample_within(space, 50, Costing(SHAPE), limits, np.random.default_rng(0), set())
    found = Candidates.of(space, drawn, Costing(SHAPE))
    assert len(set(drawn)) == 50
    assert (found.cost.backbone[:, -1] <= 2e4).all()
    assert (found.cost.parameters <= 4000).all()


def test_limits_that_nothing_keeps_name_the_smallest_costs() -> None:
    with pytest.raises(InputError, match=r"only 0 of 5 .* parameters ≤ 10; smallest found"):
        sample_within(problem().space, 5, Costing(SHAPE), Limits(max_params=10), np.random.default_rng(0), set())


def test_a_longer_initial_sample_begins_with_the_shorter_one() -> None:
    assert initial_proposals(problem(), 30, [], 0)[:12] == initial_proposals(problem(), 12, [], 0)


def fit(task: Problem, records: Sequence[Record]) -> Fitted:
    design = DesignMatrix.build(task.views(records), task.space, Costing(SHAPE))
    exits = [exits_of(r.architecture, r.outputs.tune, Costing(SHAPE)) for r in records if r.outputs]
    return fit_surrogate(design, exits, "gp", task.seed)


def known(task: Problem, records: Sequence[Record]) -> Known:
    return known_front(History(task, records, [r.proposal for r in records], 1))


def searched(task: Problem, rounds: int | None = None) -> list[Record]:
    start = initial_proposals(task, 16, [], 0)
    return search(task, verify(start), start, verify, Bayesian(lambda records: fit(task, records)), rounds=rounds)


@pytest.fixture(scope="module")
def limited() -> tuple[Problem, list[Record]]:
    limits = {"max_macs": 6e4, "max_worst_macs": 2e5, "max_params": 12_000, "min_accuracy": 0.6}
    task = problem(budget=24, initial=16, batch=4, limits=limits)
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
    found = Candidates.of(task.space, [r.architecture for r in records], Costing(SHAPE))
    assert keeps_exact_limits(found.cost, found.present, task.settings.limits).all()


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

    assert len(search(task, verify(start), start, one_less, Bayesian(lambda records: fit(task, records)))) == 19


def test_no_kernel_is_compiled(limited: tuple[Problem, list[Record]]) -> None:
    assert limited
    assert getattr(logei, "_C", None) is None  # older versions have no kernel to compile


def test_a_space_that_is_used_up_proposes_nothing_and_ends_the_search(user_space: SearchSpace) -> None:
    task = Problem(user_space, SHAPE, problem(budget=200, initial=16).settings, 0)
    start = initial_proposals(task, 16, [], 0)
    everything = initial_proposals(task, user_space.size, [], 0)
    found = search(task, verify(start), everything, verify, Bayesian(lambda records: fit(task, records)))
    assert [r.proposal for r in found] == start


def test_once_limits_have_been_kept_often_only_likely_candidates_are_left() -> None:
    probability = np.array([0.2, SAFE, 0.99, 0.5])
    assert safe(probability, FEASIBLE_ENOUGH, 2).tolist() == [False, True, True, False]
    assert safe(probability, FEASIBLE_ENOUGH - 1, 2).all()
    assert safe(probability, FEASIBLE_ENOUGH, 3).all()
