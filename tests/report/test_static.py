"""Laws of the figures for print: the same bytes for the same study, and no trace of having been drawn."""

import io
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import matplotlib
import pytest
from PIL import Image

from surrogate_nas.api import Study
from surrogate_nas.exits.limits import Limits
from surrogate_nas.report.contents import Contents
from surrogate_nas.report.static import DOTS_PER_INCH, SIZE, static_figures
from tests.helpers.reports import contents_of

pytestmark = pytest.mark.usefixtures("quick_fits")


@pytest.fixture(scope="module")
def contents(study_path: Path) -> Contents:
    return contents_of(Study.open(study_path))


@pytest.fixture(scope="module")
def figures(contents: Contents) -> dict[str, bytes]:
    return static_figures(contents)


def test_the_same_study_gives_the_same_bytes(study_path: Path, figures: dict[str, bytes]) -> None:
    assert static_figures(contents_of(Study.open(study_path))) == figures


def test_pictures_are_as_large_as_a_page_is_wide(figures: dict[str, bytes]) -> None:
    expected = tuple(round(DOTS_PER_INCH * side) for side in SIZE)
    pictures = [Image.open(io.BytesIO(content)) for name, content in figures.items() if name.endswith(".png")]
    assert [picture.size for picture in pictures] == [expected] * 3
    assert {picture.convert("RGB").getpixel((0, 0)) for picture in pictures} == {(255, 255, 255)}


def test_drawings_are_svg_without_a_date(figures: dict[str, bytes]) -> None:
    for name in ("front.svg", "exit_mix.svg", "hypervolume.svg"):
        assert ElementTree.fromstring(figures[name]).tag.endswith("svg")
        assert b"dc:date" not in figures[name]


@pytest.mark.slow
def test_drawing_leaves_matplotlib_as_it_was(contents: Contents, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(matplotlib.rcParams, "font.size", 31.0)
    before = dict(matplotlib.rcParams)
    figures = static_figures(contents)
    assert dict(matplotlib.rcParams) == before
    monkeypatch.undo()
    assert static_figures(contents) == figures


@pytest.mark.parametrize("limits", [Limits(), Limits(max_macs=5e4), Limits(min_accuracy=0.5)])
def test_there_are_figures_under_any_limits(contents: Contents, limits: Limits) -> None:
    nearest = replace(contents, limits=limits, front=(), nearest=contents.front[0])
    assert len(static_figures(nearest)) == 6


def test_a_study_without_trainings_has_no_figures(contents: Contents) -> None:
    assert static_figures(replace(contents, records=(), networks=(), front=(), hypervolume=())) == {}


def test_the_command_line_starts_without_matplotlib() -> None:
    check = "import sys, surrogate_nas.cli; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60)
