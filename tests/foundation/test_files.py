"""Files and folders are written whole or not at all."""

import os
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch

from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.files import PARTIAL, left_beside, new_folder, replaced, require_output
from surrogate_nas.training.checkpoint import write


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_is_as_it_was_until_the_new_one_is_whole(tmp_path: Path, *, durable: bool) -> None:
    path = tmp_path / "some.csv"
    path.write_text("old")
    with replaced(path, durable=durable) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
        assert partial.parent == path.parent
        assert partial.suffix == PARTIAL
        assert left_beside(path) == [partial]
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError("No space left on device"), KeyboardInterrupt()], ids=["disk", "interrupt"])
def test_nothing_is_left_of_a_file_that_was_not_finished(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "some.csv"
    path.write_text("old")

    def fail() -> None:
        with replaced(path) as partial:
            partial.write_text("half")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_error_is_the_writers_where_nothing_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "some.csv"
    with pytest.raises(FileNotFoundError, match="missing"), replaced(path) as partial:
        partial.write_text("new")


def test_a_folder_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "exports" / "abc"
    with new_folder(path) as partial:
        (partial / "one").touch()
        assert not path.exists()
    assert [p.name for p in path.iterdir()] == ["one"]
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_takes_the_place_of_an_empty_one_only(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.mkdir()
    with new_folder(path) as partial:
        (partial / "one").touch()
    with pytest.raises(OSError, match="not empty"), new_folder(path) as partial:
        (partial / "two").touch()
    assert [p.name for p in path.iterdir()] == ["one"]
    assert list(tmp_path.iterdir()) == [path]


USERS = (f"some{PARTIAL}", f"some.{os.getpid()}{PARTIAL}", f"some.00000000{PARTIAL}", f"some.00000001{PARTIAL}")


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose names are all like unfinished ones, also those that chance gives first."""
    tokens = (f"{i:08x}" for i in count())
    monkeypatch.setattr("secrets.token_hex", lambda n: next(tokens))
    return tmp_path


@pytest.mark.parametrize("fails", [False, True])
def test_folders_of_the_user_survive_whatever_their_names(users: Path, *, fails: bool) -> None:
    for name in USERS:
        (users / name).mkdir()
        (users / name / "work").write_text("mine")
    try:
        with new_folder(users / "some") as partial:
            (partial / "one").touch()
            assert partial.name not in USERS
            if fails:
                raise OSError
    except OSError:
        assert fails
    left = {path.relative_to(users).as_posix() for path in users.rglob("*") if path.is_file()}
    assert left == {f"{name}/work" for name in USERS} | (set() if fails else {"some/one"})


@pytest.mark.parametrize("fails", [False, True])
def test_files_of_the_user_survive_whatever_their_names(users: Path, *, fails: bool) -> None:
    for name in USERS:
        (users / name).write_text("mine")
    try:
        with replaced(users / "some") as partial:
            partial.write_text("new")
            if fails:
                raise OSError
    except OSError:
        assert fails
    assert [(users / name).read_text() for name in USERS] == ["mine"] * len(USERS)
    assert len(list(users.iterdir())) == len(USERS) + (not fails)


def test_a_parent_that_is_no_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "missing")
    with pytest.raises(OSError, match="link"), new_folder(tmp_path / "link" / "some"):
        pass


def test_what_was_left_is_found_by_the_whole_name_of_its_file(tmp_path: Path) -> None:
    for name in (
        f"a.csv.12{PARTIAL}",
        f"a.csv.7{PARTIAL}",
        f"ba.csv.7{PARTIAL}",
        f"a.7{PARTIAL}",
        f"a.csv.old{PARTIAL}",
        "a.csv",
    ):
        (tmp_path / name).touch()
    (tmp_path / f"a.csv.5{PARTIAL}").mkdir()
    assert [p.name for p in left_beside(tmp_path / "a.csv")] == [f"a.csv.12{PARTIAL}", f"a.csv.7{PARTIAL}"]


def test_a_place_for_an_output_is_checked_before_anything_is_computed(tmp_path: Path) -> None:
    require_output(tmp_path / "a.csv", [".jsonl", ".csv"])
    (tmp_path / "folder.csv").mkdir()
    for path, why in (
        (tmp_path / "a.txt", "does not end in .jsonl or .csv"),
        (tmp_path / "folder.csv", "cannot be written: it is a folder"),
        (tmp_path / "none" / "a.csv", "cannot be written: its folder does not exist"),
    ):
        with pytest.raises(InputError) as caught:
            require_output(path, [".jsonl", ".csv"])
        assert str(caught.value) == f"output {path} {why}"


def test_the_state_of_a_training_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        write(tmp_path / "missing" / "state", {"a": torch.zeros(3)})
    write(tmp_path / "state", {"a": torch.arange(3)})
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
    assert np.isclose((tmp_path / "state").stat().st_size, 8 * 3, atol=100)
