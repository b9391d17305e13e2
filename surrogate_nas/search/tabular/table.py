"""A tabular benchmark: stored outputs of trained early-exit networks, looked up in place of training.

A table is a folder with the held-out scores and predictions of networks of a space, so that searches, exit policies and
surrogates can be compared in minutes on a laptop. Nothing is unpickled, and nothing here needs torch.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as tensors_of

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.architecture.cost_table import CostTable
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.archive.ladder import Ladder
from surrogate_nas.archive.record import Proposal, Record
from surrogate_nas.foundation.arrays import Ints
from surrogate_nas.foundation.errors import InputError, one_line
from surrogate_nas.foundation.fields import require_seed
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.tabular.layout import DESCRIPTION, FORMATS, LABELS, NETWORKS, POLICIES, SPACE
from surrogate_nas.search.tabular.reading import TabulatedTraining, checked_files, recipes_of, rows_of, trainings_of
from surrogate_nas.settings import Settings
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.yaml_files import read_space
from surrogate_nas.training.recipe import Recipe


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
    ladder: Ladder | None = None
    """Rungs of the trainings; `None` for trainings of whole epochs."""

    @classmethod
    def load(cls, path: str | Path) -> "EennTable":
        """Load the table in a folder.

        Raises:
            InputError: if there is no table, a file is missing or has another checksum, the format is unknown, or
                trainings differ in fidelity.
        """
        path = Path(path)
        files = checked_files(path)
        try:
            description = json.loads(files[DESCRIPTION])
            format = description["format"]
            if format not in FORMATS:
                allowed = " and ".join(map(str, FORMATS))
                raise InputError(f"{path} is a table of format {format}; this package reads {allowed}")
            recipes = recipes_of(description)
            if len(recipes) != 1:
                raise InputError(f"{path} has trainings of {len(recipes)} fidelities; this package reads tables of one")
            [fidelity] = recipes.values()
            labels = tensors_of(files[LABELS])
            samples = len(labels["tune"]) + len(labels["test"])
            return cls(
                SearchSpace(read_space(path / SPACE)),
                ImageShape(**description["shape"]),
                fidelity,
                description["data"]["sha256"],
                (labels["tune"], labels["test"]),
                tuple(trainings_of(rows_of(files[NETWORKS], format), recipes, files, samples)),
                None if (rungs := description.get("ladder")) is None else Ladder(tuple(rungs)),
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
        """(k, G) choice indices of the networks in the table, in the order of their first trainings; for the argument
        `listed` of `loop.search`."""
        return self.space.indices(list(self._of))

    @property
    def seeds(self) -> Ints:
        """(k,) number of trainings of each network in `trained`, which differ in their seeds; rungs do not count."""
        return np.array([len({t.proposal.training for t in of}) for of in self._of.values()], dtype=np.int64)

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
        return Problem(self.space, self.shape, settings, seed, costs, ladder=self.ladder)

    def records(self) -> list[Record]:
        """Record of every training, in the order of the table, with its own proposal and outputs."""
        return [Record(t.proposal, t.outputs(*self.labels), None, t.seconds, t.provenance) for t in self.trainings]

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Record]:
        """Records of proposals, in order, each with the outputs of a stored training.

        A network with several trainings gets the one at index `proposal.seed` modulo their number, whatever was called
        before; at each rung, the same one. Records have the proposal's seed; their provenance has the seed of the
        stored training.

        Raises:
            InputError: for a network that is not in the table, or a recipe or rung other than the table's.
        """
        return [self._record(proposal) for proposal in proposals]

    def _record(self, proposal: Proposal) -> Record:
        if proposal.fidelity != self.fidelity:
            raise InputError(f"the table's networks have fidelity {self.fidelity}, got {proposal.fidelity}")
        trainings = self._of.get(proposal.architecture)
        if trainings is None:
            raise self._unknown(proposal.architecture)
        trainings = [t for t in trainings if t.proposal.passes == proposal.passes]
        if not trainings:
            raise InputError(f"{proposal.architecture} is not in the table at {proposal.passes} image passes")
        training = trainings[proposal.seed % len(trainings)]
        provenance = {"table": self.space.spec.name, "training": training.id, "seed": training.proposal.seed}
        return Record(proposal, training.outputs(*self.labels), None, training.seconds, provenance)

    def _unknown(self, architecture: Architecture) -> InputError:
        name, size = self.space.spec.name, self.space.size
        return InputError(f"{architecture} is not in table {name!r}, which has {len(self._of)} of {size} networks")
