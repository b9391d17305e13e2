"""Bad data from the command line: one line, exit code 2, nothing written; and what can be handled is, and is said."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from surrogate_nas.archive.archive import SCHEMA_VERSION, Archive
from surrogate_nas.foundation.files import PARTIAL
from surrogate_nas.study.paths import ARCHIVE, DATA
from tests.cli.test_cli import assert_refused
from tests.conftest import Command

SIZE = 8


def photo(path: Path, number: int, mode: str = "L") -> None:
    shape = (SIZE, SIZE) if mode in ("L", "I;16") else (SIZE, SIZE, len(mode))
    dtype = np.uint16 if mode == "I;16" else np.uint8
    pixels = np.random.default_rng(number).integers(0, np.iinfo(dtype).max, shape).astype(dtype)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of images of noise."""
    for i in range(40):
        photo(tmp_path / "photos" / "ab"[i % 2] / f"{i}.png", i)
    return tmp_path / "photos"


def missing(photos: Path) -> None:
    shutil.rmtree(photos)


def empty_class(photos: Path) -> None:
    (photos / "c").mkdir()


def one_class(photos: Path) -> None:
    shutil.rmtree(photos / "b")


def stray_image(photos: Path) -> None:
    photo(photos / "0.png", 0)


def corrupt(photos: Path) -> None:
    (photos / "a" / "0.png").write_bytes((photos / "a" / "0.png").read_bytes()[:60])


def random_bytes(photos: Path) -> None:
    (photos / "a" / "0.png").write_bytes(b"\x89PNG nonsense")


def two_sizes(photos: Path) -> None:
    Image.new("L", (9, 9)).save(photos / "a" / "0.png")


def too_few(photos: Path) -> None:
    for path in list((photos / "b").iterdir())[1:]:
        path.unlink()


BAD_FOLDERS: dict[Callable[[Path], None], str] = {
    missing: "no folder or .npz file at",
    empty_class: "c",
    one_class: "one class, 'a'; at least two are needed",
    stray_image: "0.png lies beside the class folders; an image belongs in the folder of its class",
    corrupt: "0.png is not a readable image",
    random_bytes: "0.png is not a readable image",
    two_sizes: "--image-size",
    too_few: "class 'b' of data set 'folder:photos' has too few images, 1",
}


@pytest.mark.parametrize("spoil", BAD_FOLDERS, ids=lambda f: f.__name__)
def test_a_bad_folder_is_one_line_and_writes_nothing(
    spoil: Callable[[Path], None], photos: Path, command: Command
) -> None:
    spoil(photos)
    study = photos.parent / "study"
    for words in (["run", study, "--data", photos], ["datasets", "show", photos]):
        assert_refused(command(*words), BAD_FOLDERS[spoil])
    assert not study.exists()


def test_the_data_card_counts_what_is_no_image(photos: Path, command: Command) -> None:
    plain = json.loads(command("datasets", "show", photos, "--json")[1])
    for name in ("LICENSE", "README.md", "a/notes.txt", ".DS_Store"):
        (photos / name).write_text("not an image")
    card = json.loads(command("datasets", "show", photos, "--json")[1])
    notes = ["1 hidden file was left out", "3 files that are not images were left out (LICENSE, README.md, notes.txt)"]
    assert card == {**plain, "notes": notes}


GOOD = {"images": np.zeros((40, SIZE, SIZE), np.uint8), "labels": np.arange(40) % 2}
BAD_ARRAYS = {
    "not a number": {"images": np.full((40, SIZE, SIZE), np.nan), "labels": GOOD["labels"]},
    "(40, 8)": {"images": np.zeros((40, SIZE), np.uint8), "labels": GOOD["labels"]},
    "labels has the value -1": {"images": GOOD["images"], "labels": GOOD["labels"] - 1},
    "39": {"images": GOOD["images"], "labels": GOOD["labels"][:-1]},
    "object": {"images": GOOD["images"].astype(object), "labels": GOOD["labels"]},
    "labels": {"images": GOOD["images"]},
}


@pytest.mark.parametrize("expected", BAD_ARRAYS)
def test_bad_arrays_are_one_line_and_write_nothing(expected: str, tmp_path: Path, command: Command) -> None:
    np.savez(tmp_path / "data.npz", **BAD_ARRAYS[expected])
    assert_refused(command("run", tmp_path / "study", "--data", tmp_path / "data.npz"), expected)
    assert not (tmp_path / "study").exists()


