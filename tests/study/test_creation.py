"""Making a study's folder."""

from pathlib import Path

import pytest

from surrogate_nas.api import Study
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.files import PARTIAL
from surrogate_nas.network.backbone import mount
from surrogate_nas.study import creation
from surrogate_nas.study.paths import ARCHIVE, DATA, SETTINGS


def test_what_a_creation_that_was_killed_left_half_written_is_removed(tmp_path: Path) -> None:
    for name in (DATA, SETTINGS, ARCHIVE):
        (tmp_path / f"{name}.77{PARTIAL}").write_text("half")
    study = Study.create(tmp_path, recipe={"epochs": 1}, workers=0)
    assert not list(study.path.glob(f"*{PARTIAL}"))


@pytest.mark.parametrize("name", [f"work{PARTIAL}", f"{ARCHIVE}.77{PARTIAL}", DATA])
def test_no_study_is_made_among_folders_of_the_user(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "mine").touch()
    with pytest.raises(
        InputError, match="is not a study; allowed for a new one: a folder that does not exist or is empty"
    ):
        Study.create(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == [name, "mine"]


def test_the_share_of_images_for_tune_is_chosen_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"tune share 1\.5 is not between 0 and 1"):
        Study.create(tmp_path / "study", tune_share=1.5)
    assert not (tmp_path / "study").exists()
    with Study.create(tmp_path / "study", tune_share=0.2) as study:
        splits = study.images.splits()
        assert (len(splits.train), len(splits.tune)) == (1149, 288)
    Study.create(tmp_path / "study", tune_share=0.2, exist_ok=True).close()
    with pytest.raises(InputError, match=r"has tune share 0\.2, got --tune-share 0\.3"):
        Study.create(tmp_path / "study", tune_share=0.3, exist_ok=True)


def test_a_study_is_not_made_twice(study_path: Path) -> None:
    with pytest.raises(InputError) as error:
        Study.create(study_path)
    assert str(error.value) == (
        f"{study_path} already has a study; open it, or give a folder that does not exist or is empty"
    )


@pytest.mark.parametrize(
    ("reference", "exits", "message"),
    [
        ("Shortcut", ["midle"], "the backbone has no module 'midle'; did you mean middle?"),
        ("Shortcat", ["middle"], "has no 'Shortcat'; did you mean Shortcut?"),
        ("Moody", ["middle"], "the backbone's forward differs between training"),
    ],
)
def test_a_backbone_that_cannot_be_cut_is_refused_before_the_images_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str, exits: list[str], message: str
) -> None:
    def read(*arguments: object) -> None:
        raise AssertionError("images were read")

    monkeypatch.setattr(creation, "read_images", read)
    with pytest.raises(InputError) as error:
        Study.create(tmp_path / "study", space=mount(f"tests.helpers.networks:{reference}", exits))
    assert message in str(error.value)
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(("size", "name"), [(8, "tiny"), (28, "compact")])
def test_the_space_follows_the_size_of_the_images(tmp_path: Path, size: int, name: str) -> None:
    with Study.create(tmp_path / "study", image_size=size) as study:
        assert study.space.spec.name == name
        Study.create(study.path, image_size=size, exist_ok=True).close()


def test_without_a_usual_space_those_that_fit_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        Study.create(tmp_path / "study", image_size=96)
    assert str(error.value) == (
        "images of 96 pixels need a --space (allowed: aebnas, edanas, edanas-resolution, nachos, or a file whose name "
        "ends in .yaml), or an --image-size of 8 to 16 or 28 to 64"
    )
