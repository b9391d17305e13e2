"""Request bodies of the API."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from surrogate_nas.exits.limits import Limits
from surrogate_nas.foundation.fields import Config
from surrogate_nas.space.space import LONGEST_ENCODING

MOST_ENCODINGS = 1000
MOST_NETWORKS = 20
LONGEST_THRESHOLDS = 500
Encoding = Annotated[str, Field(max_length=LONGEST_ENCODING)]


class Body(Config):
    """A body, whose documentation in the API is what is said of its fields here."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Query(Body):
    """Architectures, and what is to hold for all of them."""

    encodings: Annotated[list[Encoding], Field(min_length=1, max_length=MOST_ENCODINGS)]
    """Text forms, or vectors as numbers separated by commas."""
    thresholds: Annotated[str, Field(max_length=LONGEST_THRESHOLDS)] | None = None
    """Such as `0.8,off`; by default each architecture has the ones that are predicted best within the limits."""
    limits: Limits | None = None
    """Instead of the study's."""


class Best(Body):
    """Limits within which the best architectures are wanted."""

    limits: Limits | None = None
    """Instead of the study's."""
    n: Annotated[int, Field(ge=1, le=MOST_NETWORKS)] = 1
    """How many."""


def complaint(errors: Sequence[Any]) -> str:
    """One line about the first thing that is wrong with a body: the field, the value got and what is allowed."""
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    where = ".".join(str(part) for part in first["loc"] if part != "body")
    if first["type"] == "extra_forbidden":
        return f"unknown field {where!a}; see /docs"
    message = first["msg"].removeprefix("Value error, ")
    value = first["input"]
    value_text = type(value).__name__ if isinstance(value, dict | list) else ascii(value)
    return f"{where or 'body'}: {message[0].lower()}{message[1:]}, got {value_text}"
