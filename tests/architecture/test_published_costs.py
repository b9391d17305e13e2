"""The published backbone's costs, as integers, against logs of others' searches in the same space."""

import csv
from pathlib import Path

import pytest

from surrogate_nas.architecture.costing import Costing
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.space.genomes import genome

TABLE = Path(__file__).parents[3] / "shared" / "data" / "tabular" / "ofa_mbv3_w10_archive.csv"
DEPTHS, KERNELS, EXPANSIONS = (2, 3, 4), (3, 5, 7), (3, 4, 6)


def test_macs_and_parameters_of_subnets_are_those_published() -> None:
    if not TABLE.is_file():
        pytest.skip(f"no published subnets: {TABLE} is not there")
    costing, codec = Costing(ImageShape(3, 224, 1000)), genome("edanas")
    with TABLE.open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        genes: list[int] = []
        for s in range(5):
            kernels, expansions = ([int(row[f"{name}{4 * s + i}"]) for i in range(4)] for name in ("ks", "e"))
            genes += [
                DEPTHS.index(int(row[f"d{s}"])),
                *(KERNELS.index(k) if k else 0 for k in kernels),
                *(EXPANSIONS.index(e) if e else 0 for e in expansions),
            ]
        architecture, _ = codec.decode([*genes, 2, 2, 2, 2])
        cost = costing.of(architecture)
        assert (cost.backbone[0, -1], cost.parameters[0]) == (float(row["macs"]), float(row["params"]))
    assert len(rows) == 2162
