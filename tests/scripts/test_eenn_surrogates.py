"""Figures of surrogates on the table of early-exit networks: what they mean, and what is picked because of them."""

import json
import runpy
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from surrogate_nas.search.tabular.table import EennTable
from surrogate_nas.surrogates.spread import Spread
from tests.helpers.eenn_table import EENN_TABLE, needs_eenn_table

FOLDER = Path(__file__).parents[2] / "scripts/bench/tables"
SURROGATES, WINNERS = FOLDER / "eenn_surrogates.py", FOLDER / "eenn_winners.py"
POLICY = "max_softmax"


def module(script: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.syspath_prepend(str(FOLDER))
    return SimpleNamespace(**runpy.run_path(str(script)))


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Names of `eenn_surrogates.py`."""
    return module(SURROGATES, monkeypatch)


@pytest.fixture
def winners(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Names of `eenn_winners.py`."""
    return module(WINNERS, monkeypatch)


@pytest.fixture(scope="module")
def table() -> EennTable:
    return EennTable.load(EENN_TABLE)


@needs_eenn_table
def test_errors_are_those_of_the_definition(bench: SimpleNamespace, table: EennTable) -> None:
    drawn = bench.Drawn.of(table, bench.drawn_rows(table, 30, None, 0)[0], POLICY, 0)
    true = drawn.measured
    assert drawn.errors(true) == {name: pytest.approx(float("τ" in name)) for name in bench.ERRORS}
    off = drawn.errors(replace(true, rates=true.rates + 0.03, accuracy=-true.accuracy, macs=true.macs * 1.1))
    assert [off[name] for name in (bench.MAE, "rate RMSE", "first exit's rate MAE")] == pytest.approx([0.03] * 3)
    assert [off[name] for name in bench.TAUS] == pytest.approx([-1] * 3)
    assert off["MACs RMSE"] == pytest.approx(0.1)
    one = true.rates.copy()
    one[:, ~drawn.there] += 0.5  # exits that do not exist, and networks without an early exit, do not count
    assert drawn.errors(replace(true, rates=one))[bench.MAE] == 0
    assert true.rates.sum(axis=-1) == pytest.approx(np.ones(true.accuracy.shape))


@needs_eenn_table
def test_the_floor_is_another_training_of_networks_that_have_three(bench: SimpleNamespace, table: EennTable) -> None:
    networks, errors = bench.floor(table, None, POLICY)
    assert networks == 32
    assert set(errors) == set(bench.ERRORS)
    assert 0.009 < errors[bench.MAE] < 0.012
    assert all(0.4 < errors[name] < 0.65 for name in bench.TAUS)
    assert bench.floor(table, 1, POLICY)[0] < networks


@needs_eenn_table
def test_draws_leave_the_networks_asked_about_out(bench: SimpleNamespace, table: EennTable) -> None:
    for rare in (None, 2):
        learned, asked = bench.drawn_rows(table, 20, rare, 3)
        assert (len(learned), len(asked)) == (20, bench.ASKED)
        assert len(np.unique(np.concatenate([learned, asked]), axis=0)) == 20 + bench.ASKED
    assert table.space.genes.present(learned)[:, 0].sum() == 2
    assert table.space.genes.present(asked)[:, 0].all()


def test_intervals_cover_their_ends(bench: SimpleNamespace) -> None:
    spread = Spread(*np.array([[0.5, 0.5, 0.5], [0.1, 0.1, 0.1], [0.4, 0.4, 0.4], [0.6, 0.6, 0.6]]))
    assert bench.covered([spread], np.array([[0.4, 0.6, 0.61]])).tolist() == [[True, True, False]]


def test_the_interval_score_is_least_where_it_ends_at_the_quantiles(winners: SimpleNamespace) -> None:
    assert winners.Judged(0.5, 0.4, 0.6, 0.6).score == pytest.approx(0.2)
    assert winners.Judged(0.5, 0.4, 0.6, 0.65).score == pytest.approx(0.2 + 20 * 0.05)
    drawn = np.random.default_rng(0).normal(size=4000)
    score = {
        reach: np.mean([winners.Judged(0, -reach, reach, one).score for one in drawn]) for reach in (1.2, 1.645, 2.2)
    }
    assert min(score, key=lambda reach: score[reach]) == 1.645


@needs_eenn_table
def test_limits_of_picks_leave_some_of_the_table(winners: SimpleNamespace, table: EennTable) -> None:
    cheap, dear, good = winners.limits_of(table, POLICY)
    assert cheap.max_macs * 2 == pytest.approx(dear.max_macs)
    assert 0.5 < good.min_accuracy < 0.56


@needs_eenn_table
@pytest.mark.slow
def test_surrogates_are_compared_with_another_checkout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    lines = run_twice(SURROGATES, ["--surrogate", "size"], monkeypatch, tmp_path)
    table = capsys.readouterr().out
    assert "| 10 | new | 1 |" in table
    assert "| 10 | 1 | 1.000 [1.000, 1.000] | +0.0000" in table
    assert [line["n"] for line in lines] == [10]


@needs_eenn_table
@pytest.mark.slow
def test_picks_are_judged_and_compared(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (line,) = run_twice(WINNERS, ["--surrogates", "xgb,size"], monkeypatch, tmp_path)
    picks = [pick["by"] for pick in line["figures"]["xgb"]["picks"]]
    assert (picks.count("best"), picks.count("acquisition")) == (9, 4)
    assert "| best | xgb | 10 | new | 9 |" in capsys.readouterr().out


@needs_eenn_table
@pytest.mark.slow
def test_auto_is_the_surrogate_that_it_chooses(bench: SimpleNamespace, table: EennTable) -> None:
    learned, asked = (bench.Drawn.of(table, rows, POLICY, 0) for rows in bench.drawn_rows(table, 10, None, 0))
    auto = learned.fitted("auto").predictor
    assert asked.figures(auto) == asked.figures(learned.fitted(auto.kind).predictor)


def run_twice(script: Path, options: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """Lines that a run leaves, beside this checkout itself; a second run measures nothing."""
    file = tmp_path / "lines.jsonl"
    given = [str(EENN_TABLE), "--train", "10", "--seeds", "1", "--before", str(FOLDER.parents[2]), "--json", str(file)]
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr(sys, "argv", [str(script), *given, *options])
    for _ in range(2):
        runpy.run_path(str(script), run_name="__main__")
    return [json.loads(text) for text in file.read_text().splitlines()]
