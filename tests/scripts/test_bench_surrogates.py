"""The benchmark of surrogates on any table: what it makes of tables as people have them."""

import csv
import json
import runpy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "scripts/bench/tables/bench_surrogates.py"


@dataclass
class Outcome:
    """Outcome of a run of the script."""

    error: str | int | None
    stderr: str


@pytest.fixture
def bench(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Runs the script in this process."""

    def run(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
        error = None
        try:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        except SystemExit as ended:
            error = ended.code
        return Outcome(error, capsys.readouterr().err)

    return run


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 networks; a text, a gap, a cost of 0, a constant column."""
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("table") / "networks.csv"
    rows: list[dict[str, Any]] = []
    for i in range(80):
        depth, width, kind = int(rng.integers(1, 5)), int(rng.choice([8, 16, 32])), str(rng.choice(["res", "inv"]))
        macs = depth * width**2 * (2 if kind == "res" else 1)
        accuracy = 0.5 + 0.05 * np.log(macs) + 0.02 * (kind == "inv") + rng.normal() * 0.003
        rows.append(
            {"name": f"n{i}", "depth": depth, "width": width, "kind": kind, "same": 7, "macs": macs, "acc": accuracy}
        )
    rows[3]["depth"] = "deep"
    rows[4]["acc"] = ""
    rows[5]["macs"] = 0
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.slow
def test_gaps_text_and_constant_columns_are_reported_and_the_rest_is_judged(
    bench: Callable[..., Outcome], table: Path, tmp_path: Path
) -> None:
    out = tmp_path / "rows.json"
    outcome = bench(
        "--table",
        table,
        "--inputs",
        "depth,width,kind,same",
        "--kinds",
        "ordinal,ordinal,nominal,ordinal",
        "--target",
        "acc",
        "--costs",
        "macs",
        "--train",
        "30",
        "--seeds",
        "1",
        "--json",
        out,
    )
    assert outcome.error is None
    assert "depth is not a number in 1 rows, such as 'deep'" in outcome.stderr
    assert "3 of 80 rows left out: gaps, or no number above 0, in depth, acc, macs" in outcome.stderr
    assert "constant, so left out: same" in outcome.stderr
    rows = json.loads(out.read_text())["rows"]
    names = ["gp", "xgb", "stack", "switching", "size", "selected", "plain-boosters"]
    names += ["default-xgboost", "default-xgboost+costs"]
    assert [row["surrogate"] for row in rows] == names
    assert set(rows[0]) == {"surrogate", "n", "seed", "tau", "r2", "coverage90", "fit_s", "rows_per_s"}
    by_name = {row["surrogate"]: row for row in rows}
    assert by_name["selected"]["tau"] > 0.7
    assert by_name["selected"]["tau"] in {by_name[name]["tau"] for name in ("gp", "xgb", "stack")}
    assert 0.5 < by_name["gp"]["coverage90"] <= 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--inputs": "depth,hight"}, "has no column hight; it has name, depth, width"),
        ({"--kinds": "ordinal,odd"}, "--kinds ordinal,odd: allowed are ordinal or nominal, one or as many as --inputs"),
        ({"--train": "30,many"}, "--train 30,many is not numbers separated by commas"),
        ({"--train": "500"}, "fewer than the 77 complete ones"),
        ({"--target": "same"}, "target same is the same in all"),
        ({"--table": "nowhere.csv"}, "nowhere.csv cannot be read"),
    ],
)
def test_bad_arguments_are_one_line(
    bench: Callable[..., Outcome], table: Path, changes: dict[str, str], message: str
) -> None:
    options = {
        "--table": str(table),
        "--inputs": "depth,width",
        "--kinds": "ordinal",
        "--target": "acc",
        "--costs": "macs",
        "--train": "30",
        "--seeds": "1",
    } | changes
    outcome = bench(*(text for pair in options.items() for text in pair))
    assert str(outcome.error).startswith("error: ")
    assert message in str(outcome.error)
    assert len(str(outcome.error).splitlines()) == 1
