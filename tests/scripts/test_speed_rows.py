"""Timings of two checkouts in turn, and the networks that are drawn for them."""

import runpy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.surrogates.metrics import kendall

FOLDER = Path(__file__).parents[2] / "scripts/bench/speed"
ROWS = SimpleNamespace(**runpy.run_path(str(FOLDER / "rows.py")))
DRAWN = SimpleNamespace(**runpy.run_path(str(FOLDER / "drawn.py")))
TIMING = """
import json, os, pathlib
path = pathlib.Path({log!r})
turns = path.read_text().split() if path.exists() else []
path.write_text(" ".join([*turns, pathlib.Path(os.environ["PYTHONPATH"]).name]))
print(json.dumps({{"slow s": 10 - len(turns), "peak MiB": 0.0}}))
"""
HUNGRY = """
import subprocess, sys
sys.path.insert(0, {folder!r})
subprocess.run([sys.executable, "-c", "import time; kept = b'1' * 100_000_000; time.sleep(1.5)"])
from rows import print_row
print_row({{}})
"""


def test_checkouts_take_turns_and_the_least_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script, log = tmp_path / "script.py", tmp_path / "log"
    script.write_text(TIMING.format(log=str(log)))
    rows = ROWS.rows_of({"before": tmp_path / "old", "new": tmp_path / "young"}, [str(script)], 2)
    assert log.read_text().split() == ["old", "young"] * 2
    assert rows == {"before": {"slow s": 8, "peak MiB": 0}, "new": {"slow s": 7, "peak MiB": 0}}
    ROWS.print_rows(["five", "10"], rows, {"slow s": "{:.1f}", "peak MiB": "{:.0f}"})
    assert capsys.readouterr().out.splitlines() == [
        "| five | 10 | before | 8.0 | 0 |",
        "| five | 10 | new | 7.0 | 0 |",
        "| five | 10 | before / new | 1.14× | – |",
    ]


def test_a_row_that_fails_tells_why(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("raise ValueError('no time')")
    with pytest.raises(RuntimeError, match="no time"):
        ROWS.rows_of({"new": tmp_path}, [str(script)], 1)


def test_memory_of_children_counts(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(HUNGRY.format(folder=str(FOLDER)))
    (row,) = ROWS.rows_of({"new": FOLDER.parents[2]}, [str(script)], 1).values()
    assert row["peak MiB"] > 100


def test_what_is_timed_is_added() -> None:
    row: dict[str, float] = {}
    with ROWS.timed(row, "sum"):
        sum(range(100_000))
    assert set(row) == {"sum s", "sum CPU s"}
    assert 0 <= row["sum s"] < 60


@pytest.mark.parametrize("text", ["five", "six-10", "five-10,", "five--1"])
def test_cases_that_do_not_exist_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="allowed is digits-NUMBER or five-NUMBER, separated by commas"):
        DRAWN.sizes_of("--cases", text)
    assert DRAWN.sizes_of("--cases", "digits-32,five-100") == [("digits", 32), ("five", 100)]


def test_a_folder_without_the_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="allowed is a checkout"):
        ROWS.checkouts(str(tmp_path))


@pytest.mark.parametrize("name", ["digits", "five"])
def test_drawn_networks_have_something_to_learn_beyond_their_costs(name: str) -> None:
    case = replace(DRAWN.CASES[name], samples=1000)
    problem = case.problem
    views, again = (DRAWN.drawn_networks(problem, 40, case.samples) for _ in range(2))
    for (_, exits), (_, same) in zip(views, again, strict=True):
        np.testing.assert_array_equal(exits.scores, same.scores)
    at = np.full((1, problem.space.positions - 1), 0.8)
    accuracy = np.array([exits.measure(at).accuracy[0] for _, exits in views])
    size = np.array([exits.measure(at).worst_macs[0] for _, exits in views], dtype=np.float64)
    merit = np.array([DRAWN.merits(record.architecture)[-1] for record, _ in views])
    together = np.column_stack([np.log10(size), merit, np.ones(len(size))])
    predicted = together @ np.linalg.lstsq(together, accuracy)[0]
    assert accuracy.std() > 3 * np.sqrt(0.25 / case.samples)
    assert 0.2 < kendall(size, accuracy) < kendall(predicted, accuracy)


def test_an_exit_does_not_depend_on_the_stages_after_it() -> None:
    text = "stem-w8-s1/res-d1-w8-k3-s1@conv-d1-c16-p1/{}-w16-k3{}-s2@linear/res-d1-w24-k3-s2"
    plain, other = (Architecture.parse(text.format(*part)) for part in (("res-d1", ""), ("inv-d2", "-e4")))
    before, after = DRAWN.merits(plain), DRAWN.merits(other)
    assert before[0] == after[0]
    assert (before[1:] < after[1:]).all()
