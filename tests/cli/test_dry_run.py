"""A dry run checks what the command checks, says what it would do, and writes nothing."""

import json
from pathlib import Path

import pytest

from surrogate_nas.api import Study
from surrogate_nas.archive.archive import Archive
from surrogate_nas.settings import Settings
from surrogate_nas.study.paths import ARCHIVE, SETTINGS
from tests.cli.test_cli import BAD_ARGUMENTS, BAD_QUESTIONS, assert_refused, state_of
from tests.conftest import Command

TRAINING = ("run", "collect", "search", "finalize", "verify", "baselines")


@pytest.mark.parametrize("words", ["run STUDY --budget 9 --initial 8", "collect STUDY --n 9"])
def test_a_new_study_is_checked_and_not_made(words: str, tmp_path: Path, command: Command) -> None:
    given = [str(tmp_path / "s") if w == "STUDY" else w for w in words.split()]
    code, out, err = command(*given, "--epochs", 2, "--max-macs", "200k", "--workers", 1, "--dry-run", "--json")
    assert code == 0, err
    document = json.loads(out)
    assert {name: document[name] for name in ("new", "data", "space", "seed", "done", "trainings", "epochs")} == {
        "new": True,
        "data": "digits",
        "space": "tiny",
        "seed": 0,
        "done": 0,
        "trainings": 9,
        "epochs": 2,
    }
    assert document["limits"]["max_macs"] == 2e5
    assert all(document[name] > 0 for name in ("seconds", "disk", "memory"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words", ["--data nope", "--space compact", "--max-macs 100", "--strategy aebnas", "--budget 0"]
)
def test_bad_arguments_of_a_dry_run_are_those_of_the_run(words: str, tmp_path: Path, command: Command) -> None:
    assert_refused(command("run", tmp_path / "s", *words.split(), "--dry-run"), BAD_ARGUMENTS[words])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [words for words in BAD_QUESTIONS if words.split()[0] in TRAINING])
def test_bad_questions_of_a_dry_run_are_those_of_the_command(words: str, study_path: Path, command: Command) -> None:
    given = [str(study_path) if w == "STUDY" else w for w in words.split()]
    assert_refused(command(*given, "--dry-run"), BAD_QUESTIONS[words])


@pytest.mark.parametrize(
    ("words", "trainings"),
    [
        ("run STUDY --budget 20 --keep all", 8),
        ("collect STUDY --n 3 --max-hours 25m", 3),
        ("search STUDY --budget 30 --batch 5 --rounds 2 --no-limits", 10),
        ("search STUDY --budget 15", 3),
        ("verify STUDY FRONT --seeds 4 --workers 0", 3),
        ("finalize STUDY FRONT --seeds 2 --epochs 7", 2),
        ("baselines STUDY", 1),
        ("baselines STUDY --all", 3),
    ],
)
def test_an_opened_study_is_left_as_it_is(words: str, trainings: int, study_path: Path, command: Command) -> None:
    before, settings = state_of(study_path), Settings.load(study_path / SETTINGS)
    front = Study.open(study_path).front()[0].record
    given = [{"STUDY": str(study_path), "FRONT": front.id}.get(w, w) for w in words.split()]
    code, out, err = command(*given, "--dry-run", "--json")
    assert code == 0, err
    document = json.loads(out)
    assert (document["new"], document["done"], document["trainings"]) == (False, 12, trainings)
    if "FRONT" in words:
        assert document["networks"] == [{"encoding": str(front.architecture), "trainings": trainings}]
    if "--epochs" in words:
        assert document["epochs"] == 7
    assert state_of(study_path) == before
    assert Settings.load(study_path / SETTINGS) == settings
    assert len(Archive.open(study_path / ARCHIVE).proposals()) == 12


def test_a_dry_run_for_people_is_one_screen_that_says_that_nothing_was_done(study_path: Path, command: Command) -> None:
    code, out, err = command("baselines", study_path, "--all", "--dry-run")
    assert code == 0, err
    lines = out.splitlines()
    assert lines[-1] == "dry run: nothing was trained or written"
    assert sum(line.startswith("1 × stem-") for line in lines) == 3
    assert {line.split()[0] for line in lines[:10]} >= {"study", "data", "space", "limits", "time", "disk", "memory"}
