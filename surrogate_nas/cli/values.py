"""Kinds of option values: their placeholders in the help, and how their text is read."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import typer

from surrogate_nas.foundation import numerals


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value."""

    metavar: str
    """Placeholder in the help."""
    parser: Callable[[Any], Any] | None = None
    """Reads the text; `None` leaves it to the type of the parameter."""


def _parser(read: Callable[[object], object]) -> Callable[[Any], Any]:
    """A function of `numerals` for typer, which names the option in errors of this type alone."""

    def parse(text: Any) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    return parse


def _count(value: object) -> object:
    number = numerals.number(value)
    if isinstance(number, float) and not number.is_integer():
        raise ValueError(f"{value!r} is not a whole number")
    return int(number) if isinstance(number, float) else number


COUNT = Kind("N", _parser(_count))
NUMBER = Kind("NUMBER", _parser(numerals.number))
BYTES = Kind("BYTES", _parser(numerals.byte_count))
GIGABYTES = Kind("GB", _parser(numerals.gigabytes))
FRACTION = Kind("SHARE", _parser(numerals.fraction))
SECONDS = Kind("TIME", _parser(numerals.seconds))
HOURS = Kind("TIME", _parser(numerals.hours))
NAME = Kind("NAME")
FILE = Kind("FILE")
FOLDER = Kind("FOLDER")
