"""Where an output cannot be written, a command says so before it works."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest
import typer.main

from surrogate_nas.cli.app import app
from surrogate_nas.foundation import files
from surrogate_nas.foundation.errors import InputError
from tests.conftest import Command
from tests.whole.test_old_study import EXPORTED, WRITTEN

pytestmark = pytest.mark.usefixtures("quick_fits")

FILES = ("missing/x.csv", "file/x.csv", "folder.csv")
FOLDERS = ("file/x", "file")
COMMANDS: dict[str, tuple[Sequence[str], Sequence[str], str]] = {
    "query": (["STUDY", "--sample", "3"], (*FILES, "x.txt"), "surrogate_nas.study.query.respondent_of"),
    "shift": (["STUDY", EXPORTED.name], (*FILES, "x.txt"), "surrogate_nas.api.Study.shift"),
    "export": (["STUDY", EXPORTED.name], (*FOLDERS, "."), "surrogate_nas.export.folder.chosen_points"),
    "report": (["STUDY"], FOLDERS, "surrogate_nas.report.contents.Contents.of"),
    "spaces measure": (["--space", "tiny"], FILES, "surrogate_nas.network.unit_times._modules"),
}
"""Arguments, places where nothing can be written, and the function that begins to work."""


def commands_with_outputs(command: Any, name: str = "") -> Iterator[str]:
    for word, inner in getattr(command, "commands", {}).items():
        yield from commands_with_outputs(inner, f"{name} {word}".strip())
    if any("--output" in parameter.opts for parameter in command.params):
        yield name


def test_every_command_with_an_output_is_tried() -> None:
    assert set(commands_with_outputs(typer.main.get_command(app))) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_an_output_that_cannot_be_written_is_refused_before_any_work(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    words, places, work = COMMANDS[name]
    study, here = Path(shutil.copytree(WRITTEN, tmp_path / "study")), tmp_path / "here"
    (here / "folder.csv").mkdir(parents=True)
    (here / "file").touch()
    before = sorted(here.rglob("*"))

    def fail(*_: object, **__: object) -> NoReturn:
        raise AssertionError("it works already")

    monkeypatch.setattr(work, fail)
    monkeypatch.chdir(here)
    for place in places:
        code, out, err = command(*name.split(), *(str(study) if w == "STUDY" else w for w in words), "-o", place)
        assert (code, out) == (2, ""), err
        assert err.count("error: ") == 1, err
        assert err.splitlines()[-1].startswith("error: ")
        assert f"{place} " in err
        assert sorted(here.rglob("*")) == before


def test_a_timing_that_cannot_be_kept_is_refused_before_any_work(tmp_path: Path, command: Command) -> None:
    export = Path(shutil.copytree(WRITTEN / EXPORTED, tmp_path / "export"))
    (export / "latency.json").mkdir()
    code, _, err = command("measure", export)
    assert (code, err) == (2, f"error: output {export / 'latency.json'} cannot be written: it is a folder\n")


@pytest.mark.parametrize("require", [files.require_output, files.require_output_folder, files.require_new_folder])
def test_a_folder_that_is_read_only_is_no_place_for_an_output(
    require: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require(tmp_path / "before")
    assert not list(tmp_path.glob("*.partial"))

    def refuse(*_: object, **__: object) -> NoReturn:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(InputError, match="cannot be written: Permission denied"):
        require(tmp_path / "after")
