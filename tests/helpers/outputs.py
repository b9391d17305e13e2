"""Records whose outputs are drawn, not trained: for laws of surrogates and search that need many networks at once."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from surrogate_nas.architecture.costing import Costing
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.archive.outputs import Outputs, SplitOutputs
from surrogate_nas.archive.record import Failure, Proposal, Record
from surrogate_nas.archive.views import exits_of
from surrogate_nas.exits.exits import Exits
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.proposals import initial_proposals
from surrogate_nas.settings import Settings
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.spec import preset

SHAPE = ImageShape(1, 8, 10)
SAMPLES = 400
SMALL_STUDY: dict[str, Any] = {
    "budget": 12,
    "initial": 10,
    "batch": 2,
    "surrogate": "gp",
    "workers": 2,
    "keep": "all",
    "limits": {"max_macs": 2e5, "min_accuracy": 0.3},
    "recipe": {"epochs": 2},
}
"""Settings of a real study that takes seconds."""


def problem(seed: int = 0, **settings: object) -> Problem:
    return Problem(SearchSpace(preset("tiny")), SHAPE, Settings().updated(dict(settings)), seed)


def outputs(proposal: Proposal) -> SplitOutputs:
    """Larger networks and later exits are right more often, and surer where they are right."""
    architecture = proposal.architecture
    rng = np.random.default_rng(proposal.seed)
    labels = np.random.default_rng(0).integers(10, size=SAMPLES)
    hardness = np.random.default_rng(1).normal(size=SAMPLES)
    where = list(architecture.exit_positions)
    size = np.log10(Costing(SHAPE).of(architecture).macs()[0, where])
    strength = 1.2 * (size[:, None] - 4.5) - hardness + 0.2 * rng.normal(size=(len(where), SAMPLES))
    logits = rng.normal(size=(len(where), SAMPLES, 10))
    logits[:, np.arange(SAMPLES), labels] += 3 + 1.5 * strength
    return SplitOutputs.of(logits, labels)


def verify(proposals: Sequence[Proposal]) -> list[Record]:
    return [Record(p, Outputs(outputs(p), outputs(p)), None, 0.0, {}) for p in proposals]


def records(problem: Problem, n: int) -> list[Record]:
    """n records of the initial sample, the last of them a failure."""
    proposals = initial_proposals(problem, n, [], 0)
    failed = Record(proposals[-1], None, Failure("diverged", "loss nan"), 0.0, {})
    return [*verify(proposals[:-1]), failed]


def tune_exits(records: Sequence[Record]) -> list[Exits]:
    """Exits of each record that has outputs, on the tune split."""
    return [exits_of(r.architecture, r.outputs.tune, Costing(SHAPE)) for r in records if r.outputs]
