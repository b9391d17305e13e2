"""Surrogate-assisted neural architecture search for early-exit networks.

The public names are imported when they are first used, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from surrogate_nas.api import Study
    from surrogate_nas.architecture.architecture import Architecture
    from surrogate_nas.archive.archive import Archive
    from surrogate_nas.archive.record import Record
    from surrogate_nas.exits.limits import Limits
    from surrogate_nas.exits.operating_point import OperatingPoint
    from surrogate_nas.foundation.errors import InputError, JobError
    from surrogate_nas.network.backbone import mount
    from surrogate_nas.network.network import EarlyExitNetwork
    from surrogate_nas.settings import Settings
    from surrogate_nas.space.space import SearchSpace
    from surrogate_nas.training.recipe import Recipe

_HOMES = {
    "Architecture": "architecture.architecture",
    "Archive": "archive.archive",
    "EarlyExitNetwork": "network.network",
    "InputError": "foundation.errors",
    "JobError": "foundation.errors",
    "Limits": "exits.limits",
    "OperatingPoint": "exits.operating_point",
    "Recipe": "training.recipe",
    "Record": "archive.record",
    "SearchSpace": "space.space",
    "Settings": "settings",
    "Study": "api",
    "mount": "network.backbone",
}

__all__ = [
    "Architecture",
    "Archive",
    "EarlyExitNetwork",
    "InputError",
    "JobError",
    "Limits",
    "OperatingPoint",
    "Recipe",
    "Record",
    "SearchSpace",
    "Settings",
    "Study",
    "mount",
]


def __dir__() -> list[str]:
    return sorted({*__all__, *globals(), "__version__"})


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("surrogate-nas")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
