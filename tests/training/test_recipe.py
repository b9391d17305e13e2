"""Recipes: what is refused, and the fidelity that they are."""

from typing import Any

import pytest

from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.fields import parse
from surrogate_nas.training.recipe import Nachos, Recipe


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["learning_rate", "momentum", "weight_decay", "label_smoothing", "early_exit_weight"])
def test_a_recipe_has_finite_numbers(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"recipe: {name}: .*, got {value}"):
        parse(Recipe, {name: value}, "recipe")


OTHER: dict[str, Any] = {
    "epochs": 21,
    "batch_size": 65,
    "learning_rate": 0.2,
    "momentum": 0.8,
    "weight_decay": 0.0,
    "label_smoothing": 0.0,
    "schedule": "cosine",
    "early_exit_weight": 0.5,
    "augment": False,
    "max_seconds": 5.0,
    "optimizer": "adamw",
    "cutout": 0.25,
    "mixup": 0.2,
    "balance": True,
    "ema": 0.99,
    "precision": "bfloat16",
    "loss": "distillation",
}


@pytest.mark.parametrize("name", list(Recipe.model_fields))
def test_everything_in_a_recipe_but_its_time_limit_is_part_of_the_fidelity(name: str) -> None:
    other = Recipe(**{name: OTHER[name]})
    assert other != Recipe()
    assert (other.fidelity == Recipe().fidelity) == (name == "max_seconds")


def test_the_fidelity_of_a_recipe_that_older_versions_knew_is_as_they_wrote_it() -> None:
    assert Recipe(epochs=3).fidelity == (
        '{"epochs":3,"batch_size":64,"learning_rate":0.1,"momentum":0.9,"weight_decay":0.0005,"label_smoothing":0.05,'
        '"schedule":"one_cycle","early_exit_weight":1.0,"augment":true}'
    )


def test_the_fidelity_of_an_older_nachos_recipe_is_as_it_was_written_and_means_what_it_meant() -> None:
    older = Recipe(epochs=3, loss=Nachos(max_macs=1e6, start="at_once"))
    text = (
        '{"epochs":3,"batch_size":64,"learning_rate":0.1,"momentum":0.9,"weight_decay":0.0005,"label_smoothing":0.05,'
        '"schedule":"one_cycle","early_exit_weight":1.0,"augment":true,"loss":{"kind":"nachos","max_macs":1000000.0,'
        '"exits_weight":1.0,"cost_weight":1.0,"peak_weight":1.0,"backbone_share":0.5,"warm_up_share":0.25,'
        '"support_share":0.1}}'
    )
    assert older.fidelity == text
    assert Recipe.of_fidelity(text) == older
    newer = Recipe(epochs=3, loss=Nachos(max_macs=1e6))
    assert newer.fidelity != text
    assert Recipe.of_fidelity(newer.fidelity) == newer
    assert newer.older == older


@pytest.mark.parametrize("recipe", [{}, {"ema": 0.9, "max_seconds": 3}, {"loss": {"kind": "nachos", "max_macs": 1e6}}])
def test_a_fidelity_names_its_recipe(recipe: dict[str, Any]) -> None:
    instance = Recipe(**recipe)
    assert Recipe.of_fidelity(instance.fidelity) == instance.model_copy(update={"max_seconds": None})


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"loss": "nacho"}, "loss: input tag 'nacho' found using 'kind' does not match any of the expected tags"),
        (
            {"loss": "nachos"},
            "loss: max_macs is missing: set it as the budget of the cost term, or set cost_weight to 0",
        ),
        ({"loss": {"kind": "nachos", "cost_weight": -1}}, "loss.cost_weight: input should be greater than or equal"),
        (
            {"loss": {"kind": "nachos", "max_macs": 1, "backbone_share": 0.8}},
            "loss: backbone_share 0.8 and warm_up_share 0.25 leave no epochs for the third phase; "
            "allowed: a sum below 1",
        ),
        ({"loss": {"kind": "distillation", "weigth": 1}}, "unknown setting 'loss.weigth'; allowed: kind, weight"),
        ({"mixup": 0.1, "loss": {"kind": "nachos", "max_macs": 1}}, "mixup 0.1 cannot be combined with loss nachos"),
        ({"cutout": 1}, "cutout: input should be less than 1, got 1"),
        ({"precision": "float16"}, "precision: input should be 'float32' or 'bfloat16', got 'float16'"),
    ],
)
def test_a_bad_recipe_is_one_line(recipe: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        parse(Recipe, recipe, "recipe")
    assert str(error.value).startswith(f"recipe: {message}")
    assert "\n" not in str(error.value)
