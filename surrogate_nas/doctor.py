"""Checks of the installation, each with what to do when it fails."""

import importlib.metadata
import os
import shutil
from collections.abc import Callable
from typing import Any

from surrogate_nas.datasets import import_torchvision
from surrogate_nas.errors import JobError, SurrogateNASError
from surrogate_nas.machine import available_cores
from surrogate_nas.train import resolve_device

LIBRARIES = ("torch", "torchvision", "botorch", "gpytorch", "scikit-learn", "fvcore", "plotly", "pydantic")
LEAST_FREE_BYTES = 1 << 30


def check() -> list[dict[str, Any]]:
    """One entry per check: what, whether it is ok, and what was found or what to do."""
    checks: dict[str, Callable[[], str]] = {library: lambda library=library: _version(library) for library in LIBRARIES}  # type: ignore[misc]
    checks |= {
        "xgboost": _xgboost, "torchvision fits torch": _torchvision, "device": _device,
        "cores": lambda: f"{available_cores()} usable of {os.cpu_count()}", "free disk here": _disk,
    }  # fmt: skip
    return [_run(what, probe) for what, probe in checks.items()]


def _run(what: str, probe: Callable[[], str]) -> dict[str, Any]:
    try:
        return {"what": what, "ok": True, "found": probe()}
    except SurrogateNASError as error:
        return {"what": what, "ok": False, "found": str(error)}


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        raise JobError(f"not installed; pip install {library}") from None


def _xgboost() -> str:
    """`xgboost` or the smaller `xgboost-cpu`: the same module, so never both."""
    found = []
    for name in ("xgboost", "xgboost-cpu"):
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    if len(found) != 1:
        raise JobError(f"{' and '.join(found) or 'not'} installed; have exactly one of xgboost and xgboost-cpu")
    return found[0]


def _torchvision() -> str:
    import_torchvision()
    return "yes"


def _device() -> str:
    return f"auto is {resolve_device('auto')}"


def _disk() -> str:
    free = shutil.disk_usage(".").free
    if free < LEAST_FREE_BYTES:
        raise JobError(f"{free / 1e9:.1f} GB; studies need some: free at least 1 GB")
    return f"{free / 1e9:.0f} GB"
