"""Figures of a network on corrupted images."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from surrogate_nas import InputError, JobError, Limits, OperatingPoint, Study
from surrogate_nas.datasets.corruptions import corrupt, require
from surrogate_nas.datasets.dataset import LabeledImages
from surrogate_nas.exits.limit_table import exact_text
from surrogate_nas.study.shift import CLEAN, Shift
from surrogate_nas.training.training import predict_split
from tests.conftest import Command


@pytest.mark.parametrize(
    ("names", "levels", "message"),
    [
        (["fog"], [1], "corruption fog is not one of noise, blur, contrast, brightness, jpeg"),
        (["blur"], [6], "level 6 is not one of 1, 2, 3, 4, 5"),
        (["blur"], [0], "level 0 is not one of 1, 2, 3, 4, 5"),
        ([], [1], "expected at least one corruption, got none; allowed: noise"),
        (["blur"], [], "expected at least one level, got none"),
        (["blur", "blur"], [1], "duplicate corruption in blur, blur"),
        (["blur"], [2, 3, 2], "duplicate level in 2, 3, 2"),
    ],
)
def test_what_there_is_not_is_refused(names: list[str], levels: list[int], message: str, study_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        require(names, levels)
    with pytest.raises(InputError, match=message):
        Study.open(study_path).shift("whatever", corruptions=names, levels=levels)


# ---------------------------------------------------------------------- a network


@pytest.fixture(scope="module")
def study(study_path: Path) -> Study:
    return Study.open(study_path)


@pytest.fixture(scope="module")
def id(study: Study) -> str:
    return study.front()[-1].record.id


@pytest.fixture(scope="module")
def shift(study: Study, id: str) -> Shift:
    return study.shift(id, corruptions=["noise", "contrast"], levels=[1, 5])


def test_clean_images_give_what_was_stored(study: Study, id: str, shift: Shift) -> None:
    assert (shift.clean.corruption, shift.clean.level) == (CLEAN, 0)
    assert shift.clean.measured == shift.solution.test
    assert shift.solution == study.tune(id, study.settings.limits)
    again = predict_split(study.network(id), study.splits().test)
    stored = study.archive.outputs(id).test
    assert again.logits is not None
    assert stored.logits is not None
    np.testing.assert_allclose(again.logits.astype(np.float32), stored.logits.astype(np.float32), rtol=2e-3, atol=2e-3)


def test_every_corruption_and_level_is_measured_at_the_same_thresholds(study: Study, id: str, shift: Shift) -> None:
    cases = [(name, level) for name in ("noise", "contrast") for level in (1, 5)]
    assert [(s.corruption, s.level) for s in shift.shifted] == cases
    network, test = study.network(id), study.splits().test
    for row in shift.shifted:
        images = corrupt(test.images, row.corruption, row.level, study.archive.header.seed)
        assert row.measured.n == len(test)
        assert abs(sum(row.measured.rates) - 1) < 1e-9
        outputs, point = predict_split(network, LabeledImages(images, test.labels)), shift.solution.operating_point
        assert study.solutions.measure_outputs(network.architecture, outputs, point) == row.measured
    assert shift.mean_accuracy == pytest.approx(np.mean([s.measured.accuracy for s in shift.shifted]))
    assert shift.shifted == study.shift(id, corruptions=["noise", "contrast"], levels=[1, 5]).shifted


def test_what_really_stops_says_the_same_on_corrupted_images(study: Study, id: str, shift: Shift) -> None:
    test, row = study.splits().test, shift.shifted[-1]
    images = torch.from_numpy(corrupt(test.images, "contrast", 5, study.archive.header.seed))
    predictions = study.network(id).predict(images, shift.solution.operating_point)
    rates = np.bincount(predictions.positions, minlength=3) / len(test)
    np.testing.assert_allclose(rates, row.measured.rates, atol=2 / len(test))


def test_limits_are_held_against_each_row_and_breaks_are_said(study: Study) -> None:
    record = max(study.records(), key=lambda r: len(r.architecture.exit_positions))
    id, scores = record.id, study.exits(record, "tune").scores
    point = study.solutions.operating_point(record, np.quantile(scores[:-1].astype(np.float64), 0.75, axis=1))
    plain = study.shift(id, Limits(), thresholds=point, levels=[1, 3, 5])
    assert plain.warnings() == []
    macs = [row.measured.expected_macs for row in (plain.clean, *plain.shifted)]
    accuracy = [row.measured.accuracy for row in (plain.clean, *plain.shifted)]
    assert max(macs) > macs[0]
    limits = Limits(max_macs=(macs[0] + max(macs)) / 2, min_accuracy=(accuracy[0] + min(accuracy)) / 2)
    flagged = study.shift(id, limits, thresholds=point, levels=[1, 3, 5])
    assert [row.measured for row in flagged.shifted] == [row.measured for row in plain.shifted]
    assert limits.max_macs is not None
    assert limits.min_accuracy is not None
    for row in (flagged.clean, *flagged.shifted):
        over, below = row.measured.expected_macs > limits.max_macs, row.measured.accuracy < limits.min_accuracy
        assert [b.limit.words for b in row.broken] == ["expected MACs"] * over + ["accuracy"] * below
    broken_in = {(row.corruption, b.limit.words) for row in flagged.shifted for b in row.broken}
    assert {what for _, what in broken_in} == {"expected MACs", "accuracy"}
    assert len(flagged.warnings()) == len(broken_in)
    worst = max(flagged.shifted, key=lambda row: row.measured.expected_macs)
    over_by = worst.measured.expected_macs / limits.max_macs - 1
    (warning,) = (
        w for w in flagged.warnings() if f"up to {worst.measured.expected_macs:,.0f}, {over_by:.1%} over" in w
    )
    assert warning.startswith(
        f"the limit of {exact_text(limits.max_macs)} on expected MACs is exceeded under {worst.corruption} of level"
    )


def test_a_limit_that_is_just_kept_is_kept(shift: Shift) -> None:
    m = shift.clean.measured
    limits = Limits(
        max_macs=m.expected_macs, max_p95_macs=m.p95_macs, max_worst_macs=m.worst_macs, min_accuracy=m.accuracy
    )
    assert m.broken(limits) == ()
    (only,) = m.broken(limits.model_copy(update={"max_p95_macs": m.p95_macs - 1}))
    assert (only.limit.name, only.value, only.cap) == ("max_p95_macs", m.p95_macs, m.p95_macs - 1)


def test_limits_that_nothing_keeps_on_tune_are_said(study: Study, id: str) -> None:
    with pytest.raises(JobError, match="no thresholds keep expected MACs ≤ 1"):
        study.shift(id, Limits(max_macs=1))


# ---------------------------------------------------------------------- the command


def test_the_command_prints_a_table_and_writes_a_file(
    study_path: Path, id: str, shift: Shift, tmp_path: Path, command: Command
) -> None:
    words = ("shift", study_path, id, "--corruptions", "noise,contrast", "--levels", "1,5")
    code, out, err = command(*words, "--output", tmp_path / "shift.csv")
    assert code == 0
    assert f"5 of 5 sets of {shift.clean.measured.n} test images measured" in err
    assert [line.split()[0] for line in out.splitlines()[2:7]] == ["clean", "noise", "noise", "contrast", "contrast"]
    assert [line for line in out.splitlines() if line.startswith("warning: ")] == [
        f"warning: {text}" for text in shift.warnings()
    ]
    with (tmp_path / "shift.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row, expected in zip(rows, (shift.clean, *shift.shifted), strict=True):
        assert (row["corruption"], int(row["level"])) == (expected.corruption, expected.level)
        assert float(row["accuracy"]) == expected.measured.accuracy
        assert float(row["expected_macs"]) == expected.measured.expected_macs
        assert [float(row[f"p{e}"]) for e in (1, 2, 3)] == list(expected.measured.rates)
        assert row["broken"] == "; ".join(b.limit.words for b in expected.broken)
    code, out, _ = command(*words, "--json")
    document = json.loads(out)
    assert [d["accuracy"] for d in document["shifted"]] == [s.measured.accuracy for s in shift.shifted]
    assert [d["parameter"] for d in document["shifted"]] == [0.04, 0.1, 0.75, 0.15]
    assert (document["clean"]["parameter"], document["warnings"]) == (None, shift.warnings())


def test_thresholds_of_ones_own_are_taken_as_they_are(study_path: Path, id: str, command: Command) -> None:
    words = ("shift", study_path, id, "--thresholds", "off,off", "--max-macs", 1, "--levels", "1", "--json")
    code, out, _ = command(*words)
    document = json.loads(out)
    assert code == 0
    assert document["network"]["thresholds"] == str(OperatingPoint((None, None)))
    for row in (document["clean"], *document["shifted"]):
        assert row["rates"][-1] == 1
        assert [b["what"] for b in row["broken"]] == ["expected MACs"]


BAD = {
    "shift STUDY FIRST --levels 1,6": "level 6 is not one of 1, 2, 3, 4, 5",
    "shift STUDY FIRST --levels one": "--levels one is not of the form 1,3,5",
    "shift STUDY FIRST --corruptions fog": "corruption fog is not one of noise, blur, contrast",
    "shift STUDY FIRST --thresholds 0.5": "3 exits need 2 thresholds, got 1",
    "shift STUDY FIRST --output shift.txt": "output shift.txt does not end in .csv",
    "shift STUDY FIRST --output nowhere/s.csv": "output nowhere/s.csv cannot be written: its folder does not exist",
    "shift STUDY FIRST --min-accuracy 90": "--min-accuracy 90: input should be less than or equal to 1",
    "shift STUDY zzzz": "0 records have an id that starts with 'zzzz'",
    "shift NOWHERE zzzz": "no study at NOWHERE",
}


@pytest.mark.parametrize("words", BAD)
def test_bad_words_are_one_line(words: str, study_path: Path, id: str, command: Command) -> None:
    paths = {"STUDY": study_path, "FIRST": id}
    code, out, err = command(*(paths.get(w, w) for w in words.split()))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert BAD[words] in err


def test_weights_that_are_gone_are_said(study_path: Path, id: str, tmp_path: Path, command: Command) -> None:
    copy = Study.open(shutil.copytree(study_path, tmp_path / "copy"))
    copy.home.checkpoint(id).unlink()
    code, out, err = command("shift", copy.path, id)
    assert (code, out) == (1, "")
    assert f"the weights of {id} are not at" in err
