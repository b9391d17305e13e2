"""Resources of this machine: cores, memory, disk."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")
"""Root of control groups, version 2: the limits of a container, which the machine's own figures do not show."""

DEVICE_KINDS = ("cpu", "cuda", "mps")
"""Kinds of devices that networks can be trained on, by PyTorch's names."""


def available_cores() -> int:
    """Cores that this process may use, within a container's limit."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # no such limit
        quota, period = (int(word) for word in (CGROUP / "cpu.max").read_text().split())
        cores = min(cores, max(round(quota / period), 1))
    return cores


def crowding(processes: float, cores: int) -> float:
    """Slowdown of each of several busy processes, relative to a process with a core of its own.

    >>> crowding(2, 4), crowding(6, 4)
    (1.0, 1.5)
    """
    return max(processes / cores, 1.0)


def other_load() -> float:
    """Average number of busy processes in the last minute, scaled to the cores that this process may use."""
    if not hasattr(os, "getloadavg"):
        return 0.0
    return os.getloadavg()[0] * available_cores() / (os.cpu_count() or 1)


def available_memory() -> int:
    """Bytes of memory that can be used without swapping, within a container's limit."""
    free = int(psutil.virtual_memory().available)
    with suppress(OSError, ValueError):  # no such limit
        limit, used = (int((CGROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        free = min(free, max(limit - used, 0))
    return free


def free_disk(path: Path) -> int:
    """Bytes that can be written at `path`, which need not exist yet."""
    while not path.exists():
        path = path.absolute().parent
    return shutil.disk_usage(path).free


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder."""
    sizes = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # gone in the meantime
            sizes += path.stat().st_size if path.is_file() else 0
    return sizes


def amount(count: float) -> str:
    """A number of bytes as text.

    >>> amount(812), amount(47_040_016), amount(2.5e9)
    ('812 B', '47.0 MB', '2.5 GB')
    """
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count:.0f} B"
