"""Specifications of spaces: what is refused."""

from typing import Any

import pytest

from surrogate_nas.foundation.errors import InputError
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.spec import parse_spec, preset


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("stem", "width"), [8, 4], "width [8, 4] is not a list of distinct ascending numbers"),
        (("stem", "width"), [], "width [] is not a list of distinct ascending numbers"),
        (("stem", "width"), [0], "greater than or equal to 1, got 0"),
        (("stem", "colour"), [1], "unknown setting 'stem.colour'; allowed: width, stride"),
        (("branch", "layer"), ["conv", "conv"], "layer is empty or has duplicate choices"),
        (("branch", "layer"), ["dense"], "got 'dense'"),
        (("stages",), [], "stages: a stem and at least 1 stage are needed, or a backbone"),
        (("stages", 0, "kernel"), [3, 4], "kernel 4 is even; kernels must be odd"),
        (("stages", 1, "color"), 1, "unknown setting 'stages.1.color'; allowed: block, depth, width, kernel"),
        (("image_sizes",), [16, 8], "image_sizes [16, 8] must be the smallest and the largest side"),
    ],
)
def test_a_space_that_makes_no_sense_is_refused_by_field(
    user_mapping: dict[str, Any], path: tuple[Any, ...], value: Any, message: str
) -> None:
    inner: Any = user_mapping
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    with pytest.raises(InputError) as caught:
        parse_spec(user_mapping)
    assert message in str(caught.value)


def test_two_stages_may_offer_the_same_choices(user_mapping: dict[str, Any]) -> None:
    user_mapping["stages"] = user_mapping["stages"][:1] * 2
    assert SearchSpace(parse_spec(user_mapping)).size == 2 * 2 * 4


def test_an_unknown_preset_names_those_there_are() -> None:
    with pytest.raises(InputError, match="unknown search space 'huge'; allowed: aebnas, compact, edanas"):
        preset("huge")
