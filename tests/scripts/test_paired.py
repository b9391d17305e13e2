"""Figures of the same draws by two checkouts: which package measures, what is kept, and intervals of differences."""

import json
import runpy
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from surrogate_nas.foundation.errors import InputError

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "scripts/bench/tables"
PAIRED = SimpleNamespace(**runpy.run_path(str(FOLDER / "paired.py")))
MEASURING = """
import sys
sys.path.insert(0, {folder!r})
from paired import serve
from surrogate_nas.foundation import errors

def figures(draw):
    with open({log!r}, "a") as file:
        file.write(str(draw["seed"]) + "\\n")
    if draw["seed"] == 13:
        raise ValueError("an unlucky draw")
    return {{"twice": 2 * draw["seed"], "mark": getattr(errors, "MARK", "none")}}

serve(figures)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A script that measures: twice the seed, and a mark of the package that it imports."""
    path = tmp_path / "script.py"
    path.write_text(MEASURING.format(folder=str(FOLDER), log=str(tmp_path / "log")))
    return path


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """A checkout of the lowest room alone, with a mark."""
    package = tmp_path / "before" / "surrogate_nas"
    shutil.copytree(ROOT / "surrogate_nas/foundation", package / "foundation")
    shutil.copy(ROOT / "surrogate_nas/__init__.py", package)
    with (package / "foundation/errors.py").open("a") as file:
        file.write("\nMARK = 'before'\n")
    return package.parent


def test_each_checkout_measures_by_its_own_package_and_a_run_goes_on_where_it_was_stopped(
    script: Path, before: Path, tmp_path: Path
) -> None:
    file, folders = tmp_path / "figures.jsonl", PAIRED.checkouts(str(before))
    assert list(folders) == ["before", "new"]
    draws = [{"seed": seed} for seed in range(3)]
    first = PAIRED.measured(draws[:2], folders, [str(script)], PAIRED.Ledger.open(str(file)), 2)
    again = PAIRED.measured(draws, folders, [str(script)], PAIRED.Ledger.open(str(file)), 1)
    assert again == {
        name: [{"twice": 2 * seed, "mark": mark} for seed in range(3)]
        for name, mark in (("before", "before"), ("new", "none"))
    }
    assert {name: figures[:2] for name, figures in again.items()} == first
    assert sorted((tmp_path / "log").read_text().split()) == ["0", "0", "1", "1", "2", "2"]
    assert len(file.read_text().splitlines()) == 6


def test_equal_sources_are_measured_once(script: Path, tmp_path: Path) -> None:
    here = PAIRED.this_checkout()
    figures = PAIRED.measured([{"seed": 7}], {"before": here, "new": here}, [str(script)], PAIRED.Ledger(), 2)
    assert figures == {name: [{"twice": 14, "mark": "none"}] for name in ("before", "new")}
    assert (tmp_path / "log").read_text() == "7\n"


def test_a_process_that_ends_tells_why(script: Path) -> None:
    with pytest.raises(RuntimeError, match="an unlucky draw"):
        PAIRED.measured([{"seed": 13}], PAIRED.checkouts(None), [str(script)], PAIRED.Ledger(), 1)


def test_figures_are_those_of_the_source_that_decides_them(before: Path) -> None:
    one = PAIRED.source_of(before)
    (before / "surrogate_nas" / "cli").mkdir()
    (before / "surrogate_nas" / "cli" / "app.py").write_text("WORDS = 1\n")
    assert PAIRED.source_of(before) == one
    (before / "surrogate_nas" / "settings.py").write_text("MOST = 1\n")
    assert PAIRED.source_of(before) != one


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"seed": 1})])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "figures.jsonl"
    path.write_text(text + "\n")
    with pytest.raises(InputError, match="is not a file of this script"):
        PAIRED.Ledger.open(str(path))


def test_a_folder_without_the_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"allowed is a checkout, which has a folder surrogate_nas"):
        PAIRED.checkouts(str(tmp_path))


def test_intervals_are_paired() -> None:
    before = np.random.default_rng(0).lognormal(size=40)
    np.testing.assert_allclose(PAIRED.ratio_of_medians(0.7 * before, before), 0.7)
    np.testing.assert_allclose(PAIRED.mean_difference(before + 0.02, before), 0.02)
    noisy = before * np.random.default_rng(1).lognormal(sigma=0.2, size=40)
    value, low, high = PAIRED.ratio_of_medians(noisy, before)
    assert low < value < high
    assert value == pytest.approx(np.median(noisy) / np.median(before))


def test_ninety_percent_intervals_cover_ninety_percent() -> None:
    draws = np.random.default_rng(0).normal(0.1, 1.0, size=(100, 40))
    intervals = [PAIRED.mean_difference(one, np.zeros(40)) for one in draws]
    assert 0.8 < np.mean([low <= 0.1 <= high for _, low, high in intervals]) < 0.97
