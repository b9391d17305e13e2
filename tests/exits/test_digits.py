"""Thresholds as tables print them: short, and with the same figures."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from surrogate_nas.exits.digits import approximate, shortest
from surrogate_nas.exits.operating_point import OperatingPoint
from tests.exits.test_exits import operating_points, some_exits


def decimals(threshold: float | None) -> int:
    """Decimals of a threshold as text, in plain notation."""
    return 0 if threshold is None else len(np.format_float_positional(threshold, trim="-").partition(".")[2])


@given(data=st.data())
def test_printed_thresholds_route_every_image_of_every_split_alike(data: st.DataObject) -> None:
    tune = data.draw(some_exits())
    test = replace(tune, scores=tune.scores[:, ::-1] ** 2, correct=~tune.correct)
    point = data.draw(operating_points(tune))
    for splits in ([tune], [tune, test]):
        printed = shortest(point, splits)
        typed_back = OperatingPoint.parse(str(printed), tune.positions)
        for exits in splits:
            np.testing.assert_array_equal(exits.route(typed_back), exits.route(point))
            assert exits.at(typed_back).expected_macs == exits.at(point).expected_macs


@given(data=st.data())
def test_they_are_never_longer_and_no_shorter_ones_would_do(data: st.DataObject) -> None:
    exits = data.draw(some_exits())
    point = data.draw(operating_points(exits))
    printed = shortest(point, [exits])
    for e, (short, exact) in enumerate(zip(printed.thresholds, point.thresholds, strict=True)):
        if short is None or exact is None:
            assert short is exact
            continue
        assert decimals(short) <= max(decimals(exact), 2)
        for shorter in {round(short, n) for n in range(2, decimals(short))} - {short}:
            changed = replace(point, thresholds=(*point.thresholds[:e], shorter, *point.thresholds[e + 1 :]))
            assert not np.array_equal(exits.route(changed), exits.route(point))


@given(threshold=st.floats(0, 1))
def test_approximate_thresholds_are_within_a_hundredth_of_the_distance_from_both_ends(threshold: float) -> None:
    (short,) = approximate(OperatingPoint((threshold,))).thresholds
    assert short is not None
    assert abs(short - threshold) <= 0.01 * min(threshold, 1 - threshold) * (1 + 1e-9)
    assert decimals(short) <= max(decimals(threshold), 2)
