"""Training to rungs of a ladder: what is measured at one depends neither on the others nor on interruptions."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.datasets.dataset import Splits
from surrogate_nas.network.backbone import describe, space_of
from surrogate_nas.network.network import EarlyExitNetwork
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.training import training as train
from surrogate_nas.training.checkpoint import seconds_before
from surrogate_nas.training.recipe import Recipe
from surrogate_nas.training.rungs import Course, to_rung

STEP = 32
RECIPE = Recipe(batch_size=STEP, cutout=0.25)
RUNGS = (6 * STEP, 18 * STEP, 40 * STEP)
TOP = RUNGS[-1]
State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def digits(digits: Splits) -> Splits:
    """Few images, so that rungs end within epochs: nine steps an epoch."""
    return replace(digits, train=digits.train[np.arange(300)])


def untrained(architecture: Architecture, digits: Splits) -> EarlyExitNetwork:
    return train.build(architecture, digits, 10, 5, torch.device("cpu"))


def trained(
    architecture: Architecture, digits: Splits, passes: int, trunk: Path | None = None, recipe: Recipe = RECIPE
) -> tuple[State, int]:
    """Weights at a rung, and the image passes computed for them."""
    network = untrained(architecture, digits)
    training = to_rung(network, digits.train, recipe, 5, passes, TOP, flips=True, trunk=trunk)
    return network.state_dict(), computed(training)


def computed(training: Iterator[tuple[int, int]]) -> int:
    while True:
        try:
            next(training)
        except StopIteration as end:
            return int(end.value)


def same(one: State, other: State) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.values(), other.values(), strict=True))


@pytest.fixture(scope="module")
def alone(architecture: Architecture, digits: Splits) -> dict[int, State]:
    """Weights at each rung, each trained from the start."""
    return {passes: trained(architecture, digits, passes)[0] for passes in RUNGS}


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stops=st.permutations(RUNGS).flatmap(lambda order: st.integers(1, 3).map(lambda n: order[:n])))
def test_a_rung_does_not_depend_on_the_others(
    stops: Sequence[int],
    alone: dict[int, State],
    architecture: Architecture,
    digits: Splits,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    trunk = tmp_path_factory.mktemp("trunk") / "a.trunk"
    for passes in stops:  # in any order: a lower rung after a higher one is trained from the start
        assert same(trained(architecture, digits, passes, trunk)[0], alone[passes])


def test_going_on_costs_the_difference_and_what_measures_the_rung_before(
    architecture: Architecture, digits: Splits, tmp_path: Path
) -> None:
    costs = [trained(architecture, digits, passes, tmp_path / "a.trunk")[1] for passes in RUNGS]
    network = untrained(architecture, digits)
    courses = [Course.of(network, passes, TOP, STEP) for passes in RUNGS]
    assert all((c.training + c.forward) * STEP == passes for c, passes in zip(courses, RUNGS, strict=True))
    extra = [0, *(c.forward * STEP for c in courses[:-1])]
    differences = np.diff([0, *RUNGS])
    assert costs == [d + e for d, e in zip(differences.tolist(), extra, strict=True)]
    assert all(e <= 0.2 * passes for e, passes in zip(extra[1:], RUNGS, strict=False))


@pytest.mark.parametrize("after", [1, 2, 3])
def test_an_interrupted_training_ends_with_the_same_weights_and_counts_everything(
    alone: dict[int, State], architecture: Architecture, digits: Splits, tmp_path: Path, after: int
) -> None:
    files = {"unfinished": tmp_path / "a.unfinished", "trunk": tmp_path / "a.trunk"}
    _, first = trained(architecture, digits, RUNGS[0], files["trunk"])
    whole = trained(architecture, digits, TOP)[1]
    broken = to_rung(untrained(architecture, digits), digits.train, RECIPE, 5, TOP, TOP, flips=True, **files)
    for _ in range(after):
        next(broken)
    assert seconds_before(files["unfinished"]) > 0
    network = untrained(architecture, digits)
    passes = computed(to_rung(network, digits.train, RECIPE, 5, TOP, TOP, flips=True, **files))
    assert same(network.state_dict(), alone[TOP])
    forward = Course.of(network, RUNGS[0], TOP, STEP).forward * STEP
    assert first + passes == whole + forward


@pytest.mark.parametrize("content", [b"", b"junk"])
def test_a_damaged_state_is_a_training_from_the_start(
    alone: dict[int, State], architecture: Architecture, digits: Splits, tmp_path: Path, content: bytes
) -> None:
    trunk = tmp_path / "a.trunk"
    trunk.write_bytes(content)
    state, passes = trained(architecture, digits, RUNGS[1], trunk)
    assert same(state, alone[RUNGS[1]])
    assert passes == RUNGS[1]


def test_the_top_leaves_nothing_to_go_on_from(architecture: Architecture, digits: Splits, tmp_path: Path) -> None:
    trained(architecture, digits, TOP, tmp_path / "a.trunk")
    assert list(tmp_path.iterdir()) == []


def test_it_learns(architecture: Architecture, digits: Splits) -> None:
    recipe, passes = Recipe(batch_size=STEP), 4096
    network = untrained(architecture, digits)
    computed(to_rung(network, digits.train, recipe, 5, passes, passes, flips=False))
    assert (train.held_out_outputs(network, digits).tune.right.mean(axis=1) > 0.5).all()


def test_statistics_of_a_frozen_backbone_are_left_alone(digits: Splits) -> None:
    spec = describe("tests.helpers.networks:Shortcut", None, ["first"], (3, 8, 8), 10, frozen=True)
    space = SearchSpace(space_of(spec))
    color = replace(digits.train, images=np.repeat(digits.train.images, 3, axis=1))
    data = replace(digits, train=color)
    early = space.decode(np.ones((1, space.dimension)))[0]
    network = train.build(early, data, 10, 5, torch.device("cpu"), spec)
    before = {name: b.clone() for name, b in network.segments.named_buffers()}
    computed(to_rung(network, color, RECIPE, 5, RUNGS[0], TOP, flips=False))
    assert before
    assert all(torch.equal(b, before[name]) for name, b in network.segments.named_buffers())


def test_statistics_are_plain_means_over_the_last_batches(architecture: Architecture, digits: Splits) -> None:
    network = untrained(architecture, digits)
    norm = next(m for m in network.modules() if isinstance(m, nn.BatchNorm2d))
    computed(to_rung(network, digits.train, RECIPE, 5, RUNGS[1], TOP, flips=False))
    assert norm.num_batches_tracked is not None
    assert int(norm.num_batches_tracked) == Course.of(network, RUNGS[1], TOP, STEP).forward
    assert norm.momentum == 0.1


def test_a_time_limit_and_a_loss_that_is_not_finite_are_failures(architecture: Architecture, digits: Splits) -> None:
    for fields, kind in (({"max_seconds": 1e-6}, "time"), ({"learning_rate": 1e30}, "diverged")):
        recipe = RECIPE.model_copy(update=fields)
        with pytest.raises(train.TrainingFailure) as raised:
            trained(architecture, digits, RUNGS[1], recipe=recipe)
        assert raised.value.kind == kind
