"""Confidence under every policy: gates taken together, temperatures, and how far scores are to be believed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.architecture.costing import Costing
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.archive.outputs import SplitOutputs
from surrogate_nas.archive.views import exits_of, temperatures_of
from surrogate_nas.exits.calibration import calibration_error, fit_temperature
from surrogate_nas.exits.operating_point import OFF, OperatingPoint
from surrogate_nas.exits.policies import gate_scores, having_left, scores, softmax

GATED = Architecture.parse(
    "stem-w8-s1/res-d1-w8-k3-s1@gated-c4/res-d1-w8-k3-s2@gated-c4/res-d1-w8-k3-s2@gated-c4/res-d1-w8-k3-s2"
)
SHAPE = ImageShape(1, 16, 3)


def gated_outputs(N: int, seed: int = 0) -> SplitOutputs:
    rng = np.random.default_rng(seed)
    gates = np.concatenate([rng.normal(size=(3, N)), np.zeros((1, N))])
    return SplitOutputs.of(rng.normal(size=(4, N, 3)), rng.integers(3, size=N), gates)


# ---------------------------------------------------------------------- cumulative gates


@given(arrays(np.float32, (4, 5), elements=st.floats(0, 1, width=32)))
def test_having_left_is_the_sum_of_the_probabilities_of_leaving_at_each_gate(c: np.ndarray) -> None:
    left, total, stayed = np.float32(0), np.zeros(5), np.ones(5)
    for row in c.astype(np.float64):
        left = having_left(left, row.astype(np.float32))
        total, stayed = total + row * stayed, stayed * (1 - row)
        np.testing.assert_allclose(left, total, atol=1e-6)


@pytest.mark.parametrize("thresholds", ["0.4,0.6,0.8", "off,0.6,0.9", "0.3,off,0.7", "off,off,0.5", "0.9,0.5,off"])
def test_cumulative_gates_count_those_that_were_run(thresholds: str) -> None:
    said, point = gated_outputs(200), OperatingPoint.parse(thresholds, 4, "cumulative_gate")
    assert said.gates is not None
    c = gate_scores(said.gates).astype(np.float64)
    leaves = []
    for n in range(200):
        stayed = 1.0
        for e, threshold in enumerate(point.thresholds):
            if threshold is None:
                continue
            stayed *= 1 - c[e, n]
            if 1 - stayed >= threshold:
                leaves.append(e)
                break
        else:
            leaves.append(3)
    exits = exits_of(GATED, said, Costing(SHAPE), "cumulative_gate")
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


def test_an_operating_point_of_cumulative_gates_is_kept_by_the_network_itself() -> None:
    """Which exit a sample takes is the same from stored outputs and in `predict`."""
    import torch

    from surrogate_nas.network.network import EarlyExitNetwork

    torch.manual_seed(0)
    network = EarlyExitNetwork(GATED, SHAPE).eval()
    images = torch.randint(0, 256, (64, 1, 16, 16), dtype=torch.uint8)
    with torch.inference_mode():
        said = network.said(images)
    logits, gates = np.stack([z.numpy() for z, _ in said]), [g for _, g in said]
    stored = np.stack([np.zeros(64) if g is None else g.numpy() for g in gates])
    outputs = SplitOutputs(np.zeros(64, np.int64), logits, gates=stored)
    for policy in ("gate", "cumulative_gate"):
        exits = exits_of(GATED, outputs, Costing(SHAPE), policy)  # type: ignore[arg-type]
        middle = np.quantile(exits.compared(exits.early)[:3], 0.6, axis=1)
        point = OperatingPoint(tuple(float(t) for t in middle), policy)  # type: ignore[arg-type]
        route = exits.route(point)
        assert len(set(route.tolist())) > 2
        np.testing.assert_array_equal(network.predict(images, point).positions, route)


# ---------------------------------------------------------------------- temperatures


@pytest.mark.parametrize("T", [0.3, 1.0, 2.5, 8.0])
def test_the_temperature_that_spoilt_the_logits_is_found(T: float) -> None:
    rng = np.random.default_rng(0)
    calibrated = rng.normal(size=(20_000, 5)) * 2
    probabilities = softmax(calibrated)
    labels = (probabilities.cumsum(axis=1) < rng.random((20_000, 1))).sum(axis=1).clip(max=4)
    assert fit_temperature(calibrated * T, labels) == pytest.approx(T, rel=0.05)
    raw, cooled = ((softmax(z).max(axis=1), z.argmax(axis=1) == labels) for z in (calibrated * T, calibrated))
    assert calibration_error(*cooled) < 0.02
    assert T == 1.0 or calibration_error(*raw) > 2 * calibration_error(*cooled)


def test_outputs_that_are_always_right_or_always_wrong_have_a_temperature_within_bounds() -> None:
    logits = np.tile([[0.1, 0.0]], (10, 1))
    assert 0.05 <= fit_temperature(logits, np.zeros(10, np.int64)) <= 0.06
    assert 19 <= fit_temperature(logits, np.ones(10, np.int64)) <= 20


@given(
    st.floats(0.1, 10),
    st.integers(2, 6).flatmap(lambda C: arrays(np.float32, (6, C), elements=st.floats(-20, 20, width=32))),
)
def test_a_temperature_makes_nobody_surer_of_another_class_and_orders_two_classes_as_before(
    T: float, logits: np.ndarray
) -> None:
    two = logits[:, :2]
    for z in (scores("max_softmax", two), scores("max_softmax", two, T)):
        order = np.argsort(np.abs(two[:, 0] - two[:, 1]), kind="stable")
        assert (np.diff(z[order]) >= -1e-6).all()
    surer, cooler = scores("max_softmax", logits, T), scores("max_softmax", logits, 2 * T)
    assert (cooler <= surer + 1e-6).all()


def test_temperatures_belong_to_exits_wherever_these_are() -> None:
    architecture = Architecture.parse("stem-w8-s1/res-d1-w8-k3-s1/res-d1-w8-k3-s2@linear/res-d1-w8-k3-s2")
    rng = np.random.default_rng(0)
    said = SplitOutputs.of(rng.normal(size=(2, 300, 3)) * 4, rng.integers(3, size=300))
    T = temperatures_of(architecture, said)
    assert T[0] == 1.0
    assert T[1:] == said.temperatures()
    exits = exits_of(architecture, said, Costing(SHAPE), "max_softmax", T)
    assert said.logits is not None
    np.testing.assert_array_equal(exits.scores[1], scores("max_softmax", said.logits[0], T[1]))


# ---------------------------------------------------------------------- calibration error


def test_the_calibration_error_is_the_weighted_gap_per_bin() -> None:
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.55, 0.55])
    correct = np.array([True, True, True, False, True, False])
    assert calibration_error(confidence, correct, bins=10) == pytest.approx((4 * 0.2 + 2 * 0.05) / 6)


@given(st.integers(0, 2**31 - 1))
def test_the_calibration_error_lies_between_zero_and_one_and_does_not_depend_on_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    confidence, correct, order = rng.random(50), rng.random(50) < 0.5, rng.permutation(50)
    error = calibration_error(confidence, correct)
    assert 0 <= error <= 1
    assert calibration_error(confidence[order], correct[order]) == pytest.approx(error)
