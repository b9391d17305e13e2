"""Fixtures for tests of studies."""

import shutil
from pathlib import Path

import pytest

from surrogate_nas.api import Study


@pytest.fixture
def copy(study_path: Path, tmp_path: Path) -> Study:
    return Study.open(shutil.copytree(study_path, tmp_path / "copy"))
