"""The path of a user from the command line, with images of their own and a disk that misbehaves."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from surrogate_nas.archive.archive import Archive
from surrogate_nas.study.paths import ARCHIVE
from tests.helpers.disk import small_disk

pytestmark = pytest.mark.slow
SIZES = ((48, 48), (72, 54), (40, 60))


def command(*words: object) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "surrogate_nas", *map(str, words)]
    return subprocess.run(program, capture_output=True, text=True, check=False)


# ---------------------------------------------------------------------- a folder of photographs


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """240 patches of three sizes; the classes are the left and right halves of two photographs."""
    rng = np.random.default_rng(0)
    for name, photo in zip(("china", "flower"), load_sample_images().images, strict=True):
        for side, half in zip(("left", "right"), np.split(photo, 2, axis=1), strict=True):
            folder = tmp_path / "photos" / f"{name}-{side}"
            folder.mkdir(parents=True)
            for i in range(60):
                width, height = SIZES[i % 3]
                y, x = rng.integers(half.shape[0] - height), rng.integers(half.shape[1] - width)
                patch = Image.fromarray(np.ascontiguousarray(half[y : y + height, x : x + width]))
                patch.save(folder / f"{i}.{('png', 'jpg')[i % 2]}")
    return tmp_path / "photos"


def test_a_folder_of_photographs_goes_through_collect_search_and_report(photos: Path) -> None:
    study = photos.parent / "study"
    given = ["--data", photos, "--image-size", 28, "--space", "compact", "--epochs", 2, "--max-worst-macs", 2e6]
    collected = command("collect", study, "--n", 8, *given)
    assert collected.returncode == 0, collected.stderr
    assert "240 images of 3 sizes" in collected.stderr
    searched = command("search", study, "--budget", 10, "--batch", 2)
    assert searched.returncode == 0, searched.stderr
    assert command("baselines", study, "--all").returncode == 0  # ResNet-8 is beyond the limit
    assert command("report", study).returncode == 0
    page = (study / "report.html").read_text()
    for expected in ("china-left", "flower-right", "ResNet-8", "28 × 28 pixels with 3 channels"):
        assert expected in page
    assert [r.proposal.origin for r in Archive.open(study / ARCHIVE).records()] == ["initial"] * 8 + ["search"] * 2


# ---------------------------------------------------------------------- a disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, 20 MB large."""
    with small_disk(tmp_path / "disk") as disk:
        yield disk


RUN = ("--budget", "10", "--initial", "8", "--batch", "2", "--epochs", "4", "--workers", "1", "--surrogate", "gp")


def one_line(error: str) -> str:
    """The last line, which is the error."""
    *_, last = error.splitlines()
    assert error.count("error:") == 1
    return last


def records(study: Path) -> list[str]:
    """A line for each; the file is not left open, so that its disk can be remounted."""
    return command("archive", "dump", study).stdout.splitlines()


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_a_full_and_a_read_only_disk_are_one_line_and_the_run_continues(disk: Path) -> None:
    study = disk / "study"
    program = [sys.executable, "-m", "surrogate_nas", "run", str(study), *RUN]
    running = subprocess.Popen(program, stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    while "[2/10]" not in running.stderr.readline():
        assert running.poll() is None
    filler = disk / "filler"
    fill(filler)
    _, errors = running.communicate()
    assert running.returncode == 1
    assert "No space left on device" in one_line(errors)
    before = records(study)
    assert command("archive", "validate", study).returncode == 0
    assert "No space left" in one_line(command("run", study, *RUN).stderr)

    filler.unlink()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    refused = command("run", study, *RUN)
    assert refused.returncode == 1
    assert "Read-only file system" in one_line(refused.stderr)
    assert records(study) == before

    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    continued = command("run", study, *RUN)
    assert continued.returncode == 0, continued.stderr
    assert len(records(study)) == 10
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert command("query", study, "--sample", 2).returncode == 0
    assert command("report", study, "--output", disk.parent / "report").returncode == 0
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
