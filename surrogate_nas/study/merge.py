"""Merge the archives of several studies, usually of several machines.

Outputs are comparable only if the same images were held out. So studies can be merged if they have the same data,
space, splits (determined by the study's seed and its file of splits) and recipe; a `stream` of its own makes each train
different networks. Architectures on the front of any other study can be trained here instead: see `warm_start`.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from surrogate_nas.archive.header import Header
from surrogate_nas.archive.outputs import SPLITS, Outputs, SplitOutputs, same
from surrogate_nas.archive.record import GROUPS, Record
from surrogate_nas.datasets import stored as store
from surrogate_nas.datasets.dataset import LabeledImages, Splits
from surrogate_nas.foundation.display import displayed_by
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.files import replaced
from surrogate_nas.foundation.progress import Countdown, say
from surrogate_nas.space.spec import SpaceSpec
from surrogate_nas.study.home import Home
from surrogate_nas.study.images import StudyImages
from surrogate_nas.study.paths import CHECKPOINTS, DATA, trunk_path

MERGED = "merged"
"""Key in a record's provenance: the studies that it was merged from, the first of which trained it."""
REMEDY = "to train its front here instead, use --warm-start"
EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Conflict:
    """A training of the same network, seed and recipe in both studies with different outputs, as on other hardware."""

    id: str
    here: float
    """Accuracy of the last exit on tune in this study, whose record is kept."""
    there: float
    """Accuracy of the last exit on tune in the other study."""


@displayed_by(
    lambda m: {
        "source": m.source,
        "added": len(m.added),
        "trained": len(m.trained),
        "duplicates": len(m.duplicates),
        "conflicts": len(m.conflicts),
        "weights": m.weights,
    }
)
@dataclass(frozen=True, slots=True, repr=False)
class MergeResult:
    """Result of merging one study's records into another's archive."""

    source: Path
    """Folder of the other study."""
    added: tuple[str, ...] = ()
    """Ids of records that this study did not have, failures included."""
    trained: tuple[str, ...] = ()
    """Ids of records that had failed in this study only, replaced by the other study's trainings."""
    duplicates: tuple[str, ...] = ()
    """Ids of records that this study already has: with the same outputs, or failed in the other study."""
    conflicts: tuple[Conflict, ...] = ()
    """Trainings of both studies with different outputs; those of this study stay."""
    weights: int = 0
    """Number of added or replaced records whose weights this study now has."""


def merge(home: Home, others: Sequence[Path]) -> list[MergeResult]:
    """Add the records of other studies to the archive of this one, each study in one transaction.

    Records keep their round and rank, so the archive does not depend on the order in which studies are merged, and a
    search continues from all of them. An existing record is kept, unless it failed here and not there. Merging a study
    again changes nothing. The other studies are only read, and may be running.

    Args:
        home: the study to merge into.
        others: folders of the studies to merge.

    Raises:
        InputError: if a folder is not a study, or its outputs are not comparable; nothing is changed then.
    """
    sources = [Home.open(path) for path in others]
    for source in sources:
        _require_comparable(home, source)
        _require_sound(source)
    with home.changing():
        return [_merge(home, source) for source in sources]


def _merge(home: Home, source: Home) -> MergeResult:
    comparison = _compare(home, source)
    new = {*comparison.added, *comparison.trained}
    _copy_weights(home, source, new | set(comparison.duplicates))
    _copy_trunks(home, source, new)
    if new:
        home.archive.merge(_with_origin(source, [r for r in _records(source) if r.id in new]))
    home.prune()
    result = replace(comparison, weights=sum(home.checkpoint(id).is_file() for id in new))
    _say(home, result)
    return result


