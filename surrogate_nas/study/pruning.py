"""Remove trained weights not selected by the settings `keep` and `keep_gb`."""

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.archive import Archive
from surrogate_nas.archive.record import GROUPS, Record
from surrogate_nas.exits.exits import Exits
from surrogate_nas.foundation.machine import amount
from surrogate_nas.search.problem import Problem, on_front
from surrogate_nas.settings import Settings
from surrogate_nas.study.paths import trunk_path, unfinished_path, weights_path

BYTES_PER_PARAMETER = 4
BUFFERS = 1.02
"""Factor for running statistics of batch normalisation: at most 1 % in the preset spaces, beyond `HEADER`."""
HEADER = 32_768
"""Bytes for names and shapes in a file of weights, and for the running statistics of small networks."""
GB = 1e9


def prune(folder: Path, archive: Archive, problem: Problem) -> None:
    """Remove weights not selected by `keep` and `keep_gb`, and partial files of interrupted commands.

    Args:
        folder: folder of the weights.
        archive: archive of the study.
        problem: search problem of the study, with its settings.
    """
    records = [r for group in GROUPS for r in archive.records(group)]
    pending = {p.id for group in GROUPS for p in archive.pending(group)}
    going_on = pending | {r.id for r in records if r.failure}
    kept_paths = {weights_path(folder, id) for id in _kept_ids(archive, problem, records)}
    wanted_paths = kept_paths | {unfinished_path(folder, id) for id in going_on}
    wanted_paths |= {trunk_path(folder, training) for training in _below_the_top(archive, records)}
    for path in folder.iterdir():
        if path not in wanted_paths and not path.is_dir():
            path.unlink(missing_ok=True)


def _below_the_top(archive: Archive, records: Sequence[Record]) -> set[str]:
    """Trainings that can go on to a higher rung of the ladder, or are waiting for it; see `Proposal.training`."""
    ladder = archive.header.ladder
    if ladder is None:
        return set()
    ended = {r.proposal.training for r in records if r.failure is None and r.proposal.passes == ladder.top}
    return {r.proposal.training for r in records} - ended


def _kept_ids(archive: Archive, problem: Problem, records: Sequence[Record]) -> set[str]:
    """Ids of the records whose weights are kept."""
    match problem.settings.keep:
        case "none":
            return _best_finals(archive, problem)
        case "all":
            return {r.id for r in records}
        case "front":
            searched = archive.studied()
            kept_ids = {r.id for r in records if r.proposal.group == "baseline"} | _best_finals(archive, problem)
            for passes in {r.proposal.passes for r in searched}:  # the front of each rung
                kept_ids |= on_front(problem, [r for r in searched if r.proposal.passes == passes])
            kept_ids |= _certified(archive)
            return kept_ids | _most_accurate(problem, [r for r in searched if r.id not in kept_ids])


def _certified(archive: Archive) -> set[str]:
    """Ids of the networks that are certified, or whose test was interrupted."""
    openings = archive.openings()
    begun = {c.network for opening in openings if opening.results is None for of in opening.candidates for c in of}
    return begun | {candidate.network for opening in openings for candidate, _ in opening.certified()}


def _most_accurate(problem: Problem, records: Sequence[Record]) -> set[str]:
    """Ids of the networks most accurate on tune, at their best thresholds without limits, as many as `keep_gb` allows.

    The list ends before the first network that does not fit. Sizes are computed from numbers of parameters, and count
    also where the weights have been removed, so that the set depends on the archive alone.
    """
    best_first = sorted(problem.views.trained(records), key=lambda pair: -_best_accuracy(pair[1]))
    sizes = [weights_size(int(problem.costing.of(r.architecture).parameters[0])) for r, _ in best_first]
    room = problem.settings.keep_gb * GB
    return {r.id for (r, _), total in zip(best_first, accumulate(sizes), strict=True) if total <= room}


def _best_finals(archive: Archive, problem: Problem) -> set[str]:
    """Ids of the trainings most accurate on tune, one for each architecture and full fidelity."""
    best: dict[tuple[Architecture, str], tuple[float, str]] = {}
    for record, exits in problem.views.trained(archive.records("final")):
        key = record.architecture, record.proposal.fidelity
        best[key] = max(best.get(key, (-1.0, "")), (_best_accuracy(exits), record.id))
    return {id for _, id in best.values()}


def _best_accuracy(exits: Exits) -> float:
    """Largest accuracy of a network at any thresholds, on the split of its exits."""
    return float(exits.curve.accuracy.max())


def weights_size(parameters: int) -> int:
    """Upper bound on the bytes of a file of weights, for networks that consist mostly of convolutions."""
    return int(BUFFERS * BYTES_PER_PARAMETER * parameters) + HEADER


def kept_weights(settings: Settings) -> str:
    """Networks whose weights are kept, in words: "all", "front and up to 1.0 GB of the most accurate others", "none".

    >>> kept_weights(Settings(keep="front", keep_gb=0))
    'front'
    """
    if settings.keep != "front" or not settings.keep_gb:
        return settings.keep
    return f"front and up to {amount(settings.keep_gb * GB)} of the most accurate others"
