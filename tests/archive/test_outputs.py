"""Outputs as they are stored."""

import numpy as np

from surrogate_nas.archive.outputs import Outputs, SplitOutputs
from surrogate_nas.exits.policies import POLICY_NAMES
from tests.helpers.outputs import problem, records


def test_logits_and_what_is_kept_of_them_above_twenty_classes_say_the_same() -> None:
    logits = np.random.default_rng(0).normal(size=(3, 40, 30)).astype(np.float16)
    labels = np.arange(40) % 30
    outputs, whole = SplitOutputs.of(logits, labels), SplitOutputs(labels, logits)
    for policy in POLICY_NAMES:
        np.testing.assert_array_equal(outputs.view(policy), whole.view(policy))


def test_outputs_are_named_arrays_and_come_back_from_them() -> None:
    (record, _) = records(problem(), 2)
    assert record.outputs is not None
    arrays = record.outputs.arrays()
    assert list(arrays) == ["tune/labels", "tune/logits", "test/labels", "test/logits"]
    back = Outputs.from_arrays(arrays).arrays()
    assert back.keys() == arrays.keys()
    assert all(back[name] is arrays[name] for name in arrays)
