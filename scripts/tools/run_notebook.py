"""Run a notebook in a fresh folder, and store it with its outputs.

    python scripts/tools/run_notebook.py docs/notebooks/first_study.ipynb [BUDGET=8 ...] [--out FILE]

NAME=VALUE changes what the cell tagged `parameters` sets, for this run alone. Progress is stored as one text for each
cell.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_output

SECONDS = 3600
"""Longest time of a cell."""
Output = nbformat.NotebookNode


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
    for cell in run.cells:
        if cell.cell_type == "code":
            cell.outputs = with_progress_joined(cell.outputs)
    return run


def with_progress_joined(outputs: Sequence[Output]) -> list[Output]:
    """Outputs whose lines of progress, which the package shows one by one, are one text."""
    joined = list[Output]()
    for output in outputs:
        if not output.get("data", {}).get("text/html", "").startswith("<pre"):
            joined.append(output)
            continue
        if not joined or joined[-1].get("name") != "stderr":
            joined.append(new_output("stream", name="stderr", text=""))
        joined[-1].text += output.data["text/plain"]
    return joined


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
