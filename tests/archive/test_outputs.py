"""Outputs as they are stored."""

import numpy as np

from surrogate_nas.archive.outputs import Outputs, SplitOutputs, same
from surrogate_nas.exits.policies import POLICY_NAMES
from tests.helpers.outputs import problem, records

NEARLY_TIED = np.array([[[1.0, 1.0001, 0.0], [0.2, 0.1, 0.3]]])
"""Logits of one exit for two samples. Half precision has no number between 1 and 1.001: the first sample ties there."""


def test_logits_and_what_is_kept_of_them_above_twenty_classes_say_the_same() -> None:
    logits = np.random.default_rng(0).normal(size=(3, 40, 30)).astype(np.float16)
    labels = np.arange(40) % 30
    outputs, whole = SplitOutputs.of(logits, labels), SplitOutputs(labels=labels, logits=logits)
    for policy in POLICY_NAMES:
        np.testing.assert_array_equal(outputs.view(policy), whole.view(policy))


def test_outputs_are_named_arrays_and_come_back_from_them() -> None:
    (record, _) = records(problem(), 2)
    assert record.outputs is not None
    arrays = record.outputs.arrays()
    assert list(arrays) == ["tune/labels", "tune/logits", "tune/answers", "test/labels", "test/logits", "test/answers"]
    back = Outputs.from_arrays(arrays).arrays()
    assert back.keys() == arrays.keys()
    assert all(back[name] is arrays[name] for name in arrays)


def test_groups_are_kept_with_the_outputs() -> None:
    outputs = SplitOutputs.of(np.zeros((1, 4, 3)), np.arange(4) % 3, groups=np.array([5, 5, 7, 9]))
    assert outputs.arrays()["groups"] is outputs.groups
    assert SplitOutputs.from_arrays(outputs.arrays()).groups is outputs.groups
    assert SplitOutputs.of(np.zeros((1, 4, 30)), np.arange(4), groups=outputs.groups).groups is outputs.groups


def test_answers_are_those_of_full_precision() -> None:
    labels = np.array([1, 2])
    outputs = SplitOutputs.of(NEARLY_TIED, labels)
    assert outputs.predicted is not None
    assert outputs.predicted.tolist() == [[1, 2]]
    assert outputs.right.all()
    back = SplitOutputs.from_arrays(outputs.arrays())
    assert back.right.all()


def test_without_answers_the_first_of_tied_classes_wins() -> None:
    old = SplitOutputs.from_arrays({"labels": np.array([1, 2]), "logits": NEARLY_TIED.astype(np.float16)})
    assert old.predicted is not None
    assert old.predicted.tolist() == [[0, 2]]


def test_logits_beyond_half_precision_are_clipped_and_answered_all_the_same() -> None:
    outputs = SplitOutputs.of(np.array([[[1e5, 2e5], [-3e5, -2e5]]]), np.array([1, 1]))
    assert outputs.logits is not None
    assert np.isfinite(outputs.logits).all()
    assert outputs.right.all()


def test_a_training_is_the_same_with_and_without_answers() -> None:
    (record, other, _) = records(problem(), 3)
    assert record.outputs is not None
    assert other.outputs is not None
    arrays = record.outputs.arrays()
    old = Outputs.from_arrays({name: a for name, a in arrays.items() if not name.endswith("answers")})
    assert same(record.outputs, old)
    assert same(old, record.outputs)
    assert not same(record.outputs, other.outputs)
    assert not same(old, other.outputs)