def test_alpha_and_sixteen_bits_are_handled_and_said(photos: Path, command: Command) -> None:
    photo(photos / "a" / "0.png", 0, "RGBA")
    photo(photos / "a" / "2.png", 2, "I;16")
    words = ["collect", photos.parent / "study", "--data", photos, "--n", 1, "--epochs", 1, "--workers", 0, "--json"]
    code, _, err = command(*words)
    assert code == 0, err
    assert "1 image with transparency was laid over white" in err
    assert "16 bits" in err


# ---------------------------------------------------------------------- archives


@pytest.fixture
def study(study_path: Path, tmp_path: Path) -> Path:
    """A finished study that may be spoilt."""
    path = shutil.copytree(study_path, tmp_path / "study")
    Archive.open(path / ARCHIVE).close()
    return path


def random_archive(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(5000))


def empty_archive(path: Path) -> None:
    path.write_bytes(b"")


def truncated_archive(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def newer_archive(path: Path) -> None:
    archive = Archive.open(path)
    archive._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    archive.close()


BAD_ARCHIVES: dict[Callable[[Path], None], str] = {
    random_archive: "is not a readable archive",
    empty_archive: "is not a readable archive",
    truncated_archive: "is not a readable archive: database disk image is malformed",
    newer_archive: f"has schema version {SCHEMA_VERSION + 1}; this package reads up to {SCHEMA_VERSION}",
}


@pytest.mark.parametrize("spoil", BAD_ARCHIVES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("words", ["run", "archive list", "query --sample 1", "report", "collect --n 1"])
def test_a_bad_archive_is_one_line_and_is_left_as_it_is(
    spoil: Callable[[Path], None], words: str, study: Path, command: Command
) -> None:
    spoil(study / ARCHIVE)
    before = {p: p.read_bytes() for p in study.rglob("*") if p.is_file()}
    assert study / ARCHIVE in before
    verb, *options = words.split()
    arguments = ["archive", "list", study] if verb == "archive" else [verb, study, *options]
    assert_refused(command(*arguments), BAD_ARCHIVES[spoil])
    assert {p: p.read_bytes() for p in study.rglob("*") if p.is_file()} == before


# ---------------------------------------------------------------------- a study of other data


def test_a_study_of_other_data_is_refused(study: Path, photos: Path, command: Command) -> None:
    assert_refused(command("run", study, "--data", "cifar10"), "has data digits, got --data cifar10")
    assert_refused(command("run", study, "--data", photos), "has data digits, got --data")
    assert_refused(command("run", study, "--image-size", 9), "has images of 8 pixels, got --image-size 9")
    share = "has tune share 0.3, got --tune-share 0.2; another share needs a new study"
    assert_refused(command("run", study, "--tune-share", "20%"), share)
    assert_refused(command("run", study, "--flips"), "was created with --no-flips, got --flips")


def test_a_study_keeps_its_images_and_notices_others(photos: Path, command: Command) -> None:
    study = photos.parent / "study"
    words = ["collect", study, "--n", 1, "--epochs", 1, "--workers", 0]
    assert command(*words, "--data", photos)[0] == 0
    elsewhere = photos.rename(photos.parent / "elsewhere")
    for data in ([], ["--data", elsewhere]):  # by itself, and where the images are now
        code, _, err = command(*words, *data)
        assert code == 0, err
    photo(elsewhere / "a" / "more.png", 99)
    assert_refused(command(*words, "--data", elsewhere), "has data folder:photos, got --data")
    assert command(*words)[0] == 0
    (study / DATA).unlink()
    assert_refused(command(*words), "no folder or .npz file at")
    (study / DATA).write_bytes(b"nonsense")
    assert_refused(command(*words), "is damaged or not a study's data")


def test_an_interrupted_creation_can_be_repeated(tmp_path: Path, command: Command) -> None:
    for name in (DATA, "config.yaml", ".lock", f"archive.sqlite.77{PARTIAL}"):
        (tmp_path / name).touch()
    (tmp_path / "checkpoints").mkdir()
    code, _, err = command("collect", tmp_path, "--n", 1, "--epochs", 1, "--workers", 0)
    assert code == 0, err
