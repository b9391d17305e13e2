"""Surrogate-assisted neural architecture search for early-exit networks.

The public names are imported when they are first used, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from surrogate_nas.archive import Archive
    from surrogate_nas.backbone import mount
    from surrogate_nas.config import Limits, Settings
    from surrogate_nas.errors import InputError, JobError
    from surrogate_nas.exits import OperatingPoint
    from surrogate_nas.network import EarlyExitNetwork
    from surrogate_nas.recipe import Recipe
    from surrogate_nas.record import Record
    from surrogate_nas.space import Architecture, SearchSpace
    from surrogate_nas.study import Study

_HOMES = {
    "Architecture": "space", "Archive": "archive", "EarlyExitNetwork": "network", "InputError": "errors",
    "JobError": "errors", "Limits": "config", "OperatingPoint": "exits", "Recipe": "recipe", "Record": "record",
    "SearchSpace": "space", "Settings": "config", "Study": "study", "mount": "backbone",
}  # fmt: skip

__all__ = [
    "Architecture", "Archive", "EarlyExitNetwork", "InputError", "JobError", "Limits", "OperatingPoint", "Recipe",
    "Record", "SearchSpace", "Settings", "Study", "mount",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
