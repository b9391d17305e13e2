"""The command that serves a study."""

from typing import Annotated

import typer

from surrogate_nas.cli.options import StudyPath
from surrogate_nas.foundation.extras import require_extra

app = typer.Typer()


@app.command()
def serve(
    study: StudyPath,
    host: Annotated[str, typer.Option(help="Name or address to listen on; others are refused.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes one that is free.")] = 8000,
) -> None:
    """Serve the report while the study runs, its networks, a what-if form and an HTTP API. The study is only read."""
    with require_extra("serve"):
        from surrogate_nas.serve.server import serve as serve_study

    serve_study(study, host, port)
