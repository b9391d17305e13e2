"""Arrays of records are read once, and only when they are asked for."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from surrogate_nas import Study
from surrogate_nas.archive.archive import Archive
from surrogate_nas.archive.outputs import Outputs
from surrogate_nas.study.paths import ARCHIVE
from tests.conftest import Command
from tests.helpers.reports import contents_of

pytestmark = pytest.mark.usefixtures("quick_fits")


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the arrays of each record are read."""
    counted, outputs = Counter[str](), Archive.outputs

    def counting(archive: Archive, id: str) -> Outputs:
        counted[id] += 1
        return outputs(archive, id)

    monkeypatch.setattr(Archive, "outputs", counting)
    return counted


def test_a_report_reads_the_arrays_of_each_record_exactly_once(study_path: Path, read: Counter[str]) -> None:
    with Study.open(study_path) as study:
        contents = contents_of(study)
    assert contents.front
    assert contents.surrogate is not None
    assert read == {record.id: 1 for record in contents.records}
    assert len(read) == 12


def test_a_batch_reads_nothing_that_it_does_not_return(copy: Study, read: Counter[str]) -> None:
    copy.home.update({"workers": 0, "budget": 20})
    (new,) = copy.collect(1)
    assert new.outputs is not None
    assert not read
    old = copy.archive.records()[3]
    (again,) = copy.trainer.evaluate([old.proposal])
    assert again.outputs is not None
    assert read == {old.id: 1}
    everything = copy.records()
    assert read == {record.id: 1 for record in everything if record.id != new.id}
    np.testing.assert_array_equal(
        copy.archive.outputs(new.id).test.logits, next(r for r in everything if r.id == new.id).outputs.test.logits
    )


def test_a_listing_reads_no_arrays(study_path: Path, command: Command, read: Counter[str]) -> None:
    for words in (["list"], ["list", "--failed", "--json"]):
        code, out, _ = command("archive", words[0], study_path, *words[1:])
        assert code == 0
        assert out
    assert not read


def test_a_dump_reads_the_arrays_of_each_record_once(study_path: Path, command: Command, read: Counter[str]) -> None:
    assert command("archive", "dump", study_path)[0] == 0
    assert read == {record.id: 1 for record in Archive.open(study_path / ARCHIVE).records()}


def test_views_last_until_settings_change(copy: Study) -> None:
    record = copy.archive.records()[0]
    before = copy.exits(record, "tune")
    assert copy.exits(record, "tune") is before
    copy.home.update({"policy": "entropy"})
    assert copy.exits(record, "tune").policy == "entropy"
    assert copy.exits(record, "tune") is not before
