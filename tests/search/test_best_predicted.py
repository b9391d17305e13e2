"""The architectures that are predicted best, searched by evolution."""

from pathlib import Path

import numpy as np
import pytest

from surrogate_nas.api import Study
from surrogate_nas.exits.limits import Limits
from surrogate_nas.search import best_predicted as evolution
from surrogate_nas.search.best_predicted import Evaluations, evolve, ranking
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.proposals import initial_proposals
from surrogate_nas.settings import Settings
from surrogate_nas.space import moves
from surrogate_nas.space.candidates import Candidates, keeps_exact_limits
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.fit import fit_surrogate
from surrogate_nas.surrogates.predictor import Predictor
from tests.helpers.outputs import SHAPE, verify

pytestmark = pytest.mark.usefixtures("quick_fits")


@pytest.fixture(scope="module")
def study(study_path: Path) -> Study:
    return Study.open(study_path)


@pytest.fixture(scope="module")
def small(user_space: SearchSpace) -> tuple[Problem, Predictor]:
    """A space of 192 architectures."""
    problem = Problem(user_space, SHAPE, Settings(), 0)
    views = problem.views.trained(verify(initial_proposals(problem, 16, [], 0)))
    design = DesignMatrix.build(views, user_space, problem.costing)
    return problem, fit_surrogate(design, [exits for _, exits in views], "gp", 0).predictor


@pytest.fixture(scope="module")
def large(study: Study) -> tuple[Problem, Predictor]:
    """One of three million."""
    return study.home.problem, study.fit().predictor


@pytest.mark.parametrize("limits", [Limits(max_macs=6e4), Limits(min_accuracy=0.6), Limits(), Limits(max_macs=3e4)])
def test_the_optimum_of_a_space_is_found_without_looking_at_all_of_it(
    small: tuple[Problem, Predictor], limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem, predictor = small
    start = moves.sample(problem.space.genes, 1, np.random.default_rng(5))
    whole = np.concatenate(list(moves.distinct(problem.space.genes, 192, np.random.default_rng(0), draw=1000)))
    candidates = Candidates.of_indices(problem.space, whole, problem.costing)
    feasible_rows = whole[keeps_exact_limits(candidates.cost, candidates.present, limits)]
    all_evaluations = evolve(problem, predictor, limits, start, problem.space.size)
    assert {row.tobytes() for row in all_evaluations.rows} == {row.tobytes() for row in feasible_rows}
    for name, value in {"POPULATION": 12, "PARENTS": 6, "MUTANTS": 6, "CHILDREN": 6, "SWEPT": 2}.items():
        monkeypatch.setattr(evolution, name, value)
    evaluations = evolve(problem, predictor, limits, start, 2)
    assert np.array_equal(evaluations.rows[0], all_evaluations.rows[0])
    assert len(evaluations) < 0.9 * len(all_evaluations)


def test_no_sample_and_no_neighbour_is_better_than_the_best(large: tuple[Problem, Predictor]) -> None:
    problem, predictor = large
    limits = Limits(max_macs=1e5, max_params=20_000)
    evaluations = evolve(problem, predictor, limits, moves.sample(problem.space.genes, 3, np.random.default_rng(0)), 5)
    assert evaluations.feasible[0] >= 0.5
    assert len(np.unique(evaluations.rows, axis=0)) == len(evaluations) < 15_000
    around = moves.neighbors(problem.space.genes, evaluations.rows[0])
    samples = moves.sample(problem.space.genes, 5000, np.random.default_rng(1))
    scorer = evolution._Evolution(problem, predictor, limits, 5, None)
    others = scorer._extend([], np.concatenate([around, samples]))
    both = Evaluations.concatenate([evaluations[:1], others]).sorted(limits)
    assert np.array_equal(both.rows[0], evaluations.rows[0])


def test_the_same_seed_finds_the_same(large: tuple[Problem, Predictor]) -> None:
    problem, predictor = large
    start = moves.sample(problem.space.genes, 3, np.random.default_rng(0))
    first, second = (evolve(problem, predictor, Limits(max_macs=5e4), start, 3) for _ in range(2))
    assert np.array_equal(first.rows, second.rows)
    assert np.array_equal(first.accuracy, second.accuracy)


def test_what_is_likely_comes_first_then_what_is_limited_decides() -> None:
    feasible, accuracy, spent = np.array([[0.4, 0.99, 1], [0.5, 0.7, 3], [0.9, 0.8, 4], [0.6, 0.75, 2], [0.45, 0, 0]]).T
    for limits, order in {
        Limits(max_macs=1): [2, 3, 1, 4, 0],
        Limits(): [2, 3, 1, 4, 0],
        Limits(min_accuracy=0.5): [3, 1, 2, 4, 0],
        Limits(min_accuracy=0.5, max_params=9): [3, 1, 2, 4, 0],
        Limits(min_accuracy=0.5, max_macs=9): [2, 3, 1, 4, 0],
    }.items():
        assert ranking(limits, feasible, accuracy, spent).tolist() == order
