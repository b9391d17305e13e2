"""How commands answer."""

import json
import sys
from collections.abc import Callable


def answer(document: object, as_json: bool, show: Callable[[], object]) -> None:
    """One JSON document and nothing else, or what people read."""
    if as_json:
        sys.stdout.write(json.dumps(document) + "\n")
    else:
        show()
