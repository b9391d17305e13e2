"""Temperatures, and how far scores are to be believed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from surrogate_nas.exits.calibration import calibration_error, fit_temperature
from surrogate_nas.exits.policies import scores, softmax


@pytest.mark.parametrize("T", [0.3, 1.0, 2.5, 8.0])
def test_the_temperature_that_spoilt_the_logits_is_found(T: float) -> None:
    rng = np.random.default_rng(0)
    calibrated = rng.normal(size=(20_000, 5)) * 2
    probabilities = softmax(calibrated)
    labels = (probabilities.cumsum(axis=1) < rng.random((20_000, 1))).sum(axis=1).clip(max=4)
    assert fit_temperature(calibrated * T, labels) == pytest.approx(T, rel=0.05)
    raw, scaled = ((softmax(z).max(axis=1), z.argmax(axis=1) == labels) for z in (calibrated * T, calibrated))
    assert calibration_error(*scaled) < 0.02
    assert T == 1.0 or calibration_error(*raw) > 2 * calibration_error(*scaled)


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
