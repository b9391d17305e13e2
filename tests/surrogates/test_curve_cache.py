"""Laws of the file of fitted curves: it changes what is fitted, never a result."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from surrogate_nas.exits.exits import Exits
from surrogate_nas.surrogates import curve_cache
from surrogate_nas.surrogates.curve_cache import FILE, curves_of
from surrogate_nas.surrogates.curve_fit import PARTS, FittedCurves, fit_curves
from surrogate_nas.surrogates.curves import CurveBasis
from tests.helpers.outputs import problem, records, tune_exits

BASIS = CurveBasis(3)
GRID = BASIS.spread(8)
EXITS = tune_exits(records(problem(), 7))


@pytest.fixture
def fitted() -> Iterator[list[int]]:
    """Numbers of networks that each fit was of, from now on."""
    numbers = list[int]()

    def counted(basis: CurveBasis, exits: list[Exits], thresholds: np.ndarray) -> FittedCurves:
        numbers.append(len(exits))
        return fit_curves(basis, exits, thresholds)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(curve_cache, "fit_curves", counted)
        yield numbers


def assert_same(one: FittedCurves, other: FittedCurves) -> None:
    for name in PARTS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_only_new_networks_are_fitted_and_the_result_is_the_same_bits(tmp_path: Path, fitted: list[int]) -> None:
    folder = tmp_path / "surrogate"
    curves_of(BASIS, EXITS[:4], GRID, folder)
    curves_of(BASIS, EXITS[:4], GRID, folder)
    assert_same(curves_of(BASIS, EXITS[::-1], GRID, folder), fit_curves(BASIS, EXITS[::-1], GRID))
    assert fitted == [4, 2]
    assert [path.name for path in folder.iterdir()] == [FILE]


def test_a_curve_is_fitted_again_if_anything_changes_that_it_follows_from(
    tmp_path: Path, fitted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    view = next(view for view in EXITS if view.present.all())
    scores, correct = view.scores.copy(), view.correct.copy()
    scores[0, 0], correct[2, 0] = 0.123, ~correct[2, 0]
    others = [
        replace(view, scores=scores),
        replace(view, correct=correct),
        replace(view, present=np.array([True, False, True])),
        replace(view, policy="cumulative_gate"),
        replace(view, groups=np.arange(view.samples) // 2),
    ]
    for changed in (view, *others):
        curves_of(BASIS, [changed], GRID, tmp_path)
    curves_of(CurveBasis(3, 2.0), [view], GRID, tmp_path)
    curves_of(BASIS, [view], BASIS.spread(8, seed=1), tmp_path)
    monkeypatch.setattr(curve_cache, "FORMAT", curve_cache.FORMAT + 1)
    curves_of(BASIS, [view], GRID, tmp_path)
    assert fitted == [1] * 9


def test_costs_change_no_curve(tmp_path: Path, fitted: list[int]) -> None:
    curves_of(BASIS, EXITS[:1], GRID, tmp_path)
    curves_of(BASIS, [replace(EXITS[0], cost=EXITS[1].cost)], GRID, tmp_path)
    assert fitted == [1]


def test_a_damaged_file_is_ignored_and_replaced(tmp_path: Path, fitted: list[int]) -> None:
    path = tmp_path / FILE
    right = curves_of(BASIS, EXITS[:2], GRID, tmp_path)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-9] ^= 1
    for damaged in (b"", whole[:-20], bytes(flipped), b"\xff" * 100, whole[:8]):
        path.write_bytes(damaged)
        assert_same(curves_of(BASIS, EXITS[:2], GRID, tmp_path), right)
        assert path.read_bytes() == whole
    assert fitted == [2] * 6


def test_without_permission_to_write_curves_are_fitted_each_time(tmp_path: Path, fitted: list[int]) -> None:
    (tmp_path / "surrogate").write_text("a file where the folder should be")
    for _ in range(2):
        assert_same(curves_of(BASIS, EXITS[:1], GRID, tmp_path / "surrogate"), fit_curves(BASIS, EXITS[:1], GRID))
    assert fitted == [1, 1]


def test_the_file_keeps_at_most_as_many_other_curves_as_were_asked_for(tmp_path: Path, fitted: list[int]) -> None:
    for view in EXITS[:4]:
        curves_of(BASIS, [view], GRID, tmp_path)
    curves_of(BASIS, EXITS[2:4], GRID, tmp_path)  # both are kept
    curves_of(BASIS, EXITS[:1], GRID, tmp_path)
    assert fitted == [1] * 5


def test_writers_at_once_leave_a_whole_file_and_have_right_curves(tmp_path: Path) -> None:
    expected, results = fit_curves(BASIS, EXITS, GRID), list[FittedCurves]()

    def ask(i: int) -> None:
        results.append(curves_of(BASIS, EXITS[i:] + EXITS[:i], GRID, tmp_path).network(len(EXITS) - i - 1))

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(EXITS))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        assert_same(result, expected.network(len(EXITS) - 1))
    assert_same(curves_of(BASIS, EXITS, GRID, tmp_path), expected)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
