"""Commands that export a network as a folder, run it, and time it."""

from dataclasses import asdict
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
from surrogate_nas.foundation.extras import require_extra

app = typer.Typer()
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of an exported network.")]
SettingNumber = Annotated[int | None, typer.Option(help="Number of a setting in the manifest; the default one.")]
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
    limits: UserLimits = NO_USER_LIMITS,
    as_json: Json = False,
) -> None:
    """Write a trained network as a folder that runs with NumPy and ONNX Runtime alone, and really stops early.

    Limits are for its default setting, and replace the study's.
    """
    home = open_study(study, {})
    from surrogate_nas.api import Study
    from surrogate_nas.cli.print_exports import export_document, print_export

    export_result = Study(home).export(network, output, limits=limits_of(limits, home), rungs=rungs)
    answer(export_document(export_result), as_json, lambda: print_export(export_result))


@app.command()
def infer(
    folder: Folder,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGES...", help="Files and folders.")],
    max_macs: Annotated[float | None, typer.Option(help="Budget on average: takes the best setting within it.")] = None,
    setting: SettingNumber = None,
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Classify image files with an exported network; says at which exit each left, and what it cost."""
    if max_macs is not None and setting is not None:
        raise InputError(f"give either --max-macs or --setting, got --max-macs {max_macs:g} --setting {setting}")
    with require_extra("export"):
        from surrogate_nas.export.images import classify, image_files
    from surrogate_nas.cli.print_exports import load_network, print_classified, setting_number
    from surrogate_nas.foundation.progress import Countdown

    network, files = load_network(folder, threads), image_files(images)
    number = setting_number(network, max_macs, setting)
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
    setting: SettingNumber = None,
    threads: Threads = 1,
    seconds: Annotated[float, typer.Option(help="For each batch size, at least.")] = 10.0,
    as_json: Json = False,
) -> None:
    """Time an exported network on this machine: each piece, stopping early, to the end, and without early exits."""
    if not 0 < seconds < float("inf"):
        raise InputError(f"--seconds {seconds:g} is not a positive number")
    with require_extra("export"):
        from surrogate_nas.export.latency import time_network
    from surrogate_nas.cli.print_exports import load_network, print_latency, runtime_errors_as_bad_input, setting_number
    from surrogate_nas.foundation.progress import Countdown

    number = setting_number(load_network(folder, threads), None, setting)
    countdown = Countdown("passes")
    with runtime_errors_as_bad_input():
        document = time_network(folder, setting=number, threads=threads, seconds=seconds, on_share=countdown.at)
    answer(document, as_json, lambda: print_latency(document))
