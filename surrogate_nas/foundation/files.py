"""Atomic writing of files and folders. While unfinished, they have unique names that end in `.partial`."""

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
    """Yield a new file beside `path` to write to, and move it to `path` when the block ends.

    Readers of `path` see the old file or the complete new one. If the block raises, the partial file is removed.

    Args:
        path: path of the file, in an existing folder.
        durable: whether to wait until the file is on disk, so that it survives a power cut.
    """
    partial = _create_beside(path, lambda fresh: fresh.touch(exist_ok=False))
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
    """Yield an empty folder beside `path`, and move it to `path` when the block ends; remove it if the block raises.

    Raises:
        OSError: at the end of the block, if `path` exists and is not an empty folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _create_beside(path, Path.mkdir)
    try:
        yield partial
        with suppress(FileNotFoundError):
            path.rmdir()
        partial.rename(path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _create_beside(path: Path, make: Callable[[Path], object]) -> Path:
    """Create a partial file or folder beside `path` by `make`, under a unique name."""
    while True:
        partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}{PARTIAL}")
        with suppress(FileExistsError):
            make(partial)
            return partial


def is_left_of(path: Path, name: str) -> bool:
    """Whether `path` has the name of an unfinished file or folder `name`, whose writer was killed or still writes."""
    return re.fullmatch(rf"{re.escape(name)}\.[0-9a-f]+{re.escape(PARTIAL)}", path.name) is not None


def left_beside(path: Path) -> Sequence[Path]:
    """Unfinished files of `path`, whose writers were killed or still write."""
    return sorted(p for p in path.parent.iterdir() if is_left_of(p, path.name) and p.is_file())


def require_output(path: Path, suffixes: Sequence[str] = ()) -> None:
    """Check that a file can be written at `path`, before its contents are computed.

    Raises:
        InputError: for a suffix that is not in `suffixes`, for an existing folder, and for a file in a folder that does
            not exist or is read-only.
    """
    if suffixes and path.suffix not in suffixes:
        raise InputError(f"output {path} does not end in {' or '.join(suffixes)}")
    if path.is_dir() or not path.absolute().parent.is_dir():
        reason = "it is a folder" if path.is_dir() else "its folder does not exist"
        raise InputError(f"output {path} cannot be written: {reason}")
    _require_writable(path)


def require_output_folder(path: Path) -> None:
    """Create a folder, before the contents of its files are computed.

    Raises:
        InputError: if it cannot be created, or is read-only.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from None
    _require_writable(path / path.name)


def require_new_folder(path: Path) -> None:
    """Check that `new_folder` can create a folder at `path`.

    Raises:
        InputError: if `path` exists and is not an empty folder, or if it cannot be written.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path} already exists; allowed: a folder that does not exist or is empty")
    ancestor = next(p for p in path.absolute().parents if p.exists())
    if not ancestor.is_dir():
        raise InputError(f"{path} cannot be written: {ancestor} is not a folder")
    _require_writable(ancestor / path.name)


def _require_writable(path: Path) -> None:
    """Check that files can be created beside `path`, by creating and removing one."""
    try:
        _create_beside(path, lambda fresh: fresh.touch(exist_ok=False)).unlink()
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from None
