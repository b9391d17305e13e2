"""Operating points: as text and as arrays, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.foundation.errors import InputError

thresholds = st.none() | st.integers(0, 10**6).map(lambda millionths: millionths / 10**6)


@given(values=st.lists(thresholds, min_size=1, max_size=4).map(tuple))
def test_an_operating_point_is_the_same_as_text_and_as_an_array(values: tuple[float | None, ...]) -> None:
    point = OperatingPoint(values, "margin")
    assert OperatingPoint.parse(str(point), len(values) + 1, "margin") == point
    assert OperatingPoint.from_array(point.array(), "margin") == point


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.8,0.5", "4 exits need 3 thresholds, got 2: '0.8,0.5'"),
        ("", "4 exits need 3 thresholds, got 0: ''"),
        ("0.8,of,0.5", "thresholds '0.8,of,0.5': each must be a number in [0, 1] or off"),
        ("0.8,1.5,0.5", "threshold 1.5 is not in [0, 1] and not off"),
        ("0.8,-0.1,0.5", "threshold -0.1 is not in [0, 1] and not off"),
        ("0.8,nan,0.5", "threshold nan is not in [0, 1] and not off"),
        ("0.8,inf,0.5", "threshold inf is not in [0, 1] and not off"),
    ],
)
def test_thresholds_that_make_no_sense_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        OperatingPoint.parse(text, positions=4)
    assert str(caught.value) == message
