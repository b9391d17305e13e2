"""Remove trained weights that the setting `keep` does not name."""

from collections.abc import Sequence
from pathlib import Path

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.archive import Archive
from surrogate_nas.archive.record import GROUPS, Record
from surrogate_nas.search.problem import Problem, on_front
from surrogate_nas.study.paths import unfinished_path, weights_path


def prune(folder: Path, archive: Archive, problem: Problem) -> None:
    """Remove weights that the setting `keep` does not name, and partial files of interrupted commands.

    Args:
        folder: of the weights.
        archive: of the study.
        problem: of the study, with its settings.
    """
    records = [r for group in GROUPS for r in archive.records(group)]
    pending = {p.id for group in GROUPS for p in archive.pending(group)}
    going_on = pending | {r.id for r in records if r.failure}
    kept_paths = {weights_path(folder, id) for id in _kept_ids(archive, problem, records)}
    wanted_paths = kept_paths | {unfinished_path(folder, id) for id in going_on}
    for path in folder.iterdir():
        if path not in wanted_paths and not path.is_dir():
            path.unlink(missing_ok=True)


def _kept_ids(archive: Archive, problem: Problem, records: Sequence[Record]) -> set[str]:
    """Ids of the records whose weights are kept."""
    match problem.settings.keep:
        case "none":
            return _best_finals(archive, problem)
        case "all":
            return {r.id for r in records}
        case "front":
            baselines = {r.id for r in records if r.proposal.group == "baseline"}
            return baselines | on_front(problem, archive.records()) | _best_finals(archive, problem)


def _best_finals(archive: Archive, problem: Problem) -> set[str]:
    """Ids of the trainings most accurate on tune, one for each architecture and full fidelity."""
    best: dict[tuple[Architecture, str], tuple[float, str]] = {}
    for record, exits in problem.views.trained(archive.records("final")):
        key = record.architecture, record.proposal.fidelity
        best[key] = max(best.get(key, (-1.0, "")), (float(exits.curve.accuracy.max()), record.id))
    return {id for _, id in best.values()}
