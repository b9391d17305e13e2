"""Certificates of a study: what is sealed is read by no choice, each look is counted, and none is lost."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from surrogate_nas import datasets
from surrogate_nas.api import Study
from surrogate_nas.archive.openings import Opening
from surrogate_nas.datasets.dataset import Dataset, LabeledImages
from surrogate_nas.exits.limits import Limits
from surrogate_nas.foundation.errors import InputError, JobError
from surrogate_nas.study import certifying
from tests.conftest import Command
from tests.helpers.outputs import SMALL_STUDY

HERE: dict[str, Any] = {**SMALL_STUDY, "workers": 0, "limits": {}, "recipe": {"epochs": 8}, "keep": "all"}
LIMITS = {"min_accuracy": 0.5}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = Study.create(tmp_path_factory.mktemp("sealed") / "study", confidence=0.8, **HERE)
    study.collect(3)
    return study


@pytest.fixture
def copy(study: Study, tmp_path: Path) -> Study:
    return Study.open(shutil.copytree(study.path, tmp_path / "copy"))


def test_half_of_tune_is_sealed_and_in_no_record(study: Study) -> None:
    splits, header = study.splits(), study.archive.header
    assert splits.certify is not None
    assert abs(len(splits.certify) - len(splits.tune)) <= 1
    assert header.sealed_draws == len(splits.certify)
    assert len(splits.train) + len(splits.tune) + len(splits.certify) + len(splits.test) == 1797
    for record in study.records():
        assert record.outputs is not None
        np.testing.assert_array_equal(record.outputs.tune.labels, splits.tune.labels)
        assert set(record.outputs.arrays()) == {
            f"{s}/{n}" for s in ("tune", "test") for n in ("labels", "logits", "answers")
        }


def test_too_few_images_to_certify_anything_are_not_sealed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = {**HERE, "limits": {"min_accuracy": 0.99}}
    study = Study.create(tmp_path / "study", confidence=0.9, **wanted)
    assert "needs at least 258 sealed images, and of 432 to choose by 216 would be" in " ".join(
        capsys.readouterr().err.split()
    )
    assert (study.splits().certify, study.status().sealed, len(study.splits().tune)) == (None, None, 432)
    with pytest.raises(InputError, match="has no sealed images; there were too few to certify its limits"):
        study.certify(min_accuracy=0.5)
    study.close()
    assert Study.create(tmp_path / "study", confidence=0.9, exist_ok=True, **wanted).archive.header.confidence == 0.9


def test_no_choice_reads_what_is_sealed(tmp_path: Path, quick_fits: None, quick_regressors: None) -> None:
    digits = datasets.load("digits", None, False)
    settings = {**HERE, "initial": 5, "budget": 6, "batch": 1, "limits": LIMITS}
    plain = Study.create(tmp_path / "plain", data=digits, confidence=0.9, **settings)
    plain.run()
    sealed = plain.splits().certify
    assert sealed is not None
    hidden = {image.tobytes() for image in sealed.images}
    spoilt = Study.create(tmp_path / "spoilt", data=with_noise(digits, hidden), confidence=0.9, **settings)
    spoilt.run()
    assert [r.id for r in plain.records()] == [r.id for r in spoilt.records()]
    assert [s.operating_point for s in plain.front()] == [s.operating_point for s in spoilt.front()]
    ours, theirs = plain.archive.openings(), spoilt.archive.openings()
    assert [o.candidates for o in ours] == [o.candidates for o in theirs]
    assert ours[0].certified()
    assert not theirs[0].certified()  # of noise, hardly any image is classified correctly


def with_noise(dataset: Dataset, hidden: set[bytes]) -> Dataset:
    """The data set with noise in place of some images."""
    rng = np.random.default_rng(0)
    images = dataset.train.images.copy()
    for i, image in enumerate(images):
        if image.tobytes() in hidden:
            images[i] = rng.integers(0, 256, image.shape)
    return replace(dataset, train=LabeledImages(images, dataset.train.labels))


def test_each_look_spends_its_part_and_the_same_look_none(copy: Study) -> None:
    first = copy.certify(**LIMITS)
    assert first
    assert copy.certify(**LIMITS) == first
    copy.certify(min_accuracy=0.6)
    copy.certify(max_drop=0.2)
    openings = copy.archive.openings()
    assert [o.number for o in openings] == [1, 2, 3]
    assert sum(o.delta for o in openings) < 0.2
    assert [o.delta for o in openings] == pytest.approx([0.15, 0.025, 0.2 / 24])
    for solution in first:
        assert solution.certificate is not None
        assert solution.certificate.tested.p_value <= openings[0].delta
        assert solution.printed == solution.operating_point
        assert not solution.tune.broken(Limits(**LIMITS))


def test_an_interrupted_look_is_ended_with_the_same_candidates(copy: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Study.open(shutil.copytree(copy.path, copy.path.with_name("whole")))
    whole.certify(**LIMITS)

    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(certifying, "refuted", killed)
        with pytest.raises(KeyboardInterrupt):
            copy.certify(**LIMITS)
    [begun] = copy.archive.openings()
    assert begun.results is None
    copy.certify(min_accuracy=0.7)
    ended, other = copy.archive.openings()
    assert replace(ended, at="") == replace(whole.archive.openings()[0], at="")
    assert other.number == 2
    with pytest.raises(InputError, match="has its results already"):
        copy.archive.store_opening(begun)


def test_later_candidates_do_not_depend_on_what_was_certified(copy: Study) -> None:
    other = Study.open(shutil.copytree(copy.path, copy.path.with_name("other")))
    copy.certify(min_accuracy=0.3)
    assert copy.archive.openings()[0].certified()
    for study in (copy, other):
        study.certify(max_drop=0.3)
    assert copy.archive.openings()[1].candidates == other.archive.openings()[0].candidates


def test_weights_of_what_is_certified_are_kept(copy: Study) -> None:
    certified = {solution.id for solution in copy.certify(**LIMITS)}
    copy.update(keep="front", keep_gb=0, limits={"max_macs": 1.0})  # with which no network is on the front
    assert all(copy.home.checkpoint(id).is_file() for id in certified)


def test_without_weights_a_run_ends_uncertified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {**HERE, "keep": "none", "initial": 1, "budget": 1, "limits": LIMITS, "recipe": {"epochs": 1}}
    with Study.create(tmp_path / "study", confidence=0.9, **settings) as study:
        study.run()
        assert study.archive.openings() == []
    assert "nothing was certified: no network has its weights" in capsys.readouterr().err


def test_certified_solutions_come_first(copy: Study) -> None:
    copy.update(limits=LIMITS)
    copy.certify()
    certified = copy.solutions.certified(Limits(**LIMITS))
    assert copy.solutions.preferred(copy.front()) in certified
    assert copy.solutions.certified(Limits(min_accuracy=0.4)) == certified
    assert copy.solutions.certified(Limits(min_accuracy=0.99)) == []
    costs = [s.tune.expected_macs for s in certified]
    assert costs == sorted(costs)


def test_a_drop_alone_is_tested_for_each_network_of_the_front(copy: Study) -> None:
    copy.certify(max_drop=0.3)
    [opening] = copy.archive.openings()
    for strand in opening.candidates:
        assert len({candidate.network for candidate in strand}) == 1
        assert all(any(t is not None for t in candidate.point.thresholds) for candidate in strand)
    assert sum(opening.weights) == pytest.approx(1)


def test_what_needs_more_images_is_said(copy: Study) -> None:
    accuracy = copy.solutions.preferred(copy.front()).tune.accuracy
    for floor, words in ((accuracy - 0.002, "images; there are 216"), (0.999, "is not kept by")):
        limits = Limits(min_accuracy=floor)
        assert copy.certify(limits=limits) == []
        [sentence] = certifying.shortfall(copy.solutions, limits)
        assert words in sentence


@pytest.mark.parametrize("confidence", [0.1, 1.0, -1])
def test_a_confidence_that_says_nothing_is_refused(tmp_path: Path, confidence: float) -> None:
    with pytest.raises(InputError, match=r"is not between 0\.5 and 0\.9999"):
        Study.create(tmp_path / "study", confidence=confidence)
    assert not (tmp_path / "study").exists()


def test_a_study_without_seal_certifies_nothing(study_path: Path) -> None:
    with Study.open(study_path) as study:
        assert study.splits().certify is None
        with pytest.raises(InputError, match="has no sealed images"):
            study.certify(min_accuracy=0.5)


def test_what_cannot_be_certified_is_refused(copy: Study) -> None:
    with pytest.raises(InputError, match="nothing to certify: parameters ≤ 5"):
        copy.certify(max_params=5)
    for record in copy.records():
        copy.home.checkpoint(record.id).unlink()
    with pytest.raises(JobError, match="no network has its weights"):
        copy.certify(**LIMITS)
    assert copy.archive.openings() == []
    with pytest.raises(InputError, match=r"has confidence 0\.8, got --confidence 0\.9"):
        Study.create(copy.path, confidence=0.9, exist_ok=True)


def test_a_damaged_opening_is_named(copy: Study) -> None:
    copy.certify(**LIMITS)
    [opening] = copy.archive.openings()
    assert Opening.from_json(opening.to_json()) == opening
    for key, value in (("delta", 2), ("number", 0), ("weights", []), ("candidates", 3)):
        with pytest.raises(JobError, match="an opening of the sealed images is damaged"):
            Opening.from_json(json.dumps({**json.loads(opening.to_json()), key: value}))
    copy.archive._connection.execute("UPDATE openings SET value = '{}'")
    [problem] = copy.validate()
    assert problem.startswith("an opening of the sealed images is damaged")


def test_a_run_certifies_at_its_end_and_says_so(command: Command, tmp_path: Path) -> None:
    words: Sequence[object] = (
        *("run", tmp_path / "s", "--data", "digits", "--confidence", 0.9, "--min-accuracy", 0.5, "--initial", 4),
        *("--budget", 4, "--epochs", 8, "--workers", 0),
    )
    code, out, _ = command(*words)
    assert code == 0
    assert "Certified: accuracy ≥ 0.5 on new images: certified at 90 % by 216 sealed images" in " ".join(out.split())
    with Study.open(tmp_path / "s") as study:
        assert len(study.archive.openings()) == 1
