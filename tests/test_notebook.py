"""The notebook of the documentation runs, and what it stores is small and of no particular machine."""

import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs/notebooks/first_study.ipynb"
SMALL = {"BUDGET": "8", "INITIAL": "6", "EPOCHS": "1", "LIMITS": "{'max_macs': '200k'}"}
MOST_BYTES = 300_000


def kinds(cell: Any) -> list[str]:
    """MIME types of what a cell shows, and names of what it prints to."""
    return [kind for output in cell.get("outputs", ()) for kind in output.get("data", {output.get("name", ""): ""})]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the libraries that run it
def test_it_runs_and_draws_the_front(tmp_path: Path) -> None:
    pytest.importorskip("nbclient")
    script = runpy.run_path(str(ROOT / "scripts/tools/run_notebook.py"))
    run = script["executed"](NOTEBOOK, tmp_path, SMALL)  # which raises where a cell fails
    assert all(cell.execution_count for cell in run.cells if cell.cell_type == "code")
    assert ["image/png" in kinds(cell) for cell in run.cells if "draw_front(axes)" in cell.source] == [True, True]
    assert (tmp_path / "studies/first/archive.sqlite").is_file()


def test_it_is_stored_as_it_ran_from_top_to_bottom() -> None:
    nbformat = pytest.importorskip("nbformat")
    stored = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(stored)
    code = [cell for cell in stored.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [*range(1, len(code) + 1)]
    assert any("image/png" in kinds(cell) for cell in code)
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert len(text.encode()) < MOST_BYTES
    assert not any(word in text for word in (str(Path.home()), "/tmp", "Traceback"))
