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
    """Body of a request; the docstrings of its fields are the documentation of the API."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Query(Body):
    """Architectures to predict, with common thresholds and limits."""

    encodings: Annotated[list[Encoding], Field(min_length=1, max_length=MOST_ENCODINGS)]
    """Architectures: text forms, or vectors as numbers separated by commas."""
    thresholds: Annotated[str, Field(max_length=LONGEST_THRESHOLDS)] | None = None
    """Thresholds for all architectures, such as `0.8,off`; by default the predicted best of each within the limits."""
    limits: Limits | None = None
    """Limits; by default those of the study."""


class Best(Body):
    """Limits for the best architectures."""

    limits: Limits | None = None
    """Limits; by default those of the study."""
    n: Annotated[int, Field(ge=1, le=MOST_NETWORKS)] = 1
    """Number of architectures to return."""


def first_error(errors: Sequence[Any]) -> str:
    """One line about the first error in a body: the field, the value got and those allowed."""
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    where = ".".join(str(part) for part in first["loc"] if part != "body")
    if first["type"] == "extra_forbidden":
        return f"unknown field {where!a}; see /docs"
    message = first["msg"].removeprefix("Value error, ")
    value = first["input"]
    value_text = type(value).__name__ if isinstance(value, dict | list) else ascii(value)
    return f"{where or 'body'}: {message[0].lower()}{message[1:]}, got {value_text}"
