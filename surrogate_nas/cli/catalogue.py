"""Commands that list data sets and check the installation."""

from typing import Annotated

import typer

from surrogate_nas.cli import completion
from surrogate_nas.cli.answer import answer
from surrogate_nas.cli.options import DataRoot, Download, Flips, ImageSize, Json, Resize, Splits, TuneShare
from surrogate_nas.foundation.errors import JobError

app = typer.Typer()
datasets_app = typer.Typer(help="List the data sets, or show one.")


@datasets_app.callback()
def datasets(context: typer.Context, as_json: Json = False) -> None:
    """List the data sets, or show one."""
    if context.invoked_subcommand is not None:
        return
    from surrogate_nas.cli.output import print_rows
    from surrogate_nas.datasets.named import dataset_rows

    rows = dataset_rows()
    answer(rows, as_json, lambda: print_rows(rows, "Data sets"))


@datasets_app.command("show")
def datasets_show(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A data set's name, a folder with a sub-folder per class, or an .npz file.",
            autocompletion=completion.data_sets,
        ),
    ],
    data_root: DataRoot = None,
    download: Download = None,
    image_size: ImageSize = None,
    splits: Splits = None,
    tune_share: TuneShare = None,
    resize: Resize = None,
    flips: Flips = None,
    as_json: Json = False,
) -> None:
    """Show a data set as a study would use it: classes, splits, sizes, fingerprint, and changes made to its images."""
    from surrogate_nas.cli.print_catalogue import print_card
    from surrogate_nas.datasets.card import card
    from surrogate_nas.datasets.resizing import DEFAULT_RESIZE
    from surrogate_nas.datasets.source import load

    how = resize or DEFAULT_RESIZE
    data_set = load(data, data_root, bool(download), image_size=image_size, flips=flips, splits=splits, resize=how)
    data_card = card(data_set, tune_share=tune_share)
    answer(data_card.document(), as_json, lambda: print_card(data_card))


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check the installation and this machine, with a remedy for each problem."""
    from surrogate_nas.cli.doctor import check

    checks = check()
    lines = [f"{'ok  ' if c['ok'] else 'FAIL'}  {c['what']}: {c['found']}" for c in checks]
    answer(checks, as_json, lambda: typer.echo("\n".join(lines)))
    if not all(c["ok"] for c in checks):
        raise JobError("the installation has problems")
