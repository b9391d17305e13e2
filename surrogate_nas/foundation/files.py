"""Atomic writing of files and folders. Unfinished ones have fresh names that end in `.partial`."""

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from surrogate_nas.foundation.errors import InputError

PARTIAL = ".partial"


@contextmanager
def replaced(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Give a new file beside `path` to write to, and move it to `path` when the block ends.

    Readers of `path` see the old file or the whole new one. If the block raises, the partial file is removed.

    Args:
        path: path of the file, in a folder that exists.
        durable: whether to wait until the file is on disk, so that it survives a power cut.
    """
    partial = _made_beside(path, lambda fresh: fresh.touch(exist_ok=False))
    try:
        yield partial
        if durable:
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside `path`, and move it to `path` when the block ends; remove it if the block raises.

    Raises:
        OSError: at the end of the block, if `path` is anything but absent or an empty folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _made_beside(path, Path.mkdir)
    try:
        yield partial
        with suppress(FileNotFoundError):
            path.rmdir()
        partial.rename(path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _made_beside(path: Path, make: Callable[[Path], object]) -> Path:
    """Partial path in the same folder, made by `make` under a name that nothing else has."""
    while True:
        partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}{PARTIAL}")
        with suppress(FileExistsError):
            make(partial)
            return partial


def is_left_of(path: Path, name: str) -> bool:
    """Whether `path` has the name of an unfinished file or folder `name`: of a process that was killed, or still
    writes."""
    return re.fullmatch(rf"{re.escape(name)}\.[0-9a-f]+{re.escape(PARTIAL)}", path.name) is not None


def left_beside(path: Path) -> Sequence[Path]:
    """Partial files of `path`: left by processes that were killed, or still being written by others."""
    return sorted(p for p in path.parent.iterdir() if is_left_of(p, path.name) and p.is_file())


def require_output(path: Path, suffixes: Sequence[str] = ()) -> None:
    """Check that a file can be made at `path`, before anything is computed for it.

    Raises:
        InputError: for a suffix other than those given, a folder, or a folder that does not exist or is read-only.
    """
    if suffixes and path.suffix not in suffixes:
        raise InputError(f"output {path} does not end in {' or '.join(suffixes)}")
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise InputError(f"output {path} cannot be written: {'a folder' if path.is_dir() else 'no such folder'}")
    _require_room(path)


def require_output_folder(path: Path) -> None:
    """Make a folder for files that are computed afterwards.

    Raises:
        InputError: if it cannot be made, or nothing can be written in it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from None
    _require_room(path / path.name)


def require_new_folder(path: Path) -> None:
    """Check that `new_folder` can make a folder at `path`.

    Raises:
        InputError: for anything that is there, except an empty folder, and where nothing can be written.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path} is there already; allowed: a folder that does not exist or is empty")
    ancestor = next(p for p in path.absolute().parents if p.exists())
    if not ancestor.is_dir():
        raise InputError(f"{path} cannot be written: {ancestor} is not a folder")
    _require_room(ancestor / path.name)


def _require_room(path: Path) -> None:
    """Make and remove a file beside `path`."""
    try:
        _made_beside(path, lambda fresh: fresh.touch(exist_ok=False)).unlink()
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from None
