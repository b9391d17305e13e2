"""Copies of a study for the server, so that the study itself is only read."""

import shutil
from contextlib import suppress
from pathlib import Path

from surrogate_nas.archive.archive import copy_archive
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.report.guards import STATES
from surrogate_nas.report.latency import TIMED
from surrogate_nas.study.paths import ARCHIVE, COSTS, DATA, SETTINGS, SPLITS, SURROGATE

Stamp = tuple[tuple[int, int] | None, ...]


def stamp(study: Path) -> Stamp:
    """Modification time and size of the files of a study, by which changes are detected."""
    paths = [study / name for name in (ARCHIVE, f"{ARCHIVE}-wal", SETTINGS, COSTS)]
    return tuple(_file_stamp(path) for path in [*paths, *_of_exports(study)])


def _of_exports(study: Path) -> list[Path]:
    """Files that were written beside exported networks, for the report."""
    return [path for pattern in (TIMED, STATES) for path in sorted(study.glob(pattern))]


def _file_stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size) if status.st_size else None  # an empty log equals a missing one


def copy_study(study: Path, home: Path, before: Path | None = None) -> None:
    """Copy the files that a report and a surrogate need, even while a command is changing the study.

    Args:
        study: the study's folder, which is neither written to nor locked.
        home: the folder to create.
        before: an earlier copy, whose stored fits may still be valid.

    Raises:
        InputError: if there is no study.
    """
    if not (study / ARCHIVE).is_file():
        raise InputError(f"no study at {study}")
    home.mkdir()
    copy_archive(study / ARCHIVE, home / ARCHIVE)
    for name in (SETTINGS, COSTS, SPLITS):
        if (study / name).is_file():
            shutil.copyfile(study / name, home / name)
    for path in _of_exports(study):
        (home / path.relative_to(study)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, home / path.relative_to(study))
    if (study / DATA).is_file():
        _refer(study / DATA, home / DATA)
    for fits in (before, study):
        if fits is not None:
            with suppress(OSError):  # a fit replaced during the copy is damaged, which loading detects
                shutil.copytree(fits / SURROGATE, home / SURROGATE, dirs_exist_ok=True)


def _refer(images: Path, at: Path) -> None:
    """Link to the images, which never change; copy them if links are not allowed."""
    try:
        at.symlink_to(images.resolve())
    except OSError:  # Windows without permission for links
        shutil.copyfile(images, at)
