"""Names of the files and folders of a study."""

from pathlib import Path

SETTINGS, ARCHIVE, CHECKPOINTS, DATA = "config.yaml", "archive.sqlite", "checkpoints", "data.safetensors"
COSTS, SPLITS = "costs.csv", "splits.csv"
SURROGATE = "surrogate"
TIME = "time.json"
REPORT = "report.html"
WEIGHTS, UNFINISHED, TRUNK = ".safetensors", ".unfinished", ".trunk"


def weights_path(folder: Path, id: str) -> Path:
    """Path of the weights of a record."""
    return folder / f"{id}{WEIGHTS}"


def unfinished_path(folder: Path, id: str) -> Path:
    """Path of the state of a training between two epochs."""
    return folder / f"{id}{UNFINISHED}"


def trunk_path(folder: Path, training: str) -> Path:
    """Path of the state that a training goes on from to its next rung; see `Proposal.training`."""
    return folder / f"{training}{TRUNK}"
