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
    Tiers,
    UserLimits,
    option,
    takes_limits,
)
from surrogate_nas.cli.values import COUNT, FOLDER, FRACTION, NUMBER, SECONDS
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.extras import require_extra

app = typer.Typer()
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of an exported network, written by `export`.")]
SettingNumber = Annotated[
    int | None,
    option("Number of a setting (thresholds for one budget) in manifest.json. Default: its default one.", kind=COUNT),
]
Threads = Annotated[int, option("Number of threads of ONNX Runtime.", kind=COUNT)]


@app.command()
@takes_limits
def export(
    study: StudyPath,
    network: Network,
    output: Annotated[
        Path | None,
        option("New folder to write. Default: exports/NETWORK in the study.", "--output", "-o", kind=FOLDER),
    ] = None,
    tiers: Tiers = 8,
    limits: UserLimits = NO_USER_LIMITS,
    as_json: Json = False,
) -> None:
    """Export a trained network as a folder that runs with NumPy and ONNX Runtime alone, and stops at early exits.

    Limits given here replace the study's for its default setting.
    """
    home = open_study(study, {})
    from surrogate_nas.api import Study
    from surrogate_nas.cli.print_exports import export_document, print_export

    export_result = Study(home).export(network, output, limits=limits_of(limits, home), tiers=tiers)
    answer(export_document(export_result), as_json, lambda: print_export(export_result))


@app.command()
def infer(
    folder: Folder,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGES...", help="Image files, and folders of them.")],
    max_macs: Annotated[
        float | None,
        option("Largest mean number of MACs per image, such as 3M: use the best setting within it.", kind=NUMBER),
    ] = None,
    setting: SettingNumber = None,
    watch: Annotated[
        bool, option("Keep what the guard has seen in DIR/guard.json, so that it goes on over several calls.")
    ] = False,
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Classify image files with an exported network, print exits and MACs, and whether images have changed."""
    if max_macs is not None and setting is not None:
        raise InputError(f"give either --max-macs or --setting, got --max-macs {max_macs:g} --setting {setting}")
    with require_extra("export"):
        from surrogate_nas.export.images import classify, image_files, show
    from surrogate_nas.cli.print_exports import (
        guard_document,
        guard_of,
        load_network,
        print_classified,
        runtime_errors_as_bad_input,
        setting_number,
    )
    from surrogate_nas.export.runtime import GUARD
    from surrogate_nas.foundation.progress import Countdown

    network = load_network(folder, threads)
    number, files = setting_number(network, max_macs, setting), image_files(images)
    guard = guard_of(network, number, folder if watch else None)
    rows, countdown = [], Countdown("images")
    for row in classify(network, files, number):
        rows.append(row)
        countdown.at(len(rows), len(files))
    if guard is not None:
        show(guard, network, rows)
    if guard is not None and watch:
        with runtime_errors_as_bad_input():
            guard.save(folder / GUARD)
    document = {
        "network": network.manifest["network"],
        "setting": number,
        "guard": None if guard is None else guard_document(guard),
        "images": [asdict(row) for row in rows],
    }
    answer(document, as_json, lambda: print_classified(network, rows, guard))
    if unread := [row.error for row in rows if row.error is not None]:
        raise InputError(f"{len(unread)} of {len(rows)} files could not be read; the first: {unread[0]}")


@app.command("certify")
@takes_limits
def certify_images(
    folder: Folder,
    images: Annotated[
        Path,
        option("Folder of new images, with one folder for each class; those counted before are left out.", kind=FOLDER),
    ],
    confidence: Annotated[
        float | None,
        option(
            "Probability with which the certificates hold, however often images are added. Default: 0.9.",
            kind=FRACTION,
        ),
    ] = None,
    limits: UserLimits = NO_USER_LIMITS,
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Certify the settings of an exported network on new labelled images, which may keep coming.

    The limits are those of the export, unless others are given. What was counted is kept in the folder.
    """
    from surrogate_nas.certificates.levels import CONFIDENCE, require_confidence

    require_confidence(confidence)
    with require_extra("export"):
        from surrogate_nas.export.certify import Counted, certify, count_images, require_certifiable
    from surrogate_nas.cli.print_exports import certified_document, load_network, print_certified
    from surrogate_nas.exits.limits import Limits
    from surrogate_nas.foundation.fields import parse

    network = load_network(folder, threads)
    effective_limits = parse(Limits, limits or network.manifest["limits"], "limits")
    level, known = confidence or CONFIDENCE, Counted.read(folder, network)
    require_certifiable(network, effective_limits)  # before images are read
    counted = count_images(network, folder, images, known)
    settings = certify(network, counted, effective_limits, level)
    document = certified_document(
        network, counted.images, counted.images - known.images, effective_limits, level, settings
    )
    answer(document, as_json, lambda: print_certified(document))


@app.command()
def measure(
    folder: Folder,
    setting: SettingNumber = None,
    threads: Threads = 1,
    seconds: Annotated[
        float, option("Shortest time to measure each batch size, in seconds or such as 2m.", kind=SECONDS)
    ] = 10.0,
    as_json: Json = False,
) -> None:
    """Measure the latency of an exported network on this machine, by piece, with early exits and without."""
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
