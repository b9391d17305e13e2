"""The search space: encodings and canonical form."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.spec import preset
from tests.helpers.spaces import drawn, every_architecture, rows

EXAMPLE = "stem-w8-s1/res-d1-w8-k3-s1@linear/inv-d1-w16-k3-e4-s2/res-d1-w24-k3-s2"


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
    other_row = np.where(space.genes.active(row), row, other)
    assert space.architectures(other_row) == space.architectures(row)
    np.testing.assert_array_equal(space.indices(space.architectures(row)), space.genes.canonical(other_row))


@given(data=st.data())
def test_every_point_of_the_cube_decodes_to_an_architecture_of_the_space(
    space: SearchSpace, data: st.DataObject
) -> None:
    X = data.draw(arrays(np.float64, (2, space.dimension), elements=st.floats(0, 1)))
    architecture = space.decode(X)
    assert space.decode(space.encode(architecture)) == architecture


@pytest.mark.parametrize("factor", [-0.5, 1.001, float("nan"), float("inf")])
def test_a_vector_that_leaves_the_cube_is_refused(space: SearchSpace, factor: float) -> None:
    X = np.full((1, space.dimension), 0.5)
    X[0, -1] = factor
    with pytest.raises(InputError, match=rf"coordinates of encodings must be in \[0, 1\], got {factor}"):
        space.decode(X)


@pytest.mark.parametrize("shape", [(1, 3), (1, 0), (5,), ()])
def test_a_vector_of_another_length_is_refused(space: SearchSpace, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError) as caught:
        space.decode(np.zeros(shape))
    assert str(caught.value).endswith(f"has encodings of shape (n, {space.dimension}), got {shape}")


# ---------------------------------------------------------------------- text


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


@given(data=st.data())
def test_a_space_reads_the_text_form_and_the_vector(space: SearchSpace, data: st.DataObject) -> None:
    a = drawn(space, data)
    assert space.parse(str(a)) == space.parse(str(space.encode([a])[0].tolist())) == a


@pytest.mark.parametrize("text", ["", "linear", "0.5,zero", "0.5", "stem-w8-s1/res-d1-w8-k3-s1"])
def test_a_space_refuses_a_text_that_is_no_encoding_of_its_own(space: SearchSpace, text: str) -> None:
    with pytest.raises(InputError):
        space.parse(text)


# ---------------------------------------------------------------------- size and samples


def test_size_is_the_number_of_distinct_architectures(user_space: SearchSpace) -> None:
    assert user_space.size == len(every_architecture(user_space)) == 192


# ---------------------------------------------------------------------- rules between genes


@given(data=st.data())
def test_a_row_with_too_few_exits_is_no_architecture_of_the_space(data: st.DataObject) -> None:
    nachos = SearchSpace(preset("nachos"))
    X = data.draw(arrays(np.float64, (1, nachos.dimension), elements=st.floats(0, 0.4)))
    (architecture,) = nachos.decode(X)
    assert len(architecture.exit_positions) == 2
    exits = X[0, [nachos.genes.encoded.index(g) for g in nachos.genes.exits.values()]]
    assert exits[architecture.exit_positions[0]] == exits.max()


def test_everything_is_the_whole_of_a_small_space_and_nothing_of_a_large_one(user_space: SearchSpace) -> None:
    everything = user_space.genes.everything
    assert everything is not None
    assert len(everything) == user_space.size
    assert len(np.unique(everything, axis=0)) == user_space.size
    assert (user_space.genes.canonical(everything) == everything).all()
    assert SearchSpace(preset("compact")).genes.everything is None
