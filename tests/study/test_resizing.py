"""How pictures become square belongs to a study: its source is read again the same way, and no other is accepted."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from surrogate_nas import datasets
from surrogate_nas.api import Study
from surrogate_nas.archive.header import Header
from surrogate_nas.datasets.resizing import RESIZES, ResizeName
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.study.paths import DATA
from tests.conftest import Command


def portraits(folder: Path, n: int = 40) -> Path:
    """2n pictures of 12×16 pixels in two classes."""
    rng = np.random.default_rng(0)
    for name, low in (("dark", 0), ("light", 100)):
        (folder / name).mkdir(parents=True)
        for i in range(n):
            Image.fromarray(rng.integers(low, low + 150, (16, 12), np.uint8)).save(folder / name / f"{i}.png")
    return folder


@pytest.mark.parametrize("resize", [None, *RESIZES])
def test_the_source_is_read_again_the_same_way(tmp_path: Path, resize: ResizeName | None) -> None:
    source = portraits(tmp_path / "photos")
    study = Study.create(tmp_path / "study", data=source, image_size=8, resize=resize, workers=0)
    before = study.images.dataset
    assert before.resize == study.archive.header.resize == (resize or "crop")
    (study.path / DATA).unlink()
    again = Study.open(study.path).images.dataset
    assert again.fingerprint() == before.fingerprint()
    assert again.resize == before.resize
    (source / "dark" / "0.png").touch()  # whose stamp says no longer that it is the same
    study.images.require_data(str(source), 8, None, resize=resize)


def test_a_study_of_an_older_version_took_the_central_square(tmp_path: Path) -> None:
    study = Study.create(tmp_path / "study", data="digits", workers=0)
    values = json.loads(study.archive.header.to_json())
    del values["resize"]
    assert Header.from_json(json.dumps(values)) == study.archive.header
    assert study.archive.header.resize == "crop"
    with pytest.raises(ValueError, match="resize 3 is not text"):
        Header.from_json(json.dumps({**values, "resize": 3}))


def test_another_way_is_refused(tmp_path: Path, command: Command) -> None:
    source, path = portraits(tmp_path / "photos"), tmp_path / "study"
    study = Study.create(path, data=source, image_size=8, resize="pad", workers=0)
    study.close()
    for got, complaint in (
        ("squash", f"study {path} was created with --resize pad, got --resize squash"),
        ("fill", "--resize fill is not one of crop, pad, squash"),
    ):
        code, _, err = command("collect", path, "--n", 1, "--resize", got)
        assert (code, err.splitlines()[-1]) == (2, f"error: {complaint}")
    code, _, err = command("collect", tmp_path / "new", "--n", 1, "--resize", "fill")
    assert (code, err) == (2, "error: --resize fill is not one of crop, pad, squash\n")
    assert not (tmp_path / "new").exists()


def test_images_in_memory_have_been_made_square_before(tmp_path: Path) -> None:
    pairs = [(np.full((12, 8), i, np.uint8), i % 2) for i in range(80)]
    data = datasets.from_torch(pairs, image_size=8, resize="pad")
    with pytest.raises(InputError, match="images in memory were made square by pad, got resize crop; pass resize to"):
        Study.create(tmp_path / "study", data=data, resize="crop")
    assert Study.create(tmp_path / "study", data=data, resize="pad", workers=0).archive.header.resize == "pad"
    assert Study.create(tmp_path / "other", data=data, workers=0).archive.header.resize == "pad"
