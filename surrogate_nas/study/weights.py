"""Trained weights on disk: where they are, and whose are worth keeping."""

from pathlib import Path

from surrogate_nas.study.paths import unfinished_path, weights_path


def prune(folder: Path, kept: set[str], going_on: set[str]) -> None:
    """Remove weights that are not to be kept, and what interrupted commands have left half written.

    Args:
        folder: of the weights.
        kept: ids whose weights are kept.
        going_on: ids whose training may go on, from its last epoch.
    """
    wanted = {weights_path(folder, id) for id in kept} | {unfinished_path(folder, id) for id in going_on}
    for path in folder.iterdir():
        if path not in wanted:
            path.unlink(missing_ok=True)
