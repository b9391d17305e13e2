"""Costs of a space's networks from a table of its units."""

from pathlib import Path

import numpy as np
import pytest

from surrogate_nas.api import Study
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.settings import Settings
from surrogate_nas.space import moves
from surrogate_nas.space.costs import cost_of_indices, costing_for, require_all, units_in
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.spec import preset, preset_names
from tests.helpers.spaces import SHAPE, table_of


@pytest.mark.parametrize("name", preset_names())
def test_every_unit_of_every_network_is_among_the_spaces(name: str) -> None:
    space = SearchSpace(preset(name))
    costing = costing_for(space, SHAPE)
    units_of_space = {str(unit) for unit in units_in(space, costing)}
    for architecture in space.sample(100, np.random.default_rng(0)):
        units = costing.units(architecture)
        assert {str(u) for part in (*units.segments, *units.heads) for u in part} <= units_of_space


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
    with pytest.raises(InputError, match="limits or objective refer to cost, but no cost_table is set"):
        Settings().updated({"objective": "cost"})
