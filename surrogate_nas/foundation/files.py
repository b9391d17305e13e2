"""Write a file or a folder whole or not at all. What is half written has a name that ends in `.partial`."""

import glob
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from surrogate_nas.foundation.errors import InputError

PARTIAL = ".partial"


@contextmanager
def replaced(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """A path beside `path` to write a file at, which takes its place when the block ends.

    Readers of `path` see what was there before, or all of the new file. If the block raises, nothing is left beside it.

    Args:
        path: of the file, in a folder that exists.
        durable: whether to wait until the disk has it, which a power cut may otherwise undo.
    """
    partial = _beside(path)
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
    """An empty folder beside `path`, which takes its place when the block ends; if the block raises, it is removed.

    Raises:
        OSError: at the end of the block, if there is something else at `path` than an empty folder.
    """
    partial = _beside(path)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        with suppress(FileNotFoundError):
            path.rmdir()
        partial.rename(path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _beside(path: Path) -> Path:
    """In the same file system, and another one for each process."""
    return path.with_name(f"{path.name}.{os.getpid()}{PARTIAL}")


def left_beside(path: Path) -> Sequence[Path]:
    """What processes that were killed have left of `path`; or what others are writing, if they may."""
    return sorted(path.parent.glob(f"{glob.escape(path.name)}.*{PARTIAL}"))


def require_output(path: Path, suffixes: Sequence[str]) -> None:
    """Check that a file can be made at `path`, before anything is computed for it.

    Raises:
        InputError: for another suffix, a folder, or a folder that does not exist.
    """
    if path.suffix not in suffixes:
        raise InputError(f"output {path} does not end in {' or '.join(suffixes)}")
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise InputError(f"output {path} cannot be written: {'a folder' if path.is_dir() else 'no such folder'}")
