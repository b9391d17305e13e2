"""Moves: samples, neighbours, mutants and children."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.space import moves
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.spec import parse_spec
from tests.helpers.spaces import every_architecture, rows

seeds = st.integers(0, 2**32 - 1)


@given(seed=seeds, n=st.integers(0, 40))
def test_samples_are_distinct_and_follow_from_the_seed(space: SearchSpace, seed: int, n: int) -> None:
    architectures = space.sample(n, np.random.default_rng(seed))
    assert len(set(architectures)) == len(architectures) == n
    assert space.decode(space.encode(architectures)) == architectures
    assert space.sample(n, np.random.default_rng(seed)) == architectures


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
    row = space.genes.canonical(data.draw(rows(space)))
    neighbours = moves.neighbors(space.genes, row[0])
    np.testing.assert_array_equal(space.genes.canonical(neighbours), neighbours)
    assert len({r.tobytes() for r in np.concatenate([neighbours, row])}) == len(neighbours) + 1


@settings(max_examples=10)
@given(data=st.data())
def test_being_neighbors_is_symmetric(space: SearchSpace, data: st.DataObject) -> None:
    row = space.genes.canonical(data.draw(rows(space)))[0]
    other = data.draw(st.sampled_from(list(moves.neighbors(space.genes, row))))
    assert (moves.neighbors(space.genes, other) == row).all(axis=1).any()


@settings(max_examples=10)
@given(data=st.data())
def test_an_architecture_and_its_neighbors_have_every_value_of_every_gene(
    space: SearchSpace, data: st.DataObject
) -> None:
    row = space.genes.canonical(data.draw(rows(space)))
    around = np.concatenate([row, moves.neighbors(space.genes, row[0])])
    applies = space.genes.active(around)
    exits = list(space.genes.exits.values())
    at_the_minimum = row[0, exits].sum() <= space.spec.exits.at_least  # no exit can be left out then
    for g in space.genes.encoded:
        if g in exits and at_the_minimum:
            continue
        assert set(around[applies[:, g], g]) == set(range(len(space.genes[g].values)))


def test_walking_from_neighbor_to_neighbor_reaches_the_whole_space(user_space: SearchSpace) -> None:
    visited: set[tuple[int, ...]] = set()
    edge = {tuple(moves.sample(user_space.genes, 1, np.random.default_rng(0))[0].tolist())}
    while edge:
        visited |= edge
        around = [moves.neighbors(user_space.genes, np.array(row)).tolist() for row in edge]
        edge = {tuple(row) for rows in around for row in rows} - visited
    assert len(visited) == user_space.size


@given(data=st.data(), seed=seeds, rate=st.floats(0, 1))
def test_a_mutant_is_another_architecture_of_the_space(
    space: SearchSpace, data: st.DataObject, seed: int, rate: float
) -> None:
    row = space.genes.canonical(data.draw(rows(space)))
    mutant = moves.mutate(space.genes, row, np.random.default_rng(seed), rate)
    assert (mutant != row).any()
    np.testing.assert_array_equal(space.genes.canonical(mutant), mutant)
    assert space.genes.valid(mutant).all()
    np.testing.assert_array_equal(space.indices(space.architectures(mutant)), mutant)


def space_of(stages: int, least: int, widths: Sequence[int] = (4,)) -> SearchSpace:
    """A space whose choices are its early exits, and the stem's width."""
    stage = {"block": "residual", "depth": 1, "width": 4, "kernel": 1, "stride": 1}
    spec = {"name": "exits", "image_sizes": [8, 8], "stem": {"width": list(widths)}, "stages": [stage] * stages}
    return SearchSpace(parse_spec({**spec, "branch": {"depth": 0}, "exits": {"at_least": least}}))


@pytest.mark.parametrize("stages", [1, 3, 16])
@pytest.mark.parametrize("rate", [0.02, 0.1])
def test_a_network_of_a_space_without_a_choice_has_no_mutant_and_stays(stages: int, rate: float) -> None:
    """An exit that every network has is no choice, though it has a gene."""
    genes, rng = space_of(stages, stages - 1).genes, np.random.default_rng(0)
    rows = moves.sample(genes, 50, rng)
    assert len(np.unique(rows, axis=0)) == genes.size == 1
    np.testing.assert_array_equal(moves.mutate(genes, rows, rng, rate), rows)
    np.testing.assert_array_equal(moves.crossover(genes, rows, rows[::-1], rng), rows)
    assert not len(moves.neighbors(genes, rows[0]))


@pytest.mark.parametrize("least", [0, 1, 14, 15])
def test_mutants_of_networks_with_many_required_exits_differ(least: int) -> None:
    genes, rng = space_of(16, least, (4, 6)).genes, np.random.default_rng(0)
    rows = moves.sample(genes, 200, rng)
    mutants = moves.mutate(genes, rows, rng)
    assert (mutants != rows).any(axis=1).all()
    assert genes.valid(mutants).all()


def test_samples_with_many_required_exits_are_uniform_over_the_networks() -> None:
    """13 of 15 exits: 121 subsets, each with two widths."""
    genes = space_of(16, 13, (4, 6)).genes
    rows, counts = np.unique(moves.sample(genes, 24_200, np.random.default_rng(0)), axis=0, return_counts=True)
    assert len(rows) == genes.size == 242
    assert chisquare(counts).pvalue > 1e-3


@given(data=st.data(), seed=seeds)
def test_a_child_has_each_stage_and_each_exit_with_its_branch_whole_from_one_parent(
    space: SearchSpace, data: st.DataObject, seed: int
) -> None:
    parents = [space.genes.canonical(data.draw(rows(space))) for _ in range(2)]
    children = moves.crossover(space.genes, *parents, np.random.default_rng(seed))
    left, right, child = space.architectures(np.concatenate([*parents, children]))
    for of_child, *of_parents in zip(parts(child), parts(left), parts(right), strict=True):
        assert of_child in of_parents


def parts(a: Architecture) -> Sequence[object]:
    return [a.stem, *a.stages, *a.branches]


def test_children_differ_from_both_parents_now_and_then(space: SearchSpace) -> None:
    rng = np.random.default_rng(0)
    left, right = (np.repeat(space.indices([a]), 50, axis=0) for a in space.sample(2, rng))
    children = moves.crossover(space.genes, left, right, rng)
    assert ((children != left).any(axis=1) & (children != right).any(axis=1)).any()


@pytest.mark.parametrize("draw", [7, 192, 1000])
def test_every_architecture_of_a_space_can_be_drawn_once(user_space: SearchSpace, draw: int) -> None:
    rows = np.concatenate(list(moves.distinct(user_space.genes, user_space.size, np.random.default_rng(0), draw=draw)))
    assert len(rows) == len(np.unique(rows, axis=0)) == user_space.size == 192
    start = np.concatenate(list(moves.distinct(user_space.genes, 7, np.random.default_rng(0), draw=draw)))
    assert np.array_equal(start, user_space.indices(user_space.sample(7, np.random.default_rng(0))))
