"""Strict JSON: no infinite numbers or NaN, and no duplicate keys in an object."""

import json
from typing import Any, NoReturn


def loads(text: str) -> Any:
    """Parse a JSON text.

    Raises:
        ValueError: if the text is not strict JSON.
        RecursionError: if it is nested too deeply.
    """
    return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_without_duplicates)


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise ValueError(f"duplicate key {name[:40]!a}")
        members[name] = value
    return members
