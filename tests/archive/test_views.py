"""Exits and temperatures of stored outputs."""

import numpy as np
import pytest

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.architecture.costing import Costing
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.archive.outputs import SplitOutputs
from surrogate_nas.archive.views import exits_of, temperatures_of
from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.exits.policies import POLICY_NAMES, PolicyName, scores

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
    said = SplitOutputs.of(rng.normal(size=(2, 300, 3)) * 4, rng.integers(3, size=300))
    T = temperatures_of(architecture, said)
    assert T[0] == 1.0
    assert T[1:] == said.temperatures()
    exits = exits_of(architecture, said, Costing(ImageShape(1, 16, 3)), "max_softmax", T)
    assert said.logits is not None
    np.testing.assert_array_equal(exits.scores[1], scores("max_softmax", said.logits[0], T[1]))
