"""Write the trainings of an archive as a table; see `EennTable`.

Outputs are split into pieces of 100 trainings, in the order of their proposals. Full pieces do not change, so a table
can be published while it grows.
"""

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import takewhile
from pathlib import Path

import numpy as np
import yaml
from safetensors.numpy import save as tensors_to_bytes

from surrogate_nas.architecture.cost import Cost
from surrogate_nas.archive.archive import Archive
from surrogate_nas.archive.header import Header
from surrogate_nas.archive.outputs import Outputs, Split
from surrogate_nas.archive.record import Record
from surrogate_nas.foundation.arrays import Array
from surrogate_nas.foundation.errors import InputError, one_line
from surrogate_nas.foundation.files import replaced
from surrogate_nas.search.tabular.codes import encode_scores
from surrogate_nas.search.tabular.table import CHECKSUMS, DESCRIPTION, FORMAT, LABELS, NETWORKS, PIECE, POLICIES, SPACE
from surrogate_nas.space.costs import costing_for
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.spec import SpaceSpec
from surrogate_nas.space.yaml_files import read_space

PIECE_SIZE = 100
"""Number of trainings in a file of outputs."""
Row = dict[str, object]


def export(archive: Archive, folder: Path) -> int:
    """Write the trainings of an archive as a table into a folder; the same archive gives the same bytes.

    The table has the search's trainings before the first pending one, without failures. Every file is replaced
    atomically, the checksums last.

    Returns:
        Number of trainings in the table.

    Raises:
        InputError: if there are no trainings, they differ in recipe or splits, the folder has a table of another space,
            or it cannot be written.
    """
    records = _finished_records(archive)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = [_write_space(archive.header.space, folder / SPACE)]
        rows: list[Row] = []
        labels: dict[str, Array] = {}
        for piece in range(-(-len(records) // PIECE_SIZE)):
            piece_records = records[piece * PIECE_SIZE : (piece + 1) * PIECE_SIZE]
            outputs = [_require_shared_labels(archive.outputs(record.id), labels) for record in piece_records]
            names.append(_write(folder / PIECE.format(piece), tensors_to_bytes(_tensors(outputs))))
            rows += _rows(archive, piece_records, outputs, piece)
        names.append(_write(folder / LABELS, tensors_to_bytes(labels)))
        names.append(_write(folder / NETWORKS, _csv(rows)))
        names.append(_write(folder / DESCRIPTION, _description(archive.header, records, labels)))
        for stale in set(folder.glob("outputs-*.safetensors")) - {folder / name for name in names}:
            stale.unlink()
        _write(folder / CHECKSUMS, _checksums(folder, names))
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {one_line(error)}") from None
    return len(records)


def _finished_records(archive: Archive) -> list[Record]:
    """Successful trainings before the first pending proposal, all of one recipe; outputs are not read."""
    records = {record.id: record for record in archive.records()}
    finished = [records[p.id] for p in takewhile(lambda p: p.id in records, archive.proposals())]
    finished = [record for record in finished if record.failure is None]
    if not finished:
        raise InputError(f"{archive.path} has no finished trainings to write as a table")
    if len(recipes := {record.proposal.fidelity for record in finished}) > 1:
        raise InputError(f"{archive.path} has trainings of {len(recipes)} recipes, but a table must have one")
    return finished


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


def _rows(archive: Archive, records: Sequence[Record], outputs: Sequence[Outputs], piece: int) -> list[Row]:
    """Rows of `networks.csv` for the trainings of a piece."""
    costing = costing_for(archive.space, archive.header.shape, "all")
    rows = []
    for place, (record, record_outputs) in enumerate(zip(records, outputs, strict=True)):
        row: Row = {
            "id": record.id,
            "architecture": record.architecture,
            "seed": record.proposal.seed,
            "piece": piece,
            "place": place,
            "seconds": f"{record.seconds:.3f}",
        }
        row |= _costs(record, costing.of(record.architecture))
        rows.append(row | _accuracies(record, record_outputs, "tune") | _accuracies(record, record_outputs, "test"))
    return rows


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


def _description(header: Header, records: Sequence[Record], labels: dict[str, Array]) -> bytes:
    """Content of `table.json`."""
    trained = len({record.architecture for record in records})
    document = {
        "format": FORMAT,
        "name": header.space.name,
        "networks": {"trained": trained, "of": SearchSpace(header.space).size},
        "trainings": len(records),
        "samples": {split: len(of) for split, of in labels.items()},
        "policies": POLICIES,
        "shape": asdict(header.shape),
        "fidelity": records[0].proposal.fidelity,
        "data": {"name": header.data, "sha256": header.fingerprint},
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


def _write(path: Path, content: bytes) -> str:
    """Write a file atomically; returns its name."""
    with replaced(path) as partial:
        partial.write_bytes(content)
    return path.name
