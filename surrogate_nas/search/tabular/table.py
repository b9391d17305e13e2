"""A tabular benchmark: stored outputs of trained early-exit networks, looked up in place of training.

A table is a folder with the held-out scores and predictions of the networks of a small space, so that searches, exit
policies and surrogates can be compared in minutes on a laptop. Nothing is unpickled, and nothing here needs torch.
"""

import csv
import hashlib
import io
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as tensors_of

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.architecture.cost_table import CostTable
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.archive.outputs import Outputs, SplitOutputs
from surrogate_nas.archive.record import Proposal, Record
from surrogate_nas.exits.policies import PolicyName
from surrogate_nas.foundation.arrays import Array, Ints
from surrogate_nas.foundation.errors import InputError, one_line
from surrogate_nas.foundation.fields import require_seed
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.tabular.codes import LEVELS, Codes, Levels, decode_scores
from surrogate_nas.settings import Settings
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.yaml_files import read_space
from surrogate_nas.training.recipe import Recipe

FORMAT = 1
SPACE, NETWORKS, DESCRIPTION, LABELS = "space.yaml", "networks.csv", "table.json", "labels.safetensors"
PIECE = "outputs-{:03d}.safetensors"
CHECKSUMS = "SHA256SUMS"
POLICIES: tuple[PolicyName, ...] = ("max_softmax", "margin")
"""Exit policies whose scores a table has."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TabulatedTraining:
    """One training of the table, with outputs of its X exits on N samples, tune before test."""

    id: str
    """Id of the record."""
    architecture: Architecture
    seed: int
    seconds: float
    """Wall time of the training, in seconds."""
    codes: Mapping[PolicyName, Codes]
    """(X, N) score codes of each policy; see the module `codes`."""
    levels: Mapping[PolicyName, Levels]
    """(X, 256) score levels of each policy."""
    correct: npt.NDArray[np.uint8]
    """(X, ⌈N/8⌉) bits, packed by `np.packbits`: whether each predicted class is the label."""

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


@dataclass(frozen=True, eq=False)
class EennTable:
    """Table of trained networks of a space; `search` takes its `evaluate` in place of training."""

    space: SearchSpace
    shape: ImageShape
    fidelity: str
    """Fidelity of every training; see `Recipe.fidelity`."""
    data: str
    """SHA-256 of the images and labels that networks were trained and measured on; see `Dataset.fingerprint`."""
    labels: tuple[Ints, Ints]
    """(n,) labels of the tune split and (N − n,) labels of the test split."""
    trainings: tuple[TabulatedTraining, ...]
    """Trainings in the order of their proposals; a network may appear several times."""

    @classmethod
    def load(cls, path: str | Path) -> "EennTable":
        """Load the table in a folder.

        Raises:
            InputError: if there is no table, a file is missing or has another checksum, or the format is unknown.
        """
        path = Path(path)
        files = _checked_files(path)
        try:
            description = json.loads(files[DESCRIPTION])
            if description["format"] != FORMAT:
                raise InputError(f"{path} is a table of format {description['format']}; this package reads {FORMAT}")
            labels = tensors_of(files[LABELS])
            trainings = tuple(_trainings(files, len(labels["tune"]) + len(labels["test"])))
            return cls(
                SearchSpace(read_space(path / SPACE)),
                ImageShape(**description["shape"]),
                description["fidelity"],
                description["data"]["sha256"],
                (labels["tune"], labels["test"]),
                trainings,
            )
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path} is not a table: {one_line(error)}") from None

    @cached_property
    def _of(self) -> Mapping[Architecture, Sequence[TabulatedTraining]]:
        """Trainings of each network, in the order of the table."""
        of: dict[Architecture, list[TabulatedTraining]] = {}
        for training in self.trainings:
            of.setdefault(training.architecture, []).append(training)
        return of

    @cached_property
    def trained(self) -> Ints:
        """(k, G) choice indices of the networks in the table, in the order of their first trainings."""
        return self.space.indices(list(self._of))

    @property
    def seeds(self) -> Ints:
        """(k,) number of trainings of each network in `trained`, which differ in their seeds."""
        return np.array([len(trainings) for trainings in self._of.values()], dtype=np.int64)

    @cached_property
    def untrained(self) -> Ints:
        """(size − k, G) choice indices of the space's networks that the table lacks, which a search must exclude."""
        trained_rows, everything = {row.tobytes() for row in self.trained}, self.space.genes.everything
        if everything is None:
            raise InputError(f"space {self.space.spec.name!r} is too large to list the networks that the table lacks")
        return everything[[row.tobytes() not in trained_rows for row in everything]]

    @property
    def missing(self) -> frozenset[bytes]:
        """Rows of `untrained` as bytes, for the argument `excluded` of `loop.search`."""
        return frozenset(row.tobytes() for row in self.untrained)

    @property
    def complete(self) -> float:
        """Share of the space's networks that are in the table."""
        return len(self._of) / self.space.size

    def problem(self, settings: Settings, seed: int) -> Problem:
        """The search problem, with the table's recipe in place of the settings' recipe.

        Raises:
            InputError: for an exit policy without scores in the table, for temperatures, or for a bad seed.
        """
        require_seed(seed)
        policy = settings.policy or self.space.spec.policy
        if policy not in POLICIES:
            raise InputError(f"the table has no scores of policy {policy}; allowed: {', '.join(POLICIES)}")
        if settings.temperature:
            raise InputError("temperatures need logits, which a table does not have; set temperature: false")
        settings = settings.updated({"recipe": Recipe.of_fidelity(self.fidelity).model_dump()})
        costs = None if settings.cost_table is None else CostTable.read(settings.cost_table)
        return Problem(self.space, self.shape, settings, seed, costs)

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Record]:
        """Records of proposals, in order, each with the outputs of a stored training.

        A network with several trainings gets the one at index `proposal.seed` modulo their number, whatever was called
        before. Records have the proposal's seed; their provenance has the seed of the stored training.

        Raises:
            InputError: for a network that is not in the table, or a recipe other than the table's.
        """
        return [self._record(proposal) for proposal in proposals]

    def _record(self, proposal: Proposal) -> Record:
        if proposal.fidelity != self.fidelity:
            raise InputError(f"the table's networks have fidelity {self.fidelity}, got {proposal.fidelity}")
        trainings = self._of.get(proposal.architecture)
        if trainings is None:
            raise self._unknown(proposal.architecture)
        training = trainings[proposal.seed % len(trainings)]
        provenance = {"table": self.space.spec.name, "training": training.id, "seed": training.seed}
        return Record(proposal, training.outputs(*self.labels), None, training.seconds, provenance)

    def _unknown(self, architecture: Architecture) -> InputError:
        name, size = self.space.spec.name, self.space.size
        return InputError(f"{architecture} is not in table {name!r}, which has {len(self._of)} of {size} networks")


def _checked_files(path: Path) -> dict[str, bytes]:
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


def _trainings(files: Mapping[str, bytes], samples: int) -> Iterator[TabulatedTraining]:
    """Trainings listed in `networks.csv`, piece by piece."""
    reader = csv.DictReader(io.StringIO(files[NETWORKS].decode()))
    for piece, group in itertools.groupby(reader, key=lambda row: int(row["piece"])):
        rows = list(group)
        architectures = [Architecture.parse(row["architecture"]) for row in rows]
        ends = np.cumsum([len(a.exit_positions) for a in architectures])
        arrays = _piece(files[PIECE.format(piece)], int(ends[-1]), samples)
        parts = {name: np.split(array, ends[:-1]) for name, array in arrays.items()}
        for i, (row, architecture) in enumerate(zip(rows, architectures, strict=True)):
            codes, levels = ({p: parts[f"{p}.{part}"][i] for p in POLICIES} for part in ("codes", "levels"))
            yield TabulatedTraining(
                id=row["id"],
                architecture=architecture,
                seed=int(row["seed"]),
                seconds=float(row["seconds"]),
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
