"""How commands answer."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from surrogate_nas.foundation.errors import JobError


def answer(document: object, as_json: bool, show: Callable[[], object]) -> None:
    """One JSON document and nothing else, or what people read."""
    if as_json:
        sys.stdout.write(json.dumps(document) + "\n")
    else:
        show()


@contextmanager
def needing(extra: str) -> Iterator[None]:
    """What is imported inside the block comes with an extra; without that, one line says how to get it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise JobError(f'{error.name} is not installed: pip install "surrogate-nas[{extra}]"') from None
