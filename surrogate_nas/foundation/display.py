"""Short texts and HTML of results, for consoles and notebooks."""

from collections.abc import Callable, Mapping
from html import escape
from typing import Any, TypeVar

LONGEST = 199
ClassT = TypeVar("ClassT", bound=type[Any])


def displayed_by(summary: Callable[[Any], Mapping[str, object]]) -> Callable[[ClassT], ClassT]:
    """A class decorator that adds `__repr__` and `_repr_html_`, made of a summary.

    Args:
        summary: the fields to show of an object, by name; in one line, texts of more than 40 characters are cut.
    """

    def add(cls: ClassT) -> ClassT:
        setattr(cls, "__repr__", lambda self: line(cls.__name__, summary(self)))  # noqa: B010  no method to mypy
        setattr(cls, "_repr_html_", lambda self: table(cls.__name__, summary(self)))  # noqa: B010
        return cls

    return add


def line(title: str, fields: Mapping[str, object]) -> str:
    """One line of at most 199 characters.

    >>> line("Solution", {"id": "871c772a", "accuracy": 0.91944444, "macs": 6716.25})
    'Solution(id=871c772a, accuracy=0.9194, macs=6,716)'
    """
    text = f"{title}({', '.join(f'{name}={_cut(text_of(value))}' for name, value in fields.items())})"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 2]}…)"


def table(title: str, fields: Mapping[str, object]) -> str:
    """An HTML table with a row for each field; texts are escaped.

    >>> table("Status", {"pending": 2})
    '<table><caption>Status</caption><tr><th>pending</th><td>2</td></tr></table>'
    """
    rows = "".join(f"<tr><th>{escape(n)}</th><td>{escape(text_of(v))}</td></tr>" for n, v in fields.items())
    return f"<table><caption>{escape(title)}</caption>{rows}</table>"


def text_of(value: object) -> str:
    """A value as text: fractions to four digits, larger numbers to whole ones.

    >>> text_of(0.12345), text_of(12345.6), text_of((0.1, 0.9)), text_of(None)
    ('0.1235', '12,346', '0.1 0.9', '–')
    """
    match value:
        case None:
            return "–"
        case bool() | str():
            return str(value)
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
        case list() | tuple():
            return " ".join(map(text_of, value))
        case _:
            return str(value)


def _cut(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"
