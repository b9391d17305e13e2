"""A study around its trainings: failures, baselines, other data, and who may work."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch.utils.data import TensorDataset

from surrogate_nas import datasets
from surrogate_nas.api import Study
from surrogate_nas.archive.record import Failure, Record
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.lock import StudyLock
from surrogate_nas.search.proposals import next_round, user_proposals
from surrogate_nas.study.baselines import HAND_MADE, name_of

pytestmark = pytest.mark.usefixtures("quick_fits")

QUICK = {"recipe": {"epochs": 1}, "workers": 0}


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
    copy.home.update({"strategy": "random"})  # which needs no surrogate
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
    with StudyLock(copy.path).hold():
        reader = Study.open(copy.path)
        assert len(reader.records()) == 12
        assert reader.query([r.architecture for r in reader.records()[:2]])
        assert reader.report(tmp_path / "report").is_file()
        for change in (reader.run, lambda: reader.collect(1), reader.baselines, lambda: reader.home.retry([])):
            with pytest.raises(InputError, match="another command is working on study"):
                change()
        with pytest.raises(InputError, match="another command is working"):
            reader.home.update({"budget": 99})
        assert reader.settings.budget == Study.open(copy.path).settings.budget == 12


# ---------------------------------------------------------------------- baselines


def test_baselines_are_trained_once_and_leave_the_search_as_it_is(study_path: Path, with_baselines: Path) -> None:
    before, copy = Study.open(study_path), Study.open(with_baselines)
    front, volume, round = before.front(), before.hypervolume(), next_round(before.archive.proposals())
    points = [(s.record.id, s.operating_point) for s in front]
    trained = copy.records("baseline")
    names = [name_of(r.architecture) for r in trained]
    assert names == [*HAND_MADE, "static network"]
    assert all(r.failure is None for r in trained)
    assert trained[2].architecture.exit_positions == (2,)
    with_exits = [s.record.architecture for s in front if len(s.record.architecture.exit_positions) > 1]
    assert trained[2].architecture.stages == with_exits[-1].stages
    assert [r.seconds for r in copy.baselines()] == [r.seconds for r in trained]
    assert [r.id for r in copy.records("baseline")] == [r.id for r in trained]
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


# ---------------------------------------------------------------------- older versions


def test_a_study_by_the_older_nachos_loss_goes_on_with_it(tmp_path: Path, user_mapping: dict[str, Any]) -> None:
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(user_mapping | {"branch": {"kind": "gated", "channels": [8]}}))
    loss = {"kind": "nachos", "max_macs": 1e5, "start": "at_once"}
    study = Study.create(tmp_path / "study", space=tmp_path / "space.yaml", recipe={"epochs": 1, "loss": loss})
    study.archive.propose(user_proposals(study.home.problem, study.space.sample(1, np.random.default_rng(0)), 0))
    settings = study.path / "config.yaml"
    assert "start: at_once" in settings.read_text()
    settings.write_text(settings.read_text().replace("    start: at_once\n", ""))
    assert Study.open(study.path).settings.recipe == study.settings.recipe
