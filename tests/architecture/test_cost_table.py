"""Costs from a table, and tables measured on this machine."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from surrogate_nas.architecture.cost_table import CostTable, Entry
from surrogate_nas.architecture.costing import Costing
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.measurements import Spent
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.network.backbone import mount
from surrogate_nas.network.unit_times import MICROSECONDS, PASSES, measure_space
from surrogate_nas.settings import Settings
from surrogate_nas.space import moves
from surrogate_nas.space.costs import cost_of_indices, costing_for, require_all, units_in
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.spec import parse_spec, preset, preset_names
from surrogate_nas.study.study import Study
from tests.conftest import USER_SPACE
from tests.helpers.networks import Shortcut

SHAPE = ImageShape(3, 32, 10)


def table_of(space: SearchSpace, shape: ImageShape = SHAPE, seed: int = 0) -> CostTable:
    """A cost that has nothing to do with MACs."""
    rng = np.random.default_rng(seed)
    units = units_in(space, costing_for(space, shape))
    return CostTable(
        "µJ", {str(unit): Entry(float(v)) for unit, v in zip(units, rng.uniform(1, 9, len(units)), strict=True)}
    )


@pytest.mark.parametrize("name", preset_names())
def test_every_unit_of_every_network_is_among_the_spaces(name: str) -> None:
    space = SearchSpace(preset(name))
    costing = costing_for(space, SHAPE)
    known = {str(unit) for unit in units_in(space, costing)}
    for architecture in space.sample(100, np.random.default_rng(0)):
        units = costing.units(architecture)
        assert {str(u) for part in (*units.segments, *units.heads) for u in part} <= known


@pytest.mark.parametrize("name", ["compact", "nachos", "aebnas"])
def test_another_cost_is_the_sum_over_units_for_one_and_for_many(name: str) -> None:
    space = SearchSpace(preset(name))
    table = table_of(space)
    costing = costing_for(space, SHAPE, "all", table)
    rows = moves.sample(space.genes, 30, np.random.default_rng(1))
    many = cost_of_indices(space, rows, costing)
    assert many.other is not None
    for i, architecture in enumerate(space.architectures(rows)):
        one, units, heads = costing.of(architecture), costing.units(architecture), costing.heads(architecture)
        assert one.other is not None
        for mine, of_many in zip(one.other, many.other, strict=True):
            np.testing.assert_allclose(mine[0], of_many[i])
        to_the_end = sum(table.cost(u) for segment in units.segments for u in segment)
        total = to_the_end + sum(table.cost(head) for head in heads.values())
        others = one.others()
        assert others is not None
        assert others[0, -1] == pytest.approx(total)


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    table = table_of(SearchSpace(preset("tiny")))
    first = next(iter(table.entries))
    CostTable("µs", {**table.entries, first: Entry(2.5, 0.125, 9)}).write(tmp_path / "t.csv")
    read = CostTable.read(tmp_path / "t.csv")
    assert (read.name, read.entries[first], read.entries.keys()) == ("µs", Entry(2.5, 0.125, 9), table.entries.keys())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: the header is 'unit' and the name of the cost, got 'an empty file'"),
        ("a,b\n", "line 1: the header is 'unit' and the name of the cost, got 'a,b'"),
        ("unit,µs\nx\n", "line 2: 2 values are needed, got 1"),
        ("unit,µs\nx,fast\n", "line 2: 'fast' is not a number that is 0 or more"),
        ("unit,µs\nx,1\ny,-1\n", "line 3: '-1' is not a number"),
        ("unit,µs\nx,nan\n", "line 2: 'nan' is not a number"),
        ("unit,µs\nx,1\nx,2\n", "line 3: 'x' is there twice"),
    ],
)
def test_a_bad_table_is_one_line_with_the_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        CostTable.read(tmp_path / "t.csv")
    assert f"{tmp_path / 't.csv'}, {message}" in str(caught.value)


def test_a_table_without_all_units_is_refused_before_any_work(tmp_path: Path) -> None:
    space, shape = SearchSpace(preset("tiny")), ImageShape(1, 8, 10)
    table = table_of(space, shape)
    (tmp_path / "empty.csv").write_text("unit,µs\n", encoding="utf-8")
    require_all(table, space, costing_for(space, shape))
    with pytest.raises(
        InputError, match=rf"has no row for {len(table.entries)} of the {len(table.entries)} units of space"
    ):
        Study.create(tmp_path / "study", cost_table=tmp_path / "empty.csv")
    assert not (tmp_path / "study").exists()
    with pytest.raises(InputError, match="cost is limited or minimised, and there is no cost_table"):
        Settings().updated({"objective": "cost"})


# ---------------------------------------------------------------------- statistics and limits


def test_statistics_of_what_is_spent_follow_from_who_leaves_where() -> None:
    spent = Spent(np.array([[0.9, 0.05, 0.05], [0.96, 0.0, 0.04]]), np.array([[1.0, 5.0, 9.0]]))
    assert spent.expected.tolist() == pytest.approx([1.6, 1.32])
    assert spent.p95.tolist() == [5.0, 1.0]
    assert spent.worst.tolist() == [9.0]


@pytest.mark.parametrize("charge", ["all", "own"])
@pytest.mark.parametrize(
    "limits",
    [
        {"max_worst_macs": 9e4},
        {"max_p95_macs": 7e4},
        {"max_activation_bytes": 6000},
        {"max_p95_cost": 30.0},
        {"max_cost": 20.0, "min_accuracy": 0.2},
        {"max_worst_cost": 35.0},
    ],
)
def test_the_best_points_within_limits_are_those_of_brute_force(limits: dict[str, float], charge: str) -> None:
    """Limits that do not just cut the unlimited curve, on random exits of real costs."""
    space, shape, rng = SearchSpace(preset("tiny")), ImageShape(1, 8, 10), np.random.default_rng(0)
    architecture = space.decode(np.ones((1, space.dimension)))[0]
    cost = costing_for(space, shape, charge, table_of(space, shape)).of(architecture)  # type: ignore[arg-type]
    scores = rng.uniform(size=(3, 60)).astype(np.float32)
    correct = rng.uniform(size=(3, 60)) < np.array([[0.4], [0.6], [0.8]])
    exits, caps = Exits("max_softmax", np.ones(3, dtype=bool), scores, correct, cost), Limits(**limits)
    found = exits.within(caps)
    levels = [[*np.unique(scores[e]).astype(float), np.inf] for e in (0, 1)]
    every = exits.measure(np.array([[a, b] for a in levels[0] for b in levels[1]]))
    allowed = every[every.feasible(caps)]
    assert (found.feasible(caps)).all()
    best = {
        (round(a, 9), round(c, 6))
        for a, c in zip(allowed.accuracy, allowed.objective, strict=True)
        if not (
            (allowed.accuracy >= a) & (allowed.objective <= c) & ((allowed.accuracy > a) | (allowed.objective < c))
        ).any()
    }
    assert {(round(a, 9), round(c, 6)) for a, c in zip(found.accuracy, found.objective, strict=True)} == best


# ---------------------------------------------------------------------- measuring


def small() -> tuple[SearchSpace, Costing]:
    space = SearchSpace(parse_spec(USER_SPACE))
    return space, costing_for(space, ImageShape(1, 8, 10))


def test_measured_times_are_of_every_unit_and_grow_with_the_work(tmp_path: Path) -> None:
    space = SearchSpace(parse_spec({**USER_SPACE, "image_sizes": [8, 64], "stem": {"width": [4, 64]}}))
    costing = costing_for(space, ImageShape(3, 64, 10))
    table = measure_space(space, costing, tmp_path / "t.csv", runs=3, passes=2)
    assert table.missing(units_in(space, costing)) == []
    assert all(entry.value > 0 and entry.runs == 6 for entry in table.entries.values())
    stems = [unit for unit in units_in(space, costing) if str(unit).startswith("3x64x64")]
    narrow, wide = sorted(stems, key=lambda unit: unit.macs)
    assert table.cost(wide) > table.cost(narrow)
    assert CostTable.read(tmp_path / "t.csv").name == MICROSECONDS


def test_what_is_in_the_file_is_not_measured_again(tmp_path: Path) -> None:
    space, costing = small()
    done: list[int] = []
    units = units_in(space, costing)
    CostTable(MICROSECONDS, {str(unit): Entry(123456.0) for unit in units[1:]}).write(tmp_path / "t.csv")
    table = measure_space(space, costing, tmp_path / "t.csv", runs=2, on_unit=lambda d, of: done.append(of))
    assert done == [PASSES] * PASSES
    assert [table.cost(unit) for unit in units[1:]] == [123456.0] * (len(units) - 1)
    assert table.cost(units[0]) < 123456.0


def test_an_interruption_leaves_a_table(tmp_path: Path) -> None:
    space, costing = small()

    def interrupt(done: int, of: int) -> None:
        if done == of - 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_space(space, costing, tmp_path / "t.csv", runs=2, on_unit=interrupt)
    kept = CostTable.read(tmp_path / "t.csv")
    assert 0 < len(kept.entries) < len(units_in(space, costing))
    measure_space(space, costing, tmp_path / "t.csv", runs=2)
    require_all(CostTable.read(tmp_path / "t.csv"), space, costing)


def test_bit_widths_and_other_costs_are_not_measured_here(tmp_path: Path) -> None:
    space, costing = small()
    quantised = SearchSpace(parse_spec({**USER_SPACE, "bits": [8, 32]}))
    with pytest.raises(InputError, match="has networks of 8 bits, and this machine computes in 32"):
        measure_space(quantised, costing, tmp_path / "t.csv")
    CostTable("µJ", {}).write(tmp_path / "j.csv")
    with pytest.raises(InputError, match="has costs in µJ, and µs are measured; name another file"):
        measure_space(space, costing, tmp_path / "j.csv")


def test_segments_of_a_given_backbone_are_measured_too(tmp_path: Path) -> None:
    spec = mount(Shortcut, ["first", "middle"], branch={"depth": [0], "channels": 4}).space(SHAPE)
    space = SearchSpace(spec)
    costing = costing_for(space, SHAPE)
    table = measure_space(space, costing, tmp_path / "t.csv", runs=2, passes=1)
    assert {unit.rpartition(" to ")[2] for unit in table.entries} >= {"first", "middle", "end"}
    with_times = replace(costing, model=table)
    others = with_times.of(space.sample(1, np.random.default_rng(0))[0]).others()
    assert others is not None
    assert (np.diff(others, axis=1) > 0).all()