def _say(home: Home, result: MergeResult) -> None:
    present = f"{len(result.duplicates)} already present"
    failed = f", {len(result.trained)} failures replaced by trainings" if result.trained else ""
    say(f"{result.source}: {len(result.added)} records added{failed}, {present}; weights copied for {result.weights}")
    own_ids = {r.id for r in _records(home) if MERGED not in r.provenance}
    if (equal := len(own_ids & {*result.duplicates})) and result.source.resolve() != home.path.resolve():
        say(f"{equal} networks were trained in both studies with equal results; use another --stream to train others")
    if result.conflicts:
        examples = [f"{c.id} ({c.here:.4f} here, {c.there:.4f} there)" for c in result.conflicts[:EXAMPLES]]
        say(
            f"warning: {len(result.conflicts)} networks were trained in both studies with the same seed but different "
            f"results, as on other hardware; the records of {home.path} are kept: {', '.join(examples)}"
        )


def _records(source: Home) -> list[Record]:
    """Records of all groups, without outputs."""
    return [record for group in GROUPS for record in source.archive.records(group)]


def _require_comparable(home: Home, source: Home) -> None:
    """Raise `InputError` if the studies differ in anything that outputs depend on; the message names both values."""
    for aspect, ours, theirs in _differences(home, source):
        raise InputError(
            f"{source.path} and {home.path} differ in {aspect}, so their outputs are not comparable: {theirs} instead "
            f"of {ours}; {REMEDY}"
        )


def _differences(home: Home, source: Home) -> Iterator[tuple[str, object, object]]:
    """Differences between the studies: aspect, value in this study, value in the other."""
    here, there, fidelity = home.archive.header, source.archive.header, home.problem.fidelity
    if here.fingerprint != there.fingerprint:
        yield "data", _data(here), _data(there)
    if _comparable(here.space) != _comparable(there.space):
        yield "space", _space_name(here.space, there.space), _space_name(there.space, here.space)
    pairs = (
        ("images and classes", here.shape, there.shape),
        ("splits", _splits(home), _splits(source)),
        ("settings for mirrored images", _flips(home), _flips(source)),
        ("ladder", str(here.ladder), str(there.ladder)),
        ("recipe", fidelity, _other_fidelity(source, fidelity)),
    )
    for aspect, ours, theirs in pairs:
        if None not in (ours, theirs) and ours != theirs:
            yield aspect, ours, theirs


def _data(header: Header) -> str:
    return f"{header.data} (fingerprint {header.fingerprint[:12]})"


def _splits(home: Home) -> str:
    header = home.archive.header
    file = "" if header.splits is None else f", file {header.splits[:12]}"
    sealed = f", {header.sealed_share:g} of tune sealed" if header.sealed_share else ""
    return f"seed {header.seed}, shares {header.tune_share:g} for tune and {header.test_share:g} for test{sealed}{file}"


def _flips(home: Home) -> bool | None:
    """Whether images may be mirrored; `None` if the study's copy of the images is missing."""
    copy = home.path / DATA
    return store.load(copy).flips if copy.is_file() else None


def _comparable(space: SpaceSpec) -> dict[str, Any]:
    """The fields of a space that outputs depend on: without its description and the backbone's folder."""
    fields: dict[str, Any] = space.model_dump(mode="json", exclude={"about": True, "backbone": {"folder"}})
    return fields


def _space_name(space: SpaceSpec, other: SpaceSpec) -> str:
    """Name of a space; if both have the same name, also the first field that differs."""
    if space.name != other.name:
        return space.name
    ours, theirs = _comparable(space), _comparable(other)
    differs = next(name for name in ours if ours[name] != theirs[name])
    return f"{space.name} with {differs} {ours[differs]}"


def _other_fidelity(source: Home, fidelity: str) -> str | None:
    """Fidelity of a training with another recipe; `None` if there is none. Finals, which have other recipes, are
    ignored."""
    fidelities = (r.proposal.fidelity for r in _records(source) if r.proposal.group != "final")
    return next((other for other in fidelities if other != fidelity), None)


def _require_sound(source: Home) -> None:
    if problems := source.archive.problems():
        raise InputError(f"the archive of {source.path} has {len(problems)} problems, the first: {problems[0]}")


