"""The command that measures a network on images other than those that it was tuned on."""

from pathlib import Path
from typing import Annotated

import typer

from surrogate_nas.cli.answer import answer
from surrogate_nas.cli.inputs import limits_given, open_study
from surrogate_nas.cli.options import (
    Json,
    MaxActivationBytes,
    MaxCost,
    MaxMacs,
    MaxP95Cost,
    MaxP95Macs,
    MaxParams,
    MaxWeightBytes,
    MaxWorstCost,
    MaxWorstMacs,
    MinAccuracy,
    Network,
    StudyPath,
)
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.files import require_output

app = typer.Typer()


@app.command()
def shift(
    study: StudyPath,
    network: Network,
    max_macs: MaxMacs = None,
    max_worst_macs: MaxWorstMacs = None,
    max_p95_macs: MaxP95Macs = None,
    max_params: MaxParams = None,
    max_weight_bytes: MaxWeightBytes = None,
    max_activation_bytes: MaxActivationBytes = None,
    max_cost: MaxCost = None,
    max_worst_cost: MaxWorstCost = None,
    max_p95_cost: MaxP95Cost = None,
    min_accuracy: MinAccuracy = None,
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
    options, folder = locals(), open_study(study, {})
    from surrogate_nas.cli import print_shift
    from surrogate_nas.datasets.corruptions import CORRUPTIONS, LEVELS
    from surrogate_nas.exits.operating_point import OperatingPoint
    from surrogate_nas.study.study import Study

    if output is not None:
        require_output(output, [".csv"])
    whole, point = Study(folder), None
    limits = limits_given(options)
    if thresholds is not None:
        given = OperatingPoint.parse(thresholds, folder.space.positions)
        point = whole.operating_point(folder.archive.find(network), given.array())
    kinds = list(CORRUPTIONS) if corruptions is None else _words(corruptions)
    strengths = LEVELS if levels is None else _numbers(levels)
    found = whole.shift(network, limits, operating_point=point, corruptions=kinds, levels=strengths)
    if output is not None:
        print_shift.write(found, output)
    answer(print_shift.document(found), as_json, lambda: print_shift.show(found))


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",")]


def _numbers(text: str) -> list[int]:
    try:
        return [int(word) for word in _words(text)]
    except ValueError:
        raise InputError(f"--levels {text} is not of the form 1,3,5") from None
