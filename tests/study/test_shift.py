"""Networks on corrupted images: what corruptions do to images, and what is said of a network on them."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from surrogate_nas import InputError, JobError, Limits, OperatingPoint, Study
from surrogate_nas.datasets.corruptions import CHUNK, CORRUPTIONS, LEVELS, corrupted, require
from surrogate_nas.datasets.dataset import Images, LabeledImages
from surrogate_nas.exits.limits import exact_text
from surrogate_nas.study.shift import CLEAN, Shift
from surrogate_nas.training.training import measure_split
from tests.conftest import Command


def drawn(channels: int, side: int, n: int = 40) -> Images:
    """Smooth colours with an edge, black pixels among them."""
    rng = np.random.default_rng(channels * side)
    ramp = np.linspace(0, 200, side)[:, None] * np.ones(side) * rng.uniform(0.3, 1, size=(n, channels, 1, 1))
    ramp[..., side // 2 :] *= 0.4
    ramp[..., :2, :2] = 0
    return ramp.round().astype(np.uint8)


def distance(a: Images, b: Images) -> float:
    """Root mean square over pixels."""
    return float(np.sqrt(((a.astype(float) - b.astype(float)) ** 2).mean()))


IMAGES = pytest.mark.parametrize(
    "images", [drawn(1, 8), drawn(1, 28), drawn(3, 32), drawn(3, 64)], ids=["grey8", "grey28", "rgb32", "rgb64"]
)
KINDS = pytest.mark.parametrize("name", CORRUPTIONS)


# ---------------------------------------------------------------------- images


@KINDS
@IMAGES
def test_corrupted_images_are_images_and_those_given_stay(name: str, images: Images) -> None:
    before = images.copy()
    for level in LEVELS:
        after = corrupted(images, name, level, seed=1)
        assert (after.dtype, after.shape) == (images.dtype, images.shape)
        assert (after != images).any()
        np.testing.assert_array_equal(after, corrupted(images, name, level, seed=1))
    np.testing.assert_array_equal(images, before)
    np.testing.assert_array_equal(corrupted(images, name, 0, seed=1), images)


@KINDS
@IMAGES
def test_each_level_is_farther_from_the_clean_images(name: str, images: Images) -> None:
    distances = [distance(corrupted(images, name, level, seed=0), images) for level in (0, *LEVELS)]
    assert distances == sorted(distances)
    assert len(set(distances)) == len(distances)


@KINDS
def test_digits_too_are_farther_with_each_level(name: str, study_path: Path) -> None:
    test = Study.open(study_path).folder.splits().test.images
    distances = [distance(corrupted(test, name, level, seed=0), test) for level in (0, *LEVELS)]
    assert distances == sorted(set(distances))


def test_only_noise_depends_on_the_seed() -> None:
    images = drawn(3, 32)
    for name in CORRUPTIONS:
        same = np.array_equal(corrupted(images, name, 3, seed=0), corrupted(images, name, 3, seed=1))
        assert same == (name != "noise")


@KINDS
def test_an_image_is_corrupted_the_same_whatever_comes_after_it(name: str) -> None:
    many = np.tile(drawn(1, 8), (CHUNK // 40 + 2, 1, 1, 1))
    assert len(many) > CHUNK
    np.testing.assert_array_equal(corrupted(many, name, 2, 0)[: CHUNK + 1], corrupted(many[: CHUNK + 1], name, 2, 0))


def test_parameters_are_what_they_are_called() -> None:
    grey = np.full((500, 1, 8, 8), 128, dtype=np.uint8)
    noise = corrupted(grey, "noise", 5, seed=0).astype(float) - 128
    assert abs(noise.std() / 255 - 0.10) < 0.002
    assert abs(noise.mean()) < 0.6
    assert (corrupted(grey, "brightness", 4, 0) == 128 + 51).all()
    for name in ("blur", "contrast"):
        np.testing.assert_array_equal(corrupted(grey, name, 5, 0), grey)
    images = drawn(3, 32)
    mean = images.mean(axis=(2, 3), keepdims=True)
    low = corrupted(images, "contrast", 4, 0)
    assert np.abs(low - (mean + 0.3 * (images - mean))).max() <= 0.51
    point = np.zeros((1, 1, 33, 33), dtype=np.uint8)
    point[0, 0, 16, 16] = 255
    spread = corrupted(np.repeat(point[..., :32], 1, axis=0)[:, :, :32], "blur", 5, 0)[0, 0] / 255
    at = np.arange(32) - 16
    kernel = np.exp(-(at**2) / 2) / np.exp(-(at**2) / 2).sum()
    assert np.abs(spread - np.outer(kernel, kernel)).max() < 1 / 255


def test_brightness_keeps_hue_and_saturation() -> None:
    colour = np.array([200, 100, 50], dtype=np.uint8).reshape(1, 3, 1, 1) * np.ones((1, 3, 8, 8), dtype=np.uint8)
    bright = corrupted(colour, "brightness", 3, 0)[0, :, 0, 0].astype(float)
    assert bright[0] == round(200 + 0.15 * 255)
    np.testing.assert_allclose(bright / bright[0], [1, 0.5, 0.25], atol=0.005)


@pytest.mark.parametrize(
    ("names", "levels", "message"),
    [
        (["fog"], [1], "corruption fog is not one of noise, blur, contrast, brightness, jpeg"),
        (["blur"], [6], "level 6 is not one of 1, 2, 3, 4, 5"),
        (["blur"], [0], "level 0 is not one of 1, 2, 3, 4, 5"),
        ([], [1], "no corruption is given; allowed: noise"),
        (["blur"], [], "no level is given"),
        (["blur", "blur"], [1], "a corruption is named twice: blur, blur"),
        (["blur"], [2, 3, 2], "a level is named twice: 2, 3, 2"),
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
    again = measure_split(study.network(id), study.folder.splits().test)
    stored = study.folder.archive.outputs(id).test
    assert again.logits is not None
    assert stored.logits is not None
    np.testing.assert_allclose(again.logits.astype(np.float32), stored.logits.astype(np.float32), rtol=2e-3, atol=2e-3)


def test_every_corruption_and_level_is_measured_at_the_same_thresholds(study: Study, id: str, shift: Shift) -> None:
    cases = [(name, level) for name in ("noise", "contrast") for level in (1, 5)]
    assert [(s.corruption, s.level) for s in shift.shifted] == cases
    network, test = study.network(id), study.folder.splits().test
    for row in shift.shifted:
        images = corrupted(test.images, row.corruption, row.level, study.folder.archive.header.seed)
        assert row.measured.n == len(test)
        assert abs(sum(row.measured.rates) - 1) < 1e-9
        said = measure_split(network, LabeledImages(images, test.labels))
        assert study._measured(shift.solution.record, said, shift.solution.operating_point) == row.measured
    assert shift.mean_accuracy == pytest.approx(np.mean([s.measured.accuracy for s in shift.shifted]))
    assert shift.shifted == study.shift(id, corruptions=["noise", "contrast"], levels=[1, 5]).shifted


def test_what_really_stops_says_the_same_on_corrupted_images(study: Study, id: str, shift: Shift) -> None:
    test, row = study.folder.splits().test, shift.shifted[-1]
    images = torch.from_numpy(corrupted(test.images, "contrast", 5, study.folder.archive.header.seed))
    said = study.network(id).predict(images, shift.solution.operating_point)
    rates = np.bincount(said.positions, minlength=3) / len(test)
    np.testing.assert_allclose(rates, row.measured.rates, atol=2 / len(test))


def test_limits_are_held_against_each_row_and_breaks_are_said(study: Study) -> None:
    record = max(study.records(), key=lambda r: len(r.architecture.exit_positions))
    id, scores = record.id, study.exits(record, "tune").scores
    point = study.operating_point(record, np.median(scores[:-1].astype(np.float64), axis=1))
    plain = study.shift(id, Limits(), operating_point=point, levels=[1, 3, 5])
    assert plain.warnings() == []
    macs = [row.measured.expected_macs for row in (plain.clean, *plain.shifted)]
    accuracy = [row.measured.accuracy for row in (plain.clean, *plain.shifted)]
    assert max(macs) > macs[0]
    limits = Limits(max_macs=(macs[0] + max(macs)) / 2, min_accuracy=(accuracy[0] + min(accuracy)) / 2)
    flagged = study.shift(id, limits, operating_point=point, levels=[1, 3, 5])
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
    (said,) = (w for w in flagged.warnings() if f"{worst.measured.expected_macs:,.0f} at most, {over_by:.1%} over" in w)
    assert said.startswith(
        f"the limit of {exact_text(limits.max_macs)} on expected MACs breaks under {worst.corruption} of level"
    )


def test_a_limit_that_is_just_kept_is_kept(shift: Shift) -> None:
    m = shift.clean.measured
    kept = Limits(
        max_macs=m.expected_macs, max_p95_macs=m.p95_macs, max_worst_macs=m.worst_macs, min_accuracy=m.accuracy
    )
    assert m.broken(kept) == ()
    (only,) = m.broken(kept.model_copy(update={"max_p95_macs": m.p95_macs - 1}))
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
    "shift STUDY FIRST --output nowhere/shift.csv": "output nowhere/shift.csv cannot be written: no such folder",
    "shift STUDY FIRST --min-accuracy 90": "min_accuracy: input should be less than or equal to 1, got 90",
    "shift STUDY zzzz": "0 records have an id that starts with 'zzzz'",
    "shift NOWHERE zzzz": "no study at NOWHERE",
}


@pytest.mark.parametrize("words", BAD)
def test_bad_words_are_one_line(words: str, study_path: Path, id: str, command: Command) -> None:
    meant = {"STUDY": study_path, "FIRST": id}
    code, out, err = command(*(meant.get(w, w) for w in words.split()))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert BAD[words] in err


def test_weights_that_are_gone_are_said(study_path: Path, id: str, tmp_path: Path, command: Command) -> None:
    copy = Study.open(shutil.copytree(study_path, tmp_path / "copy"))
    copy.folder.checkpoint(id).unlink()
    code, out, err = command("shift", copy.path, id)
    assert (code, out) == (1, "")
    assert f"the weights of {id} are not at" in err
