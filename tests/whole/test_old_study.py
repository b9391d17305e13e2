"""A study that version 0.1.0 wrote: every later version opens it, answers from it, and goes on with it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from surrogate_nas import Archive, OperatingPoint, Study
from surrogate_nas.study.fitting import stored_fit
from tests.conftest import Command
from tests.helpers.disk import small_disk

WRITTEN = Path(__file__).parents[1] / "data" / "study-0.1.0"
HELD: dict[str, Any] = json.loads(WRITTEN.with_name("study-0.1.0.json").read_text(encoding="utf-8"))
UNFINISHED, EPOCHS = HELD["unfinished"]["id"], HELD["unfinished"]["epochs"]
FAILED = [failure["id"] for failure in HELD["failed"]]
POINT = OperatingPoint((0.13, 0.15))
"""Thresholds of the stored answers."""
SINGLE = ("accuracy", "expected_macs")
PREDICTED = (*SINGLE, "exit_probabilities", "exit_accuracies")
"""Predictions of surrogates, each a mean with the bounds of its interval; chances to keep limits follow from them."""
EXPORTED = Path("exports") / HELD["front"][0]["id"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A copy that is only read."""
    return Study.open(shutil.copytree(WRITTEN, tmp_path_factory.mktemp("old") / "study"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A copy to work on."""
    return Path(shutil.copytree(WRITTEN, tmp_path / "study"))


def require(expected: Any, got: Any) -> None:
    """Everything that is expected is there; numbers may differ by 10⁻⁶, and later versions may tell more."""
    match expected:
        case dict():
            for name, value in expected.items():
                require(value, got[name])
        case list():
            assert len(got) == len(expected)
            for one, other in zip(expected, got, strict=True):
                require(one, other)
        case float():
            assert got == pytest.approx(expected, rel=1e-6, abs=1e-6)
        case _:
            assert got == expected


def require_answers(got: list[dict[str, Any]], held: list[dict[str, Any]] = HELD["queries"]) -> None:
    """Measured and exact values are as they were; surrogates have changed, so intervals of predictions overlap
    with those of then."""
    for expected, answer in zip(held, got, strict=True):
        require(
            {name: value for name, value in expected.items() if name not in (*PREDICTED, "feasible_probability")},
            answer,
        )
        for name in PREDICTED:
            both = expected[name], answer[name]
            for was, now in [both] if name in SINGLE else zip(*both, strict=True):
                assert (was is None) == (now is None)
                assert was is None or (now[1] <= now[0] <= now[2] and max(was[1], now[1]) <= min(was[2], now[2]))
        assert 0 <= answer["feasible_probability"] <= 1


def contents(path: Path) -> dict[str, bytes]:
    files = [file for file in path.rglob("*") if file.is_file()]
    assert files
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def answered(command: Command, *words: object) -> Any:
    """The document that a command answers with."""
    code, out, err = command(*words, "--json")
    assert code == 0, err
    return json.loads(out)


# ---------------------------------------------------------------------- what is there


def test_it_is_sound(path: Path, command: Command) -> None:
    document = answered(command, "archive", "validate", path)
    require({"records": 11, "problems": []}, document)
    (remark,) = document["remarks"]
    assert "did not store predicted classes" in remark


def test_its_settings_are_in_force(study: Study) -> None:
    settings = study.settings
    assert (settings.budget, settings.initial, settings.surrogate, settings.keep) == (13, 8, "gp", "front")
    assert (settings.recipe.epochs, settings.full_recipe.epochs) == (5, 8)
    assert (settings.limits.max_macs, settings.limits.max_params, settings.limits.min_accuracy) == (40e3, 1900, 0.4)


def test_every_record_is_listed_by_its_id(study: Study, command: Command) -> None:
    for group, option in (("search", []), ("baseline", ["--baselines"]), ("final", ["--finals"])):
        rows = answered(command, "archive", "list", study.path, *option)
        assert [row["id"] for row in rows] == HELD["records"][group]
        assert {row["status"] for row in rows if row["id"] not in FAILED} == {"trained"}
    (failed,) = answered(command, "archive", "list", study.path, "--failed")
    assert [{"id": failed["id"], "kind": failed["status"], "message": failed["message"]}] == HELD["failed"]


def test_what_was_proposed_is_known_with_what_was_predicted(study: Study) -> None:
    proposals = study.archive.proposals()
    assert [p.id for p in proposals] == [*HELD["records"]["search"], *HELD["pending"]]
    assert [p.origin for p in proposals] == ["initial"] * 9 + ["search"] * 4
    require(HELD["predictions"], {p.id: p.prediction for p in proposals})
    assert [p.id for p in study.archive.pending()] == HELD["pending"]


def test_outputs_are_of_the_images_that_the_splits_give(study: Study) -> None:
    splits = study.splits()
    trained = [r for r in [*study.records(), *study.records("baseline")] if r.outputs is not None]
    assert len(trained) == 13
    for record in trained:
        np.testing.assert_array_equal(record.outputs.tune.labels, splits.tune.labels)
        np.testing.assert_array_equal(record.outputs.test.labels, splits.test.labels)


def test_the_front_is_what_it_was(study: Study) -> None:
    front = [
        {
            "id": s.record.id,
            "thresholds": list(s.operating_point.thresholds),
            "accuracy": s.tune.accuracy,
            "expected_macs": s.tune.expected_macs,
            "test_accuracy": s.test.accuracy,
            "test_expected_macs": s.test.expected_macs,
        }
        for s in study.front()
    ]
    require(HELD["front"], front)
    require(HELD["hypervolume"], study.hypervolume())


def test_finals_are_worth_what_they_were(study: Study) -> None:
    finals = [
        {
            "encoding": str(f.architecture),
            "best": f.best.record.id,
            "tune_accuracy": f.tune_accuracy,
            "test_accuracy": f.test_accuracy,
            "test_interval": list(f.test_interval),
        }
        for f in study.finals()
    ]
    require(HELD["finals"], finals)


def test_networks_load_and_say_what_their_records_stored(study: Study) -> None:
    images = torch.from_numpy(study.splits().test.images)
    for id in HELD["weights"]:
        record, network = study.archive.find(id), study.network(id)
        assert network.architecture == record.architecture
        with torch.inference_mode():
            logits = torch.stack(network(images)).numpy()
        stored = study.archive.outputs(id).test.logits
        np.testing.assert_allclose(logits, np.asarray(stored, dtype=np.float32), atol=0.02)


# ---------------------------------------------------------------------- predictions


def test_queries_are_answered(path: Path, command: Command) -> None:
    encodings = [word for answer in HELD["queries"] for word in ("--encoding", answer["encoding"])]
    answers = answered(command, "query", path, *encodings, "--thresholds", str(POINT))
    require_answers(answers)
    assert [bool(answer["trained"]) for answer in answers] == [True, False]


def test_the_fit_is_made_anew_once_and_then_used(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The targets of a fit are stored since version 0.2.0, which knows one by the names of what it follows from."""
    study, asked = Study.open(path), [answer["encoding"] for answer in HELD["queries"]]
    assert stored_fit(study.home, study.records()) is None
    first = study.query([study.space.parse(encoding) for encoding in asked], POINT)
    assert "fitted" in capsys.readouterr().err
    before = contents(path / "surrogate")
    assert stored_fit(study.home, study.records()) is not None
    assert Study.open(path).query([study.space.parse(encoding) for encoding in asked], POINT) == first
    assert "fitted" not in capsys.readouterr().err
    assert contents(path / "surrogate") == before
    require_answers([asdict(answer) for answer in first])


# ---------------------------------------------------------------------- going on


def test_the_training_that_was_killed_goes_on_from_its_last_epoch(path: Path, command: Command) -> None:
    """Given no time, it fails in the epoch after the last that it has kept, and the others in their first."""
    same = ("--space", "tiny", "--seed", 13)
    answered(command, "collect", path, "--n", 1, *same, "--max-seconds", 1e-9)
    failed = {row["id"]: row["message"] for row in answered(command, "archive", "list", path, "--failed")}
    epochs = {id: int(message.rpartition("in epoch ")[2]) for id, message in failed.items()}
    assert epochs.pop(UNFINISHED) == EPOCHS + 1
    assert {*epochs.values()} == {1}
    assert answered(command, "archive", "retry", path, UNFINISHED) == [UNFINISHED]
    answered(command, "collect", path, "--n", 1, *same, "--max-seconds", 600)
    (row,) = [row for row in answered(command, "archive", "list", path) if row["id"] == UNFINISHED]
    assert row["status"] == "trained"


def test_a_run_that_was_killed_is_finished(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = Study.open(path)
    before = [(r.id, r.seconds) for r in study.records()]
    assert list(path.rglob("*.unfinished"))
    study.run()
    assert f"1 of {len(HELD['pending'])} trainings resume from their last epoch" in capsys.readouterr().err
    records = study.records()
    assert [(r.id, r.seconds) for r in records[: len(before)]] == before
    assert [r.id for r in records[len(before) :]] == HELD["pending"]
    assert all(r.failure is None for r in records[len(before) :])
    assert not list(path.rglob("*.unfinished"))
    assert study.archive.problems() == []


def test_what_failed_can_be_done_again(path: Path, command: Command) -> None:
    assert answered(command, "archive", "retry", path) == FAILED
    Study.open(path).run()
    rows = answered(command, "archive", "list", path)
    assert [row["id"] for row in rows] == [*HELD["records"]["search"], *HELD["pending"]]
    assert {row["status"] for row in rows} == {"trained"}


def test_finals_and_baselines_are_not_trained_again(path: Path) -> None:
    study = Study.open(path)
    assert [r.id for r in study.baselines()] == HELD["records"]["baseline"]
    (final,) = study.finalize([study.front()[-1].record.id], seeds=2)
    assert final.best.record.id == HELD["finals"][0]["best"]
    assert [r.id for r in study.archive.records("final")] == HELD["records"]["final"]


# ---------------------------------------------------------------------- what was exported


def test_the_exported_network_runs(path: Path, command: Command, tmp_path: Path) -> None:
    """By this version, and by the runtime that lies in its folder."""
    pytest.importorskip("onnxruntime")
    from surrogate_nas.export import runtime

    folder, images = path / EXPORTED, Study.open(path).splits().test.images
    network = runtime.ExportedNetwork.load(folder)
    assert network.check(folder) < 1e-4
    program = [sys.executable, str(folder / "runtime.py"), str(folder), "--check"]
    assert subprocess.run(program, capture_output=True, check=False).returncode == 0
    for i, image in enumerate(images[:5]):
        Image.fromarray(image[0]).save(tmp_path / f"{i}.png")
    document = answered(command, "infer", folder, *(tmp_path / f"{i}.png" for i in range(5)))
    answer = network.run(images[:5])
    assert [row["label"] for row in document["images"]] == [network.labels[k] for k in answer.classes]
    assert [row["macs"] for row in document["images"]] == answer.macs.tolist()


# ---------------------------------------------------------------------- where nothing can be written


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A copy on a file system of its own, to which nobody can write."""
    with small_disk(tmp_path / "disk") as disk:
        shutil.copytree(WRITTEN, disk / "study")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        yield disk / "study"


def test_it_is_read_where_nothing_can_be_written(read_only: Path, command: Command) -> None:
    document = answered(command, "archive", "validate", read_only)
    require({"problems": []}, document)
    (remark,) = document["remarks"]
    assert "half precision" in remark
    assert [s.record.id for s in Study.open(read_only).front()] == [s["id"] for s in HELD["front"]]
    (answer,) = answered(
        command, "query", read_only, "--encoding", HELD["queries"][1]["encoding"], "--thresholds", str(POINT)
    )
    require_answers([answer], HELD["queries"][1:])
    code, out, err = command("archive", "retry", read_only)
    assert (code, out) == (1, "")
    assert "Read-only file system" in err
    assert contents(read_only) == contents(WRITTEN)


def test_its_archive_is_read_where_nobody_may_write(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # as on a read-only mount, which needs root to make
    archive = Archive.open(path / "archive.sqlite")
    assert archive.problems() == []
    assert [r.id for r in archive.records()] == HELD["records"]["search"]
    archive.close()
    assert contents(path) == contents(WRITTEN)
