"""The command line: commands, their options, and the tables they print. Nothing is decided here; no room imports it.
Heavy libraries are imported where a command needs them, so that help comes at once."""

import os
import signal
import sqlite3
import sys
import warnings
from typing import Any

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
from surrogate_nas.foundation.errors import InputError, JobError

BAD_INPUT, FAILED_JOB, INTERRUPTED = 2, 1, 130

app = typer.Typer(
    name="surrogate-nas",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Design early-exit neural networks: collect a training archive, fit surrogates, search, query, take away.",
)
for command in (
    run.run,
    run.collect,
    ask.fit,
    search.search,
    ask.query,
    thresholds.tune,
    thresholds.ladder,
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
        code = app(standalone_mode=False)
        if code == INTERRUPTED:  # newer versions of typer return what older ones raise
            raise KeyboardInterrupt
    except InputError as error:
        _fail(str(error), BAD_INPUT)
    except (JobError, OSError, sqlite3.OperationalError) as error:
        _fail(str(error), FAILED_JOB)
    except sqlite3.DatabaseError as error:
        _fail(f"the archive is damaged: {error}", BAD_INPUT)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted; the same command continues", INTERRUPTED)
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        _fail(_usage(error), BAD_INPUT)  # typer's own: an unknown option, a missing argument
    sys.exit(code)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _usage(error: Any) -> str:
    """typer's message, with the commands there are or where to read on."""
    context, message = getattr(error, "ctx", None), error.format_message().rstrip(".")
    if context is None or not message:  # without a message, help has been shown
        return str(message)
    if message.startswith("No such command"):
        return f"{message}; allowed: {', '.join(context.command.list_commands(context))}"
    return f"{message}{_value_of(getattr(error, 'param', None))}; see {context.command_path} --help"


def _value_of(option: Any) -> str:
    """The text typed for an option that typer could not read, which its message omits."""
    for i, word in enumerate(sys.argv):
        name, equals, value = word.partition("=")
        if name in getattr(option, "opts", ()):
            return f", got {(value if equals else ' '.join(sys.argv[i + 1 : i + 2]))!r}"
    return ""


def _fail(message: str, code: int) -> None:
    if message:
        sys.stderr.write(f"error: {' '.join(message.split())}\n")
    sys.exit(code)
