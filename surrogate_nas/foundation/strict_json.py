"""JSON as its standard has it: finite numbers, and no name twice in an object."""

import json
from typing import Any, NoReturn


def loads(text: str) -> Any:
    """The document of a text.

    Raises:
        ValueError: for what is no such JSON.
        RecursionError: for what is nested too deeply to be read.
    """
    return json.loads(text, parse_constant=_no_number, object_pairs_hook=_distinct)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise ValueError(f"{name[:40]!a} is there twice")
        members[name] = value
    return members
