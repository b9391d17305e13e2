"""The pool of the search: climbed until none of its best has a better neighbour, within a number of evaluations."""

from collections.abc import Iterator

import numpy as np
import pytest

from surrogate_nas.search.bayesian import pool as pools
from surrogate_nas.search.bayesian.pool import CLIMBERS
from surrogate_nas.search.bayesian.strategy import _Selection
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.proposals import initial_proposals
from surrogate_nas.search.strategy import History
from surrogate_nas.space import moves
from surrogate_nas.space.candidates import Candidates
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.fit import fit_surrogate
from tests.helpers.outputs import problem, verify


def selection(of: Problem) -> _Selection:
    start = initial_proposals(of, 12, [], 0)
    history = History(of, verify(start), start, 1)
    views = of.views.trained(history.records)
    design = DesignMatrix.build(views, of.space, of.costing)
    predictor = fit_surrogate(design, [exits for _, exits in views], "size", 0).predictor
    return _Selection(history, predictor, joint=True)


def pool_of(selected: _Selection) -> Candidates:
    return selected.pool(4).candidates(selected.rng)


@pytest.fixture(scope="module")
def climbed() -> Iterator[_Selection]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("surrogate_nas.search.bayesian.curve_value.CURVE_SAMPLES", 8)
        yield selection(problem(budget=40, initial=12, limits={"max_macs": 3e5}))


def test_no_neighbour_of_the_best_is_better(climbed: _Selection) -> None:
    pool, history = pool_of(climbed), climbed.history
    value, _ = climbed.value(pool)
    for row in pool.indices[climbed._best_first(pool, 4)[:CLIMBERS]]:
        around = history.new(moves.neighbors(history.problem.space.genes, row))
        assert {r.tobytes() for r in around.indices} <= {r.tobytes() for r in pool.indices}
    assert climbed.value(around)[0].max() <= value.max()


def test_neighbours_that_are_valued_are_bounded_in_number(climbed: _Selection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "MOST_NEIGHBORS", 0)
    alone = pool_of(selection(climbed.history.problem))
    monkeypatch.setattr(pools, "MOST_NEIGHBORS", 100)
    some = pool_of(selection(climbed.history.problem))
    assert len(alone) < len(some) <= len(alone) + 100
    np.testing.assert_array_equal(some.indices[: len(alone)], alone.indices)


def test_steps_taken_together_are_those_of_the_first(climbed: _Selection) -> None:
    genes, rng = climbed.history.problem.space.genes, np.random.default_rng(0)
    (row,) = moves.sample(genes, 1, rng)
    around = rng.permutation(moves.neighbors(genes, row))[:6]
    steps = moves.together(genes, row, around)
    assert len(steps) <= 6
    np.testing.assert_array_equal(steps, genes.canonical(steps))
    assert genes.valid(steps).all()
    np.testing.assert_array_equal(moves.together(genes, row, around[:1]), around[:1])
    assert len(moves.together(genes, row, around[:0])) == 0
