"""Options: their help, their order, and the settings they change.

Help must not wait for what it names to be imported, so the texts hold the names.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer

from surrogate_nas.cli import options
from surrogate_nas.cli.app import app
from surrogate_nas.cli.options import changes_of
from surrogate_nas.settings import STRATEGY_NAMES, SURROGATE_NAMES
from tests.conftest import Command


def commands(command: Any, name: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield name, command
    for inner, inner_command in getattr(command, "commands", {}).items():
        yield from commands(inner_command, (*name, inner))


EVERY = dict(commands(typer.main.get_command(app)))
OWN = {
    name: [p for p in command.params if p.param_type_name == "option" and "completion" not in p.name]
    for name, command in EVERY.items()
}
NO_SENTENCE = ("What", "Of", "That", "As", "Such", "The same", "Those", "Its", "So many")


@pytest.mark.parametrize(
    ("option", "names"), [(options.Surrogate, SURROGATE_NAMES), (options.Strategy, STRATEGY_NAMES)]
)
def test_help_names_every_surrogate_and_strategy(option: object, names: tuple[str, ...]) -> None:
    words = get_args(option)[1].help.replace(",", " ").split()
    assert [word for word in words if word in names] == list(names)


@pytest.mark.parametrize("name", EVERY, ids=" ".join)
def test_every_summary_and_help_text_is_a_sentence_that_makes_sense_alone(name: tuple[str, ...]) -> None:
    texts = [(EVERY[name].help or "").split("\n\n")[0], *(option.help or "" for option in OWN[name])]
    for text in texts:
        assert text[:1].isupper(), text
        assert text.endswith("."), text
        assert not text.startswith(tuple(f"{word} " for word in NO_SENTENCE)), text


@pytest.mark.parametrize("name", OWN, ids=" ".join)
def test_every_option_that_takes_a_value_says_of_which_kind(name: tuple[str, ...]) -> None:
    assert [p.name for p in OWN[name] if not p.is_flag and not p.metavar] == []
    assert [p.name for p in OWN[name] if p.is_flag and p.metavar] == []


@pytest.mark.parametrize("name", ["run", "collect", "search"])
def test_no_help_text_of_a_setting_is_without_its_default(name: str) -> None:
    need_none = {"exits", "cost_table", "data_root", "backbone", "config", "rounds", "n", "encoding"}
    valued = [p for p in OWN[name,] if not p.is_flag and not p.name.startswith(("max_", "min_"))]
    assert [p.name for p in valued if "Default: " not in p.help and p.name not in need_none] == []


def test_the_ten_options_that_matter_most_come_first_in_the_help_of_run() -> None:
    first = [p.opts[0] for p in OWN["run",] if p.rich_help_panel is None]
    assert first == [
        *("--data", "--space", "--max-macs", "--min-accuracy", "--time", "--budget", "--epochs", "--workers"),
        *("--dry-run", "--json"),
    ]
    panels = dict.fromkeys(p.rich_help_panel for p in OWN["run",] if p.rich_help_panel)
    assert list(panels) == ["What to design", "Limits", "Effort", "Data", "Machine", "Advanced"]


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("columns", [80, 120])
def test_help_shows_every_option_whole(
    flag: str, columns: int, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", columns)
    code, out, _ = command("run", flag)
    assert code == 0
    words = set(out.split())
    assert [p.opts[0] for p in OWN["run",] if p.opts[0] not in words] == []
    assert max(map(len, out.splitlines())) <= columns


@pytest.mark.parametrize("name", EVERY, ids=" ".join)
def test_every_command_answers_to_h(name: tuple[str, ...], command: Command) -> None:
    code, out, err = command(*name, "-h")
    assert (code, err) == (0, "")
    assert f"Usage: surrogate-nas {' '.join(name)}".strip() in out


def test_the_version_is_that_of_the_package(command: Command) -> None:
    import surrogate_nas

    assert command("--version") == (0, f"surrogate-nas {surrogate_nas.__version__}\n", "")


def test_an_option_named_as_a_setting_changes_it_and_overrides_a_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("{budget: 20, batch: 2, limits: {max_macs: 3M, max_params: 200k}, recipe: {epochs: 3}}")
    typed = {"study": tmp_path, "config": file, "budget": 30, "limits": {"max_macs": 2e6}, "max_seconds": 60.0}
    unset = {"epochs": None, "device": None, "recipe": Path("other.yaml"), "as_json": False}
    assert changes_of({**typed, **unset}) == {
        "budget": 30,
        "batch": 2,
        "limits": {"max_macs": 2e6, "max_params": 2e5},
        "recipe": {"epochs": 3, "max_seconds": 60.0},
    }


def test_numbers_are_typed_as_people_write_them() -> None:
    group = typer.main.get_command(app)
    words = (
        "s --budget 1k --max-macs 3M --max-weight-bytes 64KiB --min-accuracy 90% --max-hours 1h30m --max-seconds 25m"
    )
    given = group.commands["run"].make_context("run", [*words.split(), "--max-memory-gb", "500MB"]).params  # type: ignore[attr-defined]
    assert {name: given[name] for name in ("budget", "max_macs", "max_weight_bytes", "min_accuracy")} == {
        "budget": 1000,
        "max_macs": 3e6,
        "max_weight_bytes": 65536,
        "min_accuracy": 0.9,
    }
    assert (given["max_hours"], given["max_seconds"], given["max_memory_gb"]) == (1.5, 1500, 0.5)
    given = group.commands["finalize"].make_context("finalize", ["s", "--at", "3M", "--at", "60_000"]).params  # type: ignore[attr-defined]
    assert given["at"] == [3e6, 6e4]
