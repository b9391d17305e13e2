"""Read the files of a table."""

import csv
import hashlib
import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load as tensors_of

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.outputs import Outputs, SplitOutputs
from surrogate_nas.archive.record import Origin, Proposal
from surrogate_nas.archive.soundness import require_sound_proposal
from surrogate_nas.exits.policies import PolicyName
from surrogate_nas.foundation.arrays import Array, Ints
from surrogate_nas.foundation.errors import InputError, JobError
from surrogate_nas.search.tabular.codes import LEVELS, Codes, Levels, decode_scores
from surrogate_nas.search.tabular.layout import (
    CHECKSUMS,
    COLUMNS,
    DESCRIPTION,
    LABELS,
    NETWORKS,
    PIECE,
    PLACE,
    POLICIES,
    PROVENANCE,
    SPACE,
)
from surrogate_nas.training.recipe import is_on_ladder

Row = dict[str, str]
FORMAT_1: Row = {"fidelity": "", "origin": "user", "round": "0"}
"""Values of columns that format 1 does not have."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TabulatedTraining:
    """One training of the table, with outputs of its X exits on N samples, tune before test."""

    proposal: Proposal
    """Proposal of the training. Format 1 does not tell its place: it is a user's, of round 0."""
    seconds: float
    """Wall time of the training, in seconds."""
    provenance: Mapping[str, str]
    """Values of the columns `PROVENANCE`; empty in format 1."""
    codes: Mapping[PolicyName, Codes]
    """(X, N) score codes of each policy; see the module `codes`."""
    levels: Mapping[PolicyName, Levels]
    """(X, 256) score levels of each policy."""
    correct: npt.NDArray[np.uint8]
    """(X, ⌈N/8⌉) bits, packed by `np.packbits`: whether each predicted class is the label."""

    @property
    def id(self) -> str:
        """Id of the record."""
        return self.proposal.id

    @property
    def architecture(self) -> Architecture:
        """The trained architecture."""
        return self.proposal.architecture

    def outputs(self, tune: Ints, test: Ints) -> Outputs:
        """Outputs with scores and correctness, without logits.

        Args:
            tune: (n,) labels of the tune split.
            test: (N − n,) labels of the test split.
        """
        n = len(tune)
        scores = {policy: decode_scores(self.codes[policy], self.levels[policy]) for policy in POLICIES}
        right = np.unpackbits(self.correct, axis=1, count=n + len(test)).view(np.bool_)
        pairs = ((tune, np.s_[:, :n]), (test, np.s_[:, n:]))
        return Outputs(
            *(
                SplitOutputs(labels=labels, scores={p: s[part] for p, s in scores.items()}, correct=right[part])
                for labels, part in pairs
            )
        )


def checked_files(path: Path) -> dict[str, bytes]:
    """Contents of the files of a table, by name.

    Raises:
        InputError: for a file that is missing or has another checksum.
    """
    if not path.is_dir():
        raise InputError(f"no table at {path}: it is not a folder")
    files = {}
    for line in _read(path / CHECKSUMS).decode(errors="replace").splitlines():
        digest, _, name = line.partition("  ")
        if not name or Path(name).name != name:
            raise InputError(f"{path / CHECKSUMS} is damaged: {line[:80]!r} is not a checksum and a file name")
        files[name] = _read(path / name)
        if hashlib.sha256(files[name]).hexdigest() != digest:
            raise InputError(f"{path / name} is damaged: its SHA-256 differs from the one in {CHECKSUMS}")
    for name in (SPACE, NETWORKS, DESCRIPTION, LABELS):
        if name not in files:
            raise InputError(f"{path / CHECKSUMS} is damaged: it does not list {name}")
    return files


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path.parent} is not a complete table: it has no {path.name}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None


def rows_of(content: bytes, format: int) -> list[Row]:
    """Rows of `networks.csv`, with the columns of the newest format; raises `ValueError` if a column is missing."""
    reader = csv.DictReader(io.StringIO(content.decode()))
    columns = COLUMNS if format == 1 else (*COLUMNS, "fidelity", *PLACE, *PROVENANCE)
    for name in columns:
        if name not in (reader.fieldnames or ()):
            raise ValueError(f"{NETWORKS} has no column {name}")
    return [{**FORMAT_1, "rank": str(i), **row} if format == 1 else row for i, row in enumerate(reader)]


def recipes_of(description: Mapping[str, Any]) -> Mapping[str, str]:
    """Fidelities of the trainings by their names in `networks.csv`; see `Recipe.fidelity` for their text."""
    if description["format"] == 1:
        return {FORMAT_1["fidelity"]: description["fidelity"]}
    return dict(description["fidelities"])


def _proposal(row: Row, recipes: Mapping[str, str]) -> Proposal:
    """Proposal of a row; raises `ValueError` for an unknown fidelity or origin, or an id that does not belong to it."""
    if row["fidelity"] not in recipes:
        raise ValueError(f"training {row['id']} has fidelity {row['fidelity']!r}, which {DESCRIPTION} does not have")
    proposal = Proposal(
        round=int(row["round"]),
        rank=int(row["rank"]),
        origin=cast(Origin, row["origin"]),
        architecture=Architecture.parse(row["architecture"]),
        seed=int(row["seed"]),
        fidelity=recipes[row["fidelity"]],
        passes=int(row["image_passes"]) if is_on_ladder(recipes[row["fidelity"]]) else None,
    )
    try:
        require_sound_proposal(proposal, row["id"])
    except JobError as error:
        raise ValueError(f"training {row['id']}: {error}") from None
    return proposal


def trainings_of(
    rows: Sequence[Row], recipes: Mapping[str, str], files: Mapping[str, bytes], samples: int
) -> Iterator[TabulatedTraining]:
    """Trainings of the rows, piece by piece."""
    for piece, group in itertools.groupby(rows, key=lambda row: int(row["piece"])):
        members = list(group)
        proposals = [_proposal(row, recipes) for row in members]
        ends = np.cumsum([len(p.architecture.exit_positions) for p in proposals])
        arrays = _piece(files[PIECE.format(piece)], int(ends[-1]), samples)
        parts = {name: np.split(array, ends[:-1]) for name, array in arrays.items()}
        for i, (row, proposal) in enumerate(zip(members, proposals, strict=True)):
            codes, levels = ({p: parts[f"{p}.{part}"][i] for p in POLICIES} for part in ("codes", "levels"))
            yield TabulatedTraining(
                proposal=proposal,
                seconds=float(row["seconds"]),
                provenance={name: row[name] for name in PROVENANCE if name in row},
                codes=codes,
                levels=levels,
                correct=parts["correct"][i],
            )


def _piece(content: bytes, exits: int, samples: int) -> dict[str, Array]:
    """Arrays of one file of outputs, with a row for each exit of its trainings; raises `ValueError` if they differ."""
    arrays = tensors_of(content)
    for policy in POLICIES:
        _require(arrays, f"{policy}.codes", np.uint8, (exits, samples))
        _require(arrays, f"{policy}.levels", np.float32, (exits, LEVELS))
    _require(arrays, "correct", np.uint8, (exits, -(-samples // 8)))
    return arrays


def _require(arrays: Mapping[str, Array], name: str, dtype: type, shape: tuple[int, int]) -> None:
    array = arrays[name]
    if array.dtype != dtype or array.shape != shape:
        raise ValueError(f"{name} is {array.dtype}{array.shape}, not {np.dtype(dtype)}{shape}")
