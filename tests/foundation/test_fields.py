"""Fields that a user may set: what is refused names the path of the field, the value and what is allowed."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, ValidationError, model_validator

from surrogate_nas.foundation.errors import FieldError, InputError
from surrogate_nas.foundation.fields import Amount, Config, Count, Share, parse, parse_fields


class Round(Config):
    kind: Literal["round"] = "round"
    radius: Amount = 1.0


class Square(Config):
    kind: Literal["square"] = "square"
    side: Count = 1

    @model_validator(mode="after")
    def _is_small(self) -> "Square":
        if self.side > 9:
            raise ValueError(f"side {self.side} exceeds 9")
        return self


class Drawing(Config):
    title: str = "none"
    share: Share = 0.5
    shapes: tuple[Annotated[Round | Square, Field(discriminator="kind")], ...] = ()


@pytest.mark.parametrize(
    ("values", "path", "message"),
    [
        ({"share": 1.5}, ["share"], "share: input should be less than or equal to 1, got 1.5"),
        ({"share": float("nan")}, ["share"], "share: input should be a finite number, got nan"),
        ({"titel": "x"}, ["titel"], "unknown setting 'titel'; allowed: title, share, shapes"),
        (
            {"shapes": [{"kind": "round"}, {"kind": "square", "side": 0}]},
            ["shapes", 1, "side"],
            "shapes.1.side: input should be greater than or equal to 1, got 0",
        ),
        (
            {"shapes": [{"kind": "square", "radius": 1}]},
            ["shapes", 0, "radius"],
            "unknown setting 'shapes.0.radius'; allowed: kind, side",
        ),
        ({"shapes": [{"kind": "square", "side": 12}]}, ["shapes", 0], "shapes.0: side 12 exceeds 9"),
        ({"share": 2, "titel": "x"}, ["titel"], "unknown setting 'titel'; allowed: title, share, shapes"),
        (3, [], "input should be a valid dictionary or instance of Drawing, got 3"),
    ],
)
def test_what_is_refused_is_one_line_with_the_path_of_its_field(
    values: Any, path: list[str | int], message: str
) -> None:
    with pytest.raises(FieldError) as caught:
        parse_fields(Drawing, values)
    assert (str(caught.value), caught.value.path) == (message, path)
    with pytest.raises(InputError) as told:
        parse(Drawing, values, "drawing.yaml")
    assert str(told.value) == f"drawing.yaml: {message}"


def test_a_check_of_several_fields_names_the_field_it_begins_with() -> None:
    with pytest.raises(FieldError, match=r"^side 12 exceeds 9$") as caught:
        parse_fields(Square, {"side": 12})
    assert caught.value.path == ["side"]


def test_what_is_allowed_is_taken_and_cannot_be_changed() -> None:
    drawing = parse(Drawing, {"shapes": [{"kind": "square", "side": 9}]}, "here")
    assert drawing == Drawing(shapes=(Square(side=9),))
    with pytest.raises(ValidationError, match="frozen"):
        drawing.title = "other"  # type: ignore[misc]
