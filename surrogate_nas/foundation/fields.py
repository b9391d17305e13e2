"""Types of settings, and validation errors that name the field, the value got and the values allowed."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from surrogate_nas.foundation import numerals
from surrogate_nas.foundation.errors import FieldError, InputError, one_line

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass as _OneLineErrors
else:

    class _OneLineErrors(type(BaseModel)):
        """Metaclass of settings, whose constructors raise `FieldError`; type checkers see pydantic's own."""

        def __call__(cls, *args, **values):
            try:
                return super().__call__(*args, **values)
            except ValidationError as error:
                raise _field_error(cls, error) from None


Count = Annotated[int, Field(ge=1), BeforeValidator(numerals.number)]
Share = Annotated[float, Field(gt=0, le=1), BeforeValidator(numerals.fraction)]
BelowOne = Annotated[float, Field(ge=0, lt=1), BeforeValidator(numerals.fraction)]
Amount = Annotated[float, Field(gt=0), BeforeValidator(numerals.number)]
NotNegative = Annotated[float, Field(ge=0), BeforeValidator(numerals.number)]
Bytes = Annotated[float, Field(gt=0), BeforeValidator(numerals.byte_count)]
Gigabytes = Annotated[float, Field(gt=0), BeforeValidator(numerals.gigabytes)]
DiskSpace = Annotated[float, Field(ge=0), BeforeValidator(numerals.gigabytes)]
Seconds = Annotated[float, Field(gt=0), BeforeValidator(numerals.seconds)]
Hours = Annotated[float, Field(gt=0), BeforeValidator(numerals.hours)]
ConfigT = TypeVar("ConfigT", bound=BaseModel)


MOST_SEEDS = 2**32
"""Exclusive upper bound of seeds: the generators of NumPy and scikit-learn accept no larger ones."""


def require_seed(seed: int) -> None:
    """Raise `InputError` for a seed outside 0 … `MOST_SEEDS` − 1."""
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise InputError(f"seed {seed!r} is not a whole number; allowed: 0 to {MOST_SEEDS - 1}")
    if not 0 <= seed < MOST_SEEDS:
        raise InputError(f"seed {seed} is out of range; allowed: 0 to {MOST_SEEDS - 1}")


class Config(BaseModel, metaclass=_OneLineErrors):
    """Base of settings: frozen, without unknown fields and without infinite or NaN numbers.

    Raises:
        FieldError: one line with the first invalid field, the value got and the values allowed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def read_mapping(path: Path) -> dict[str, Any]:
    """Read the mapping in a YAML file; empty for an empty file.

    Raises:
        InputError: if the file cannot be read or is not a mapping.
    """
    try:
        mapping = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: {one_line(error)}") from None
    if not isinstance(mapping, dict | None):
        raise InputError(f"{path}: expected a mapping of settings, got {type(mapping).__name__}")
    return mapping or {}


def parse(model: type[ConfigT], values: object, source: str) -> ConfigT:
    """Validate `values` as a `model`.

    Raises:
        FieldError: one line with the source, the field, the value got and the values allowed.
    """
    try:
        return parse_fields(model, values)
    except FieldError as error:
        raise FieldError(f"{source}: {error}", error.path, source) from None


def parse_fields(model: type[ConfigT], values: object) -> ConfigT:
    """Validate `values` as a `model`.

    Raises:
        FieldError: with the path of the first invalid field.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _field_error(model, error) from None


def _field_error(model: type[BaseModel], error: ValidationError) -> FieldError:
    """The error of the first invalid field."""
    errors = error.errors()  # a misspelt required field is reported as missing too: name the misspelling first
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    path, at = _resolve(model, first["loc"])
    where = ".".join(str(part) for part in path)
    if first["type"] == "extra_forbidden":
        return FieldError(f"unknown setting {where!r}; allowed: {', '.join(at.model_fields)}", path)
    message = first["msg"].removeprefix("Value error, ")
    message = f"{where + ': ' if where else ''}{message[0].lower()}{message[1:]}"
    if first["type"] == "value_error":
        return FieldError(message, _blamed(first["msg"].removeprefix("Value error, "), path, at))
    return FieldError(f"{message}, got {first['input']!r}", path)


def _blamed(message: str, path: list[str | int], at: type[BaseModel]) -> list[str | int]:
    """Path of the field that a validator of this package blames.

    A validator of several fields starts its message with the name of the field to blame, which completes the path.
    """
    first = message.partition(" ")[0].rstrip(":").split(".")
    return [*path, *first] if first[0] in at.model_fields else path


def _resolve(model: type[BaseModel], location: tuple[int | str, ...]) -> tuple[list[str | int], type[BaseModel]]:
    """Path of a field as the user wrote it, without the tags of unions, and the model that has the field."""
    path: list[str | int] = []
    choices: tuple[type[BaseModel], ...] = (model,)
    for part in location:
        if isinstance(part, str) and len(choices) > 1:
            choices = tuple(m for m in choices if part in get_args(m.model_fields["kind"].annotation))
            continue
        path.append(part)
        if isinstance(part, str) and part in choices[0].model_fields:
            inner = tuple(_models_in(choices[0].model_fields[part].annotation))
            model, choices = choices[0], inner or choices
        else:
            model = choices[0]
    return path, model


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)
