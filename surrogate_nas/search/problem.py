"""The search problem: space, images, settings and seed, with the costing, views and seeds derived from them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from surrogate_nas.architecture.cost import CostModel, costs_of_leaving
from surrogate_nas.architecture.costing import Costing
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.archive.archive import Archive
from surrogate_nas.archive.ladder import Ladder
from surrogate_nas.archive.record import Record
from surrogate_nas.archive.views import Views, front_of
from surrogate_nas.certificates.levels import Seal
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.policies import PolicyName
from surrogate_nas.search.bounds import bounds_on_a_ladder
from surrogate_nas.settings import Settings
from surrogate_nas.space.candidates import Candidates
from surrogate_nas.space.costs import costing_for
from surrogate_nas.space.space import SearchSpace


@dataclass(frozen=True)
class Problem:
    """The search problem: space, images, settings and seed."""

    space: SearchSpace
    shape: ImageShape
    settings: Settings
    seed: int
    model: CostModel | None = None
    """Model of a cost besides MACs, such as a cost table."""
    archive: Archive | None = field(default=None, repr=False, compare=False)
    """Archive to read outputs from, for records that do not carry them."""
    ladder: Ladder | None = None
    """Rungs that networks are trained to; `None` for trainings of whole epochs, by the recipe."""
    seal: Seal | None = None
    """Images that certify in the end; `None` where no certificate is asked for."""

    @cached_property
    def costing(self) -> Costing:
        """Counting of costs, by the settings."""
        settings = self.settings
        return costing_for(self.space, self.shape, settings.charge_heads, self.model, settings.objective)

    @property
    def fidelity(self) -> str:
        """Fidelity of trainings; see `Recipe.fidelity` and `Recipe.fidelity_on`."""
        recipe = self.settings.recipe
        return recipe.fidelity if self.ladder is None else recipe.fidelity_on(self.ladder.top)

    @property
    def passes(self) -> int | None:
        """Rung that new networks are trained to, in image passes; `None` without a ladder."""
        return None if self.ladder is None else self.ladder.passes(self.settings.rung)

    @cached_property
    def bounds(self) -> Limits:
        """Limits of the networks that are sampled and proposed; on a ladder, see `bounds`."""
        settings = self.settings
        return settings.limits if self.ladder is None else bounds_on_a_ladder(self.space, self.costing, settings)

    @property
    def policy(self) -> PolicyName:
        """Exit policy of the settings, or of the space if they name none."""
        return self.settings.policy or self.space.spec.policy

    @cached_property
    def views(self) -> Views:
        """Exits of trained networks under these settings, cached."""
        return Views(self.costing, self.policy, self.settings.temperature, self.archive)

    def seed_of(self, round: int, rank: int | None = None) -> int:
        """Seed of a training, or of the decisions of a round if `rank` is `None`; derived from seed and stream."""
        place, stream = 0 if rank is None else rank + 1, self.settings.stream
        entropy = [self.seed, round, place, *([stream] if stream else [])]
        return int(np.random.SeedSequence(entropy).generate_state(1)[0] >> 1)

    def reference(self, records: Sequence[Record]) -> tuple[float, float]:
        """Reference point of the hypervolume: (log₁₀ cost, accuracy).

        Cost is the limit on the objective, else the largest worst-case cost among the networks of the first round;
        accuracy is the limit on it, else that of chance.
        """
        limits = self.settings.limits
        first = min((r.proposal.round for r in records), default=0)
        initial = [r.architecture for r in records if r.proposal.round == first]
        cap = limits.budget(self.settings.objective)
        if cap is None:
            cost = Candidates.of(self.space, initial, self.costing).cost
            cap = float(costs_of_leaving(*cost.objective_costs, None, cost.charge_heads).max())
        return float(np.log10(cap)), limits.min_accuracy or 1 / self.shape.classes


def on_front(problem: Problem, records: Sequence[Record]) -> set[str]:
    """Ids of the networks with a point on the front on tune, either of all points or of those within the limits.

    The front of all points contains that under any limits on expected MACs and accuracy, so these may change later.
    """
    views = problem.views.trained(records)
    limits = problem.settings.limits
    return {
        r.id
        for curves in ([(r, v.curve) for r, v in views], [(r, v.within(limits)) for r, v in views])
        for r in front_of(curves)
    }
