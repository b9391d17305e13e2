"""Outputs as they are stored."""

import numpy as np

from surrogate_nas.archive.outputs import SplitOutputs
from surrogate_nas.exits.policies import POLICY_NAMES


def test_logits_and_what_is_kept_of_them_above_twenty_classes_say_the_same() -> None:
    logits = np.random.default_rng(0).normal(size=(3, 40, 30)).astype(np.float16)
    labels = np.arange(40) % 30
    kept, whole = SplitOutputs.of(logits, labels), SplitOutputs(labels, logits)
    for policy in POLICY_NAMES:
        np.testing.assert_array_equal(kept.view(policy), whole.view(policy))
