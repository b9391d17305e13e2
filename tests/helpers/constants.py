"""Other values for constants of modules, for a while."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType

import pytest


@contextmanager
def patched(constants: Mapping[ModuleType, Mapping[str, int]]) -> Iterator[None]:
    """Constants of modules with these values; a name that a module does not have is an error."""
    with pytest.MonkeyPatch.context() as patch:
        for module, values in constants.items():
            for name, value in values.items():
                patch.setattr(module, name, value)
        yield
