"""The application: its commands, and errors as one line and an exit code.

Heavy libraries are imported where a command needs them, so that help comes at once.
"""

import os
import signal
import sqlite3
import sys
import warnings
from typing import Annotated

import typer

from surrogate_nas.cli import (
    ask,
    catalogue,
    export,
    finals,
    report,
    run,
    search,
    serve,
    shift,
    status,
    thresholds,
    unit_times,
)
from surrogate_nas.cli.archive import archive_app
from surrogate_nas.cli.spaces import spaces_app
from surrogate_nas.cli.wording import as_typed, options_by_name, usage
from surrogate_nas.foundation.errors import InputError, JobError

BAD_INPUT, FAILED_JOB, INTERRUPTED = 2, 1, 130

app = typer.Typer(
    name="surrogate-nas",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"{app.info.name} {version('surrogate-nas')}")
        raise typer.Exit


@app.callback()
def surrogate_nas_command(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", metavar="", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Design early-exit neural networks: train an archive of networks, fit surrogates, search, query and export."""


for command in (
    run.run,
    run.collect,
    ask.fit,
    search.search,
    ask.query,
    finals.promote,
    thresholds.tune,
    thresholds.tiers,
    thresholds.policies,
    finals.finalize,
    finals.verify,
    finals.baselines,
    report.report,
    status.status,
):
    app.command()(command)
app.add_typer(shift.app)
app.add_typer(archive_app, name="archive")
app.add_typer(export.app)
app.add_typer(serve.app)
app.add_typer(catalogue.app)
spaces_app.add_typer(unit_times.app)
app.add_typer(spaces_app, name="spaces", invoke_without_command=True)
app.add_typer(catalogue.datasets_app, name="datasets", invoke_without_command=True)


def main() -> None:
    """Run the command line; every error is one line on stderr."""
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = app(prog_name=app.info.name, standalone_mode=False)
        if code == INTERRUPTED:  # newer versions of typer return what older ones raise
            raise KeyboardInterrupt
    except InputError as error:
        _fail(_as_typed(error), BAD_INPUT)
    except (JobError, OSError, sqlite3.OperationalError) as error:
        _fail(_as_typed(error), FAILED_JOB)
    except sqlite3.DatabaseError as error:
        _fail(f"the archive is damaged: {error}", BAD_INPUT)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted; the same command continues", INTERRUPTED)
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        _fail(usage(error, sys.argv[1:]), BAD_INPUT)  # typer's own: an unknown option, a missing argument
    sys.exit(code)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _as_typed(error: Exception) -> str:
    return as_typed(error, sys.argv[1:], options_by_name(typer.main.get_command(app)))


def _fail(message: str, code: int) -> None:
    if message:
        sys.stderr.write(f"error: {' '.join(message.split())}\n")
    sys.exit(code)
