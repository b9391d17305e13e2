"""Strategies of Hypothesis for tests of spaces."""

import itertools

import numpy as np
from hypothesis import strategies as st

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.architecture.cost_table import CostTable, Entry
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.space.costs import costing_for, units_in
from surrogate_nas.space.space import SearchSpace

SHAPE = ImageShape(3, 32, 10)


def rows(space: SearchSpace) -> st.SearchStrategy[np.ndarray]:
    """(1, G) choice indices, not canonical: genes that do not apply hold any value."""
    drawn = st.tuples(*(st.integers(0, len(gene.values) - 1) for gene in space.genes)).map(lambda row: np.array([row]))
    return drawn.filter(lambda row: space.genes.valid(row).all())


def drawn(space: SearchSpace, data: st.DataObject) -> Architecture:
    return space.architectures(data.draw(rows(space)))[0]


def every_architecture(space: SearchSpace) -> set[Architecture]:
    choices = [range(len(gene.values)) for gene in space.genes]
    return set(space.architectures(np.array(list(itertools.product(*choices)))))


def table_of(space: SearchSpace, shape: ImageShape = SHAPE, seed: int = 0) -> CostTable:
    """A cost that has nothing to do with MACs."""
    rng = np.random.default_rng(seed)
    units = units_in(space, costing_for(space, shape))
    return CostTable(
        "µJ", {str(unit): Entry(float(v)) for unit, v in zip(units, rng.uniform(1, 9, len(units)), strict=True)}
    )
