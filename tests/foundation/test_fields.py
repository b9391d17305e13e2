"""Settings: what is refused, and how it is said."""

from pathlib import Path
from typing import Any

import pytest

from surrogate_nas.exits.limits import Limits
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.fields import parse
from surrogate_nas.settings import Settings
from surrogate_nas.training.recipe import Recipe


def test_no_settings_are_valid_settings() -> None:
    assert parse(Settings, {}, "here") == Settings()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"budgt": 3}, "unknown setting 'budgt'; allowed: budget, initial, sampling, batch, limits, recipe,"),
        (
            {"limits": {"max_mac": 1}},
            "unknown setting 'limits.max_mac'; allowed: max_macs, max_worst_macs, max_p95_macs",
        ),
        ({"recipe": {"epoch": 1}}, "unknown setting 'recipe.epoch'; allowed: epochs, batch_size,"),
        ({"budget": 0}, "budget: input should be greater than or equal to 1, got 0"),
        ({"budget": 10, "initial": 11}, "initial 11 exceeds the budget of 10 trainings"),
        ({"limits": {"max_macs": -1}}, "limits.max_macs: input should be greater than 0, got -1"),
        ({"limits": {"min_accuracy": 90}}, "limits.min_accuracy: input should be less than or equal to 1, got 90"),
        ({"limits": None}, "limits: input should be a valid dictionary or instance of Limits, got None"),
        (
            {"surrogate": "rf"},
            "surrogate: 'rf' is not a surrogate; allowed: auto, stack, gp, xgb, switching, size, "
            "package.module:function",
        ),
        (
            {"policy": "patience"},
            "policy: input should be 'max_softmax', 'margin', 'entropy', 'gate' or 'cumulative_gate', got 'patience'",
        ),
        ({"workers": -1}, "workers: input should be greater than or equal to 0, got -1"),
        ({1: 2}, "1: keys should be strings, got 1"),
    ],
)
def test_a_bad_setting_is_one_line_that_says_what_it_got_and_what_is_allowed(
    values: dict[Any, Any], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        parse(Settings, values, "config.yaml")
    assert str(caught.value).startswith(f"config.yaml: {message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["learning_rate", "momentum", "weight_decay", "label_smoothing", "early_exit_weight"])
def test_a_recipe_has_finite_numbers(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"recipe: {name}: .*, got {value}"):
        parse(Recipe, {name: value}, "recipe")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0])
@pytest.mark.parametrize("name", list(Limits.model_fields))
def test_a_limit_is_a_positive_finite_number(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"limits: {name}: .*, got {value}"):
        parse(Limits, {name: value}, "limits")


def test_limits_say_what_they_are() -> None:
    assert str(Limits(max_macs=2e5, min_accuracy=0.9)) == "expected MACs ≤ 200,000, accuracy ≥ 0.9"
    assert str(Limits()) == "no limits"


def test_saved_settings_load_as_they_were(tmp_path: Path) -> None:
    settings = Settings(
        budget=17, initial=9, limits=Limits(max_macs=2e5), recipe=Recipe(epochs=2, max_seconds=60), workers=0
    )
    settings.save(tmp_path / "config.yaml")
    assert Settings.load(tmp_path / "config.yaml") == settings
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    assert Settings.load(tmp_path / "config.yaml") == Settings()


@pytest.mark.parametrize(
    "text",
    [b"budget: [1", b"- budget", b"budget", b"\xff\xfe\x00", b"budget: !!python/object:os.system 1", b"budgt: 1"],
)
def test_a_file_that_holds_no_settings_is_refused_by_name(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(text)
    with pytest.raises(InputError) as caught:
        Settings.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.yaml: .*No such file"):
        Settings.load(tmp_path / "config.yaml")


def test_an_update_changes_what_it_names_and_nothing_else() -> None:
    settings = Settings(limits=Limits(max_macs=2e5, min_accuracy=0.9))
    updated = settings.updated({"batch": 2, "limits": {"max_macs": 1e5}})
    assert updated == Settings(batch=2, limits=Limits(max_macs=1e5, min_accuracy=0.9))
    assert settings.batch == Settings().batch


@pytest.mark.parametrize("changes", [{"limit": {"max_macs": 1}}, {"budget": {"all": 1}}, {"budget": 1}])
def test_an_update_is_validated(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Settings().updated(changes)


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


@pytest.mark.parametrize("recipe", [{}, {"ema": 0.9, "max_seconds": 3}, {"loss": {"kind": "nachos", "max_macs": 1e6}}])
def test_a_fidelity_names_its_recipe(recipe: dict[str, Any]) -> None:
    made = Recipe(**recipe)
    assert Recipe.of_fidelity(made.fidelity) == made.model_copy(update={"max_seconds": None})


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"loss": "nacho"}, "loss: input tag 'nacho' found using 'kind' does not match any of the expected tags"),
        ({"loss": "nachos"}, "loss: max_macs is missing: the cost term needs a budget, or cost_weight 0"),
        ({"loss": {"kind": "nachos", "cost_weight": -1}}, "loss.cost_weight: input should be greater than or equal"),
        (
            {"loss": {"kind": "nachos", "max_macs": 1, "backbone_share": 0.8}},
            "loss: backbone_share 0.8 and warm_up_share 0.25 leave no epochs; allowed: a sum below 1",
        ),
        ({"loss": {"kind": "distillation", "weigth": 1}}, "unknown setting 'loss.weigth'; allowed: kind, weight"),
        ({"mixup": 0.1, "loss": {"kind": "nachos", "max_macs": 1}}, "mixup 0.1 leaves gates no right answers"),
        ({"cutout": 1}, "cutout: input should be less than 1, got 1"),
        ({"precision": "float16"}, "precision: input should be 'float32' or 'bfloat16', got 'float16'"),
    ],
)
def test_a_bad_recipe_is_one_line(recipe: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(Recipe, recipe, "recipe")
    assert str(caught.value).startswith(f"recipe: {message}")
    assert "\n" not in str(caught.value)
