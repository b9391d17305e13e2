"""A stored fit: what it answers without, and what it is known by."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from surrogate_nas.api import Study
from surrogate_nas.architecture.cost_table import CostTable, Entry
from surrogate_nas.archive.archive import Archive
from surrogate_nas.space.costs import units_in
from surrogate_nas.study.fitting import stored_fit
from surrogate_nas.study.paths import SURROGATE
from surrogate_nas.study.query import Respondent, about
from surrogate_nas.surrogates.fit import FittedSurrogate

pytestmark = pytest.mark.usefixtures("quick_fits")


@pytest.fixture
def study(study_path: Path, tmp_path: Path) -> Study:
    """A copy with a stored fit."""
    return Study.open(shutil.copytree(study_path, tmp_path / "copy"))


def stored(study: Study) -> FittedSurrogate | None:
    return stored_fit(study.home, study.archive.records())


def write_table(study: Study, path: Path, cost: float) -> dict[str, Any]:
    """A table in which every unit costs the same, as a change of settings."""
    units = units_in(study.space, study.home.costing)
    CostTable("µs", {str(unit): Entry(cost) for unit in units}).write(path)
    return {"cost_table": path}


def test_a_stored_fit_answers_from_the_listing_of_the_archive(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs are read of trained networks that are asked about, for what they measured."""
    read, outputs = list[str](), Archive.outputs
    monkeypatch.setattr(Archive, "outputs", lambda archive, id: read.append(id) or outputs(archive, id))
    assert stored(study) is not None
    space, records = study.space, study.archive.records()
    known = {r.architecture for r in records}
    study.query([a for a in space.sample(20, np.random.default_rng(0)) if a not in known])
    study.best(3, limits=study.settings.limits.model_copy(update={"max_macs": 1e5}))
    assert set(read) <= {r.id for r in records}
    read.clear()
    (answer,) = study.query([records[0].architecture])
    assert {*read} == {trained["id"] for trained in answer.trained}


def test_a_stored_fit_answers_as_the_fit_that_was_made(study: Study) -> None:
    architectures = study.space.sample(20, np.random.default_rng(0))
    new_fit = study.fit(again=True)
    records, limits = study.archive.records(), study.settings.limits
    respondents = [
        Respondent.of(study.solutions, records, fitted.predictor, limits)
        for fitted in (new_fit, stored(study))
        if fitted is not None
    ]
    questions = list(about(study.space, study.space.indices(architectures)))
    first_answers, second_answers = (list(respondent.answer(questions)) for respondent in respondents)
    assert first_answers == second_answers


CHANGES: dict[str, dict[str, Any]] = {
    "charge_heads": {"charge_heads": "own"},
    "policy": {"policy": "margin"},
    "temperature": {"temperature": True},
    "surrogate": {"surrogate": "size"},
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_fit_follows_from_the_settings_that_it_was_made_under(name: str, study: Study) -> None:
    study.home.update(CHANGES[name])
    assert stored(study) is None


def test_a_fit_follows_from_the_content_of_the_cost_table(study: Study, tmp_path: Path) -> None:
    study.home.update(write_table(study, tmp_path / "a.csv", 1.0))
    assert stored(study) is None
    first = study.fit().chosen_validation.calibration.widening
    assert "expected cost" in first
    assert stored(study) is not None
    study.home.update(write_table(study, tmp_path / "b.csv", 2.0))
    assert stored(study) is None
    study.home.update(write_table(study, tmp_path / "c.csv", 1.0))
    again = stored(study)
    assert again is not None
    assert again.chosen_validation.calibration.widening == first


def test_a_fit_follows_from_what_was_trained(study: Study) -> None:
    records = study.archive.records()
    assert stored_fit(study.home, records[:-1]) is None


UNRELATED: dict[str, dict[str, Any]] = {
    "limits": {"limits": {"max_macs": 1e5, "max_params": 5000}},
    "budget": {"budget": 40, "batch": 3, "workers": 1},
    "strategy": {"strategy": "random", "repeats": False},
}


@pytest.mark.parametrize("name", UNRELATED)
def test_other_settings_leave_a_fit_as_it_is(name: str, study: Study) -> None:
    study.home.update(UNRELATED[name])
    assert stored(study) is not None


def test_what_is_to_be_minimised_leaves_a_fit_as_it_is(study: Study, tmp_path: Path) -> None:
    study.home.update(write_table(study, tmp_path / "a.csv", 1.0))
    study.fit()
    study.home.update({"objective": "cost"})
    fitted = stored(study)
    assert fitted is not None
    assert fitted.predictor.design.candidates.cost.objective == "cost"


def test_another_build_of_a_library_uses_a_fit_and_another_release_does_not(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = torch.__version__.partition("+")[0]
    for version, known in ((f"{release}+cu999", True), (release, True), ("0.1.0", False)):
        monkeypatch.setattr(torch, "__version__", version)
        assert (stored(study) is not None) == known


@pytest.mark.slow
def test_another_kind_of_processor_uses_a_fit(study: Study) -> None:
    """OpenBLAS has sums in another order for it, by which targets differ in their last bits."""
    encoding = str(study.space.sample(1, np.random.default_rng(0))[0])
    words = [sys.executable, "-m", "surrogate_nas", "query", str(study.path), "--encoding", encoding, "--json"]
    answers = []
    for kind in ("Haswell", "Prescott"):
        environment = {**os.environ, "OPENBLAS_CORETYPE": kind}
        done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment)
        assert "fitted" not in done.stderr
        answers.append(json.loads(done.stdout)[0]["accuracy"])
    np.testing.assert_allclose(*answers, atol=1e-6)
    assert sum(part.is_dir() for part in (study.path / SURROGATE).iterdir()) == 1  # the fit, beside the curves
