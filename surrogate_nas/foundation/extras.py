"""Optional dependencies."""

from collections.abc import Iterator
from contextlib import contextmanager

from surrogate_nas.foundation.errors import JobError


@contextmanager
def require_extra(extra: str) -> Iterator[None]:
    """Turn a failed import inside the block into a `JobError` that says how to install the extra."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise JobError(f'{error.name} is not installed: pip install "surrogate-nas[{extra}]"') from None
