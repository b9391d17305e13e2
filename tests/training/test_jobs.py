"""The record of a job: its device, and the failures there."""

from pathlib import Path

import pytest
import torch

import surrogate_nas
from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.record import Proposal, Record
from surrogate_nas.datasets import load
from surrogate_nas.datasets.dataset import Dataset
from surrogate_nas.training import training as train
from surrogate_nas.training.executors.jobs import DataSource, Job, carry_out, provenance
from surrogate_nas.training.recipe import Recipe

RECIPE = Recipe(epochs=1, batch_size=512)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load("digits")


def job(architecture: Architecture, folder: Path, device: str) -> Job:
    return Job(
        proposal=Proposal(
            round=0, rank=0, origin="initial", architecture=architecture, seed=0, fidelity=RECIPE.fidelity
        ),
        source=DataSource(folder, seed=0, tune_share=0.1),
        recipe=RECIPE,
        device=device,
        checkpoint=folder / "w.safetensors",
        unfinished=folder / "u.unfinished",
    )


def record_of(job: Job, data: Dataset) -> Record:
    *_, record = carry_out(job, data)
    assert isinstance(record, Record)
    return record


def test_a_record_names_the_device_that_auto_was(architecture: Architecture, data: Dataset, tmp_path: Path) -> None:
    record = record_of(job(architecture, tmp_path, "auto"), data)
    assert record.failure is None
    assert record.provenance["device"] == str(train.resolve_device("auto"))


def test_a_record_names_the_version_that_trained_it(architecture: Architecture, tmp_path: Path) -> None:
    assert provenance(job(architecture, tmp_path, "cpu"))["surrogate-nas"] == surrogate_nas.__version__


def test_a_gpu_is_named(architecture: Architecture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"NVIDIA H100 {device.index}")
    facts = provenance(job(architecture, tmp_path, "cuda:1"), torch.device("cuda:1"))
    assert (facts["device"], facts["gpu"]) == ("cuda:1", "NVIDIA H100 1")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), "memory"),
        (RuntimeError("CUDA error: out of memory"), "memory"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), "memory"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "memory"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"), "memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), "memory"),
        (RuntimeError("CUDA error: device-side assert triggered"), "error"),
    ],
)
def test_errors_for_want_of_memory_are_memory_failures(
    architecture: Architecture,
    data: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: RuntimeError,
    kind: str,
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(train, "held_out_outputs", fail)
    record = record_of(job(architecture, tmp_path, "cpu"), data)
    assert record.failure is not None
    assert record.failure.kind == kind
    assert record.provenance["device"] == "cpu"


@pytest.mark.parametrize("device", ["meta", "abacus"])
def test_a_device_that_cannot_train_is_one_line_in_the_record(
    architecture: Architecture, data: Dataset, tmp_path: Path, device: str
) -> None:
    record = record_of(job(architecture, tmp_path, device), data)
    assert record.failure is not None
    assert f"device '{device}' cannot be used here" in record.failure.message
    assert "\n" not in record.failure.message
    assert record.provenance["device"] == device
