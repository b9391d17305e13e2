"""Tables of costs: read as they were written, or refused."""

from pathlib import Path

import pytest

from surrogate_nas.architecture.cost_table import CostTable, Entry
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.spec import preset
from tests.helpers.spaces import table_of

SHAPE = ImageShape(3, 32, 10)


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    table = table_of(SearchSpace(preset("tiny")))
    first = next(iter(table.entries))
    CostTable("µs", {**table.entries, first: Entry(2.5, 0.125, 9)}).write(tmp_path / "t.csv")
    table_read = CostTable.read(tmp_path / "t.csv")
    assert (table_read.name, table_read.entries[first], table_read.entries.keys()) == (
        "µs",
        Entry(2.5, 0.125, 9),
        table.entries.keys(),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: expected 'unit' and the name of the cost, as in 'unit,µs', got an empty file"),
        ("a,b\n", "line 1: expected 'unit' and the name of the cost, as in 'unit,µs', got 'a,b'"),
        ("unit,µs,runs,runs\n", "line 1: duplicate column names in 'unit,µs,runs,runs'"),
        ("unit,µs\nx\n", "line 2: expected 2 values, got 1"),
        ("unit,µs\nx,fast\n", "line 2: 'fast' is not a number ≥ 0"),
        ("unit,µs\nx,1\ny,-1\n", "line 3: '-1' is not a number"),
        ("unit,µs\nx,nan\n", "line 2: 'nan' is not a number"),
        ("unit,µs\nx,1\nx,2\n", "line 3: duplicate unit 'x'"),
    ],
)
def test_a_bad_table_is_one_line_with_the_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        CostTable.read(tmp_path / "t.csv")
    assert f"{tmp_path / 't.csv'}, {message}" in str(caught.value)
