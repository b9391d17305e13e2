"""What a study's folder does around its trainings: checks before them, what it keeps after them, and who may work."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from surrogate_nas import datasets
from surrogate_nas.archive.record import Failure, Record
from surrogate_nas.foundation import machine
from surrogate_nas.foundation.errors import InputError, JobError
from surrogate_nas.foundation.lock import StudyLock
from surrogate_nas.report.writing import write_report
from surrogate_nas.search.loop import next_round
from surrogate_nas.study import estimate as plan
from surrogate_nas.study.baselines import HAND_MADE, name_of
from surrogate_nas.study.paths import CHECKPOINTS
from surrogate_nas.study.study import Study
from tests.helpers.outputs import SMALL_STUDY

QUICK = {"recipe": {"epochs": 1}, "workers": 0}


@pytest.fixture
def copy(study_path: Path, tmp_path: Path) -> Study:
    return Study.open(shutil.copytree(study_path, tmp_path / "copy"))


def weights(study: Study) -> set[str]:
    return {path.stem for path in (study.path / CHECKPOINTS).glob("*.safetensors")}


# ---------------------------------------------------------------------- checks before work


def test_disk_that_will_not_do_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "free_disk", lambda path: 300_000)
    with pytest.raises(InputError, match=r"32 trainings write up to .* MB at .*, where 300.0 kB are free"):
        Study.create(tmp_path / "study")
    assert list(tmp_path.iterdir()) == []


def test_memory_that_will_not_do_is_refused_with_the_workers_that_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "available_memory", lambda: 1_500_000_000)
    with pytest.raises(InputError, match=r"8 trainings at a time need about .*; allowed: --workers up to 2"):
        Study.create(tmp_path / "study", workers=8)
    monkeypatch.setattr(plan, "available_memory", lambda: 1_000_000)
    with pytest.raises(InputError, match="not even one fits"):
        Study.create(tmp_path / "study", workers=1)
    monkeypatch.setattr(plan, "available_memory", lambda: 1_500_000_000)
    assert Study.create(tmp_path / "study", workers=2).settings.workers == 2


def test_without_asking_there_are_as_many_workers_as_the_memory_suffices_for(
    copy: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "available_cores", lambda: 16)
    copy.home.settings = copy.settings.model_copy(update={"workers": None})
    needed = copy.trainer.plan(3).memory
    monkeypatch.setattr(plan, "available_memory", lambda: int(3.5 * needed))
    assert copy.trainer.plan(3).workers == 3


def test_the_disk_that_was_announced_bounds_what_is_written(tmp_path: Path) -> None:
    study = Study.create(tmp_path / "study", **{**SMALL_STUDY, **QUICK, "keep": "all"})
    before, most = machine.size_of(study.path), study.trainer.plan(6).disk
    study.collect(6)
    assert 0 < machine.size_of(study.path) - before <= most


def test_less_to_keep_needs_less_disk(copy: Study) -> None:
    def disk(trainings: int, keep: str) -> int:
        copy.home.settings = copy.settings.model_copy(update={"keep": keep})
        return copy.trainer.plan(trainings).disk

    assert disk(1, "all") < disk(10, "all")
    assert disk(10, "none") < disk(10, "front") == disk(10, "all")


# ---------------------------------------------------------------------- what is kept


def test_weights_of_the_front_are_kept_whatever_the_limits(copy: Study) -> None:
    before = weights(copy)
    copy.home.update({"keep": "front"})
    kept = weights(copy)
    assert {s.record.id for s in copy.front()} <= kept < before
    copy.home.update({"limits": {"max_macs": None, "min_accuracy": None}})
    assert {s.record.id for s in copy.front()} <= kept
    gone = sorted(before - kept)[0]
    with pytest.raises(JobError, match=f"the weights of {gone} are not at .*this study keeps those of front"):
        copy.network(gone)


def test_none_are_kept_where_none_are_asked_for(tmp_path: Path) -> None:
    study = Study.create(tmp_path / "study", keep="none", **QUICK)
    study.collect(2)
    assert list((study.path / CHECKPOINTS).iterdir()) == []
    assert len(study.records()) == 2


def test_what_an_interrupted_command_left_half_written_is_removed(copy: Study) -> None:
    (copy.path / CHECKPOINTS / "0123.77.partial").touch()
    (copy.path / CHECKPOINTS / "0123.unfinished").touch()
    before = weights(copy)
    copy.home.prune()
    assert {path.stem for path in (copy.path / CHECKPOINTS).iterdir()} == before


def test_weights_of_another_architecture_are_said(copy: Study) -> None:
    """As after files were moved by hand: whose they are is in the file, else it shows by their shapes."""
    one, *others = [r for r in copy.records() if copy.home.checkpoint(r.id).is_file()]
    other = next(r for r in others if r.architecture != one.architecture)
    shutil.copy(copy.home.checkpoint(other.id), copy.home.checkpoint(one.id))
    with pytest.raises(JobError) as caught:
        copy.network(one.id)
    path = copy.home.checkpoint(one.id)
    said = f"{path} has the weights of {other.architecture}; those of {one.id} are of {one.architecture}"
    assert str(caught.value) == said


def test_damaged_weights_are_said(copy: Study) -> None:
    id = copy.records()[0].id
    copy.home.checkpoint(id).write_bytes(b"")  # as an unlucky power cut leaves a file
    with pytest.raises(JobError, match=f"the weights of {id} at .* are damaged"):
        copy.network(id)


# ---------------------------------------------------------------------- failures


def fail(study: Study, n: int = 2) -> list[Record]:
    """Make the last n records failures of a crash."""
    records = [replace(r, outputs=None, failure=Failure("crashed", "exit code -11")) for r in study.records()[-n:]]
    for record in records:
        study.archive._connection.execute("DELETE FROM arrays WHERE id = ?", (record.id,))
        study.archive._connection.execute("DELETE FROM records WHERE id = ?", (record.id,))
        study.archive.add(record)
    return records


def test_a_failed_training_that_is_retried_gives_what_it_would_have_given(copy: Study) -> None:
    whole = copy.records()[-2:]
    failed = fail(copy)
    assert copy.home.retry([]) == [r.id for r in failed]
    copy.trainer.finish_pending()
    again = copy.records()[-2:]
    assert [r.id for r in again] == [r.id for r in whole]
    for one, other in zip(whole, again, strict=True):
        assert one.outputs is not None
        assert other.outputs is not None
        np.testing.assert_array_equal(one.outputs.test.logits, other.outputs.test.logits)


def test_a_dropped_failure_gives_its_place_in_the_budget_back(copy: Study) -> None:
    failed = fail(copy, 1)
    assert copy.home.drop([failed[0].id[:6]]) == [failed[0].id]
    assert len(copy.run()) == 12
    assert all(r.failure is None for r in copy.records())


def test_only_failures_can_be_retried_or_dropped(copy: Study) -> None:
    trained = copy.records()[0].id
    for refuse in (copy.home.retry, copy.home.drop):
        with pytest.raises(InputError, match=f"training {trained} did not fail"):
            refuse([trained])
        assert refuse([]) == []


# ---------------------------------------------------------------------- two commands


def test_who_only_reads_is_not_in_the_way_of_who_works(copy: Study, tmp_path: Path) -> None:
    with StudyLock(copy.path).held():
        reader = Study.open(copy.path)
        assert len(reader.records()) == 12
        assert reader.query([r.architecture for r in reader.records()[:2]])
        assert write_report(reader, tmp_path / "report").is_file()
        for change in (reader.run, lambda: reader.collect(1), reader.train_baselines, lambda: reader.home.retry([])):
            with pytest.raises(InputError, match="another command is working on study"):
                change()
        with pytest.raises(InputError, match="another command is working"):
            reader.home.update({"budget": 99})
        assert reader.settings.budget == Study.open(copy.path).settings.budget == 12


# ---------------------------------------------------------------------- baselines


def test_baselines_are_trained_once_and_leave_the_search_as_it_is(copy: Study) -> None:
    front, volume, round = copy.front(), copy.hypervolume(), next_round(copy.archive.proposals())
    points = [(s.record.id, s.operating_point) for s in front]
    trained = copy.train_baselines()
    names = [name_of(r.architecture) for r in trained]
    assert names == [*HAND_MADE, "static network"]
    assert all(r.failure is None for r in trained)
    assert trained[2].architecture.exit_positions == (2,)
    assert trained[2].architecture.stages == front[-1].record.architecture.stages
    assert [r.seconds for r in copy.train_baselines()] == [r.seconds for r in trained]
    assert [r.id for r in copy.baselines()] == [r.id for r in trained]
    assert [(s.record.id, s.operating_point) for s in copy.front()] == points
    assert copy.hypervolume() == volume
    assert next_round(copy.archive.proposals()) == round
    assert copy.network(trained[0].id).architecture == HAND_MADE["ResNet-8"]


# ---------------------------------------------------------------------- any data set of PyTorch


def test_a_data_set_of_pytorch_goes_through_a_study(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(200) % 4
    images = torch.rand(200, 3, 12, 12, generator=generator) * 0.5 + labels[:, None, None, None] / 8
    data = datasets.from_torch(TensorDataset(images, labels), name="stripes", flips=False)
    study = Study.create(tmp_path / "study", data=data, budget=8, initial=8, recipe={"epochs": 1}, workers=2)
    assert len(study.run()) == 8
    assert study.archive.header.data == "stripes"
    assert Study.open(study.path).images.dataset.fingerprint() == data.fingerprint()
    assert 0 <= study.front()[-1].test.balanced_accuracy <= 1


def test_class_accuracies_are_of_the_classes(copy: Study) -> None:
    solution = copy.front()[-1]
    labels = copy.splits().test.labels
    counts = np.bincount(labels)
    of_class = np.array(solution.test.class_accuracy, dtype=float)
    assert np.isclose((of_class * counts).sum() / counts.sum(), solution.test.accuracy)
    assert np.isclose(of_class.mean(), solution.test.balanced_accuracy)
