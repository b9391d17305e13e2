"""Errors in the words of the shell: the option that was typed, with its value, instead of a field's name."""

import pytest
import typer

from surrogate_nas.cli.app import app
from surrogate_nas.cli.wording import as_typed, options_by_name
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.fields import parse
from surrogate_nas.settings import Settings

OPTIONS = options_by_name(typer.main.get_command(app))


def refusal(values: dict[str, object], source: str) -> InputError:
    with pytest.raises(InputError) as caught:
        parse(Settings, values, source)
    return caught.value


def test_a_setting_is_named_as_its_option_where_it_was_typed() -> None:
    error = refusal({"limits": {"max_macs": -5}}, "settings")
    for words in (["run", "s", "--max-macs", "-5"], ["run", "s", "--max-macs=-5"]):
        assert as_typed(error, words, OPTIONS) == "--max-macs -5: input should be greater than 0"
    assert as_typed(error, ["run", "s"], OPTIONS) == "limits.max_macs: input should be greater than 0, got -5"


def test_a_field_of_a_file_keeps_its_name() -> None:
    error = refusal({"limits": {"max_macs": -5}}, "config.yaml")
    assert as_typed(error, ["run", "s", "--max-macs", "3M", "--config", "config.yaml"], OPTIONS) == str(error)


def test_a_check_of_several_settings_begins_with_the_option() -> None:
    error = refusal({"initial": 40}, "settings")
    assert (
        as_typed(error, ["run", "s", "--initial", "40"], OPTIONS) == "--initial 40 exceeds the budget of 32 trainings"
    )
    assert as_typed(error, ["run", "s"], OPTIONS) == "initial 40 exceeds the budget of 32 trainings"


@pytest.mark.parametrize(
    ("message", "words", "expected"),
    [
        ("seeds 0 is not a positive number", "--seeds 0", "--seeds 0 is not a positive number"),
        ("device 'cuda:9' is not here", "--device cuda:9", "--device cuda:9 is not here"),
        ("budget 60000 is below the cheapest", "--at 60k", "--at 60k is below the cheapest"),
        ("data set 'x' needs --data-root", "--data x", "data set 'x' needs --data-root"),
        ("strategy aebnas got no max_macs", "--seeds 3", "strategy aebnas got no --max-macs"),
        ("unknown search space 'x'; allowed", "--space x", "unknown search space 'x'; allowed"),
        ("device cuda needs a GPU", "--device cpu", "device cuda needs a GPU"),
        ("no study at my/max_macs.x", "--seeds 3", "no study at my/max_macs.x"),
    ],
)
def test_other_messages_name_options_where_they_name_their_values(message: str, words: str, expected: str) -> None:
    assert as_typed(InputError(message), ["run", "s", *words.split()], OPTIONS) == expected
