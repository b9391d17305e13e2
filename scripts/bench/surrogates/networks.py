"""Trained networks of a study or of a table, for the other scripts here."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from surrogate_nas import Study
from surrogate_nas.archive.record import Record
from surrogate_nas.exits.exits import Exits
from surrogate_nas.foundation.arrays import Floats
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.tabular.layout import DESCRIPTION
from surrogate_nas.search.tabular.table import EennTable
from surrogate_nas.settings import Settings
from surrogate_nas.space.candidates import Candidates
from surrogate_nas.surrogates.training_set import InputKind


def trained_networks(path: Path) -> tuple[Problem, list[tuple[Record, Exits]]]:
    """The problem of the study or table in a folder, and each training with its exits on tune, in their order.

    A table has no settings but its recipe, so its problem has the default ones. Its scores are coded: at any threshold
    fewer than 1/256 of the samples of tune and test leave at another exit than in the study that it was made of.

    Raises:
        InputError: if there is neither in the folder, or it cannot be read.
    """
    if (path / DESCRIPTION).is_file():
        table = EennTable.load(path)
        problem, records = table.problem(Settings(), 0), table.records()
    else:
        study = Study.open(path)
        problem, records = study.home.problem, study.records()
    return problem, problem.views.trained(records)


def inputs_of(candidates: Candidates, kinds: Sequence[InputKind]) -> tuple[Floats, tuple[InputKind, ...]]:
    """(n, d) inputs of whole networks, and their kinds: the encodings, of these kinds, and log₁₀ costs in [0, 1]."""
    costs = np.log10(np.concatenate([candidates.cost.backbone, candidates.cost.parameters[:, None]], axis=1))
    scaled = (costs - costs.min(axis=0)) / np.maximum(np.ptp(costs, axis=0), 1e-9)
    return np.concatenate([candidates.encoding, scaled], axis=1), (*kinds, *["cost" for _ in costs.T])
