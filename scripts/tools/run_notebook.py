"""Run a notebook in a fresh folder, and store it with its outputs.

    python scripts/tools/run_notebook.py docs/notebooks/first_study.ipynb [BUDGET=8 ...] [--out FILE]

NAME=VALUE changes what the cell tagged `parameters` sets, for this run alone.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient

SECONDS = 3600
"""Longest time of a cell."""


def executed(notebook: Path, folder: Path, settings: Mapping[str, str]) -> nbformat.NotebookNode:
    """A notebook with the outputs of a run in a folder, with other settings.

    Raises:
        nbclient.exceptions.CellExecutionError: if a cell fails.
    """
    run = nbformat.read(notebook, as_version=4)
    [parameters] = [cell for cell in run.cells if "parameters" in cell.metadata.get("tags", ())]
    source = parameters.source
    parameters.source = "\n".join([source, *(f"{name} = {value}" for name, value in settings.items())])
    where = {"metadata": {"path": str(folder)}}
    NotebookClient(
        run, timeout=SECONDS, kernel_name="python3", resources=where, record_timing=False, coalesce_streams=True
    ).execute()
    parameters.source = source
    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebook", type=Path)
    parser.add_argument("settings", nargs="*", metavar="NAME=VALUE")
    parser.add_argument("--out", type=Path, help="file to write; by default the notebook itself")
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        settings = dict(text.split("=", 1) for text in given.settings)
        nbformat.write(executed(given.notebook, Path(folder), settings), given.out or given.notebook)


if __name__ == "__main__":
    main()
