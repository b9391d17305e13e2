"""Commands that inspect an archive, retry or drop its failures, and merge other archives into it."""

import json
from pathlib import Path
from typing import Annotated

import typer

from surrogate_nas.cli.answer import answer
from surrogate_nas.cli.inputs import open_study
from surrogate_nas.cli.options import FailedNetworks, Json, Network, StudyPath, Wait, Wide, option
from surrogate_nas.cli.values import COUNT
from surrogate_nas.foundation.errors import InputError, JobError

archive_app = typer.Typer(
    no_args_is_help=True,
    help="Inspect a study's training archive, repeat or delete its failures, or merge others into it.",
)


@archive_app.command("list")
def archive_list(
    study: StudyPath,
    failed: Annotated[bool, option("List only failed trainings, each with its reason.", "--failed")] = False,
    baselines: Annotated[bool, option("List the baselines instead of the search's trainings.", "--baselines")] = False,
    finals: Annotated[bool, option("List the trainings at full fidelity instead of the search's.", "--finals")] = False,
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """List the trainings of the search, or the baselines, or the trainings at full fidelity."""
    if baselines and finals:
        raise InputError("archive list takes one of --baselines and --finals")
    home = open_study(study, {})
    from surrogate_nas.cli.print_archive import print_records
    from surrogate_nas.documents import record_rows

    archive = home.archive
    records = archive.records("baseline") if baselines else archive.records("final") if finals else archive.studied()
    rows = record_rows(home.costing, [r for r in records if r.failure is not None or not failed], why=failed)
    answer(rows, as_json, lambda: print_records(rows, wide=wide))


@archive_app.command("retry")
def archive_retry(study: StudyPath, networks: FailedNetworks = None, wait: Wait = False, as_json: Json = False) -> None:
    """Mark failed trainings as pending, so that the next run, search or collect repeats them."""
    home = open_study(study, {}, wait)
    ids = home.retry(networks or [])
    again = f"pending again, for the next run, search or collect: {' '.join(ids)}" if ids else "no training failed"
    answer(ids, as_json, lambda: typer.echo(again))


@archive_app.command("drop")
def archive_drop(study: StudyPath, networks: FailedNetworks = None, wait: Wait = False, as_json: Json = False) -> None:
    """Delete failed trainings from the archive, as if they had never been proposed."""
    home = open_study(study, {}, wait)
    ids = home.drop(networks or [])
    gone = f"dropped: {' '.join(ids)}" if ids else "no training failed"
    answer(ids, as_json, lambda: typer.echo(gone))


@archive_app.command("show")
def archive_show(study: StudyPath, network: Network, as_json: Json = False) -> None:
    """Show one training: the network, its recipe, and the accuracy and calibration of each exit."""
    home = open_study(study, {})
    from surrogate_nas.archive.views import ExitCalibration
    from surrogate_nas.documents import calibration_document, record_document

    record = home.archive.find(network)
    outputs = None if record.failure else home.archive.outputs(record.id)
    exits = [] if outputs is None else ExitCalibration.of(record.architecture, outputs)
    document = {**record_document(home.costing, record, outputs), "calibration": calibration_document(exits)}
    answer(document, as_json, lambda: typer.echo(json.dumps(document, indent=2)))


@archive_app.command("dump")
def archive_dump(study: StudyPath) -> None:
    """Print every training as a line of JSON, with the accuracy of each exit on tune and on test."""
    home = open_study(study, {})
    from surrogate_nas.documents import record_document

    for record in home.archive.studied():
        outputs = None if record.failure else home.archive.outputs(record.id)
        typer.echo(json.dumps(record_document(home.costing, record, outputs)))


@archive_app.command("merge")
def archive_merge(
    study: StudyPath,
    others: Annotated[list[Path], typer.Argument(metavar="OTHER...", help="Folders of other studies; only read.")],
    warm: Annotated[
        bool,
        option(
            "Copy no trainings, but propose the networks on the fronts of the other studies to be trained here next.",
            "--warm-start",
        ),
    ] = False,
    n: Annotated[
        int | None,
        option(
            "With --warm-start: largest number of networks, spread evenly along each front. Default: all.",
            kind=COUNT,
        ),
    ] = None,
    wait: Wait = False,
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """Copy the trainings of other studies of the same data, space, seed and recipe into this one."""
    if n is not None and not warm:
        raise InputError(f"--n {n} needs --warm-start; what is merged is merged whole")
    home = open_study(study, {}, wait)
    from surrogate_nas.cli import print_merge
    from surrogate_nas.study.merge import merge
    from surrogate_nas.study.warm_start import warm_start

    if warm:
        rows = print_merge.proposal_rows(warm_start(home, others, n))
        answer(rows, as_json, lambda: print_merge.print_proposals(rows, wide=wide))
        return
    document = print_merge.document(home, merge(home, others))
    answer(document, as_json, lambda: print_merge.print_merge_result(document))


@archive_app.command("validate")
def archive_validate(study: StudyPath, as_json: Json = False) -> None:
    """Check the archive for damage."""
    home = open_study(study, {})
    from surrogate_nas.archive.record import STUDIED

    problems = home.archive.problems()
    records = sum(home.archive.count(group) for group in STUDIED)
    sound = f"{home.archive.path}: {records} records, sound"
    document = {"records": records, "problems": problems, "remarks": home.archive.remarks()}
    answer(document, as_json, lambda: typer.echo("\n".join(problems) or sound))
    if problems:
        raise JobError(f"{home.archive.path} has {len(problems)} problems")
