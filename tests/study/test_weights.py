"""Weights: which are kept, and what is said of those that are not what they should be."""

import shutil
from pathlib import Path

import pytest

from surrogate_nas.api import Study
from surrogate_nas.foundation.errors import JobError
from surrogate_nas.study.paths import CHECKPOINTS

QUICK = {"recipe": {"epochs": 1}, "workers": 0}


def weights(study: Study) -> set[str]:
    return {path.stem for path in (study.path / CHECKPOINTS).glob("*.safetensors")}


def test_weights_of_the_front_are_kept_whatever_the_limits(copy: Study) -> None:
    before = weights(copy)
    copy.home.update({"keep": "front"})
    kept_ids = weights(copy)
    assert {s.record.id for s in copy.front()} <= kept_ids < before
    copy.home.update({"limits": {"max_macs": None, "min_accuracy": None}})
    assert {s.record.id for s in copy.front()} <= kept_ids
    pruned_id = sorted(before - kept_ids)[0]
    with pytest.raises(JobError, match=f"the weights of {pruned_id} are not at .*this study keeps those of front"):
        copy.network(pruned_id)


def test_none_are_kept_where_none_are_asked_for(tmp_path: Path) -> None:
    study = Study.create(tmp_path / "study", keep="none", **QUICK)
    study.collect(2)
    assert list((study.path / CHECKPOINTS).iterdir()) == []
    assert len(study.records()) == 2


def test_what_an_interrupted_command_left_half_written_is_removed(copy: Study) -> None:
    (copy.path / CHECKPOINTS / "0123.77.partial").touch()
    (copy.path / CHECKPOINTS / "mine.partial").mkdir()
    (copy.path / CHECKPOINTS / "0123.unfinished").touch()
    before = weights(copy)
    assert before
    copy.home.prune()
    (copy.path / CHECKPOINTS / "mine.partial").rmdir()  # which was the user's, and still there
    assert {path.stem for path in (copy.path / CHECKPOINTS).iterdir()} == before


def test_weights_of_another_architecture_are_said(copy: Study) -> None:
    """Files moved by hand: whose they are is in the file, else it shows by their shapes."""
    one, *others = [r for r in copy.records() if copy.home.checkpoint(r.id).is_file()]
    other = next(r for r in others if r.architecture != one.architecture)
    shutil.copy(copy.home.checkpoint(other.id), copy.home.checkpoint(one.id))
    with pytest.raises(JobError) as error:
        copy.network(one.id)
    path = copy.home.checkpoint(one.id)
    message = f"{path} has the weights of {other.architecture}; those of {one.id} are of {one.architecture}"
    assert str(error.value) == message


def test_damaged_weights_are_said(copy: Study) -> None:
    id = copy.records()[0].id
    copy.home.checkpoint(id).write_bytes(b"")  # as an unlucky power cut leaves a file
    with pytest.raises(JobError, match=f"the weights of {id} at .* are damaged"):
        copy.network(id)
