"""Output of commands, as JSON or for people."""

import json
import sys
from collections.abc import Callable


def answer(document: object, as_json: bool, show: Callable[[], object]) -> None:
    """Print one JSON document and nothing else, or call `show` to print for people."""
    if as_json:
        sys.stdout.write(json.dumps(document) + "\n")
    else:
        show()
