"""Training and measuring one network."""

import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from torch import nn

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.outputs import Outputs
from surrogate_nas.datasets.dataset import Splits
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.network.network import EarlyExitNetwork
from surrogate_nas.training import training as train
from surrogate_nas.training.precision import autocast
from surrogate_nas.training.recipe import Nachos, Precision, Recipe
from surrogate_nas.training.training import TrainingFailure, learning_rate

CPU = torch.device("cpu")
QUICK = Recipe(epochs=1, batch_size=64)


def untrained(architecture: Architecture, splits: Splits, seed: int = 0) -> EarlyExitNetwork:
    return train.build(architecture, splits, 10, seed, CPU)


def trained(architecture: Architecture, splits: Splits, recipe: Recipe, seed: int) -> Outputs:
    network = untrained(architecture, splits, seed)
    train.fit(network, splits.train, recipe, seed, flips=False)
    return train.held_out_outputs(network, splits)


# ---------------------------------------------------------------------- outcomes


def test_two_epochs_teach_every_exit_more_than_chance(architecture: Architecture, digits: Splits) -> None:
    outputs = trained(architecture, digits, Recipe(epochs=2, batch_size=32), seed=0)
    for split, data in ((outputs.tune, digits.tune), (outputs.test, digits.test)):
        _, correct = split.view("max_softmax")
        assert correct.shape == (3, len(data))
        assert (correct.mean(axis=1) > [0.15, 0.3, 0.5]).all()
        np.testing.assert_array_equal(split.labels, data.labels)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_same_seed_gives_the_same_outputs_to_the_bit(
    precision: Precision, architecture: Architecture, digits: Splits
) -> None:
    recipe = QUICK.model_copy(update={"precision": precision})
    first, again, other = (asdict(trained(architecture, digits, recipe, seed)) for seed in (1, 1, 2))
    np.testing.assert_equal(again, first)
    assert not np.array_equal(first["tune"]["logits"], other["tune"]["logits"])


def test_what_is_measured_of_an_image_does_not_depend_on_the_others(architecture: Architecture, digits: Splits) -> None:
    network = untrained(architecture, digits)
    whole = train.held_out_outputs(network.train(), digits).tune
    alone = train.held_out_outputs(network.train(), replace(digits, tune=digits.tune[np.arange(1)])).tune
    assert whole.logits is not None
    assert alone.logits is not None
    np.testing.assert_allclose(alone.logits[:, 0], whole.logits[:, 0], atol=2e-3)


