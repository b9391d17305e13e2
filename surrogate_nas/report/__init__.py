"""The report: one offline page a person can look at, and the front as a table a program can read."""

from pathlib import Path

from surrogate_nas.errors import InputError
from surrogate_nas.report.contents import Contents
from surrogate_nas.report.front_table import front_csv
from surrogate_nas.report.page import page
from surrogate_nas.study import Study

FRONT, REPORT = "front.csv", "report.html"


def write_report(study: Study, folder: Path | None = None) -> Path:
    """Write `front.csv` and `report.html`, each whole or not at all.

    Any study can be reported: without a search yet, with failures, or with no solution within its limits.

    Args:
        study: read only, except that its surrogate is fitted if that is not up to date.
        folder: where to; default the study's own.

    Returns:
        Path of `report.html`.

    Raises:
        InputError: if the folder cannot be written.
    """
    folder = study.path if folder is None else folder
    contents = Contents.of(study)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / FRONT, front_csv(contents.front, contents.positions))
        _write(folder / REPORT, page(contents))
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror}") from None
    return folder / REPORT


def _write(path: Path, text: str) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8", newline="")
    partial.replace(path)
