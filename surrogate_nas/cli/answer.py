"""Output of commands, as JSON or for people, and errors for missing extras."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from surrogate_nas.foundation.errors import JobError


def answer(document: object, as_json: bool, show: Callable[[], object]) -> None:
    """Print one JSON document and nothing else, or call `show` to print for people."""
    if as_json:
        sys.stdout.write(json.dumps(document) + "\n")
    else:
        show()


@contextmanager
def require_extra(extra: str) -> Iterator[None]:
    """Turn a failed import inside the block into a `JobError` that says how to install the extra."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise JobError(f'{error.name} is not installed: pip install "surrogate-nas[{extra}]"') from None
