"""The commands that take a network away: write it as a folder, run that, and time it."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from surrogate_nas.cli.answer import answer, needing
from surrogate_nas.cli.inputs import limits_of, open_study
from surrogate_nas.cli.options import (
    NOTHING_GIVEN,
    GivenLimits,
    Json,
    Network,
    StudyPath,
    takes_limits,
)
from surrogate_nas.foundation.errors import InputError

app = typer.Typer()
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of an exported network.")]
Setting = Annotated[int | None, typer.Option(help="Number of a setting in the manifest; the default one.")]
Threads = Annotated[int, typer.Option(help="Of ONNX Runtime.")]


@app.command()
@takes_limits
def export(
    study: StudyPath,
    network: Network,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="New folder; exports/NETWORK in the study.")
    ] = None,
    rungs: Annotated[int, typer.Option(help="Settings at most, beside the default one.")] = 8,
    limits: GivenLimits = NOTHING_GIVEN,
    as_json: Json = False,
) -> None:
    """Write a trained network as a folder that runs with NumPy and ONNX Runtime alone, and really stops early.

    Limits are for its default setting, and replace the study's.
    """
    home = open_study(study, {})
    with needing("export"):
        from surrogate_nas.export.folder import export_network
    from surrogate_nas.cli.print_exports import exported_document, print_exported
    from surrogate_nas.study.study import Study

    made = export_network(Study(home), network, limits_of(limits, home), output, rungs)
    answer(exported_document(made), as_json, lambda: print_exported(made))


@app.command()
def infer(
    folder: Folder,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGES...", help="Files and folders.")],
    max_macs: Annotated[float | None, typer.Option(help="Budget on average: takes the best setting within it.")] = None,
    setting: Setting = None,
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Classify image files with an exported network; says at which exit each left, and what it cost."""
    if max_macs is not None and setting is not None:
        raise InputError(f"give either --max-macs or --setting, got --max-macs {max_macs:g} --setting {setting}")
    with needing("export"):
        from surrogate_nas.export.images import classify, image_files
    from surrogate_nas.cli.print_exports import loaded, print_classified, within
    from surrogate_nas.foundation.progress import Countdown

    network, files = loaded(folder, threads), image_files(images)
    number = within(network, max_macs, setting)
    rows, countdown = [], Countdown("images")
    for row in classify(network, files, number):
        rows.append(row)
        countdown.at(len(rows), len(files))
    document = {"network": network.manifest["network"], "setting": number, "images": [asdict(row) for row in rows]}
    answer(document, as_json, lambda: print_classified(network, rows))
    if unread := [row.error for row in rows if row.error is not None]:
        raise InputError(f"{len(unread)} of {len(rows)} files could not be read; the first: {unread[0]}")


@app.command()
def measure(
    folder: Folder,
    setting: Setting = None,
    threads: Threads = 1,
    seconds: Annotated[float, typer.Option(help="For each batch size, at least.")] = 10.0,
    as_json: Json = False,
) -> None:
    """Time an exported network on this machine: each piece, stopping early, to the end, and without early exits."""
    if not 0 < seconds < float("inf"):
        raise InputError(f"--seconds {seconds:g} is not a positive number")
    with needing("export"):
        from surrogate_nas.export.latency import time_network
    from surrogate_nas.cli.print_exports import loaded, print_latency, refusing, within
    from surrogate_nas.foundation.progress import Countdown

    number = within(loaded(folder, threads), None, setting)
    countdown = Countdown("passes")
    with refusing():
        document = time_network(folder, setting=number, threads=threads, seconds=seconds, on_share=countdown.at)
    answer(document, as_json, lambda: print_latency(document))
