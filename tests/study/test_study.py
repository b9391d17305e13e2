"""A study from end to end, on real images."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from surrogate_nas import InputError, JobError, Limits, OperatingPoint, Study
from surrogate_nas.archive.archive import Archive
from surrogate_nas.archive.record import Group
from surrogate_nas.archive.views import ExitCalibration
from surrogate_nas.study.paths import ARCHIVE
from surrogate_nas.study.results import Answer, Solution
from surrogate_nas.training.recipe import Recipe
from tests.helpers.outputs import SMALL_STUDY

pytestmark = pytest.mark.usefixtures("quick_fits")


@pytest.fixture(scope="module")
def study(study_path: Path) -> Study:
    return Study.open(study_path)


@pytest.fixture
def copy(study_path: Path, tmp_path: Path) -> Study:
    return Study.open(shutil.copytree(study_path, tmp_path / "copy"))


def figures(front: list[Solution]) -> list[tuple]:
    return [(s.record.id, s.operating_point, s.tune, s.test) for s in front]


def test_a_run_spends_its_budget_and_searches(study: Study) -> None:
    records = study.records()
    assert len(records) == 12
    assert [r.proposal.origin for r in records] == ["initial"] * 10 + ["search"] * 2
    assert all(r.failure is None for r in records)


def test_the_front_keeps_the_limits_on_tune_and_rises(study: Study) -> None:
    front = study.front()
    assert front
    for solution in front:
        assert solution.tune.expected_macs <= 2e5
        assert solution.tune.accuracy >= 0.3
        assert solution.test.n == 360
        assert abs(sum(solution.test.rates) - 1) < 1e-12
        low, high = solution.test.accuracy_interval
        assert low <= solution.test.accuracy <= high
    macs = [s.tune.expected_macs for s in front]
    assert macs == sorted(macs)
    assert [s.tune.accuracy for s in front] == sorted(s.tune.accuracy for s in front)


def test_policies_are_compared_at_their_own_best_thresholds_without_training(study: Study) -> None:
    record, limits = study.records()[0], Limits(max_macs=1e5)
    solutions = study.policies(record.id, limits)
    assert [s.operating_point.policy for s in solutions] == ["max_softmax"] * 2 + ["margin"] * 2 + ["entropy"] * 2
    assert [bool(s.operating_point.temperatures) for s in solutions] == [False, True] * 3
    for solution in solutions:
        assert solution.tune.expected_macs <= 1e5
    plain = study.tune(record.id, limits)
    assert (solutions[0].operating_point, solutions[0].test) == (plain.operating_point, plain.test)
    with pytest.raises(JobError, match="no thresholds keep expected MACs ≤ 1;"):
        study.policies(record.id, Limits(max_macs=1))


def test_tiers_are_chosen_on_tune_and_measured_on_both_splits(study: Study) -> None:
    id = study.records()[0].id
    tiers = study.tiers(id, Limits(), tiers=6)
    curve = study.exits(study.records()[0], "tune").curve
    assert [r.solution.tune.accuracy for r in tiers] == sorted(r.solution.tune.accuracy for r in tiers)
    assert tiers[-1].solution.tune.accuracy == curve.accuracy[-1]
    for tier in tiers:
        test = tier.solution.test
        assert tier.solution.tune.expected_macs <= tier.budget + 1e-6
        assert tier.test_accuracy_interval[0] <= test.accuracy <= tier.test_accuracy_interval[1]
        assert test.expected_macs_interval[0] <= test.expected_macs <= test.expected_macs_interval[1]
    with pytest.raises(JobError, match="no thresholds keep accuracy ≥ 1;"):
        study.tiers(id, Limits(min_accuracy=1.0))


def test_temperatures_are_a_setting_of_the_study_and_part_of_its_operating_points(copy: Study) -> None:
    plain = copy.front()
    copy.home.update({"temperature": True})
    front = copy.front()
    assert all(s.operating_point.temperatures == copy.solutions.views.temperatures(s.record) for s in front)
    assert all(len(s.operating_point.temperatures) == 3 for s in front)
    for s in front:
        view = copy.exits(s.record, "test")
        assert float(view.at(s.operating_point).accuracy[0]) == s.test.accuracy
        images = torch.from_numpy(copy.splits().test.images)
        left = copy.network(s.record.id).predict(images, s.operating_point).positions
        np.testing.assert_allclose(np.bincount(left, minlength=3) / len(left), s.test.rates, atol=0.006)
    assert plain[0].operating_point.temperatures == ()


def test_calibration_is_measured_on_test_after_fitting_on_tune(study: Study) -> None:
    record = study.records()[0]
    exits = ExitCalibration.of(record.architecture, study.archive.outputs(record.id))
    assert [c.position for c in exits] == list(record.architecture.exit_positions)
    assert tuple(c.temperature for c in exits) == study.archive.outputs(record.id).tune.temperatures()
    assert all(0 <= c.error <= 1 and 0 <= c.error_with_temperature <= 1 for c in exits)


def test_no_trained_operating_point_beats_the_front(study: Study) -> None:
    front = study.front()
    for record in study.records():
        curve = study.exits(record, "tune").curve
        for accuracy, macs in zip(curve.accuracy, curve.expected_macs, strict=True):
            if macs <= 2e5 and accuracy >= 0.3:
                assert any(s.tune.accuracy >= accuracy and s.tune.expected_macs <= macs for s in front)


def test_hypervolume_never_falls(study: Study) -> None:
    volumes = study.hypervolume()
    assert len(volumes) == 12
    assert volumes == sorted(volumes)


def test_a_network_says_what_its_record_stored(study: Study) -> None:
    record = study.records()[0]
    assert record.outputs is not None
    splits = study.splits()
    with torch.inference_mode():
        logits = torch.stack(study.network(record.id)(torch.from_numpy(splits.tune.images)))
    assert record.outputs.tune.logits is not None
    assert np.allclose(logits.numpy(), record.outputs.tune.logits, atol=0.02)


def test_a_network_that_stops_early_is_as_accurate_as_the_front_says(study: Study) -> None:
    solution = study.front()[0]
    test = study.splits().test
    network = study.network(solution.record.id)
    predicted = network.predict(torch.from_numpy(test.images), solution.operating_point)
    accuracy = (predicted.logits.argmax(1).numpy() == test.labels).mean()
    assert abs(accuracy - solution.test.accuracy) <= 2 / 360  # stored logits have half precision


def test_a_query_of_a_trained_network_marks_its_exact_values(study: Study) -> None:
    solution = study.front()[0]
    answer = study.query([solution.record.architecture], solution.operating_point)[0]
    [training] = answer.trained
    assert training["id"] == solution.record.id
    assert training["seed"] == solution.record.proposal.seed
    assert training["accuracy"] == solution.tune.accuracy
    assert training["expected_macs"] == solution.tune.expected_macs


def test_a_query_answers_for_untrained_encodings_too(study: Study) -> None:
    architectures = study.space.sample(30, np.random.default_rng(5))
    answers = study.query(architectures)
    for architecture, answer in zip(architectures, answers, strict=True):
        _is_consistent(answer)
        assert answer.encoding == str(architecture)
        assert study.space.parse(answer.encoding) == architecture


def _is_consistent(answer: Answer) -> None:
    assert abs(sum(mean for mean, _, _ in answer.exit_probabilities) - 1) < 1e-9
    defined = [a for a in answer.exit_accuracies if a is not None]
    for mean, low, high in [*answer.exit_probabilities, *defined, answer.accuracy]:
        assert 0 <= low <= high <= 1
        assert 0 <= mean <= 1
    for probability, accuracy in zip(answer.exit_probabilities, answer.exit_accuracies, strict=True):
        assert (accuracy is None) == (probability == (0, 0, 0))
    assert answer.expected_macs[2] <= answer.worst_macs
    assert answer.macs == sorted(answer.macs)
    assert 0 <= answer.feasible_probability <= 1


def test_a_query_with_too_few_thresholds_is_refused(study: Study) -> None:
    with pytest.raises(InputError, match="3 exits need 2 thresholds, got 1"):
        study.query([study.records()[0].architecture], OperatingPoint((0.5,)))


def test_tuning_takes_the_most_accurate_thresholds_within_a_budget(study: Study) -> None:
    solution = study.front()[-1]
    curve = study.exits(solution.record, "tune").curve
    budget = float(np.median(curve.expected_macs))
    tuned = study.tune(solution.record.id, Limits(max_macs=budget))
    assert tuned.tune.expected_macs <= budget
    assert tuned.tune.accuracy == curve.accuracy[curve.expected_macs <= budget].max()


def test_tuning_for_the_impossible_shows_the_nearest(study: Study) -> None:
    with pytest.raises(
        JobError, match=r"no thresholds keep expected MACs ≤ 10; the closest setting has accuracy 0\.\d+"
    ):
        study.tune(study.records()[0].id, Limits(max_macs=10))


def test_limits_that_nothing_keeps_give_no_front_but_the_nearest(copy: Study) -> None:
    copy.home.update({"limits": {"max_macs": 6000, "min_accuracy": 1.0}})
    assert copy.front() == []
    assert copy.nearest().record.failure is None


def test_a_finished_run_continued_does_nothing(copy: Study) -> None:
    before = figures(copy.front())
    copy.run()
    assert figures(copy.front()) == before


def test_a_larger_budget_continues_the_search(copy: Study) -> None:
    copy.home.update({"budget": 13})
    copy.run()
    assert len(copy.records()) == 13


def test_an_architecture_collected_twice_is_trained_with_two_seeds(copy: Study) -> None:
    architecture = copy.records()[0].architecture
    copy.trainer.collect_architectures([architecture])
    answer = copy.query([architecture], OperatingPoint((0.8, 0.8)))[0]
    assert len({training["seed"] for training in answer.trained}) == 2


def test_another_recipe_needs_another_study(copy: Study) -> None:
    with pytest.raises(InputError, match="another recipe needs a new study"):
        copy.home.update({"recipe": {"epochs": 5}})


def test_no_training_starts_after_the_deadline(tmp_path: Path) -> None:
    study = Study.create(tmp_path / "late", max_hours=1e-9, **SMALL_STUDY)
    assert study.collect(3) == []
    assert len(study.archive.pending()) == 3
    assert study.run() == []


def test_every_verb_that_trains_keeps_the_time_limit_and_what_is_pending_goes_on(copy: Study) -> None:
    """Open proposals wait, without a failure, and the same verb completes them."""
    verbs: dict[Group, Callable[[], object]] = {
        "baseline": copy.baselines,
        "final": lambda: copy.finalize(at=[1e9], seeds=1, recipe=Recipe(epochs=3)),
        "search": lambda: copy.verify([copy.front()[-1].record.id], seeds=2),
    }
    for group, verb in verbs.items():
        before = len(copy.archive.records(group))
        copy.home.update({"max_hours": 1e-9})
        verb()
        assert copy.archive.pending(group)
        assert len(copy.archive.records(group)) == before
        copy.home.update({"max_hours": None})
        verb()
        assert not copy.archive.pending(group)
        assert len(copy.archive.records(group)) > before


def test_a_study_of_other_data_is_refused(copy: Study) -> None:
    connection = copy.archive._connection
    fingerprint = copy.archive.header.fingerprint
    connection.execute("UPDATE meta SET value = replace(value, ?, 'other')", (fingerprint,))
    with pytest.raises(InputError, match="data set 'digits' differs from the one that"):
        Study.open(copy.path).collect(1)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_the_front_does_not_depend_on_the_number_of_workers(study: Study, tmp_path: Path, workers: int) -> None:
    other = Study.create(tmp_path / "other", seed=3, **{**SMALL_STUDY, "workers": workers})
    other.run()
    assert figures(other.front()) == figures(study.front())
    assert [r.proposal for r in other.records()] == [r.proposal for r in study.records()]


@pytest.mark.slow
def test_a_study_killed_on_the_way_ends_as_if_it_had_not_been(study: Study, tmp_path: Path) -> None:
    path = tmp_path / "killed"
    command = f"from tests.helpers.outputs import SMALL_STUDY; from surrogate_nas import Study; \
Study.create({str(path)!r}, seed=3, **SMALL_STUDY).run()"
    process = subprocess.Popen([sys.executable, "-c", command], cwd=Path(__file__).parents[2], start_new_session=True)
    while not (path / ARCHIVE).is_file() or len(Archive.open(path / ARCHIVE).records()) < 4:
        assert process.poll() is None
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    resumed = Study.open(path)
    assert resumed.archive.problems() == []
    resumed.run()
    assert figures(resumed.front()) == figures(study.front())
