"""Loading of user functions by reference, `package.module:function`."""

import difflib
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from surrogate_nas.foundation.errors import InputError, line_of

MOST_NAMES = 8


def load_function(reference: str, what: str, folder: str | None = None) -> Callable[..., Any]:
    """Import the function or class that `package.module:name` refers to.

    Args:
        reference: `package.module:name`.
        what: role of the function in messages, such as "surrogate".
        folder: folder of the module if it is not installed; `None` for the current folder.

    Raises:
        InputError: if it cannot be imported or is not callable; the message has the reason.
    """
    module_name, colon, name = reference.partition(":")
    if not (module_name and colon and name):
        raise InputError(f"{what} {reference!r} is not of the form package.module:function")
    _make_importable(folder or str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # the user's own code may raise anything
        raise InputError(f"{what} {reference!r}: module {module_name!r} cannot be imported: {line_of(error)}") from None
    target: Any = module
    for part in name.split("."):
        if not hasattr(target, part):
            raise InputError(f"{what} {reference!r}: {module_name!r} has no {part!r}{close_to(part, dir(target))}")
        target = getattr(target, part)
    if not callable(target):
        raise InputError(f"{what} {reference!r} is a {type(target).__name__}, not a function or class")
    function: Callable[..., Any] = target
    return function


def _make_importable(folder: str) -> None:
    if folder not in sys.path:
        sys.path.append(folder)


def close_to(name: str, names: Sequence[str]) -> str:
    """A "did you mean" phrase with the names similar to `name`; empty if there are none."""
    close = difflib.get_close_matches(name, names, MOST_NAMES, cutoff=0.5)
    return f"; did you mean {', '.join(close)}?" if close else ""
