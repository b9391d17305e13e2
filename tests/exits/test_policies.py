"""Scores under every policy, and gates taken together."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from surrogate_nas.architecture.costing import Costing
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.archive.outputs import SplitOutputs
from surrogate_nas.archive.views import exits_of
from surrogate_nas.exits.operating_point import OFF, OperatingPoint
from surrogate_nas.exits.policies import (
    GATE_POLICIES,
    POLICIES,
    POLICY_NAMES,
    PolicyName,
    confidence,
    gate_scores,
    having_left,
    scores,
)
from surrogate_nas.export import runtime
from tests.helpers.exits import GATED

SHAPE = ImageShape(1, 16, 3)


def gated_outputs(N: int, seed: int = 0) -> SplitOutputs:
    rng = np.random.default_rng(seed)
    gates = np.concatenate([rng.normal(size=(3, N)), np.zeros((1, N))])
    return SplitOutputs.of(rng.normal(size=(4, N, 3)), rng.integers(3, size=N), gates)


# ---------------------------------------------------------------------- the table


def test_every_policy_has_a_row_and_is_known_to_the_runtime() -> None:
    assert tuple(POLICIES) == get_args(PolicyName) == runtime.POLICIES
    assert sorted([*POLICY_NAMES, *GATE_POLICIES]) == sorted(POLICIES)
    assert len({policy.words for policy in POLICIES.values()}) == len(POLICIES)
    assert [policy.name for policy in POLICIES.values() if policy.cumulative] == ["cumulative_gate"]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_reads_logits_or_gates_and_without_gates_the_largest_probability(policy: PolicyName) -> None:
    rng = np.random.default_rng(0)
    logits, gates = rng.normal(size=(7, 3)), rng.normal(size=7)
    with_gates, without = confidence(policy, logits, gates, 0.5), confidence(policy, logits, None, 0.5)
    if policy in GATE_POLICIES:
        np.testing.assert_array_equal(with_gates, gate_scores(gates))
        np.testing.assert_array_equal(without, scores("max_softmax", logits, 0.5))
    else:
        np.testing.assert_array_equal(with_gates, scores(policy, logits, 0.5))
        np.testing.assert_array_equal(without, with_gates)


# ---------------------------------------------------------------------- cumulative gates


@given(arrays(np.float32, (4, 5), elements=st.floats(0, 1, width=32)))
def test_having_left_is_the_sum_of_the_probabilities_of_leaving_at_each_gate(c: np.ndarray) -> None:
    probability, total, inside = np.float32(0), np.zeros(5), np.ones(5)
    for row in c.astype(np.float64):
        probability = having_left(probability, row.astype(np.float32))
        total, inside = total + row * inside, inside * (1 - row)
        np.testing.assert_allclose(probability, total, atol=1e-6)


@pytest.mark.parametrize("thresholds", ["0.4,0.6,0.8", "off,0.6,0.9", "0.3,off,0.7", "off,off,0.5", "0.9,0.5,off"])
def test_cumulative_gates_count_those_that_were_run(thresholds: str) -> None:
    outputs, point = gated_outputs(200), OperatingPoint.parse(thresholds, 4, "cumulative_gate")
    assert outputs.gates is not None
    c = gate_scores(outputs.gates).astype(np.float64)
    leaves = []
    for n in range(200):
        inside = 1.0
        for e, threshold in enumerate(point.thresholds):
            if threshold is None:
                continue
            inside *= 1 - c[e, n]
            if 1 - inside >= threshold:
                leaves.append(e)
                break
        else:
            leaves.append(3)
    exits = exits_of(GATED, outputs, Costing(SHAPE), "cumulative_gate")
    assert exits.route(point).tolist() == leaves
    assert exits.at(point).leaving[0].tolist() == np.bincount(leaves, minlength=4).tolist()


def test_the_curve_of_cumulative_gates_is_nowhere_below_a_grid_of_thresholds_and_exits_off() -> None:
    exits = exits_of(GATED, gated_outputs(60), Costing(SHAPE), "cumulative_gate")
    levels = np.append(np.linspace(0, 1, 9), OFF)
    grid = exits.measure(np.stack([a.ravel() for a in np.meshgrid(levels, levels, levels, indexing="ij")], axis=1))
    curve = exits.curve
    np.testing.assert_array_equal(exits.measure(curve.thresholds).leaving, curve.leaving)
    best = curve.accuracy[np.searchsorted(curve.expected_macs, grid.expected_macs + 1e-9, side="right") - 1]
    assert (grid.accuracy <= best + 1.5 / 60).all()  # one sample of 60, and rounding


# ---------------------------------------------------------------------- scores


every_policy = pytest.mark.parametrize("policy", POLICY_NAMES)


@every_policy
@given(logits=st.integers(2, 12).flatmap(lambda C: arrays(np.float32, (3, C), elements=st.floats(-1e4, 1e4, width=32))))
def test_every_score_lies_between_zero_and_one(policy: PolicyName, logits: np.ndarray) -> None:
    score = scores(policy, logits)
    assert score.shape == (3,)
    assert ((score >= 0) & (score <= 1)).all()


@every_policy
def test_a_surer_answer_has_a_higher_score(policy: PolicyName) -> None:
    score = scores(policy, np.outer([0.0, 0.5, 1.0, 4.0], [2.0, 0.0, -1.0]))
    assert (np.diff(score) > 0).all()