def _compare(home: Home, source: Home) -> MergeResult:
    """Compare each record of the other study with the record of the same id in this one."""
    own_records, records = {r.id: r for r in _records(home)}, _records(source)
    splits, countdown = StudyImages(home).splits(), Countdown(f"records of {source.path} compared")
    added, trained, duplicates, conflicts = list[str](), list[str](), list[str](), list[Conflict]()
    for i, record in enumerate(records, 1):
        id, own_record = record.id, own_records.get(record.id)
        other_outputs = None if record.failure else source.archive.outputs(id)
        own_outputs = None if own_record is None or own_record.failure else home.archive.outputs(id)
        if other_outputs is not None:
            _require_labels(source, record, other_outputs, splits)
        if own_record is None:
            added.append(id)
        elif other_outputs is None or (own_outputs is not None and same(own_outputs, other_outputs)):
            duplicates.append(id)
        elif own_outputs is None:
            trained.append(id)
        else:
            conflicts.append(Conflict(id, _accuracy(own_outputs), _accuracy(other_outputs)))
        countdown.at(i, len(records))
    return MergeResult(source.path, tuple(added), tuple(trained), tuple(duplicates), tuple(conflicts))


def _require_labels(source: Home, record: Record, outputs: Outputs, splits: Splits) -> None:
    """Raise `InputError` if outputs are of other images: versions of scikit-learn may split differently by one seed."""
    if not all(_same_samples(outputs[split], getattr(splits, split)) for split in SPLITS):
        raise InputError(
            f"record {record.id} of {source.path} was measured on other held-out images than those of this study, "
            f"although the seeds are equal: another version of scikit-learn made its splits; {REMEDY}"
        )


def _same_samples(outputs: SplitOutputs, images: LabeledImages) -> bool:
    if outputs.groups is None or images.groups is None:
        return outputs.groups is images.groups and np.array_equal(outputs.labels, images.labels)
    return np.array_equal(outputs.labels, images.labels) and np.array_equal(outputs.groups, images.groups)


def _accuracy(outputs: Outputs) -> float:
    return float(outputs.tune.right[-1].mean())


def _with_origin(source: Home, records: Sequence[Record]) -> Iterator[Record]:
    """Records with their outputs, and with their origin added to the provenance."""
    header, when = source.archive.header, datetime.now(UTC).isoformat(timespec="seconds")
    countdown = Countdown(f"records of {source.path} stored")
    for i, r in enumerate(records, 1):
        origin = {
            "study": str(source.path.resolve()),
            "seed": header.seed,
            "data": header.data,
            "fingerprint": header.fingerprint,
            "record": r.id,
            "round": r.proposal.round,
            "rank": r.proposal.rank,
            "when": when,
        }
        provenance = {**r.provenance, MERGED: [*r.provenance.get(MERGED, []), origin]}
        outputs = None if r.failure is not None else source.archive.outputs(r.id)
        yield replace(r, outputs=outputs, provenance=provenance)
        countdown.at(i, len(records))


def _copy_weights(home: Home, source: Home, ids: set[str]) -> None:
    """Copy missing weights before their records are added, so that no added record lacks weights."""
    for id in sorted(ids):
        path = home.checkpoint(id)
        if not path.is_file():
            with suppress(FileNotFoundError), replaced(path) as partial:  # the other study may not keep them
                shutil.copyfile(source.checkpoint(id), partial)


def _copy_trunks(home: Home, source: Home, ids: set[str]) -> None:
    """Copy the states that the trainings of new records go on from, where this study has none."""
    for training in {r.proposal.training for r in _records(source) if r.id in ids}:
        there, here = (trunk_path(study.path / CHECKPOINTS, training) for study in (source, home))
        if there.is_file() and not here.is_file():
            with suppress(FileNotFoundError), replaced(here) as partial:
                shutil.copyfile(there, partial)
