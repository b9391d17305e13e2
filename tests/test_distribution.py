"""The source distribution and the wheel hold what they must, and nothing else; the installed wheel runs."""

import email
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Sequence
from email.message import Message
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SOURCE_FOLDERS = {"surrogate_nas", "tests", "scripts", "docs", "data"}
SOURCE_FILES = {
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "PKG-INFO",
    "README.md",
    "pyproject.toml",
    ".gitignore",
}
LARGEST_FILE, LARGEST_SOURCE, LARGEST_WHEEL = 600_000, 3_000_000, 1_000_000
"""Bytes of a file, and of the compressed distributions."""


def build(source: Path, target: str, folder: Path) -> Path:
    """The only distribution that a build of the source leaves in a new folder."""
    pytest.importorskip("hatchling", reason="distributions are built by the extra dev")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", target, "-d", folder], cwd=source, check=True)
    [file] = folder.iterdir()
    return file


def python(words: Sequence[str | Path], path: Path, folder: Path) -> str:
    """Standard output of an interpreter that looks for modules in `path` first."""
    environment = {**os.environ, "PYTHONPATH": str(path)}
    done = subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def source_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "sdist", tmp_path_factory.mktemp("sdist") / "dist")


@pytest.fixture(scope="module")
def source(source_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked source distribution."""
    folder = tmp_path_factory.mktemp("source")
    with tarfile.open(source_archive) as archive:
        archive.extractall(folder, filter="data")
    [unpacked] = folder.iterdir()
    return unpacked


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution alone."""
    return build(source, "wheel", tmp_path_factory.mktemp("wheel") / "dist")


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(archive.read(name))


def files_of(folder: Path) -> set[str]:
    """Paths of the files below a folder, without those that Python leaves there."""
    paths = (p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    return {p.as_posix() for p in paths if "__pycache__" not in p.parts}


def test_the_source_distribution_holds_the_package_its_tests_and_what_they_read(source: Path) -> None:
    files = files_of(source)
    assert {name.partition("/")[0] for name in files} == SOURCE_FOLDERS | SOURCE_FILES
    for folder in ("surrogate_nas", "tests", "scripts"):
        assert files_of(source / folder) == files_of(ROOT / folder)
    assert files_of(source / "docs") == {name for name in files_of(ROOT / "docs") if not name.startswith("_build/")}
    tables = [folder.name for folder in (ROOT / "data").iterdir() if folder.is_dir()]
    assert {"eenn-cifar10", "ladder-cifar10"} <= {*tables}
    assert [files_of(source / "data" / table) for table in tables] == [{"README.md"}] * len(tables)


def test_distributions_are_small(source_archive: Path, source: Path, wheel: Path) -> None:
    assert [name for name in files_of(source) if (source / name).stat().st_size > LARGEST_FILE] == []
    assert source_archive.stat().st_size < LARGEST_SOURCE
    assert wheel.stat().st_size < LARGEST_WHEEL


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == {f"surrogate_nas/{name}" for name in files_of(ROOT / "surrogate_nas")}
    assert {"surrogate_nas/py.typed", "surrogate_nas/serve/assets/serve.css", "surrogate_nas/export/runtime.py"} < names


def test_the_metadata_is_that_of_the_project(metadata: Message) -> None:
    assert (metadata["Name"], metadata["Version"]) == (PROJECT["name"], PROJECT["version"])
    assert metadata.get_all("Provides-Extra") == sorted(PROJECT["optional-dependencies"])
    required = {line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line}
    assert required == set(PROJECT["dependencies"])
    assert all(">=" in line for line in required)
    assert metadata.get_all("License-File") == ["LICENSE"]


def test_the_citation_is_of_this_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^(?:version|license): (.+)$", citation, re.MULTILINE) == [
        PROJECT["version"],
        PROJECT["license"],
    ]


@pytest.mark.slow
def test_the_installed_wheel_runs_elsewhere(wheel: Path, tmp_path: Path) -> None:
    """Other packages are those of this environment."""
    site = tmp_path / "site"
    python(["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", site, wheel], site, tmp_path)
    facts = "import surrogate_nas as sn; print(sn.__version__, sn.__file__)"
    assert python(["-c", facts], site, tmp_path).split() == [
        PROJECT["version"],
        str(site / "surrogate_nas/__init__.py"),
    ]
    assert "collect" in python([site / "bin/surrogate-nas", "--help"], site, tmp_path)


@pytest.mark.slow
def test_the_source_distribution_can_run_its_tests(source: Path) -> None:
    collected = python(["-m", "pytest", "-q", "--collect-only"], source, source)
    assert "error" not in collected.splitlines()[-1]
    few = ["tests/test_layers.py", "tests/scripts/test_readme.py", "tests/test_docs.py", "-k", "links or room or line"]
    assert " failed" not in python(["-m", "pytest", "-q", *few], source, source)
