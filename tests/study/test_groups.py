"""A study whose images are in groups: they travel from its CSV file to splits, outputs, intervals and surrogates."""

import csv
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from surrogate_nas.api import Study
from surrogate_nas.archive.outputs import Split
from surrogate_nas.datasets.dataset import LabeledImages
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.intervals import share_interval, wilson
from surrogate_nas.export.points import Judge, setting_document
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.network.predictions import ExitPredictions
from surrogate_nas.study.merge import merge
from surrogate_nas.study.paths import DATA, SPLITS
from surrogate_nas.study.results import Measured
from tests.conftest import Command
from tests.helpers.outputs import SMALL_STUDY

HERE: dict[str, Any] = {**SMALL_STUDY, "workers": 0, "limits": {}, "recipe": {"epochs": 1}}
DIGITS, GROUP = 1797, 9


def csv_file(path: Path, offset: int = 0) -> Path:
    """Digits in groups that follow each other."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("image", "group"), *((i, (i + offset) // GROUP) for i in range(DIGITS))])
    return path


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("grouped")
    study = Study.create(folder / "study", splits=csv_file(folder / "objects.csv"), **HERE)
    study.collect(1)
    return study


@pytest.fixture
def copy(study: Study, tmp_path: Path) -> Study:
    return Study.open(shutil.copytree(study.path, tmp_path / "copy"))


def is_right(exits: Exits, measured: Measured) -> np.ndarray:
    right = exits.right(np.full(exits.samples, exits.positions - 1))
    assert right.mean() == pytest.approx(measured.exit_accuracy[-1])
    return right


def test_groups_are_in_splits_and_outputs(study: Study) -> None:
    splits = study.splits()
    parts = (splits.train, splits.tune, splits.test)
    groups = [set(part.groups.tolist()) for part in parts if part.groups is not None]
    assert sum(map(len, parts)) == DIGITS
    assert sum(map(len, groups)) == len(set.union(*groups)) == -(-DIGITS // GROUP)
    assert len(splits.test) / DIGITS == pytest.approx(0.2, abs=0.01)
    for record in study.records():
        assert record.outputs is not None
        np.testing.assert_array_equal(record.outputs.tune.groups, splits.tune.groups)
        np.testing.assert_array_equal(record.outputs.test.groups, splits.test.groups)
        np.testing.assert_array_equal(record.outputs.test.labels, splits.test.labels)


def test_a_study_opens_with_the_same_splits(study: Study) -> None:
    np.testing.assert_equal(asdict(Study.open(study.path).splits()), asdict(study.splits()))


def test_a_lost_copy_of_the_images_is_read_again_with_the_splits_of_the_study(copy: Study, study: Study) -> None:
    (copy.path / DATA).unlink()
    np.testing.assert_equal(asdict(copy.splits()), asdict(study.splits()))
    (copy.path / DATA).unlink()
    csv_file(copy.path / SPLITS, offset=1)
    with pytest.raises(InputError, match="differs from the one that"):
        Study.open(copy.path).splits()
    (copy.path / SPLITS).unlink()
    with pytest.raises(InputError, match=f"{SPLITS} is not a readable CSV file"):
        Study.open(copy.path).splits()


def test_intervals_draw_groups(study: Study) -> None:
    record = study.records()[0]
    off = study.solutions.operating_point(record, np.full(record.architecture.positions - 1, np.inf))
    measured, exits = study.solutions.measured(record, "test", off), study.exits(record, "test")
    right = is_right(exits, measured)
    assert measured.accuracy_interval == share_interval(right, exits.clusters)
    assert measured.accuracy_interval != wilson(int(right.sum()), measured.n)
    shift = study.shift(record.id, corruptions=["noise"], levels=[1], thresholds=off)
    assert shift.clean.measured == measured


def test_an_export_tells_intervals_of_groups(study: Study) -> None:
    (record,), splits, limits = study.records(), study.splits(), study.settings.limits
    point = study.tune(record.id, limits).operating_point
    images: dict[Split, LabeledImages] = {"tune": splits.tune, "test": splits.test}
    network, n = study.network(record.id), len(splits.test)
    predictions = {
        split: ExitPredictions.by_network(network, point.policy, (), part.images, lambda done: None)
        for split, part in images.items()
    }
    setting = setting_document(Judge.of(study.home.costing, record, images, predictions), point, limits)["test"]
    measured = study.solutions.measured(record, "test", point)
    assert setting["accuracy_interval"] == pytest.approx(measured.accuracy_interval, abs=0.01)
    assert setting["reach"][0] == 1
    assert setting["reach_interval"][0][0] < wilson(n, n)[0]  # there are fewer groups than images


def test_another_file_of_splits_is_noticed(study: Study, tmp_path: Path, command: Command) -> None:
    same, other = csv_file(tmp_path / "same.csv"), csv_file(tmp_path / "other.csv", offset=1)
    study.images.require_data("digits", None, None, same)
    for words in (["run", study.path], ["collect", study.path, "--n", 1]):
        code, _, err = command(*words, "--splits", other)
        wrong = f"study {study.path} was created with other splits, got --splits {other}"
        assert (code, err) == (2, f"error: {wrong}; they need a new study\n")


@pytest.mark.parametrize("splits", [False, True])
def test_studies_with_other_splits_are_not_merged(study: Study, copy: Study, tmp_path: Path, splits: bool) -> None:
    file = csv_file(tmp_path / "other.csv", offset=1) if splits else None
    other = Study.create(tmp_path / "other", splits=file, **HERE)
    for here, there in ((copy, other), (other, study)):
        with pytest.raises(InputError, match="differ in splits"):
            merge(here.home, [there.path])
    (result,) = merge(copy.home, [study.path])
    assert len(result.duplicates) == 1


def test_the_header_and_the_command_tell_of_the_file(study: Study, command: Command) -> None:
    document = json.loads(study.archive.header.to_json())
    assert len(document["splits"]) == 64
    assert (document["tune_share"], document["test_share"]) == (0.3, 0.2)
    code, out, _ = command("datasets", "show", "digits", "--splits", study.path / SPLITS, "--json")
    counts = json.loads(out)
    assert code == 0
    assert [counts[part] for part in ("train", "tune", "test")] == [
        len(part) for part in (study.splits().train, study.splits().tune, study.splits().test)
    ]
