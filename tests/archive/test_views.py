"""Exits and temperatures of stored outputs, and views that compute them once."""

from dataclasses import replace

import numpy as np
import pytest

from surrogate_nas import JobError
from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.architecture.costing import Costing
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.archive.outputs import SPLITS, SplitOutputs
from surrogate_nas.archive.views import Views, exits_of, temperatures_of
from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.exits.policies import POLICY_NAMES, PolicyName, scores
from tests.helpers.outputs import problem, records

every_policy = pytest.mark.parametrize("policy", POLICY_NAMES)


@every_policy
def test_a_saturated_score_still_does_not_leave_through_an_exit_that_is_off(policy: PolicyName) -> None:
    logits = np.full((2, 1, 3), -300.0, dtype=np.float32)
    logits[:, :, 0] = 300.0
    architecture = Architecture.parse("stem-w8-s1/res-d1-w8-k3-s1@linear/res-d1-w8-k3-s2")
    exits = exits_of(architecture, SplitOutputs.of(logits, np.zeros(1, np.int64)), Costing(ImageShape(1, 8, 3)), policy)
    assert exits.scores.tolist() == [[1.0], [1.0]]
    assert exits.route(OperatingPoint((None,))).tolist() == [1]
    assert exits.route(OperatingPoint((1.0,))).tolist() == [0]


def test_exits_stand_at_their_positions() -> None:
    architecture = Architecture.parse("stem-w8-s1/res-d1-w8-k3-s1/res-d1-w8-k3-s2@linear/res-d1-w8-k3-s2")
    logits = np.array([[[9.0, 0.0], [0.0, 9.0]], [[0.0, 9.0], [0.0, 9.0]]])
    exits = exits_of(architecture, SplitOutputs.of(logits, np.array([0, 1])), Costing(ImageShape(1, 8, 2)))
    assert exits.present.tolist() == [False, True, True]
    assert exits.correct[1:].tolist() == [[True, True], [False, True]]


def test_temperatures_belong_to_exits_wherever_these_are() -> None:
    architecture = Architecture.parse("stem-w8-s1/res-d1-w8-k3-s1/res-d1-w8-k3-s2@linear/res-d1-w8-k3-s2")
    rng = np.random.default_rng(0)
    outputs = SplitOutputs.of(rng.normal(size=(2, 300, 3)) * 4, rng.integers(3, size=300))
    T = temperatures_of(architecture, outputs)
    assert T[0] == 1.0
    assert T[1:] == outputs.temperatures()
    exits = exits_of(architecture, outputs, Costing(ImageShape(1, 16, 3)), "max_softmax", T)
    assert outputs.logits is not None
    np.testing.assert_array_equal(exits.scores[1], scores("max_softmax", outputs.logits[0], T[1]))


def test_views_are_what_outputs_say_under_the_settings() -> None:
    task = problem(temperature=True)
    *trained, failed = records(task, 5)
    for record in trained:
        assert record.outputs is not None
        temperatures = temperatures_of(record.architecture, record.outputs.tune)
        assert task.views.temperatures(record) == temperatures
        for split in SPLITS:
            expected = exits_of(record.architecture, record.outputs[split], task.costing, task.policy, temperatures)
            np.testing.assert_array_equal(task.views.exits(record, split).scores, expected.scores)
            np.testing.assert_array_equal(task.views.exits(record, split).correct, expected.correct)
    assert problem().views.temperatures(trained[0]) == ()
    assert [r for r, _ in task.views.trained([*trained, failed])] == trained
    with pytest.raises(JobError, match=f"record {failed.id} has no outputs"):
        task.views.tune(failed)


def test_a_view_is_computed_once_for_each_split_policy_and_temperatures() -> None:
    task = problem()
    record = records(task, 2)[0]
    tune, test = task.views.tune(record), task.views.test(record)
    assert task.views.tune(replace(record, outputs=None)) is tune
    assert task.views.under(record, "tune", task.policy, ()) is tune
    assert task.views.under(record, "test", "margin", ()) is not test
    assert task.views.tune(record).curve is tune.curve


def test_without_an_archive_a_record_has_to_carry_its_outputs() -> None:
    task = problem()
    record = replace(records(task, 2)[0], outputs=None)
    with pytest.raises(JobError, match=f"record {record.id} has no outputs"):
        Views(task.costing, task.policy).tune(record)
