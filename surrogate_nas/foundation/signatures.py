"""Signatures that spell out keywords, for editors, notebooks and `help`."""

import inspect
from collections.abc import Callable
from typing import TypeVar, get_args, get_type_hints

FunctionT = TypeVar("FunctionT", bound=Callable[..., object])


def spelled_out(function: FunctionT) -> FunctionT:
    """A function decorator that lists the keys of `**fields: Unpack[T]`, a `TypedDict`, in the signature.

    >>> from typing import TypedDict, Unpack
    >>> class Size(TypedDict, total=False):
    ...     width: int
    >>> @spelled_out
    ... def draw(*, colour: str = "red", **size: Unpack[Size]) -> None: ...
    >>> print(inspect.signature(draw))
    (*, colour: str = 'red', width: int = <not given>) -> None
    """
    signature = inspect.signature(function)
    *parameters, last = signature.parameters.values()
    fields = get_type_hints(get_args(last.annotation)[0])
    keywords = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=NOT_GIVEN, annotation=annotation)
        for name, annotation in fields.items()
    ]
    function.__signature__ = signature.replace(parameters=[*parameters, *keywords])  # type: ignore[attr-defined]
    return function


class _NotGiven:
    def __repr__(self) -> str:
        return "<not given>"


NOT_GIVEN = _NotGiven()
"""Default of keywords in a signature that is spelled out; no function receives it."""
