"""The genomes of published systems: lossless on (architecture, operating point)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.space.genomes import GENOMES, Genome, genome

every_codec = pytest.mark.parametrize("codec", GENOMES.values(), ids=GENOMES)
EDANAS = [0] * 45 + [0, 1, 2, 2]


def genes(codec: Genome) -> st.SearchStrategy[tuple[int, ...]]:
    strategy = st.tuples(*(st.integers(0, len(values) - 1) for values in codec.choices))
    return strategy.filter(lambda g: codec.thresholds or any(g[45:49]))


@pytest.mark.parametrize(
    ("name", "length"), [("edanas", 49), ("edanas-resolution", 50), ("nachos", 49), ("aebnas", 82)]
)
def test_genomes_are_as_long_as_published_and_as_the_spaces_own_encoding(name: str, length: int) -> None:
    assert len(genome(name).choices) == genome(name).space.dimension == length


@every_codec
@given(data=st.data())
def test_a_pair_survives_its_genome(codec: Genome, data: st.DataObject) -> None:
    pair = codec.decode(data.draw(genes(codec)))
    again = codec.encode(*pair)
    assert codec.decode(again) == pair
    assert codec.encode(*codec.decode(again)) == again
    codec.space.indices([pair[0]])


@every_codec
def test_every_gene_that_is_no_padding_matters(codec: Genome) -> None:
    """From the genome with everything in it, another value of any gene is another pair, unless it says the same."""
    full = [len(values) - 1 for values in codec.choices]
    if codec.thresholds:
        full[45:49] = [0] * 4  # the last threshold is `off`
    for place, values in enumerate(codec.choices):
        for gene, value in enumerate(values):
            other = [*full[:place], gene, *full[place + 1 :]]
            assert (codec.decode(other) == codec.decode(full)) == (value == values[full[place]])


def test_a_threshold_of_one_is_no_exit() -> None:
    architecture, point = genome("edanas").decode(EDANAS)
    assert architecture.exit_positions == (0, 1, 4)
    assert point == OperatingPoint((0.1, 0.2, None, None), "margin")


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("edanas", [0] * 48, "a genome of edanas has 49 genes, got 48"),
        ("edanas", [3] + [0] * 48, "gene 1 of edanas must be from 0 to 2, got 3"),
        ("nachos", [0] * 49, "space 'nachos' requires at least 1 early exits, the encoding has fewer"),
    ],
)
def test_what_is_no_genome_is_refused(name: str, values: list[int], message: str) -> None:
    with pytest.raises(InputError) as caught:
        genome(name).decode(values)
    assert str(caught.value) == message


def test_thresholds_that_are_no_genes_are_refused() -> None:
    architecture, _ = genome("edanas").decode(EDANAS)
    with pytest.raises(InputError, match=r"threshold 1 is not one of 0\.1, 0\.2 in a genome of edanas"):
        genome("edanas").encode(architecture, OperatingPoint((0.5, 0.2, None, None)))
    with pytest.raises(InputError, match="threshold 3 is not one of off"):
        genome("edanas").encode(architecture, OperatingPoint((0.1, 0.2, 0.1, None)))
    with pytest.raises(InputError, match="has 4 thresholds, got none"):
        genome("edanas").encode(architecture)
    with pytest.raises(InputError, match="space 'tiny' has no published genome; allowed: edanas"):
        genome("tiny")
