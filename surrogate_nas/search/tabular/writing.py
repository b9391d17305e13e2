"""Write the trainings of an archive as a table; see `EennTable`.

Outputs are split into pieces of 100 trainings, in the order of their proposals. A piece that has been written never
changes, so that a table can be published while it grows: until it is complete, it has full pieces only.
"""

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np
import yaml
from safetensors.numpy import load as tensors_of
from safetensors.numpy import save as tensors_to_bytes

from surrogate_nas.architecture.cost import Cost
from surrogate_nas.archive.archive import Archive
from surrogate_nas.archive.header import Header
from surrogate_nas.archive.outputs import Outputs, Split
from surrogate_nas.archive.record import PACKAGE, STUDIED, Proposal, Record
from surrogate_nas.foundation.arrays import Array
from surrogate_nas.foundation.errors import InputError, one_line
from surrogate_nas.foundation.files import replaced
from surrogate_nas.search.tabular.codes import encode_scores
from surrogate_nas.search.tabular.layout import (
    CHECKSUMS,
    DESCRIPTION,
    FORMAT,
    LABELS,
    NETWORKS,
    OLDER,
    PIECE,
    PIECES,
    PLACE,
    POLICIES,
    PROVENANCE,
    SPACE,
    fidelity_name,
)
from surrogate_nas.space.costs import costing_for
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.spec import SpaceSpec
from surrogate_nas.space.yaml_files import read_space
from surrogate_nas.training.recipe import Recipe

PIECE_SIZE = 100
"""Number of trainings in a file of outputs."""
REMEDY = "but pieces of a table never do; write it to another folder"
Row = dict[str, object]


def export(archive: Archive, folder: Path, images: int, *, complete: bool = False) -> int:
    """Write the trainings of an archive as a table into a folder; the same archive gives the same bytes.

    The table has the trainings of the search, at all rungs, before the first pending one, without failures, as far as
    they fill pieces. Pieces that the folder has already are kept, also where the archive has only the rest of the
    trainings. Every file is replaced atomically, the checksums last.

    Args:
        archive: archive of a study.
        folder: folder of the table; if there is one of the same trainings, it grows.
        images: number of images in the train split.
        complete: whether no training will be added, so that the last piece may be short.

    Returns:
        Number of trainings in the table.

    Raises:
        InputError: if there are no trainings, or too few; if they differ in recipe or splits, or are pending and the
            table is to be complete; if the folder has a table of another space, or a piece that would change; or if it
            cannot be written.
    """
    try:
        written = _written(folder)
        trainings = _finished(archive, written, complete=complete)
        folder.mkdir(parents=True, exist_ok=True)
        names = [_write_space(archive.header.space, folder / SPACE)]
        pieces = [trainings[i : i + PIECE_SIZE] for i in range(0, len(trainings), PIECE_SIZE)]
        _require_that_none_vanishes(folder, len(pieces))
        rows: list[Row] = []
        labels: dict[str, Array] = {}
        for number, piece in enumerate(pieces):
            path = folder / PIECE.format(number)
            records = [training.record for training in piece if training.record is not None]
            if len(records) < len(piece):  # trained elsewhere
                rows += [written[training.proposal.id] for training in piece]
                names.append(path.name)
                continue
            outputs = [_require_shared_labels(archive.outputs(record.id), labels) for record in records]
            names.append(_write_piece(path, tensors_to_bytes(_tensors(outputs))))
            rows += _rows(archive, records, outputs, number, images)
        labels = labels or tensors_of((folder / LABELS).read_bytes())
        names.append(_write(folder / LABELS, tensors_to_bytes(labels)))
        names.append(_write(folder / NETWORKS, _csv(rows)))
        proposals = [training.proposal for training in trainings]
        names.append(_write(folder / DESCRIPTION, _description(archive.header, proposals, labels, images)))
        _write(folder / CHECKSUMS, _checksums(folder, names))
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {one_line(error)}") from None
    return len(trainings)


@dataclass(frozen=True, slots=True)
class _Training:
    """A training of the table."""

    proposal: Proposal
    record: Record | None
    """Record in the archive, without outputs; `None` if the training is only in a piece that was written before."""


