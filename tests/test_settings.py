"""Settings: what is refused and how it is said, and their file."""

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
