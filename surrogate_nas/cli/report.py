"""Command that writes the report."""

from pathlib import Path
from typing import Annotated

import typer

from surrogate_nas.cli.answer import answer
from surrogate_nas.cli.inputs import open_study
from surrogate_nas.cli.options import Json, StudyPath


def report(
    study: StudyPath,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder to write to; the study's own.")] = None,
    as_json: Json = False,
) -> None:
    """Write report.html, front.csv, and the figures as SVG and PNG."""
    home = open_study(study, {})
    from surrogate_nas.api import Study

    page = Study(home).report(output)
    answer({"report": str(page), "front": str(page.parent / "front.csv")}, as_json, lambda: typer.echo(page))
