"""Writing of a study's report: page, figures and table."""

from pathlib import Path

from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.files import replaced, require_output_folder
from surrogate_nas.report.contents import Contents
from surrogate_nas.report.drawing import FIGURES
from surrogate_nas.report.front_table import front_csv
from surrogate_nas.report.page import page
from surrogate_nas.report.static import static_figures
from surrogate_nas.study.images import StudyImages
from surrogate_nas.study.paths import REPORT
from surrogate_nas.study.solutions import Solutions

FRONT = "front.csv"


def write_report(solutions: Solutions, images: StudyImages, folder: Path | None = None) -> Path:
    """Write `front.csv`, `report.html` and `figures/`, each file atomically.

    Every study has a report, even before its search, with failures, or without a solution within its limits.

    Args:
        solutions: trained networks of a study, which is only read, except that its surrogate is fitted if it is out of
            date.
        images: images of the study.
        folder: folder to write to; by default that of the study.

    Returns:
        Path of `report.html`.

    Raises:
        InputError: if the folder cannot be written.
    """
    folder = solutions.home.path if folder is None else folder
    for place in (folder, folder / FIGURES):
        require_output_folder(place)
    contents = Contents.of(solutions, images)
    files = {f"{FIGURES}/{name}": figure for name, figure in static_figures(contents).items()}
    classes, limits = contents.header.shape.classes, contents.limits
    files[FRONT] = front_csv(contents.front, contents.positions, classes, limits).encode()
    files[REPORT] = page(contents).encode()
    try:
        for name, content in files.items():
            with replaced(folder / name) as partial:
                partial.write_bytes(content)
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror}") from None
    return folder / REPORT
