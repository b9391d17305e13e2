"""Commands that inspect an archive, retry or drop its failures, and merge other archives into it."""

import json
from pathlib import Path
from typing import Annotated

import typer

from surrogate_nas.cli.answer import answer
from surrogate_nas.cli.inputs import open_study
from surrogate_nas.cli.options import Json, Network, Networks, StudyPath, Wait, Wide
from surrogate_nas.foundation.errors import InputError, JobError

archive_app = typer.Typer(no_args_is_help=True, help="Look into a study's training archive, or merge others into it.")


@archive_app.command("list")
def archive_list(
    study: StudyPath,
    failed: Annotated[bool, typer.Option("--failed", help="Only trainings that failed, and why.")] = False,
    baselines: Annotated[bool, typer.Option("--baselines", help="The baselines instead of the search.")] = False,
    finals: Annotated[bool, typer.Option("--finals", help="Trainings at full fidelity instead.")] = False,
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """List every record."""
    if baselines and finals:
        raise InputError("archive list takes one of --baselines and --finals")
    home = open_study(study, {})
    from surrogate_nas.cli.print_archive import print_records
    from surrogate_nas.documents import record_rows

    records = home.archive.records("baseline" if baselines else "final" if finals else "search")
    rows = record_rows(home.costing, [r for r in records if r.failure is not None or not failed], why=failed)
    answer(rows, as_json, lambda: print_records(rows, wide=wide))


@archive_app.command("retry")
def archive_retry(study: StudyPath, networks: Networks = None, wait: Wait = False, as_json: Json = False) -> None:
    """Let failed trainings be done again, by the next run, search or collect."""
    home = open_study(study, {}, wait)
    ids = home.retry(networks or [])
    again = f"pending again, for the next run, search or collect: {' '.join(ids)}" if ids else "no training failed"
    answer(ids, as_json, lambda: typer.echo(again))


@archive_app.command("drop")
def archive_drop(study: StudyPath, networks: Networks = None, wait: Wait = False, as_json: Json = False) -> None:
    """Forget failed trainings, as if they had never been proposed."""
    home = open_study(study, {}, wait)
    ids = home.drop(networks or [])
    gone = f"dropped: {' '.join(ids)}" if ids else "no training failed"
    answer(ids, as_json, lambda: typer.echo(gone))


@archive_app.command("show")
def archive_show(study: StudyPath, network: Network, as_json: Json = False) -> None:
    """Show one record: what was trained, how, and what each exit does."""
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
    """Write every record as a line of JSON; of its outputs only the accuracy of each exit, on tune and on test."""
    home = open_study(study, {})
    from surrogate_nas.documents import record_document

    for record in home.archive.records():
        outputs = None if record.failure else home.archive.outputs(record.id)
        typer.echo(json.dumps(record_document(home.costing, record, outputs)))


@archive_app.command("merge")
def archive_merge(
    study: StudyPath,
    others: Annotated[list[Path], typer.Argument(metavar="OTHER...", help="Folders of studies; they are only read.")],
    warm: Annotated[
        bool, typer.Option("--warm-start", help="Only let architectures of the others' fronts be trained here first.")
    ] = False,
    n: Annotated[int | None, typer.Option(help="With --warm-start: at most so many, evenly along each front.")] = None,
    wait: Wait = False,
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """Add the records of other studies of the same data, space, seed and recipe, as of other machines."""
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
    """Check that the archive is sound."""
    home = open_study(study, {})
    problems = home.archive.problems()
    records = home.archive.count()
    sound = f"{home.archive.path}: {records} records, sound"
    document = {"records": records, "problems": problems, "remarks": home.archive.remarks()}
    answer(document, as_json, lambda: typer.echo("\n".join(problems) or sound))
    if problems:
        raise JobError(f"{home.archive.path} has {len(problems)} problems")
