"""The cost model: equal, as integers, to what a profiler counts on the built network."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.architecture.cost import Cost
from surrogate_nas.architecture.costing import Costing
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.network.network import EarlyExitNetwork
from surrogate_nas.space import moves
from surrogate_nas.space.costs import cost_of_indices, costing_for
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.spec import preset

SHAPES = [
    ("tiny", ImageShape(1, 8, 10)),
    ("tiny", ImageShape(3, 13, 100)),
    ("compact", ImageShape(3, 32, 10)),
    ("compact", ImageShape(1, 28, 37)),
    ("edanas", ImageShape(3, 32, 10)),
    ("edanas", ImageShape(1, 28, 10)),
    ("edanas-resolution", ImageShape(3, 32, 100)),
    ("nachos", ImageShape(3, 32, 10)),
    ("nachos", ImageShape(3, 64, 10)),
    ("aebnas", ImageShape(3, 32, 10)),
]
Counter = Callable[[str], int]
per_preset = pytest.mark.parametrize(("name", "shape"), SHAPES)


def images(shape: ImageShape) -> torch.Tensor:
    return torch.zeros(1, shape.channels, shape.size, shape.size)


def profile(network: EarlyExitNetwork) -> Counter:
    """The profiler's count of convolutions and linear layers in a module of that name."""
    analysis = FlopCountAnalysis(network.eval(), images(network.shape))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    by_module = analysis.by_module_and_operator()
    return lambda module: int(by_module[module].get("conv", 0) + by_module[module].get("linear", 0))


def assert_equal_to_the_profiler(architecture: Architecture, shape: ImageShape) -> None:
    network, cost = EarlyExitNetwork(architecture, shape), Costing(shape).of(architecture)
    macs = profile(network)
    total = 0
    for e in range(architecture.positions):
        total += macs(f"segments.{e}")
        total += macs(f"heads.{e}") if e in architecture.exit_positions else 0
        assert cost.macs()[0, e] == total, f"{architecture}, exit {e}"
    assert cost.parameters[0] == sum(p.numel() for p in network.parameters()), architecture


def sample(name: str, n: int) -> list[Architecture]:
    return SearchSpace(preset(name)).sample(n, np.random.default_rng(n))


@per_preset
def test_macs_to_every_exit_and_parameters_equal_the_profilers_count(name: str, shape: ImageShape) -> None:
    for architecture in sample(name, 6):
        assert_equal_to_the_profiler(architecture, shape)


@pytest.mark.slow
@per_preset
def test_macs_and_parameters_of_hundreds_of_networks_equal_the_profilers_count(name: str, shape: ImageShape) -> None:
    for architecture in sample(name, 500):
        assert_equal_to_the_profiler(architecture, shape)


@per_preset
def test_torchs_own_counter_finds_twice_the_macs(name: str, shape: ImageShape) -> None:
    for architecture in sample(name, 3):
        with FlopCounterMode(display=False) as counter:
            EarlyExitNetwork(architecture, shape).eval()(images(shape))
        assert counter.get_total_flops() == 2 * Costing(shape).of(architecture).macs()[0, -1]


def test_a_linear_exit_costs_what_can_be_counted_by_hand() -> None:
    architecture = Architecture.parse("stem-w8-s2/res-d1-w8-k3-s1@linear/inv-d1-w16-k5-e4-s2")
    cost = Costing(ImageShape(3, 32, 10)).of(architecture)
    stem, first = 9 * 3 * 8 * 16**2, 2 * 9 * 8 * 8 * 16**2
    second = 8 * 32 * 16**2 + (25 * 32 + 32 * 16) * 8**2
    assert cost.backbone.tolist() == [[stem + first, stem + first + second + 16 * 10]]
    assert cost.branch.tolist() == [[8 * 10, 0]]


@given(seed=st.integers(0, 2**32 - 1))
def test_macs_increase_from_exit_to_exit(space: SearchSpace, seed: int) -> None:
    cost = count_costs(space, seed)
    assert (np.diff(cost.macs(), axis=1) > 0).all()
    assert (np.diff(cost.backbone, axis=1) > 0).all()


@given(seed=st.integers(0, 2**32 - 1))
def test_charging_every_branch_is_never_cheaper_than_charging_ones_own(space: SearchSpace, seed: int) -> None:
    every = count_costs(space, seed)
    own = replace(every, charge_heads="own")
    assert (every.macs() >= own.macs()).all()
    np.testing.assert_array_equal(own.macs(), own.backbone + own.branch)


@given(seed=st.integers(0, 2**32 - 1), data=st.data())
def test_switching_an_exit_off_never_raises_a_cost(space: SearchSpace, seed: int, data: st.DataObject) -> None:
    cost = count_costs(space, seed)
    on = np.array(data.draw(st.lists(st.booleans(), min_size=space.positions - 1, max_size=space.positions - 1)))
    switched = data.draw(st.integers(0, space.positions - 2))
    off = on.copy()
    off[switched] = False
    assert (cost.macs(off) <= cost.macs(on)).all()
    savings = cost.macs(on) - cost.macs(off)
    np.testing.assert_array_equal(savings[:, switched:], savings[:, -1:].repeat(space.positions - switched, axis=1))
    assert (savings[:, :switched] == 0).all()


def test_with_every_exit_off_only_the_backbone_is_charged(space: SearchSpace) -> None:
    cost = count_costs(space, 0)
    np.testing.assert_array_equal(cost.macs(np.zeros(space.positions - 1, dtype=bool)), cost.backbone)


@given(seed=st.integers(0, 2**32 - 1))
def test_choice_indices_cost_what_their_architectures_cost(space: SearchSpace, seed: int) -> None:
    indices = moves.sample(space.genes, 20, np.random.default_rng(seed))
    shape = ImageShape(3, 32, 10)
    costing = costing_for(space, shape)
    fast, plain = cost_of_indices(space, indices, costing), [costing.of(a) for a in space.architectures(indices)]
    assert_equal_costs(fast, Cost.concatenate(plain))


def assert_equal_costs(a: Cost, b: Cost) -> None:
    for name in ("backbone", "branch", "parameters", "weight_bytes", "backbone_memory", "branch_memory"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), name)


def count_costs(space: SearchSpace, seed: int) -> Cost:
    costing = costing_for(space, ImageShape(3, 32, 10), "all")
    return cost_of_indices(space, moves.sample(space.genes, 20, np.random.default_rng(seed)), costing)


def test_pooling_a_feature_map_away_is_refused() -> None:
    architecture = Architecture.parse("stem-w8-s2/res-d1-w8-k3-s2@conv-d1-c8-p2/res-d1-w8-k3-s1")
    with pytest.raises(InputError, match="branch conv-d1-c8-p2: pooling by 2 exceeds the side 1 of the feature map"):
        Costing(ImageShape(1, 4, 10)).of(architecture)
