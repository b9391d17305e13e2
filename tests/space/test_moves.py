"""Moves: samples, neighbours, mutants and children."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.space.space import SearchSpace
from tests.helpers.spaces import drawn, every_architecture, rows

seeds = st.integers(0, 2**32 - 1)


@given(seed=seeds, n=st.integers(0, 40))
def test_samples_are_distinct_and_follow_from_the_seed(space: SearchSpace, seed: int, n: int) -> None:
    sampled = space.sample(n, np.random.default_rng(seed))
    assert len(set(sampled)) == len(sampled) == n
    assert space.decode(space.encode(sampled)) == sampled
    assert space.sample(n, np.random.default_rng(seed)) == sampled


def test_a_whole_space_can_be_sampled_and_no_more(user_space: SearchSpace) -> None:
    rng = np.random.default_rng(0)
    assert set(user_space.sample(user_space.size, rng)) == every_architecture(user_space)
    with pytest.raises(InputError, match="cannot sample 193 distinct architectures; space 'user' has 192"):
        user_space.sample(193, rng)


@settings(max_examples=10)
@given(data=st.data())
def test_neighbors_are_distinct_canonical_and_never_the_architecture_itself(
    space: SearchSpace, data: st.DataObject
) -> None:
    row = space.canonical(data.draw(rows(space)))
    found = space.neighbor_indices(row[0])
    np.testing.assert_array_equal(space.canonical(found), found)
    assert len({r.tobytes() for r in np.concatenate([found, row])}) == len(found) + 1


@settings(max_examples=10)
@given(data=st.data())
def test_being_neighbors_is_symmetric(space: SearchSpace, data: st.DataObject) -> None:
    a = drawn(space, data)
    b = data.draw(st.sampled_from(space.neighbors(a)))
    assert a in space.neighbors(b)


@settings(max_examples=10)
@given(data=st.data())
def test_an_architecture_and_its_neighbors_have_every_value_of_every_gene(
    space: SearchSpace, data: st.DataObject
) -> None:
    row = space.canonical(data.draw(rows(space)))
    around = np.concatenate([row, space.neighbor_indices(row[0])])
    applies = space.active(around)
    exits = list(space.exit_genes.values())
    needed = row[0, exits].sum() <= space.spec.exits.at_least  # no exit can be left out then
    for g in space.encoded_genes:
        if g in exits and needed:
            continue
        assert set(around[applies[:, g], g]) == set(range(len(space.genes[g].values)))


def test_walking_from_neighbor_to_neighbor_reaches_the_whole_space(user_space: SearchSpace) -> None:
    reached: set[Architecture] = set()
    edge = set(user_space.sample(1, np.random.default_rng(0)))
    while edge:
        reached |= edge
        edge = {b for a in edge for b in user_space.neighbors(a)} - reached
    assert len(reached) == user_space.size


@given(data=st.data(), seed=seeds, rate=st.floats(0, 1))
def test_a_mutant_is_another_architecture_of_the_space(
    space: SearchSpace, data: st.DataObject, seed: int, rate: float
) -> None:
    a = drawn(space, data)
    mutant = space.mutate(a, np.random.default_rng(seed), rate)
    assert mutant != a
    assert space.decode(space.encode([mutant])) == [mutant]


@given(data=st.data(), seed=seeds)
def test_a_child_has_each_stage_and_each_exit_with_its_branch_whole_from_one_parent(
    space: SearchSpace, data: st.DataObject, seed: int
) -> None:
    left, right = drawn(space, data), drawn(space, data)
    child = space.crossover(left, right, np.random.default_rng(seed))
    for of_child, *of_parents in zip(parts(child), parts(left), parts(right), strict=True):
        assert of_child in of_parents


def parts(a: Architecture) -> Sequence[object]:
    return [a.stem, *a.stages, *a.branches]


def test_children_differ_from_both_parents_now_and_then(space: SearchSpace) -> None:
    rng = np.random.default_rng(0)
    left, right = space.sample(2, rng)
    assert {space.crossover(left, right, rng) for _ in range(50)} - {left, right}


@pytest.mark.parametrize("draw", [7, 192, 1000])
def test_every_architecture_of_a_space_can_be_drawn_once(user_space: SearchSpace, draw: int) -> None:
    rows = np.concatenate(list(user_space.distinct_indices(user_space.size, np.random.default_rng(0), draw=draw)))
    assert len(rows) == len(np.unique(rows, axis=0)) == user_space.size == 192
    start = np.concatenate(list(user_space.distinct_indices(7, np.random.default_rng(0), draw=draw)))
    assert np.array_equal(start, user_space.indices(user_space.sample(7, np.random.default_rng(0))))
