"""The search space: encodings, canonical form, moves."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from surrogate_nas.architecture.architecture import Architecture, Stage, Stem
from surrogate_nas.architecture.branches import LINEAR, ConvBranch
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.space import moves
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.spec import parse_spec, preset

EXAMPLE = "stem-w8-s1/res-d1-w8-k3-s1@linear/inv-d1-w16-k3-e4-s2/res-d1-w24-k3-s2"
seeds = st.integers(0, 2**32 - 1)


def rows(space: SearchSpace) -> st.SearchStrategy[np.ndarray]:
    """(1, G) choice indices, not canonical: genes that do not apply hold any value."""
    drawn = st.tuples(*(st.integers(0, len(gene.values) - 1) for gene in space.genes)).map(lambda row: np.array([row]))
    return drawn.filter(lambda row: space.genes.valid(row).all())


def drawn(space: SearchSpace, data: st.DataObject) -> Architecture:
    return space.architectures(data.draw(rows(space)))[0]


# ---------------------------------------------------------------------- encodings


@given(data=st.data())
def test_decoding_an_encoding_gives_the_architecture_back(space: SearchSpace, data: st.DataObject) -> None:
    a = drawn(space, data)
    X = space.encode([a])
    assert X.shape == (1, space.dimension)
    assert ((X >= 0) & (X <= 1)).all()
    assert space.decode(X) == [a]


@given(data=st.data())
def test_parsing_the_text_form_gives_the_architecture_back(space: SearchSpace, data: st.DataObject) -> None:
    a = drawn(space, data)
    assert Architecture.parse(str(a)) == a


@given(data=st.data())
def test_architectures_are_equal_exactly_when_their_encodings_are(space: SearchSpace, data: st.DataObject) -> None:
    row = data.draw(rows(space))
    gene = data.draw(st.integers(0, len(space.genes) - 1))
    other = row.copy()
    other[0, gene] = data.draw(st.integers(0, len(space.genes[gene].values) - 1))
    a, b = space.architectures(np.concatenate([row, other]))
    equal = np.array_equal(*space.encode([a, b]))
    assert (a == b) == equal == (str(a) == str(b)) == (hash(a) == hash(b))
    assert equal == np.array_equal(space.genes.canonical(row), space.genes.canonical(other))


@given(data=st.data())
def test_choices_that_do_not_apply_do_not_matter(space: SearchSpace, data: st.DataObject) -> None:
    row, other = data.draw(rows(space)), data.draw(rows(space))
    changed = np.where(space.genes.active(row), row, other)
    assert space.architectures(changed) == space.architectures(row)
    np.testing.assert_array_equal(space.indices(space.architectures(row)), space.genes.canonical(changed))


@given(data=st.data())
def test_every_point_of_the_cube_decodes_to_an_architecture_of_the_space(
    space: SearchSpace, data: st.DataObject
) -> None:
    X = data.draw(arrays(np.float64, (2, space.dimension), elements=st.floats(0, 1)))
    decoded = space.decode(X)
    assert space.decode(space.encode(decoded)) == decoded


def test_an_exit_without_layers_is_linear_whatever_else_it_says() -> None:
    assert ConvBranch(0, "separable", 32, 2) == LINEAR


def test_a_residual_stage_has_no_expansion() -> None:
    assert Stage("residual", 8, (3,), (4,), 1) == Stage("residual", 8, (3,), (1,), 1)


@pytest.mark.parametrize("factor", [-0.5, 1.001, float("nan"), float("inf")])
def test_a_vector_that_leaves_the_cube_is_refused(space: SearchSpace, factor: float) -> None:
    X = np.full((1, space.dimension), 0.5)
    X[0, -1] = factor
    with pytest.raises(InputError, match=rf"encodings lie in \[0, 1\], got {factor}"):
        space.decode(X)


@pytest.mark.parametrize("shape", [(1, 3), (1, 0), (5,), ()])
def test_a_vector_of_another_length_is_refused(space: SearchSpace, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError) as caught:
        space.decode(np.zeros(shape))
    assert str(caught.value).endswith(f"has encodings of shape (n, {space.dimension}), got {shape}")


# ---------------------------------------------------------------------- text


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "''"),
        ("stem-w8-s1", "does not start with a stem and a stage"),
        ("stem-w8/res-d1-w8-k3-s1", "does not start with a stem and a stage"),
        ("stem-w0-s1/res-d1-w8-k3-s1", "stem_width 0 is not a positive number"),
        ("stem-w8-s1/conv-d1-w8-k3-s1", "'conv-d1-w8-k3-s1'"),
        ("stem-w8-s1/res-d1-w8-k3-e2-s1", "'res-d1-w8-k3-e2-s1'"),
        ("stem-w8-s1/inv-d1-w8-k3-s1", "'inv-d1-w8-k3-s1'"),
        ("stem-w8-s1/res-d0-w8-k3-s1", "depth 0 is not a positive number"),
        ("stem-w8-s1/res-d1-w8-k4-s1", "kernel 4 is not a positive odd number"),
        ("stem-w8-s1/res-d1-w8-k3-s1@/res-d1-w8-k3-s1", "exit branch ''"),
        ("stem-w8-s1/res-d1-w8-k3-s1@conv-d1/res-d1-w8-k3-s1", "exit branch 'conv-d1'"),
    ],
)
def test_a_malformed_text_encoding_is_refused_by_name(text: str, named: str) -> None:
    with pytest.raises(InputError) as caught:
        Architecture.parse(text)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("stem-w8", "stem-w9", "stem width 9 is not one of 4, 8, 12 in space 'tiny'"),
        ("inv-d1", "inv-d7", "stage 2 depth 7 is not one of 1, 2 in space 'tiny'"),
        ("e4", "e3", "stage 2 expansion 3 is not one of 2, 4 in space 'tiny'"),
        ("@linear", "@sep-d1-c9-p1", "exit 1 channels 9 is not one of 8, 16 in space 'tiny'"),
        ("k3-s1", "k3-s2", "stage 1 stride 2 is not one of 1 in space 'tiny'"),
        ("/res-d1-w24-k3-s2", "", "space 'tiny' has 3 stages, the encoding has 2"),
    ],
)
def test_an_architecture_outside_the_space_is_refused_with_what_is_allowed(old: str, new: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        SearchSpace(preset("tiny")).encode([Architecture.parse(EXAMPLE.replace(old, new, 1))])
    assert str(caught.value) == message


def test_an_architecture_needs_a_branch_or_none_after_every_stage_but_the_last() -> None:
    stage = Stage("residual", 8, (3,), (1,), 1)
    with pytest.raises(InputError, match=r"2 stages need 1 branches \(or None\), got 0"):
        Architecture(Stem(8, 1), (stage, stage), ())


@given(data=st.data())
def test_a_space_reads_the_text_form_and_the_vector(space: SearchSpace, data: st.DataObject) -> None:
    a = drawn(space, data)
    assert space.parse(str(a)) == space.parse(str(space.encode([a])[0].tolist())) == a


@pytest.mark.parametrize("text", ["", "linear", "0.5,zero", "0.5", "stem-w8-s1/res-d1-w8-k3-s1"])
def test_a_space_refuses_a_text_that_is_no_encoding_of_its_own(space: SearchSpace, text: str) -> None:
    with pytest.raises(InputError):
        space.parse(text)


# ---------------------------------------------------------------------- size and samples


def every_architecture(space: SearchSpace) -> set[Architecture]:
    choices = [range(len(gene.values)) for gene in space.genes]
    return set(space.architectures(np.array(list(itertools.product(*choices)))))


def test_size_is_the_number_of_distinct_architectures(user_space: SearchSpace) -> None:
    assert user_space.size == len(every_architecture(user_space)) == 192


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


# ---------------------------------------------------------------------- moves


@settings(max_examples=10)
@given(data=st.data())
def test_neighbors_are_distinct_canonical_and_never_the_architecture_itself(
    space: SearchSpace, data: st.DataObject
) -> None:
    row = space.genes.canonical(data.draw(rows(space)))
    found = moves.neighbors(space.genes, row[0])
    np.testing.assert_array_equal(space.genes.canonical(found), found)
    assert len({r.tobytes() for r in np.concatenate([found, row])}) == len(found) + 1


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
    needed = row[0, exits].sum() <= space.spec.exits.at_least  # no exit can be left out then
    for g in space.genes.encoded:
        if g in exits and needed:
            continue
        assert set(around[applies[:, g], g]) == set(range(len(space.genes[g].values)))


def test_walking_from_neighbor_to_neighbor_reaches_the_whole_space(user_space: SearchSpace) -> None:
    reached: set[tuple[int, ...]] = set()
    edge = {tuple(moves.sample(user_space.genes, 1, np.random.default_rng(0))[0].tolist())}
    while edge:
        reached |= edge
        around = [moves.neighbors(user_space.genes, np.array(row)).tolist() for row in edge]
        edge = {tuple(row) for rows in around for row in rows} - reached
    assert len(reached) == user_space.size


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


# ---------------------------------------------------------------------- specifications


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("stem", "width"), [8, 4], "width [8, 4] is not a list of distinct ascending numbers"),
        (("stem", "width"), [], "width [] is not a list of distinct ascending numbers"),
        (("stem", "width"), [0], "greater than or equal to 1, got 0"),
        (("stem", "colour"), [1], "unknown setting 'stem.colour'; allowed: width, stride"),
        (("branch", "layer"), ["conv", "conv"], "layer is empty or names a choice twice"),
        (("branch", "layer"), ["dense"], "got 'dense'"),
        (("stages",), [], "stages: a stem and at least 1 stage are needed, or a backbone"),
        (("stages", 0, "kernel"), [3, 4], "kernel 4 is even; kernels are odd"),
        (("stages", 1, "color"), 1, "unknown setting 'stages.1.color'; allowed: block, depth, width, kernel"),
        (("image_sizes",), [16, 8], "image_sizes [16, 8] are not a smallest and a largest side"),
    ],
)
def test_a_space_that_makes_no_sense_is_refused_by_field(
    user_mapping: dict[str, Any], path: tuple[Any, ...], value: Any, message: str
) -> None:
    inner: Any = user_mapping
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    with pytest.raises(InputError) as caught:
        parse_spec(user_mapping)
    assert message in str(caught.value)


def test_two_stages_may_offer_the_same_choices(user_mapping: dict[str, Any]) -> None:
    user_mapping["stages"] = user_mapping["stages"][:1] * 2
    assert SearchSpace(parse_spec(user_mapping)).size == 2 * 2 * 4


def test_an_unknown_preset_names_those_there_are() -> None:
    with pytest.raises(InputError, match="unknown search space 'huge'; allowed: aebnas, compact, edanas"):
        preset("huge")


def test_a_linear_classifier_need_not_be_named() -> None:
    assert Architecture.parse("stem-w8-s1/res-d1-w8-k3-s1@linear") == Architecture.parse("stem-w8-s1/res-d1-w8-k3-s1")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("in-r0/stem-w8-s1/res-d1-w8-k3-s1", "resolution 0 is not a positive number"),
        ("in-q9/stem-w8-s1/res-d1-w8-k3-s1", "bits 9 is not one of 2, 3, 4"),
        ("stem-w8-s1/inv-d3-w8-k3.5-e2-s1", "has 3 blocks, and 2 values in 3.5"),
        ("stem-w8-s1/res-d1-w8-k3-s1-se", "'res-d1-w8-k3-s1-se'"),
        ("stem-w8-s1/res-d1-w8-k3-s1@resize-r2.k3.m1.p1/res-d1-w8-k3-s1", "shrinks its map below 1×1"),
        ("tuned-a.b:c/res-d1-w8-k3-s1", "segment 'res-d1-w8-k3-s1' is not of the form to-layer1"),
        ("stem-w8-s1/to-layer1", "stage 'to-layer1' is not of the form"),
    ],
)
def test_a_malformed_part_of_a_longer_form_is_refused_by_name(text: str, named: str) -> None:
    with pytest.raises(InputError) as caught:
        Architecture.parse(text)
    assert named in str(caught.value)


@given(data=st.data())
def test_a_row_with_too_few_exits_is_no_architecture_of_the_space(data: st.DataObject) -> None:
    nachos = SearchSpace(preset("nachos"))
    X = data.draw(arrays(np.float64, (1, nachos.dimension), elements=st.floats(0, 0.4)))
    (decoded,) = nachos.decode(X)
    assert len(decoded.exit_positions) == 2
    exits = X[0, [nachos.genes.encoded.index(g) for g in nachos.genes.exits.values()]]
    assert exits[decoded.exit_positions[0]] == exits.max()


def test_everything_is_the_whole_of_a_small_space_and_nothing_of_a_large_one(user_space: SearchSpace) -> None:
    everything = user_space.genes.everything
    assert everything is not None
    assert len(everything) == user_space.size
    assert len(np.unique(everything, axis=0)) == user_space.size
    assert (user_space.genes.canonical(everything) == everything).all()
    assert SearchSpace(preset("compact")).genes.everything is None
