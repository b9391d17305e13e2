"""The command that serves a study."""

from typing import Annotated

import typer

from surrogate_nas.cli.options import StudyPath, option
from surrogate_nas.cli.values import COUNT, NAME
from surrogate_nas.foundation.extras import require_extra

app = typer.Typer()


@app.command()
def serve(
    study: StudyPath,
    host: Annotated[
        str, option("Host name or address to listen on; requests for any other host are refused.", kind=NAME)
    ] = "127.0.0.1",
    port: Annotated[int, option("TCP port to listen on; 0 takes a free one.", kind=COUNT)] = 8000,
) -> None:
    """Serve the report, the networks and predictions of a study over HTTP, also while it runs.

    The study is only read.
    """
    with require_extra("serve"):
        from surrogate_nas.serve.server import serve as serve_study

    serve_study(study, host, port)
