"""Command that measures a trained network on corrupted test images."""

from pathlib import Path
from typing import Annotated

import typer

from surrogate_nas.cli.answer import answer
from surrogate_nas.cli.inputs import limits_of, open_study
from surrogate_nas.cli.options import (
    NO_USER_LIMITS,
    Json,
    Network,
    StudyPath,
    UserLimits,
    takes_limits,
)
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.files import require_output

app = typer.Typer()


@app.command()
@takes_limits
def shift(
    study: StudyPath,
    network: Network,
    limits: UserLimits = NO_USER_LIMITS,
    thresholds: Annotated[
        str | None, typer.Option(help="Such as 0.8,off; by default the best for the limits on clean tune images.")
    ] = None,
    corruptions: Annotated[
        str | None, typer.Option(help="Which of noise, blur, contrast, brightness, jpeg: noise,blur; all by default.")
    ] = None,
    levels: Annotated[str | None, typer.Option(help="How strong, from 1 to 5: 1,3,5; all by default.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A CSV file with all figures.")] = None,
    as_json: Json = False,
) -> None:
    """Measure a network at fixed thresholds on corrupted test images: accuracy, exit rates, and whether budgets hold.

    Limits replace the study's.
    """
    home = open_study(study, {})
    from surrogate_nas.api import Study
    from surrogate_nas.cli import print_shift
    from surrogate_nas.datasets.corruptions import CORRUPTIONS, LEVELS

    if output is not None:
        require_output(output, [".csv"])
    kinds = list(CORRUPTIONS) if corruptions is None else _words(corruptions)
    strengths = LEVELS if levels is None else _numbers(levels)
    within = limits_of(limits, home)
    result = Study(home).shift(network, within, thresholds=thresholds, corruptions=kinds, levels=strengths)
    if output is not None:
        print_shift.write(result, output)
    answer(print_shift.document(result), as_json, lambda: print_shift.show(result))


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",")]


def _numbers(text: str) -> list[int]:
    try:
        return [int(word) for word in _words(text)]
    except ValueError:
        raise InputError(f"--levels {text} is not of the form 1,3,5") from None