def test_training_leaves_the_global_generator_alone(architecture: Architecture, digits: Splits) -> None:
    before = torch.get_rng_state()
    trained(architecture, digits, QUICK, seed=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_every_finished_epoch_is_told(architecture: Architecture, digits: Splits) -> None:
    epochs: list[int] = []
    recipe = Recipe(epochs=3, batch_size=512)
    train.fit(untrained(architecture, digits), digits.train, recipe, 0, flips=False, on_epoch=epochs.append)
    assert epochs == [1, 2, 3]


def test_a_data_set_smaller_than_a_batch_can_be_learned(architecture: Architecture, digits: Splits) -> None:
    network = untrained(architecture, digits)
    before = network.heads["2"].get_parameter("linear.weight").clone()
    train.fit(network, digits.train[np.arange(20)], QUICK, 0, flips=False)
    assert not torch.equal(network.heads["2"].get_parameter("linear.weight"), before)


# ---------------------------------------------------------------------- failures


def failure(network: EarlyExitNetwork, digits: Splits, recipe: Recipe) -> TrainingFailure:
    with pytest.raises(TrainingFailure) as error:
        train.fit(network, digits.train, recipe, 0, flips=False)
    return error.value


def test_a_huge_learning_rate_diverges(architecture: Architecture, digits: Splits) -> None:
    error = failure(untrained(architecture, digits), digits, replace_recipe(learning_rate=1e30))
    assert error.kind == "diverged"
    assert "epoch 1" in str(error)


def test_input_that_is_not_a_number_diverges(architecture: Architecture, digits: Splits) -> None:
    network = untrained(architecture, digits)
    network.mean.fill_(math.nan)
    assert failure(network, digits, QUICK).kind == "diverged"
    with pytest.raises(TrainingFailure, match="logits are not finite"):
        train.held_out_outputs(network, digits)


def test_a_training_that_takes_too_long_fails_for_time(architecture: Architecture, digits: Splits) -> None:
    error = failure(untrained(architecture, digits), digits, replace_recipe(epochs=1000, max_seconds=0.05))
    assert error.kind == "time"
    assert "0.05 s" in str(error)


def replace_recipe(**changes: float) -> Recipe:
    return QUICK.model_copy(update=changes)


@pytest.mark.parametrize("device", ["abacus", "meta"])
def test_a_device_that_does_not_exist_or_keeps_no_values_is_refused(device: str) -> None:
    with pytest.raises(InputError, match=f"device '{device}' cannot be used here") as error:
        train.resolve_device(device)
    assert "\n" not in str(error.value)


# ---------------------------------------------------------------------- building


def test_a_network_is_normalised_by_its_training_images(architecture: Architecture, digits: Splits) -> None:
    network = untrained(architecture, digits)
    normal = network.normalize(torch.from_numpy(digits.train.images))
    assert float(normal.mean()) == pytest.approx(0, abs=1e-4)
    assert float(normal.std()) == pytest.approx(1, abs=1e-3)


def test_a_channel_that_never_varies_stays_finite(architecture: Architecture, digits: Splits) -> None:
    black = replace(digits, train=replace(digits.train, images=np.zeros_like(digits.train.images)))
    assert torch.isfinite(untrained(architecture, black).normalize(torch.from_numpy(digits.tune.images))).all()


def test_initial_weights_follow_from_the_seed(architecture: Architecture, digits: Splits) -> None:
    first, again, other = (untrained(architecture, digits, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(again[name], tensor) for name, tensor in first.items())
    assert not all(torch.equal(other[name], tensor) for name, tensor in first.items())


# ---------------------------------------------------------------------- schedule


@pytest.mark.parametrize("steps", [10, 37, 1000])
@pytest.mark.parametrize("schedule", ["one_cycle", "cosine"])
def test_the_learning_rate_peaks_at_the_recipes_value_and_ends_near_zero(schedule: str, steps: int) -> None:
    recipe = Recipe.model_validate({"learning_rate": 0.4, "schedule": schedule})
    rates = [learning_rate(step, steps, recipe) for step in range(steps)]
    peak = int(np.argmax(rates))
    assert rates[peak] == pytest.approx(0.4, rel=0.05)
    assert max(rates) <= 0.4
    assert peak == (0 if schedule == "cosine" else math.ceil(0.3 * steps))
    assert 0 <= rates[-1] < 0.05 * 0.4 + 0.4 / steps
    assert (np.diff(rates[: peak + 1]) > 0).all()
    assert (np.diff(rates[peak:]) < 0).all()


def test_the_learning_rate_rises_anew_where_exits_start_to_learn() -> None:
    loss = Nachos(max_macs=1e5)
    plain, gradual, at_once = (
        [learning_rate(step, 200, Recipe.model_validate({"epochs": 20, "loss": loss})) for step in range(200)]
        for loss in ("joint", loss, loss.model_copy(update={"start": "at_once"}))
    )
    assert at_once == plain
    assert gradual[:100] == plain[:100]
    assert gradual[150:] == plain[150:]
    shares = np.array(gradual[100:150]) / np.array(plain[100:150])
    assert 0 < shares[0] < 0.05
    assert 0.95 < shares[-1] < 1
    np.testing.assert_allclose(np.diff(shares), 1 / 51)


def test_a_single_step_has_a_learning_rate() -> None:
    assert learning_rate(0, 1, Recipe()) > 0


def test_bfloat16_on_a_cpu_is_for_dense_convolutions_and_linear_layers_alone() -> None:
    dense, depthwise, linear = nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3, groups=4), nn.Linear(4, 2)
    x = torch.rand(2, 4, 5, 5)
    exact = depthwise(x)
    with autocast(CPU, "bfloat16"):
        assert dense(x).dtype == torch.bfloat16
        assert depthwise(dense(x)).dtype == torch.float32
        assert linear(depthwise(x).mean(dim=(2, 3))).dtype == torch.bfloat16
        torch.testing.assert_close(depthwise(x), exact)
    with autocast(CPU, "float32"):
        assert dense(x).dtype == linear(x.mean(dim=(2, 3))).dtype == torch.float32


def test_balanced_epochs_draw_all_classes_equally_often(architecture: Architecture, digits: Splits) -> None:
    rare = np.flatnonzero(digits.train.labels == 3)[4:]
    data = digits.train[np.delete(np.arange(len(digits.train)), rare)]
    recipe = Recipe(balance=True)

    def drawn(seed: int) -> torch.Tensor:
        network = untrained(architecture, digits)
        training = train.Training(network, data, recipe, seed, train.optimizer_of(network, recipe), False, "all")
        return torch.cat([index for _ in range(10) for index, _ in training.draws()])

    index = drawn(0)
    counts = torch.from_numpy(data.labels)[index].bincount(minlength=10)
    expected = len(index) / 10
    assert (abs(counts - expected) < 5 * expected**0.5).all()
    assert torch.equal(index, drawn(0))
    assert not torch.equal(index, drawn(1))
