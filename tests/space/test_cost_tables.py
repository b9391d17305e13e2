"""Look-up tables: one network stands for many, so what cannot be tabled is refused, and what is tabled is exact."""

import numpy as np
import pytest

from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.space import cost_tables
from surrogate_nas.space.costs import cost_of_indices, costing_for
from surrogate_nas.space.space import SearchSpace


def test_every_network_of_a_small_space_costs_what_its_own_units_do(user_space: SearchSpace) -> None:
    costing, rows = costing_for(user_space, ImageShape(1, 8, 10)), user_space.genes.everything
    assert rows is not None
    cost = cost_of_indices(user_space, rows, costing)
    for i, architecture in enumerate(user_space.architectures(rows)):
        units = costing.units(architecture)
        everything = [unit for segment in (*units.segments, *units.heads) for unit in segment]
        assert cost.parameters[i] == sum(unit.parameters for unit in everything)
        assert cost.weight_bytes[i] == sum(unit.weight_bytes for unit in everything)
        assert cost.macs()[i, -1] == sum(unit.macs for unit in everything)
        assert cost.memory()[i] == max(unit.memory for unit in everything)


def test_a_space_with_too_many_variants_of_a_unit_is_refused(
    monkeypatch: pytest.MonkeyPatch, user_space: SearchSpace
) -> None:
    monkeypatch.setattr(cost_tables, "MOST_VARIANTS", 10)
    cost_tables.tables_for.cache_clear()
    message = r"space 'user': a unit of stage 2 has 16 variants; at most 10 are allowed; offer fewer choices"
    with pytest.raises(InputError, match=message):
        cost_of_indices(
            user_space, np.zeros((1, len(user_space.genes)), dtype=int), costing_for(user_space, ImageShape(1, 8, 10))
        )
