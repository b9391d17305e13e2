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
    option,
    takes_limits,
)
from surrogate_nas.cli.values import FILE, Kind
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
        str | None,
        option(
            "Threshold of each early exit in [0, 1], or off, such as 0.8,off. Default: the best ones within the "
            "limits, on clean tune images.",
            kind=Kind("LIST"),
        ),
    ] = None,
    corruptions: Annotated[
        str | None,
        option("Corruptions between commas: noise, blur, contrast, brightness, jpeg. Default: all.", kind=Kind("LIST")),
    ] = None,
    levels: Annotated[
        str | None,
        option("Strengths between commas, 1 (weak) to 5 (strong), such as 1,3,5. Default: all.", kind=Kind("LIST")),
    ] = None,
    output: Annotated[
        Path | None, option("Write all figures to this .csv file as well.", "--output", "-o", kind=FILE)
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure a trained network on corrupted test images at fixed thresholds: accuracy, exit rates, limits kept.

    Limits given here replace the study's.
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
