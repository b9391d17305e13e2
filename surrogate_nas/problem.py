"""What is searched, and the decisions about it that need no surrogate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from surrogate_nas.candidates import Candidates, taken_rows
from surrogate_nas.config import PolicyName, Settings
from surrogate_nas.cost import Costing, CostModel, charged, costing_for
from surrogate_nas.exits import Exits
from surrogate_nas.record import Origin, Outputs, Proposal, Record, Split, exits_of, temperatures_of
from surrogate_nas.sampling import sample_within
from surrogate_nas.space import Architecture, SearchSpace
from surrogate_nas.units import ImageShape

BASELINE_ROUND, FINAL_ROUND = 1_000_000, 2_000_000
"""Beyond every round of a search."""


@dataclass(frozen=True)
class Problem:
    """What is searched, and under which settings."""

    space: SearchSpace
    shape: ImageShape
    settings: Settings
    seed: int
    model: CostModel | None = None
    """A cost beside MACs."""

    @cached_property
    def costing(self) -> Costing:
        """How costs are counted."""
        settings = self.settings
        return costing_for(self.space, self.shape, settings.charge_heads, self.model, settings.objective)

    @property
    def policy(self) -> PolicyName:
        """How exits score their confidence: as the settings say, else as the space does."""
        return self.settings.policy or self.space.spec.policy

    def seed_of(self, round: int, rank: int | None = None) -> int:
        """The seed of a training, or of a round's own decisions; it follows from the study's seed and stream."""
        place, stream = 0 if rank is None else rank + 1, self.settings.stream
        entropy = [self.seed, round, place, *([stream] if stream else [])]
        return int(np.random.SeedSequence(entropy).generate_state(1)[0] >> 1)

    def views(self, records: Sequence[Record]) -> list[tuple[Record, Exits]]:
        """What the exits of every record with outputs do on tune."""
        return [(r, self.view(r.architecture, r.outputs)) for r in records if r.outputs is not None]

    def view(self, architecture: Architecture, outputs: Outputs, split: Split = "tune") -> Exits:
        """What the exits of one network do."""
        said = outputs.tune if split == "tune" else outputs.test
        return exits_of(architecture, said, self.costing, self.policy, self.temperatures(architecture, outputs))

    def temperatures(self, architecture: Architecture, outputs: Outputs) -> tuple[float, ...]:
        """(E,) of one network, if the settings ask for them."""
        return temperatures_of(architecture, outputs.tune) if self.settings.temperature else ()

    def reference(self, records: Sequence[Record]) -> tuple[float, float]:
        """(log₁₀ cost, accuracy) that bound the hypervolume.

        The limit on the objective, or the largest worst case among the networks of the first round; the accuracy
        floor, or chance.
        """
        limits = self.settings.limits
        first = min((r.proposal.round for r in records), default=0)
        initial = [r.architecture for r in records if r.proposal.round == first]
        cap = limits.max_macs if self.settings.objective == "macs" else limits.max_cost
        if cap is None:
            cost = Candidates.of(self.space, initial, self.costing).cost
            cap = float(charged(*cost.priced, None, cost.charge_heads).max())
        return float(np.log10(cap)), limits.min_accuracy or 1 / self.shape.classes


def initial_proposals(problem: Problem, n: int, taken: Sequence[Proposal], round: int) -> list[Proposal]:
    """n sampled architectures within the exact limits, none of them proposed before.

    The k-th architecture of a round does not depend on n.
    """
    rng = np.random.default_rng(problem.seed_of(round))
    rows = taken_rows(problem.space, [p.architecture for p in taken])
    settings = problem.settings
    drawn = sample_within(problem.space, n, problem.costing, settings.limits, rng, rows, settings.sampling)
    return [make_proposal(problem, a, round, rank, "initial") for rank, a in enumerate(drawn)]


def user_proposals(problem: Problem, architectures: Sequence[Architecture], round: int) -> list[Proposal]:
    """Architectures that a user asked for."""
    return [make_proposal(problem, a, round, rank, "user") for rank, a in enumerate(architectures)]


def baseline_proposals(problem: Problem, architectures: Sequence[Architecture]) -> list[Proposal]:
    """Networks to compare with. They leave the search as it is: its rounds and seeds do not know of them."""
    return [make_proposal(problem, a, BASELINE_ROUND, rank, "baseline") for rank, a in enumerate(architectures)]


def final_proposals(problem: Problem, architectures: Sequence[Architecture], seeds: int) -> list[Proposal]:
    """Each architecture with so many seeds, at full fidelity; all of the first seed before those of the next."""
    fidelity = problem.settings.full_recipe.fidelity
    return [
        Proposal(FINAL_ROUND + k, rank, "final", architecture, problem.seed_of(FINAL_ROUND, k), fidelity)
        for k in range(seeds)
        for rank, architecture in enumerate(architectures)
    ]


def make_proposal(
    problem: Problem, architecture: Architecture, round: int, rank: int, origin: Origin,
    prediction: Mapping[str, Any] | None = None,
) -> Proposal:  # fmt: skip
    fidelity = problem.settings.recipe.fidelity
    return Proposal(round, rank, origin, architecture, problem.seed_of(round, rank), fidelity, prediction)
