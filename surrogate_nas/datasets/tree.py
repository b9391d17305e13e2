"""The files below a folder, in an order independent of the file system."""

import os
from dataclasses import dataclass
from pathlib import Path

from surrogate_nas.foundation.errors import InputError

JUNK = ("thumbs.db", "desktop.ini", "__macosx")


@dataclass(frozen=True, slots=True)
class Listing:
    """The visible entries of a folder, sorted by name."""

    folders: tuple[Path, ...]
    files: tuple[Path, ...]
    hidden: int
    """Number of entries left out: names with a leading dot, and files that Windows and macOS add."""


def listing(folder: Path) -> Listing:
    """The entries of a folder; raises `InputError` if it cannot be read."""
    try:
        with os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}") from None
    visible = [entry for entry in entries if not (entry.name.startswith(".") or entry.name.lower() in JUNK)]
    folders = tuple(folder / entry.name for entry in visible if _is_folder(entry))
    files = tuple(folder / entry.name for entry in visible if not _is_folder(entry))
    return Listing(folders, files, len(entries) - len(visible))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def files_below(top: Path, excluded: frozenset[Path] = frozenset()) -> tuple[list[Path], int]:
    """Every file below a folder, sorted by path, and the number of hidden entries.

    Links to folders are followed, but no folder is entered twice, nor any of `excluded`, so cyclic links are harmless.

    Raises:
        InputError: if a folder cannot be read.
    """
    files: list[Path] = []
    hidden, waiting, visited = 0, [top], set(excluded)
    while waiting:
        folder = waiting.pop()
        if (real := folder.resolve()) in visited:
            continue
        visited.add(real)
        here = listing(folder)
        waiting += here.folders
        files += here.files
        hidden += here.hidden
    return sorted(files, key=Path.as_posix), hidden
