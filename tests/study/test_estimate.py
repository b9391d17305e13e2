"""Estimates of memory and disk, checked before anything is trained."""

from pathlib import Path

import pytest

from surrogate_nas.foundation import machine
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.study import estimate as plan
from surrogate_nas.study.study import Study
from tests.helpers.outputs import SMALL_STUDY

QUICK = {"recipe": {"epochs": 1}, "workers": 0}


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
