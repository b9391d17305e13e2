"""Command that writes the report."""

from pathlib import Path
from typing import Annotated

import typer

from surrogate_nas.cli.answer import answer
from surrogate_nas.cli.inputs import open_study
from surrogate_nas.cli.options import Json, StudyPath, option
from surrogate_nas.cli.values import FOLDER


def report(
    study: StudyPath,
    output: Annotated[
        Path | None, option("Folder to write to. Default: the study's own.", "--output", "-o", kind=FOLDER)
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the report of a study: report.html, front.csv, and the figures as SVG and PNG."""
    home = open_study(study, {})
    from surrogate_nas.api import Study

    page = Study(home).report(output)
    answer({"report": str(page), "front": str(page.parent / "front.csv")}, as_json, lambda: typer.echo(page))
