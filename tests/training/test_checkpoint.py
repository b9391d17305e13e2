"""A training that was interrupted goes on from its last epoch, and ends as if it had never stopped."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.datasets.dataset import Splits
from surrogate_nas.network.network import EarlyExitNetwork
from surrogate_nas.training import training as train
from surrogate_nas.training.checkpoint import write
from surrogate_nas.training.recipe import Recipe
from surrogate_nas.training.training import TrainingFailure

RECIPE = Recipe(epochs=3, batch_size=64)


@pytest.fixture(scope="module")
def digits(digits: Splits) -> Splits:
    """Few images to train on: what is resumed is the same with any number of steps."""
    return replace(digits, train=digits.train[np.arange(300)])


class Interrupted(Exception):
    pass


def untrained(architecture: Architecture, digits: Splits) -> EarlyExitNetwork:
    return train.build(architecture, digits, 10, 5, torch.device("cpu"))


def interrupted(
    architecture: Architecture, digits: Splits, file: Path, after: int, recipe: Recipe = RECIPE
) -> EarlyExitNetwork:
    """A training that ends without warning after so many epochs."""

    def interrupt(epoch: int) -> None:
        if epoch == after:
            raise Interrupted

    network = untrained(architecture, digits)
    with pytest.raises(Interrupted):
        train.fit(network, digits.train, recipe, 5, flips=True, on_epoch=interrupt, unfinished=file)
    return network


def same(one: EarlyExitNetwork, other: EarlyExitNetwork) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("after", [1, 2, 3])
@pytest.mark.parametrize("momentum", [0.9, 0.0])
def test_it_ends_with_the_weights_of_a_training_that_never_stopped(
    architecture: Architecture, digits: Splits, tmp_path: Path, after: int, momentum: float
) -> None:
    recipe, file = RECIPE.model_copy(update={"momentum": momentum}), tmp_path / "state.unfinished"
    whole, continued = untrained(architecture, digits), untrained(architecture, digits)
    train.fit(whole, digits.train, recipe, 5, flips=True)
    interrupted(architecture, digits, file, after, recipe)
    epochs: list[int] = []
    train.fit(continued, digits.train, recipe, 5, flips=True, on_epoch=epochs.append, unfinished=file)
    assert epochs == list(range(after + 1, recipe.epochs + 1))
    assert same(continued, whole)


def assert_trained_from_the_start(architecture: Architecture, digits: Splits, unfinished: Path) -> None:
    whole, continued = untrained(architecture, digits), untrained(architecture, digits)
    train.fit(whole, digits.train, RECIPE, 5, flips=True)
    train.fit(continued, digits.train, RECIPE, 5, flips=True, unfinished=unfinished)
    assert same(continued, whole)


@pytest.mark.parametrize("content", [b"", b"junk", None])
def test_a_damaged_or_foreign_state_is_a_training_from_the_start(
    architecture: Architecture, digits: Splits, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "state.unfinished"
    if content is None:
        write(file, {"network.other": torch.zeros(3)}, {"epochs": "2", "seconds": "1", "optimizer": "SGD"})
    else:
        file.write_bytes(content)
    assert_trained_from_the_start(architecture, digits, file)


def test_a_state_of_other_parameters_is_a_training_from_the_start(
    architecture: Architecture, digits: Splits, tmp_path: Path
) -> None:
    """Like the optimizer of a frozen network whose classifier was not trained yet."""
    file = tmp_path / "state.unfinished"
    network = untrained(architecture, digits)
    for parameter in network.segments.parameters():
        parameter.requires_grad_(False)
    for _ in train.epochs(network, digits.train, RECIPE, 5, flips=True, unfinished=file):
        break
    assert_trained_from_the_start(architecture, digits, file)


def test_a_state_that_was_cut_short_is_a_training_from_the_start(
    architecture: Architecture, digits: Splits, tmp_path: Path
) -> None:
    file = tmp_path / "state.unfinished"
    interrupted(architecture, digits, file, 1)
    file.write_bytes(file.read_bytes()[:-100])
    assert_trained_from_the_start(architecture, digits, file)


def test_the_time_limit_counts_the_time_before_an_interruption(
    architecture: Architecture, digits: Splits, tmp_path: Path
) -> None:
    file = tmp_path / "state.unfinished"
    interrupted(architecture, digits, file, 1)
    impatient = RECIPE.model_copy(update={"max_seconds": 1e-6})
    with pytest.raises(TrainingFailure, match="in epoch 2"):
        train.fit(untrained(architecture, digits), digits.train, impatient, 5, flips=True, unfinished=file)
