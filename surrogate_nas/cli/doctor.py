"""Checks of the installation and the machine, each with a remedy for its failure.

Libraries that may be missing or broken are imported only inside their own check.
"""

import importlib.metadata
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from surrogate_nas.foundation.errors import JobError, SurrogateNASError, one_line

PACKAGE = "surrogate-nas"
LEAST_FREE_DISK = 1_000_000_000
NETWORK_FILE_SYSTEMS = ("nfs", "nfs4", "cifs", "smbfs", "smb3", "fuse.sshfs", "afs", "9p")
SAME_MODULE = {"xgboost": "xgboost-cpu"}
"""Smaller packages with the same module: either is enough, but installed together they overwrite each other."""


def check() -> list[dict[str, Any]]:
    """Run all checks; one entry for each, with its subject, success, and result or remedy."""
    checks: dict[str, Callable[[], str]] = dict(_libraries())
    checks |= {
        "torchvision fits torch": _torchvision,
        "device": _device,
        "cores": _cores,
        "memory": _memory,
        "training process": _process,
        "SQLite": lambda: sqlite3.sqlite_version,
        "disk here": _disk,
        "file system here": _file_system,
    }
    return [_run(what, probe) for what, probe in checks.items()]


def _run(what: str, probe: Callable[[], str]) -> dict[str, Any]:
    try:
        return {"what": what, "ok": True, "found": probe()}
    except SurrogateNASError as error:
        return {"what": what, "ok": False, "found": str(error)}
    except (ImportError, OSError) as error:  # a library that is missing, or cannot be loaded
        return {"what": what, "ok": False, "found": f"check failed: {one_line(error)}"}


def _libraries() -> Iterator[tuple[str, Callable[[], str]]]:
    """One check per required library, and one per extra."""
    requirements = [Requirement(text) for text in importlib.metadata.requires(PACKAGE) or []]
    for requirement in requirements:
        if requirement.marker is None:
            yield requirement.name, lambda r=requirement: _library(r)  # type: ignore[misc]
    for extra in importlib.metadata.metadata(PACKAGE).get_all("Provides-Extra") or []:
        of_extra = [r for r in requirements if r.marker is not None and r.marker.evaluate({"extra": extra})]
        yield f"extra {extra}", lambda extra=extra, of_extra=of_extra: _extra(extra, of_extra)  # type: ignore[misc]


def _library(requirement: Requirement) -> str:
    names = [name for name in (requirement.name, SAME_MODULE.get(requirement.name)) if name and _version(name)]
    versions = " and ".join(f"{name} {_version(name)}" for name in names)
    if not names:
        raise JobError(f"not installed; pip install '{requirement}'")
    if len(names) > 1:
        raise JobError(f"{versions} overwrite each other; pip uninstall {' '.join(names)}, then install one of them")
    if not requirement.specifier.contains(_version(names[0]) or "", prereleases=True):
        raise JobError(f"{versions} is not {requirement.specifier}; pip install '{requirement}'")
    return versions.removeprefix(f"{requirement.name} ")


def _extra(extra: str, requirements: list[Requirement]) -> str:
    """Report missing libraries of an extra; this is not a failure, because extras are optional."""
    missing = [r.name for r in requirements if _version(r.name) is None]
    if missing:
        return f"not installed: {', '.join(missing)}; if needed: pip install '{PACKAGE}[{extra}]'"
    return "complete"


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


def _torchvision() -> str:
    from surrogate_nas.datasets.named import import_torchvision

    import_torchvision()
    return "yes"


def _device() -> str:
    from surrogate_nas.training.devices import device_here

    return f"auto is {device_here('auto')}"


def _cores() -> str:
    from surrogate_nas.foundation.machine import available_cores

    threads = os.environ.get("OMP_NUM_THREADS", "1")
    crowd = "" if threads == "1" else f"; OMP_NUM_THREADS is {threads}, which slows trainings down: unset it"
    return f"{available_cores()} usable of {os.cpu_count()}: as many trainings at a time, with one thread each{crowd}"


def _memory() -> str:
    from surrogate_nas.foundation.machine import amount, available_cores, available_memory
    from surrogate_nas.study.estimate import BASE_MEMORY

    free, cores = available_memory(), available_cores()
    if free < BASE_MEMORY:
        raise JobError(f"{amount(free)} free; one training needs at least {amount(BASE_MEMORY)}: free some memory")
    few = "" if free >= cores * BASE_MEMORY else f", too little for {cores} trainings at a time; set --workers to fewer"
    return f"{amount(free)} free{few}"


def _process() -> str:
    from surrogate_nas.training.executors.processes import start_and_end_a_process

    start = time.monotonic()
    start_and_end_a_process()
    return f"starts and ends in {time.monotonic() - start:.1f} s"


def _disk() -> str:
    from surrogate_nas.foundation.machine import amount, free_disk

    free = free_disk(Path.cwd())
    try:
        with tempfile.TemporaryFile(dir=Path.cwd()):
            pass
    except OSError as error:
        raise JobError(f"nothing can be written in {Path.cwd()}: {error.strerror}; work in another folder") from None
    if free < LEAST_FREE_DISK:
        raise JobError(f"{amount(free)} free; studies need at least {amount(LEAST_FREE_DISK)}: free some disk space")
    return f"{amount(free)} free"


def _file_system() -> str:
    import psutil

    here = Path.cwd().resolve()
    mounts = {Path(p.mountpoint): p.fstype for p in psutil.disk_partitions(all=True)}
    kind = next((mounts[folder] for folder in (here, *here.parents) if folder in mounts), "unknown")
    if kind in NETWORK_FILE_SYSTEMS:
        raise JobError(f"{kind}, a network file system, on which archives are not safe; keep studies on a local disk")
    return kind
