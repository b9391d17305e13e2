"""Tables of unit times measured on this machine."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from surrogate_nas.architecture.cost_table import CostTable, Entry
from surrogate_nas.architecture.costing import Costing
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.network.backbone import mount
from surrogate_nas.network.unit_times import MICROSECONDS, PASSES, time_units
from surrogate_nas.space.costs import costing_for, require_all, units_in
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.spec import parse_spec
from tests.conftest import USER_SPACE
from tests.helpers.networks import Shortcut

SHAPE = ImageShape(3, 32, 10)


def small() -> tuple[SearchSpace, Costing]:
    space = SearchSpace(parse_spec(USER_SPACE))
    return space, costing_for(space, ImageShape(1, 8, 10))


def test_measured_times_are_of_every_unit_and_grow_with_the_work(tmp_path: Path) -> None:
    space = SearchSpace(parse_spec({**USER_SPACE, "image_sizes": [8, 64], "stem": {"width": [4, 64]}}))
    costing = costing_for(space, ImageShape(3, 64, 10))
    table = time_units(space, costing, tmp_path / "t.csv", runs=3, passes=2)
    assert table.missing(units_in(space, costing)) == []
    assert all(entry.value > 0 and entry.runs == 6 for entry in table.entries.values())
    stems = [unit for unit in units_in(space, costing) if str(unit).startswith("3x64x64")]
    narrow, wide = sorted(stems, key=lambda unit: unit.macs)
    assert table.cost(wide) > table.cost(narrow)
    assert CostTable.read(tmp_path / "t.csv").name == MICROSECONDS


def test_what_is_in_the_file_is_not_measured_again(tmp_path: Path) -> None:
    space, costing = small()
    totals: list[int] = []
    units = units_in(space, costing)
    CostTable(MICROSECONDS, {str(unit): Entry(123456.0) for unit in units[1:]}).write(tmp_path / "t.csv")
    table = time_units(space, costing, tmp_path / "t.csv", runs=2, on_unit=lambda d, of: totals.append(of))
    assert totals == [PASSES] * PASSES
    assert [table.cost(unit) for unit in units[1:]] == [123456.0] * (len(units) - 1)
    assert table.cost(units[0]) < 123456.0


def test_an_interruption_leaves_a_table(tmp_path: Path) -> None:
    space, costing = small()

    def interrupt(done: int, of: int) -> None:
        if done == of - 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        time_units(space, costing, tmp_path / "t.csv", runs=2, on_unit=interrupt)
    table = CostTable.read(tmp_path / "t.csv")
    assert 0 < len(table.entries) < len(units_in(space, costing))
    time_units(space, costing, tmp_path / "t.csv", runs=2)
    require_all(CostTable.read(tmp_path / "t.csv"), space, costing)


def test_bit_widths_and_other_costs_are_not_measured_here(tmp_path: Path) -> None:
    space, costing = small()
    quantised = SearchSpace(parse_spec({**USER_SPACE, "bits": [8, 32]}))
    with pytest.raises(InputError, match="has networks of 8 bits, but this machine computes in 32"):
        time_units(quantised, costing, tmp_path / "t.csv")
    CostTable("µJ", {}).write(tmp_path / "j.csv")
    with pytest.raises(InputError, match="has costs in µJ, but µs are measured; give another file"):
        time_units(space, costing, tmp_path / "j.csv")


def test_segments_of_a_given_backbone_are_measured_too(tmp_path: Path) -> None:
    spec = mount(Shortcut, ["first", "middle"], branch={"depth": [0], "channels": 4}).space(SHAPE)
    space = SearchSpace(spec)
    costing = costing_for(space, SHAPE)
    table = time_units(space, costing, tmp_path / "t.csv", runs=2, passes=1)
    assert {unit.rpartition(" to ")[2] for unit in table.entries} >= {"first", "middle", "end"}
    with_times = replace(costing, model=table)
    others = with_times.of(space.sample(1, np.random.default_rng(0))[0]).others()
    assert others is not None
    assert (np.diff(others, axis=1) > 0).all()
