"""Views of records: computed once, from outputs that are read once, and only when they are asked for."""

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from surrogate_nas import JobError, Study
from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.architecture.costing import Costing
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.archive.archive import Archive
from surrogate_nas.archive.outputs import SPLITS, Outputs, SplitOutputs
from surrogate_nas.archive.views import Views, exits_of, temperatures_of
from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.exits.policies import POLICY_NAMES, PolicyName, scores
from surrogate_nas.report.contents import Contents
from tests.conftest import Command
from tests.helpers.outputs import problem, records

every_policy = pytest.mark.parametrize("policy", POLICY_NAMES)


@every_policy
def test_a_saturated_score_still_does_not_leave_through_an_exit_that_is_off(policy: PolicyName) -> None:
    logits = np.full((2, 1, 3), -300.0, dtype=np.float32)
    logits[:, :, 0] = 300.0
    architecture = Architecture.parse("stem-w8-s1/res-d1-w8-k3-s1@linear/res-d1-w8-k3-s2")
    exits = exits_of(architecture, SplitOutputs.of(logits, np.zeros(1, np.int64)), Costing(ImageShape(1, 8, 3)), policy)
    assert exits.scores.tolist() == [[1.0], [1.0]]
    assert exits.route(OperatingPoint((None,))).tolist() == [1]
    assert exits.route(OperatingPoint((1.0,))).tolist() == [0]


def test_exits_stand_at_their_positions() -> None:
    architecture = Architecture.parse("stem-w8-s1/res-d1-w8-k3-s1/res-d1-w8-k3-s2@linear/res-d1-w8-k3-s2")
    logits = np.array([[[9.0, 0.0], [0.0, 9.0]], [[0.0, 9.0], [0.0, 9.0]]])
    exits = exits_of(architecture, SplitOutputs.of(logits, np.array([0, 1])), Costing(ImageShape(1, 8, 2)))
    assert exits.present.tolist() == [False, True, True]
    assert exits.correct[1:].tolist() == [[True, True], [False, True]]


def test_temperatures_belong_to_exits_wherever_these_are() -> None:
    architecture = Architecture.parse("stem-w8-s1/res-d1-w8-k3-s1/res-d1-w8-k3-s2@linear/res-d1-w8-k3-s2")
    rng = np.random.default_rng(0)
    said = SplitOutputs.of(rng.normal(size=(2, 300, 3)) * 4, rng.integers(3, size=300))
    T = temperatures_of(architecture, said)
    assert T[0] == 1.0
    assert T[1:] == said.temperatures()
    exits = exits_of(architecture, said, Costing(ImageShape(1, 16, 3)), "max_softmax", T)
    assert said.logits is not None
    np.testing.assert_array_equal(exits.scores[1], scores("max_softmax", said.logits[0], T[1]))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the arrays of each record are read."""
    counted, outputs = Counter[str](), Archive.outputs

    def counting(archive: Archive, id: str) -> Outputs:
        counted[id] += 1
        return outputs(archive, id)

    monkeypatch.setattr(Archive, "outputs", counting)
    return counted


@pytest.fixture
def copy(study_path: Path, tmp_path: Path) -> Iterator[Study]:
    with Study.open(shutil.copytree(study_path, tmp_path / "copy")) as study:
        yield study


def test_views_are_what_outputs_say_under_the_settings() -> None:
    task = problem(temperature=True)
    *trained, failed = records(task, 5)
    for record in trained:
        assert record.outputs is not None
        temperatures = temperatures_of(record.architecture, record.outputs.tune)
        assert task.views.temperatures(record) == temperatures
        for split in SPLITS:
            expected = exits_of(record.architecture, record.outputs[split], task.costing, task.policy, temperatures)
            np.testing.assert_array_equal(task.views.exits(record, split).scores, expected.scores)
            np.testing.assert_array_equal(task.views.exits(record, split).correct, expected.correct)
    assert problem().views.temperatures(trained[0]) == ()
    assert [r for r, _ in task.views.trained([*trained, failed])] == trained
    with pytest.raises(JobError, match=f"record {failed.id} has no outputs"):
        task.views.tune(failed)


def test_a_view_is_computed_once_for_each_split_policy_and_temperatures() -> None:
    task = problem()
    record = records(task, 2)[0]
    tune, test = task.views.tune(record), task.views.test(record)
    assert task.views.tune(replace(record, outputs=None)) is tune
    assert task.views.under(record, "tune", task.policy, ()) is tune
    assert task.views.under(record, "test", "margin", ()) is not test
    assert task.views.tune(record).curve is tune.curve


def test_without_an_archive_a_record_has_to_carry_its_outputs() -> None:
    task = problem()
    record = replace(records(task, 2)[0], outputs=None)
    with pytest.raises(JobError, match=f"record {record.id} has no outputs"):
        Views(task.costing, task.policy).tune(record)


def test_outputs_are_named_arrays_and_come_back_from_them() -> None:
    (record, _) = records(problem(), 2)
    assert record.outputs is not None
    arrays = record.outputs.arrays()
    assert list(arrays) == ["tune/labels", "tune/logits", "test/labels", "test/logits"]
    back = Outputs.from_arrays(arrays).arrays()
    assert back.keys() == arrays.keys()
    assert all(back[name] is arrays[name] for name in arrays)


def test_a_report_reads_the_arrays_of_each_record_exactly_once(study_path: Path, read: Counter[str]) -> None:
    with Study.open(study_path) as study:
        contents = Contents.of(study)
    assert contents.front
    assert contents.fitted is not None
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
    for words in (["list"], ["dump"], ["list", "--failed", "--json"]):
        code, out, _ = command("archive", words[0], study_path, *words[1:])
        assert code == 0
        assert out
    assert not read


def test_views_last_until_settings_change(copy: Study) -> None:
    record = copy.archive.records()[0]
    before = copy.exits(record, "tune")
    assert copy.exits(record, "tune") is before
    copy.home.update({"policy": "entropy"})
    assert copy.exits(record, "tune").policy == "entropy"
    assert copy.exits(record, "tune") is not before
