"""The benchmark of search strategies on any table: what is measured, what limits mean, what bad arguments say."""

import csv
import importlib.util
import itertools
import json
import runpy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.eenn_table import EENN_TABLE, needs_eenn_table

SCRIPT = Path(__file__).parents[2] / "scripts/bench/tables/bench_search.py"
STRATEGIES = ("ours", "ours-gp", "ours-xgb", "gp-nehvi", "random", "nsga2", "optuna-tpe", "optuna-nsga2", "optuna-gp")
INITIAL, BUDGET = 8, 11
QUICK = ("random", "nsga2", "optuna-tpe", "optuna-nsga2")


@dataclass
class Outcome:
    """Outcome of a run of the script."""

    code: str | int | None
    stdout: str
    stderr: str


@pytest.fixture
def bench(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Runs the script in this process, with tiny budgets unless told otherwise."""

    def run(table: Path | None, *arguments: str | Path | int) -> Outcome:
        options = {
            "--table": table,
            "--inputs": "depth,width,kind,pool,skip",
            "--target": "acc",
            "--cost": "macs",
            "--kinds": "ordinal,ordinal,nominal,nominal,nominal",
            "--initial": INITIAL,
            "--budget": BUDGET,
            "--batch": 2,
            "--seeds": 1,
        }
        if table is None:
            options = {name: options[name] for name in ("--initial", "--budget", "--batch", "--seeds")}
        options |= dict(zip(arguments[::2], arguments[1::2], strict=True))
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *(str(part) for pair in options.items() for part in pair)])
        monkeypatch.syspath_prepend(str(SCRIPT.parent))
        code = None
        try:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        except SystemExit as ended:
            code = ended.code
        return Outcome(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3⁵ networks, of which one has no accuracy."""
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("table") / "networks.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["depth", "width", "kind", "pool", "skip", "macs", "acc"])
        for i, (depth, width, kind, pool, skip) in enumerate(itertools.product(range(3), repeat=5)):
            macs = (1 + depth) * (1 + width) ** 2 * (1 + 0.2 * kind) * (1 + 0.1 * skip)
            acc = 0.5 + 0.08 * np.log(macs) + 0.02 * (kind == 1) - 0.03 * (pool == 2) + 0.003 * rng.normal()
            names = ["conv", "res", "inv"][kind], ["max", "mean", "none"][pool], ["a", "b", "c"][skip]
            writer.writerow([depth, width, *names, f"{macs:.6g}", "" if i == 7 else f"{acc:.6g}"])
    return path


@pytest.mark.parametrize(
    "strategy", [pytest.param(s, marks=pytest.mark.slow) if s == "ours" else s for s in STRATEGIES]
)
def test_curves_rise_from_the_same_beginning_and_a_seed_decides_the_rows(
    bench: Callable[..., Outcome], table: Path, tmp_path: Path, strategy: str
) -> None:
    if strategy.startswith("optuna") and importlib.util.find_spec("optuna") is None:
        pytest.skip("Optuna is not installed")
    budget = BUDGET if strategy in QUICK else INITIAL + 2
    for out in ("one.json", "two.json"):
        outcome = bench(table, "--strategies", f"{strategy},random", "--budget", budget, "--json", tmp_path / out)
        assert outcome.code is None
    runs, again = (json.loads((tmp_path / out).read_text())["runs"] for out in ("one.json", "two.json"))
    assert [run["evaluated"] for run in runs] == [run["evaluated"] for run in again]
    assert len({tuple(run["evaluated"][:INITIAL]) for run in runs}) == 1
    assert len({run["hypervolume"][INITIAL - 1] for run in runs}) == 1
    for run in runs:
        assert len(set(run["evaluated"])) == budget
        assert 7 not in run["evaluated"]
        assert (np.diff(run["hypervolume"]) >= 0).all()
        assert 0 <= min(run["hypervolume"]) <= max(run["hypervolume"]) <= 1
    assert f"| {strategy} | 1 |" in outcome.stdout


def test_what_is_there_is_not_run_again(bench: Callable[..., Outcome], table: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs.json"
    bench(table, "--strategies", "random", "--json", out)
    document = json.loads(out.read_text())
    document["runs"][0]["seconds_per_proposal"] = 77.0
    out.write_text(json.dumps(document))
    outcome = bench(table, "--strategies", "random,nsga2", "--seeds", 2, "--json", out)
    document = json.loads(out.read_text())
    assert document["runs"][0]["seconds_per_proposal"] == 77.0
    assert [(run["strategy"], run["seed"]) for run in document["runs"]] == [
        ("random", 0),
        ("nsga2", 0),
        ("random", 1),
        ("nsga2", 1),
    ]
    assert document["summary"]["hypervolume"]["random"]["seeds"] == 2
    assert "Trainings until the mean is at the final mean of" in outcome.stdout
    other = bench(table, "--strategies", "random", "--max-cost", "30%", "--json", out)
    assert other.code == 2
    assert "has runs of another problem" in other.stderr


def test_a_strategy_may_have_its_own_budget_and_batch(
    bench: Callable[..., Outcome], table: Path, tmp_path: Path
) -> None:
    out, picture = tmp_path / "runs.json", tmp_path / "runs.png"
    outcome = bench(table, "--strategies", "random:14:3,nsga2", "--json", out, "--figure", picture)
    assert outcome.code is None
    assert [len(run["evaluated"]) for run in json.loads(out.read_text())["runs"]] == [14, BUDGET]
    assert picture.stat().st_size > 1000


@needs_eenn_table
@pytest.mark.slow
def test_the_table_of_early_exit_networks_is_searched(bench: Callable[..., Outcome], tmp_path: Path) -> None:
    out = tmp_path / "runs.json"
    outcome = bench(None, "--eenn-table", EENN_TABLE, "--strategies", "ours-xgb,random,nachos,aebnas", "--json", out)
    assert outcome.code is None
    runs = json.loads(out.read_text())["runs"]
    assert len({tuple(run["evaluated"][:INITIAL]) for run in runs}) == 1
    for run in runs:
        assert len(set(run["evaluated"])) == BUDGET
        assert (np.diff(run["hypervolume"]) >= 0).all()
        assert (np.array(run["delivered"]) <= np.array(run["hypervolume"]) + 1e-12).all()
        assert 0 < run["test_hypervolume"][-1] < 1.1
    own = {run["strategy"]: run["delivered"] == run["hypervolume"] for run in runs}
    assert own == {"ours-xgb": True, "random": True, "nachos": False, "aebnas": False}


@needs_eenn_table
@pytest.mark.slow
def test_limits_on_the_table_of_early_exit_networks(bench: Callable[..., Outcome], tmp_path: Path) -> None:
    out = tmp_path / "runs.json"
    limits = "--max-cost", "30%", "--min-target", "0.99"
    outcome = bench(None, "--eenn-table", EENN_TABLE, "--strategies", "random", *limits, "--json", out)
    assert outcome.code is None
    (run,) = json.loads(out.read_text())["runs"]
    assert run["above_cap"] == 0
    assert set(run["hypervolume"]) == {0.0}
    assert "found nothing that keeps the limits, nor has the table any; nearest is stem-" in outcome.stdout


@pytest.mark.parametrize("strategy", ["ours-gp", "nsga2", "optuna-tpe"])
def test_no_proposal_is_above_the_cap(
    bench: Callable[..., Outcome], table: Path, tmp_path: Path, strategy: str
) -> None:
    if strategy.startswith("optuna") and importlib.util.find_spec("optuna") is None:
        pytest.skip("Optuna is not installed")
    out = tmp_path / "runs.json"
    outcome = bench(table, "--strategies", strategy, "--max-cost", "30%", "--min-target", "20%", "--json", out)
    assert outcome.code is None
    with table.open() as file:
        macs = np.array([float(row["macs"]) for row in csv.DictReader(file)])
    (run,) = json.loads(out.read_text())["runs"]
    assert run["above_cap"] == 0
    assert macs[run["evaluated"]].max() <= np.percentile(np.delete(macs, 7), 30)


@pytest.mark.parametrize("strategy", ["ours-gp", "gp-nehvi", "random"])
def test_limits_that_nothing_keeps_are_reported_with_the_nearest_row(
    bench: Callable[..., Outcome], table: Path, tmp_path: Path, strategy: str
) -> None:
    out = tmp_path / "runs.json"
    outcome = bench(table, "--strategies", strategy, "--max-cost", "30%", "--min-target", "0.99", "--json", out)
    assert outcome.code is None
    message = (
        f"infeasible: {strategy}, seed 0, found nothing that keeps the limits, nor has the table any; nearest is row"
    )
    assert message in outcome.stdout
    (run,) = json.loads(out.read_text())["runs"]
    assert int(run["nearest"]["network"].removeprefix("row ")) in run["evaluated"]
    assert set(run["hypervolume"]) == {0.0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("--strategies", "ours,odd"), "--strategies odd: allowed are ours, ours-gp"),
        (("--strategies", ","), "--strategies ',': allowed are ours, ours-gp"),
        (("--strategies", "ours:ten"), "--strategies ours:ten: allowed is NAME, NAME:BUDGET or NAME:BUDGET:BATCH"),
        (("--strategies", "ours:500"), "--budget 500: allowed is from 8 to 242"),
        (("--budget", 500), "--budget 500: allowed is from 8 to 242 (networks within the cap)"),
        (("--initial", 4), "--initial 4: allowed is from 8 to 11"),
        (("--batch", 0), "--batch 0: allowed is from 1 to 242"),
        (("--seeds", 0), "--seeds 0: allowed is at least 1"),
        (
            ("--max-cost", "cheap"),
            "--max-cost cheap: allowed is a number, or a percentile of the table from 0% to 100%",
        ),
        (("--max-cost", "0.5"), "--max-cost 0.5: allowed is at least 1, the cheapest row's cost"),
        (("--min-target", "120%"), "--min-target 120%: allowed is a number, or a percentile"),
        (("--cost", "flops"), "has no column flops; it has depth, width"),
        (("--table", "nowhere.csv"), "nowhere.csv cannot be read"),
    ],
)
def test_bad_arguments_are_one_line(
    bench: Callable[..., Outcome], table: Path, changes: tuple[str, str], message: str
) -> None:
    outcome = bench(table, *changes)
    assert outcome.code == 2
    *notes, error = outcome.stderr.splitlines()
    assert error.startswith("error: ")
    assert message in error
    assert all(note.startswith("note: ") for note in notes)


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_warped_target_comes_back(monkeypatch: pytest.MonkeyPatch, sign: int) -> None:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    warp_of = runpy.run_path(str(SCRIPT.with_name("search_warp.py")))["Warp"].of
    y = sign * np.random.default_rng(0).exponential(size=60)
    y = (y - y.mean()) / y.std()
    warp = warp_of(y)
    np.testing.assert_allclose(warp.back(torch.from_numpy(warp(y))), y, atol=1e-9)
    assert abs(np.mean(warp(y) ** 3)) < abs(np.mean(y**3)) / 2
    assert warp.back(torch.tensor([-50.0])).isfinite().all()
