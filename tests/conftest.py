"""Fixtures of all tests: spaces, one small architecture, and the digits cut into a study's splits."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
from filelock import FileLock
from hypothesis import settings

from surrogate_nas import datasets
from surrogate_nas.api import Study
from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.cli.app import main
from surrogate_nas.datasets.dataset import Splits
from surrogate_nas.datasets.splitting import split
from surrogate_nas.exits.limits import Limits
from surrogate_nas.export.folder import EXPORTS
from surrogate_nas.foundation.threads import one_thread
from surrogate_nas.search.bayesian import curve_value, pool
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.spec import parse_spec, preset, preset_names
from surrogate_nas.surrogates import gp, switching, xgb
from tests.helpers.constants import patched
from tests.helpers.outputs import SMALL_STUDY

collect_ignore = ["data"]
"""Files that older versions wrote, some of them Python."""

settings.register_profile("laws", deadline=None, max_examples=30, derandomize=True, database=None)
settings.load_profile("laws")

USER_SPACE: dict[str, Any] = {
    "name": "user",
    "image_sizes": [8, 8],
    "stem": {"width": [4]},
    "stages": [
        {"block": ["residual"], "depth": [1], "width": [4, 8], "kernel": [3], "stride": 1},
        {
            "block": ["residual", "inverted"],
            "depth": [1],
            "width": [8],
            "kernel": [3, 5],
            "expansion": [1, 3],
            "stride": 2,
        },
        {"block": ["inverted"], "depth": [2], "width": [8], "kernel": [3], "stride": 2},
    ],
    "branch": {"depth": [0, 1], "layer": ["separable"], "channels": [8, 16], "pool": [2]},
}


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session", autouse=True)
def one_command_line() -> Iterator[None]:
    """The command line is put together once a process, as by whoever types one command, and not for each command."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(typer.main, "get_command", cache(typer.main.get_command))
        yield


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command in this process; returns its exit code, stdout and stderr."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["surrogate-nas", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


@pytest.fixture(scope="session", autouse=True)
def on_one_thread() -> Iterator[None]:
    with one_thread():
        yield


LITTLE_EFFORT: dict[ModuleType, dict[str, int]] = {
    gp: {"FIT_ITERATIONS": 2},
    xgb: {"ROUNDS": 8, "MEMBERS": 2},
    pool: {"POOL_SAMPLES": 64, "POOL_MUTANTS": 32, "POOL_CHILDREN": 32, "MOST_NEIGHBORS": 64},
    curve_value: {"CURVE_SAMPLES": 8},
}
"""Constants that decide how good fits and proposals are, and not which there are."""


@pytest.fixture(scope="module")
def quick_fits() -> Iterator[None]:
    """Fits and proposals in this process that take a fraction of a second."""
    with patched(LITTLE_EFFORT):
        yield


@pytest.fixture(scope="module")
def quick_regressors() -> Iterator[None]:
    """Adaptive switching between two regressors that are fitted at once."""
    quick = {name: switching.REGRESSORS[name] for name in ("RBF", "CART ensemble")}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(switching, "REGRESSORS", quick)
        patched.setattr(switching, "TREES", 5)
        yield


@pytest.fixture
def user_mapping() -> dict[str, Any]:
    """Content of a user's space file, to be spoilt."""
    return deepcopy(USER_SPACE)


@pytest.fixture(scope="session")
def user_space() -> SearchSpace:
    """192 architectures; most of its genes have a single value."""
    return SearchSpace(parse_spec(USER_SPACE))


@pytest.fixture(scope="session", params=[*preset_names(), "user"])
def space(request: pytest.FixtureRequest) -> SearchSpace:
    """Every preset, and a space of a user's own."""
    return SearchSpace(parse_spec(USER_SPACE) if request.param == "user" else preset(request.param))


@pytest.fixture(scope="session")
def architecture() -> Architecture:
    """Three exits, for 8×8 images; trains in seconds."""
    return Architecture.parse("stem-w8-s1/res-d1-w8-k3-s1@linear/inv-d1-w16-k3-e2-s2@conv-d1-c8-p2/res-d1-w16-k3-s2")


@pytest.fixture(scope="session")
def digits() -> Splits:
    return split(datasets.load("digits"), seed=0, tune_share=0.1)


def made_once(name: str, make: Callable[[Path], object], factory: pytest.TempPathFactory) -> Path:
    """A copy of a folder that is made once, however many workers pytest has (`-n 2`); nobody else touches the copy."""
    own = factory.getbasetemp()
    made = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / name
    with FileLock(made.with_suffix(".lock")):
        if not made.exists():
            partial = made.with_suffix(".partial")
            make(partial)
            partial.rename(made)
    return Path(shutil.copytree(made, factory.mktemp("copies") / name))


@pytest.fixture(scope="session")
def study_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small, complete, real study of the digits. Tests read it; those that write take a copy."""

    def make(path: Path) -> None:
        with patched(LITTLE_EFFORT):
            study = Study.create(path, seed=3, **SMALL_STUDY)
            study.run()
            study.fit()
        study.archive.close()  # which folds SQLite's log into the file; else whoever closes it later would

    return made_once("study", make, tmp_path_factory)


@pytest.fixture(scope="session")
def with_baselines(study_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the study in which all its baselines have been trained. Tests read it."""

    def make(path: Path) -> None:
        study = Study.open(shutil.copytree(study_path, path))
        study.baselines(everything=True)
        study.archive.close()

    return made_once("with_baselines", make, tmp_path_factory)


@pytest.fixture(scope="session")
def exporting(study_path: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A copy of the study in which one of its networks with three exits has been exported, and that network's id."""

    def make(path: Path) -> None:
        study = Study.open(shutil.copytree(study_path, path))
        network = next(r.id for r in study.records() if len(r.architecture.exit_positions) == 3)
        study.export(network, limits=Limits(), tiers=5)
        study.archive.close()

    path = made_once("exporting", make, tmp_path_factory)
    [folder] = (path / EXPORTS).iterdir()
    return path, folder.name


@pytest.fixture(scope="session")
def exported(exporting: tuple[Path, str]) -> Path:
    """The exported network as a folder. Tests read it; those that write take a copy."""
    path, id = exporting
    return path / EXPORTS / id
