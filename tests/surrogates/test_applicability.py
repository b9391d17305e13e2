"""Laws of the applicability domain: cautions name the exits, choices and costs that no trained network has."""

from itertools import chain

import numpy as np
import pytest

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.foundation.arrays import Ints
from surrogate_nas.space import moves
from surrogate_nas.space.candidates import Candidates
from surrogate_nas.space.costs import costing_for
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.spec import preset
from surrogate_nas.surrogates.applicability import MARGIN, ApplicabilityDomain

TINY = SearchSpace(preset("tiny"))
FULL = "stem-w8-s1/res-d1-w8-k3-s1@conv-d1-c8-p2/res-d1-w12-k3-s2@linear/res-d1-w16-k3-s2"


def candidates(space: SearchSpace, rows: Ints) -> Candidates:
    return Candidates.of_indices(space, rows, costing_for(space, ImageShape(3, space.spec.image_sizes[0], 10)))


def of(*texts: str) -> Candidates:
    return candidates(TINY, TINY.indices([Architecture.parse(text) for text in texts]))


def domain(space: SearchSpace, trained: Candidates) -> ApplicabilityDomain:
    return ApplicabilityDomain(space.genes, trained)


def cautions(trained: str, asked: str) -> list[str]:
    [texts] = domain(TINY, of(trained)).cautions(of(asked))
    return texts


def choices(texts: list[str]) -> set[str]:
    """Cautions that are not about costs."""
    return {text for text in texts if "×" not in text}


def test_a_trained_network_has_no_cautions_and_any_loses_its_own_by_being_trained(space: SearchSpace) -> None:
    rows = moves.sample(space.genes, 60, np.random.default_rng(0))
    few = domain(space, candidates(space, rows[:6]))
    texts = few.cautions(candidates(space, rows))
    assert not any(texts[:6])
    assert any(texts[6:])
    for row, its in zip(rows[6:], texts[6:], strict=True):
        more = domain(space, candidates(space, np.concatenate([rows[:6], row[None]])))
        assert not any(more.cautions(candidates(space, row[None])))
        assert choices(its) <= set(few.untrained)
        assert not choices(its) & set(more.untrained)


def test_what_is_untrained_is_what_some_network_is_cautioned_for(user_space: SearchSpace) -> None:
    everything = user_space.genes.everything
    assert everything is not None
    for seed in range(8):
        rows = moves.sample(user_space.genes, 3, np.random.default_rng(seed))
        some = domain(user_space, candidates(user_space, rows))
        texts = some.cautions(candidates(user_space, everything))
        assert set(some.untrained) == choices(list(chain.from_iterable(texts)))


def test_an_exit_that_was_never_trained_is_named_and_its_branch_is_not() -> None:
    without = FULL.replace("@conv-d1-c8-p2", "")
    assert choices(cautions(without, FULL)) == {"exit 1 was never trained"}
    assert choices(cautions(FULL, without)) == {"exit 1 was never left out"}


def test_choices_are_named_by_their_genes() -> None:
    other = FULL.replace("res-d1-w16-k3-s2", "inv-d1-w24-k3-e4-s2").replace("conv-d1-c8-p2", "sep-d1-c8-p2")
    assert choices(cautions(FULL, other)) == {
        "exit 1 layer = separable was never trained",
        "stage 3 block = inverted was never trained",  # and so was its expansion
        "stage 3 width = 24 was never trained",
    }


def test_costs_beyond_the_trained_range_are_named_with_their_factor() -> None:
    deeper = FULL.replace("res-d1-w16", "res-d2-w24")
    small, large = of(FULL).cost, of(deeper).cost
    last = large.macs()[0, -1] / small.macs()[0, -1]
    parameters = large.parameters[0] / small.parameters[0]
    assert min(last, parameters) > 1 + MARGIN
    up, down = (set(cautions(*pair)) for pair in ((FULL, deeper), (deeper, FULL)))
    assert up - choices(list(up)) == {
        f"MACs to exit 3: {last:.1f} × the largest trained",
        f"parameters: {parameters:.1f} × the largest trained",
    }
    assert down - choices(list(down)) == {
        f"MACs to exit 3: {1 / last:.2g} × the smallest trained",
        f"parameters: {1 / parameters:.2g} × the smallest trained",
    }


@pytest.mark.parametrize("exit", [0, 1])
def test_costs_are_compared_where_exits_are(exit: int) -> None:
    """An exit's MACs are compared with those of the trained networks that have it, and only where it exists."""
    plain = "stem-w8-s1/res-d1-w8-k3-s1/res-d1-w12-k3-s2/res-d1-w16-k3-s2"
    stages = plain.replace("res-d1", "res-d2").split("/")
    stages[1 + exit] += "@linear"
    [texts] = domain(TINY, of(plain, "/".join(stages))).cautions(of(FULL))
    about = {text.split(":")[0] for text in texts if "×" in text}
    assert about & {"MACs to exit 1", "MACs to exit 2"} == {f"MACs to exit {exit + 1}"}