def _written(folder: Path) -> dict[str, Row]:
    """Rows of the trainings in full pieces that a folder has already, by id."""
    if not (folder / NETWORKS).is_file():
        return {}
    rows: list[Row] = list(csv.DictReader(io.StringIO((folder / NETWORKS).read_text(encoding="utf-8"))))
    counts = Counter(row["piece"] for row in rows)
    return {str(row["id"]): row for row in rows if counts[row["piece"]] == PIECE_SIZE}


def _finished(archive: Archive, written: Mapping[str, Row], *, complete: bool) -> list[_Training]:
    """Trainings of the table, all of one recipe; outputs are not read."""
    records = {record.id: record for record in archive.studied()}
    proposals = [p for group in STUDIED for p in archive.proposals(group)]
    proposals.sort(key=lambda p: (p.round, p.rank, p.id))
    pending = [p for p in proposals if p.id not in records and p.id not in written]
    if complete and pending:
        raise InputError(f"{archive.path} has {len(pending)} pending trainings, so its table cannot be complete yet")
    ended = takewhile(lambda p: p.id in records or p.id in written, proposals)
    trainings = [_Training(p, records.get(p.id)) for p in ended]
    trainings = [t for t in trainings if t.record is None or t.record.failure is None]
    if not trainings:
        raise InputError(f"{archive.path} has no finished trainings to write as a table")
    if len(recipes := {t.proposal.fidelity for t in trainings}) > 1:
        raise InputError(f"{archive.path} has trainings of {len(recipes)} recipes, but a table must have one")
    if complete:
        return trainings
    if len(trainings) < PIECE_SIZE:
        raise InputError(
            f"{archive.path} has {len(trainings)} finished trainings, but a table that still grows has pieces of "
            f"{PIECE_SIZE}; if none will be added, write a complete table"
        )
    return trainings[: len(trainings) // PIECE_SIZE * PIECE_SIZE]


def _require_shared_labels(outputs: Outputs, labels: dict[str, Array]) -> Outputs:
    """Raise `InputError` for outputs with gates, or of other samples than `labels`, which the first outputs set."""
    if outputs.tune.gates is not None:
        raise InputError("a table stores scores computed from logits; these networks have gates instead")
    for split, samples in (("tune", outputs.tune), ("test", outputs.test)):
        if not np.array_equal(labels.setdefault(split, samples.labels), samples.labels):
            raise InputError(f"a table must have one {split} split; these networks were measured on several")
    return outputs


def _tensors(piece: Sequence[Outputs]) -> dict[str, Array]:
    """Arrays of one file, with a row for each exit of its trainings and a column for each sample, tune before test."""
    right = [np.concatenate([o.tune.right, o.test.right], axis=1) for o in piece]
    tensors: dict[str, Array] = {"correct": np.packbits(np.concatenate(right), axis=1)}
    for policy in POLICIES:
        scores = [np.concatenate([o.tune.view(policy)[0], o.test.view(policy)[0]], axis=1) for o in piece]
        tensors[f"{policy}.codes"], tensors[f"{policy}.levels"] = encode_scores(np.concatenate(scores))
    return tensors


def _rows(
    archive: Archive, records: Sequence[Record], outputs: Sequence[Outputs], piece: int, images: int
) -> list[Row]:
    """Rows of `networks.csv` for the trainings of a piece."""
    costing = costing_for(archive.space, archive.header.shape, "all")
    rows = []
    for place, (record, record_outputs) in enumerate(zip(records, outputs, strict=True)):
        row: Row = {
            "id": record.id,
            "architecture": record.architecture,
            "seed": record.proposal.seed,
            **_fidelity(record, images),
            **_provenance(archive, record),
            "piece": piece,
            "place": place,
            "seconds": f"{record.seconds:.3f}",
        }
        row |= _costs(record, costing.of(record.architecture))
        rows.append(row | _accuracies(record, record_outputs, "tune") | _accuracies(record, record_outputs, "test"))
    return rows


def _fidelity(record: Record, images: int) -> Row:
    """Columns of the fidelity: its name, which stands for the whole recipe, and how long the network was trained."""
    fidelity, passes = record.proposal.fidelity, record.proposal.passes
    epochs = Recipe.of_fidelity(fidelity).epochs
    if passes is None:
        return {"fidelity": fidelity_name(fidelity), "epochs": epochs, "image_passes": epochs * images}
    return {"fidelity": fidelity_name(fidelity), "epochs": f"{passes / images:g}", "image_passes": passes}


def _provenance(archive: Archive, record: Record) -> Row:
    """Columns of where a training comes from, empty where the record does not tell."""
    place = {name: getattr(record.proposal, name) for name in PLACE}
    own = {"data": archive.header.data, "study": archive.path.resolve().parent.name}
    conditions = {**record.provenance, "version": record.provenance.get(PACKAGE, OLDER)}
    return place | {name: (conditions | own).get(name, "") for name in PROVENANCE}


def _costs(record: Record, cost: Cost) -> Row:
    """Columns of MACs to each exit (empty for missing exits), parameters and bytes."""
    where, E = record.architecture.exit_positions, record.architecture.positions
    macs = {f"macs_{e + 1}": int(cost.macs()[0, e]) if e in where else "" for e in range(E)}
    return {
        **macs,
        "parameters": int(cost.parameters[0]),
        "weight_bytes": int(cost.weight_bytes[0]),
        "activation_bytes": int(cost.memory()[0]),
    }


def _accuracies(record: Record, outputs: Outputs, split: Split) -> Row:
    """Columns of the accuracy of each exit over all samples; empty for missing exits."""
    right = (outputs.tune if split == "tune" else outputs.test).right.mean(axis=1)
    of = dict(zip(record.architecture.exit_positions, right, strict=True))
    return {
        f"{split}_accuracy_{e + 1}": f"{of[e]:.4f}" if e in of else "" for e in range(record.architecture.positions)
    }


def _csv(rows: Sequence[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _description(header: Header, trainings: Sequence[Proposal], labels: dict[str, Array], images: int) -> bytes:
    """Content of `table.json`."""
    trained = len({proposal.architecture for proposal in trainings})
    fidelities = {proposal.fidelity for proposal in trainings}
    document = {
        "format": FORMAT,
        "name": header.space.name,
        "networks": {"trained": trained, "of": SearchSpace(header.space).size},
        "trainings": len(trainings),
        "samples": {"train": images, **{split: len(of) for split, of in labels.items()}},
        "policies": POLICIES,
        "shape": asdict(header.shape),
        "fidelities": {fidelity_name(fidelity): fidelity for fidelity in fidelities},
        **({} if header.ladder is None else {"ladder": header.ladder.rungs}),
        "data": {"name": header.data, "sha256": header.fingerprint},
        "splits": {
            "seed": header.seed,
            "tune_share": header.tune_share,
            "test_share": header.test_share,
            "file": header.splits,
        },
    }
    return (json.dumps(document, indent=1) + "\n").encode()


def _checksums(folder: Path, names: Sequence[str]) -> bytes:
    """Content of the file of checksums, in the format of `sha256sum`."""
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in sorted(names)}
    return "".join(f"{digest}  {name}\n" for name, digest in digests.items()).encode()


def _write_space(spec: SpaceSpec, path: Path) -> str:
    """Write the space; an existing file of the same space is kept as its author wrote it."""
    if not path.exists():
        return _write(path, yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False).encode())
    if read_space(path) != spec:
        raise InputError(f"{path} differs from the archive's space {spec.name!r}: write the table to another folder")
    return path.name


def _require_that_none_vanishes(folder: Path, pieces: int) -> None:
    """Raise `InputError` if the folder has a file of outputs besides the first `pieces`."""
    names = {PIECE.format(number) for number in range(pieces)}
    for path in sorted(folder.glob(PIECES)):
        if path.name not in names:
            raise InputError(f"{path} would vanish, {REMEDY}")


def _write_piece(path: Path, content: bytes) -> str:
    """Write a file of outputs; returns its name. Raises `InputError` if it exists with other content."""
    if path.exists() and path.read_bytes() != content:
        raise InputError(f"{path} would change, {REMEDY}")
    return _write(path, content)


def _write(path: Path, content: bytes) -> str:
    """Write a file atomically; returns its name."""
    with replaced(path) as partial:
        partial.write_bytes(content)
    return path.name
