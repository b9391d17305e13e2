"""The laws of search spaces: in every preset, on a given backbone, and in random spaces of a user's own."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surrogate_nas.architecture.given import BackboneSpec, SegmentSpec
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.network.backbone import space_of
from surrogate_nas.space.costs import costing_for
from surrogate_nas.space.laws import LAWS, check_laws
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.spec import SpaceSpec, parse_spec


def assert_lawful(space: SearchSpace, size: int, n: int = 100) -> None:
    results = check_laws(space, costing_for(space, ImageShape(3, size, 10)), np.random.default_rng(0), n)
    assert len(results) == len(LAWS)
    assert [(r.law, r.counterexample) for r in results if not r.holds] == []


def test_every_law_holds(space: SearchSpace) -> None:
    assert_lawful(space, space.spec.image_sizes[0])


def a_backbone() -> BackboneSpec:
    segment = {"parameters": 100, "weight_bytes": 400, "peak_memory": 9000, "held_memory": 5000}
    shapes = [("layer1", 16, 8, 5000), ("layer2", 32, 4, 7000), ("end", 10, 1, 900)]
    segments = [SegmentSpec(name=n, channels=c, side=s, macs=m, **segment) for n, c, s, m in shapes]
    return BackboneSpec(factory="a:b", channels=3, side=32, classes=10, segments=tuple(segments))


def test_every_law_holds_for_exits_on_a_given_backbone() -> None:
    assert_lawful(SearchSpace(space_of(a_backbone())), 32)


# ---------------------------------------------------------------------- random spaces of a user's own


def choices(values: list[Any], most: int = 2) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=most, unique=True).map(sorted)


@st.composite
def branches(draw: st.DrawFn) -> dict[str, Any]:
    module = st.fixed_dictionaries(
        {
            "side": choices([6, 8]),
            "kernel": choices([3, 5]),
            "multiplier": choices([1, 2]),
            "pool": st.just([1]),
        }
    )
    optional = module.map(lambda m: {**m, "side": [0, *m["side"]]})
    return draw(
        st.one_of(
            st.fixed_dictionaries(
                {
                    "depth": choices([0, 1, 2]),
                    "layer": choices(["conv", "separable"]),
                    "channels": choices([4, 8]),
                    "pool": choices([1, 2]),
                }
            ),
            st.fixed_dictionaries({"kind": st.just("mobile"), "expand": choices([1, 2]), "mix": choices([2, 3])}),
            st.just({"kind": "gated", "channels": [4, 8]}),
            st.tuples(module, optional).map(lambda m: {"kind": "resize", "modules": list(m)}),
        )
    )


@st.composite
def mappings(draw: st.DrawFn) -> dict[str, Any]:
    """Mappings that a user may write in a space's file."""
    stage = st.fixed_dictionaries(
        {
            "block": choices(["residual", "inverted"]),
            "depth": choices([1, 2, 3]),
            "width": choices([4, 8, 12]),
            "kernel": choices([3, 5]),
            "expansion": choices([1, 2, 3]),
            "stride": st.sampled_from([1, 2]),
            "squeeze": choices([False, True]),
            "activation": choices(["hswish", "relu"]),
            "per_block": st.booleans(),
        }
    )
    stages = draw(st.lists(stage, min_size=1, max_size=4))
    early = list(range(1, len(stages)))
    at = draw(st.lists(st.sampled_from(early), min_size=1, unique=True).map(sorted)) if early else None
    return {
        "name": "random",
        "image_sizes": [32, 48],
        "stem": {"width": draw(choices([4, 8])), "block": draw(st.booleans())},
        "stages": stages,
        "branch": draw(branches()),
        "bits": draw(st.sampled_from([[32], [8], [4, 32]])),
        "resolution": draw(st.sampled_from([[], [32], [32, 40]])),
        "exits": {"at": at, "at_least": draw(st.integers(0, len(at)))} if at else {},
    }


def test_a_law_that_is_broken_is_told_with_a_counterexample(
    monkeypatch: pytest.MonkeyPatch, user_space: SearchSpace
) -> None:
    monkeypatch.setattr(SearchSpace, "decode_indices", lambda self, X: np.zeros((len(X), len(self.genes)), dtype=int))
    costing = costing_for(user_space, ImageShape(3, 8, 10))
    violations = [r for r in check_laws(user_space, costing, np.random.default_rng(0), 20) if not r.holds]
    assert [r.law for r in violations] == ["decode(encode(a)) == a"]
    assert violations[0].counterexample is not None
    assert violations[0].counterexample.startswith("stem-")


@pytest.mark.slow
@settings(max_examples=40)
@given(mapping=mappings())
def test_every_law_holds_in_spaces_of_a_users_own(mapping: dict[str, Any]) -> None:
    spec: SpaceSpec = parse_spec(mapping)
    assert_lawful(SearchSpace(spec), 32, n=30)


@given(mapping=mappings(), side=st.integers(1, 8))
def test_a_space_that_could_pool_a_map_away_is_refused(mapping: dict[str, Any], side: int) -> None:
    mapping = {
        **mapping,
        "image_sizes": [side, side],
        "resolution": [],
        "exits": {},
        "branch": {"depth": [1], "channels": 4, "pool": [1, 4]},
    }
    sides = [
        -(-side // int(np.prod([s["stride"] for s in mapping["stages"][: e + 1]])))
        for e in range(len(mapping["stages"]) - 1)
    ]
    if min(sides, default=4) >= 4:
        parse_spec(mapping)
    else:
        with pytest.raises(InputError, match=r"branch\.pool 4 exceeds the side [123] that a feature map may have"):
            parse_spec(mapping)
