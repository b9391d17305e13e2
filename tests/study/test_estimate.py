"""Estimates of memory and disk, checked before anything is trained."""

from dataclasses import replace
from pathlib import Path
from statistics import mean

import pytest
import torch

from surrogate_nas.api import Study
from surrogate_nas.archive.record import Failure, Record
from surrogate_nas.foundation import machine
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.study import estimate as plan
from surrogate_nas.study.speed import work
from surrogate_nas.training.gpu_memory import CONTEXT, MOST_PER_GPU, RESIDENT_CONTEXT
from tests.helpers.outputs import SMALL_STUDY

QUICK = {"recipe": {"epochs": 1}, "workers": 0}


def test_disk_that_will_not_do_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "free_disk", lambda path: 300_000)
    with pytest.raises(InputError, match=r"32 trainings write up to .* MB to .*, but only 300.0 kB are free"):
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


# ---------------------------------------------------------------------- time


def estimate(study: Study, records: list[Record], trainings: int = 10) -> float:
    """Estimated seconds of trainings, without the fits between them."""
    problem, splits = study.home.problem, study.splits()
    seconds = plan.estimated_seconds(problem, splits, study.trainer.plan(trainings), records)
    assert seconds is not None
    rounds = -(-max(study.settings.budget - max(study.settings.initial, len(records)), 0) // study.settings.batch) + 1
    return seconds - rounds * plan.SECONDS_PER_FIT_AND_ROUND * study.settings.budget


def test_the_estimate_is_what_has_been_measured_scaled_by_work_and_shared_by_the_workers(copy: Study) -> None:
    problem, splits = copy.home.problem, copy.splits()
    passes = copy.settings.recipe.epochs * len(splits.train)
    records = [replace(r, seconds=1e-6 * work(problem, splits, r.architecture, passes)) for r in copy.archive.records()]
    expected = 1e-6 * mean(work(problem, splits, a, passes) for a in plan._sample(problem))
    assert estimate(copy, records) == pytest.approx(10 * expected / 2)
    slow = [replace(r, seconds=100 * r.seconds) for r in records[:2]]
    assert estimate(copy, slow) == pytest.approx(100 * estimate(copy, records[:2]))
    records[0] = replace(records[0], seconds=1e6)  # a laptop that slept
    assert estimate(copy, records) == pytest.approx(10 * expected / 2)
    failed = [replace(r, outputs=None, failure=Failure("time", "late"), seconds=1e6) for r in records[:3]]
    assert estimate(copy, [*records[3:], *failed]) == pytest.approx(10 * expected / 2)


def test_trainings_on_another_kind_of_device_tell_nothing_of_the_time(copy: Study) -> None:
    elsewhere = [replace(r, seconds=1e6, provenance={"device": "cuda"}) for r in copy.archive.records()]
    assert estimate(copy, elsewhere) < 1e5


def test_before_the_first_training_the_load_of_the_machine_counts(copy: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "timed_speed", lambda *of: 1e-9)
    monkeypatch.setattr(plan, "available_cores", lambda: 2)
    monkeypatch.setattr(plan, "other_load", lambda: 0.0)
    idle = estimate(copy, [])
    monkeypatch.setattr(plan, "other_load", lambda: 2.0)  # the timed step has 2/3 of a core, each of two trainings half
    assert estimate(copy, []) == pytest.approx(idle * 4 / 3)


# ---------------------------------------------------------------------- GPUs


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with one GPU, on which any use of CUDA in this process fails the test."""

    def forbidden(*arguments: object) -> None:
        raise AssertionError("this process has touched CUDA")

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "_lazy_init", forbidden)
    monkeypatch.setattr(torch._C, "_cuda_getDeviceCount", forbidden)
    monkeypatch.setattr(plan, "free_gpu_memory", lambda device: 80_000_000_000)
    monkeypatch.setattr(plan, "available_cores", lambda: 64)
    monkeypatch.setattr(plan, "available_memory", lambda: 500_000_000_000)


@pytest.mark.usefixtures("gpu")
def test_a_study_is_created_and_announced_without_a_cuda_context(tmp_path: Path) -> None:
    study = Study.create(tmp_path / "study", device="auto")
    study.trainer.announce()
    assert study.trainer.plan(8).device == "cuda"
    with pytest.raises(InputError, match=r"device 'cuda:1' cannot be used here: this machine has 1 CUDA GPUs"):
        Study.create(tmp_path / "other", device="cuda:1")


@pytest.mark.usefixtures("gpu")
def test_a_few_trainings_share_a_gpu_and_no_more_than_fit(copy: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    copy.home.settings = copy.settings.model_copy(update={"device": "cuda", "workers": None})
    planned = copy.trainer.plan(64)
    assert planned.gpu is not None
    assert planned.workers == MOST_PER_GPU
    assert planned.gpu.memory > CONTEXT + copy.splits().train.images.nbytes
    assert planned.memory > RESIDENT_CONTEXT
    monkeypatch.setattr(plan, "free_gpu_memory", lambda device: int(2.5 * planned.gpu.memory))
    assert copy.trainer.plan(64).workers == 2
    copy.home.settings = copy.settings.model_copy(update={"device": "cuda", "workers": 8})
    with pytest.raises(InputError, match=r"8 trainings at a time need .* of GPU memory each.*--workers up to 2"):
        copy.trainer.plan(64).check(copy.path)


def test_trainings_that_do_not_use_a_gpu_need_nothing_of_it(copy: Study) -> None:
    assert copy.trainer.plan(8).gpu is None
