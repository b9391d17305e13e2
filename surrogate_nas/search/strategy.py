"""Interface of search strategies: functions from the history of a search to the architectures to train next."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.record import Proposal, Record
from surrogate_nas.exits.exits import Exits
from surrogate_nas.foundation.arrays import Ints
from surrogate_nas.foundation.errors import JobError
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.proposals import make_proposal
from surrogate_nas.space.candidates import Candidates, taken_rows, untaken
from surrogate_nas.space.sampling import some_rows
from surrogate_nas.surrogates.fit import FittedSurrogate

FitSurrogate = Callable[[Sequence[Record]], FittedSurrogate]
"""Function that fits surrogates to records."""


@dataclass(frozen=True)
class History:
    """The only input of a strategy: strategies keep no state, so a resumed search gives the results of an uninterrupted
    one."""

    problem: Problem
    """The search problem, with its settings: limits, batch, policy."""
    records: Sequence[Record]
    """Records of trainings at all rungs, failures included, in the order they were proposed."""
    taken: Sequence[Proposal]
    """All proposals of new trainings so far; those without a record are in flight."""
    round: int
    """Number of the round to propose."""
    excluded: frozenset[bytes] = field(default=frozenset(), repr=False)
    """Rows, as bytes, of architectures that cannot be trained, such as those missing from a table."""

    @property
    def seed(self) -> int:
        """Seed of all random draws in this round."""
        return self.problem.seed_of(self.round)

    @cached_property
    def trained(self) -> list[tuple[Record, Exits]]:
        """Successful trainings at the rung of new networks, each with its exits on tune."""
        passes = self.problem.passes
        return self.problem.views.trained([r for r in self.records if r.proposal.passes == passes])

    @cached_property
    def networks(self) -> Candidates:
        """Architectures of `trained`, in its order, with encodings and exact costs."""
        return self.candidates([r.architecture for r, _ in self.trained])

    @cached_property
    def pending(self) -> list[Proposal]:
        """Proposals in flight."""
        done = {r.id for r in self.records}
        return [p for p in self.taken if p.id not in done]

    @cached_property
    def closed(self) -> set[bytes]:
        """Rows, as bytes, of architectures that must not be proposed as new: proposed before, or excluded."""
        return taken_rows(self.problem.space, [p.architecture for p in self.taken]) | self.excluded

    def candidates(self, architectures: Sequence[Architecture]) -> Candidates:
        """Candidates for architectures of the space, with encodings and exact costs."""
        return Candidates.of(self.problem.space, architectures, self.problem.costing)

    def new(self, rows: Ints) -> Candidates:
        """Candidates for those of (n, G) canonical rows that are distinct, not taken, and within the exact limits."""
        return untaken(self.problem.space, rows, self.problem.costing, self.problem.settings.limits, self.closed)

    def sample(self, most: int, rng: np.random.Generator) -> Candidates:
        """Up to `most` new candidates, uniform over choices; fewer if no more are found within the exact limits."""
        problem, limits = self.problem, self.problem.settings.limits
        return self.new(some_rows(problem.space, most, problem.costing, limits, rng, self.closed))


@dataclass(frozen=True)
class Suggestion:
    """An architecture to train."""

    architecture: Architecture
    prediction: Mapping[str, Any] | None = None
    """Predicted measurements and thresholds; stored with the proposal, as JSON."""
    again: bool = False
    """Whether to train an architecture again that was trained before, with another seed."""


class Strategy(Protocol):
    """A search strategy. The settings name a user's own function as `package.module:function`."""

    def __call__(self, history: History, q: int) -> Sequence[Suggestion]:
        """Up to q suggestions, determined by the history; fewer, or none, if no architecture is left.

        New architectures are distinct, not taken, and within the exact limits, as `History.new` and `sample` ensure.
        """


def propose(strategy: Strategy, history: History, q: int) -> list[Proposal]:
    """The next proposals of a strategy, checked against its contract.

    Raises:
        JobError: for more than q suggestions, or an architecture that is taken or breaks an exact limit.
    """
    suggestions = list(strategy(history, q))
    problem = history.problem
    if len(suggestions) > q:
        raise JobError(f"the strategy proposed {len(suggestions)} architectures, but at most {q} were requested")
    rows = problem.space.indices([s.architecture for s in suggestions])
    for suggestion, row in zip(suggestions, rows, strict=True):
        taken = row.tobytes() in history.closed
        if suggestion.again and (not taken or row.tobytes() in history.excluded):
            raise JobError(f"the strategy proposed to repeat an untrained architecture: {suggestion.architecture}")
        if not suggestion.again and taken:
            raise JobError(f"the strategy proposed an architecture that was proposed before: {suggestion.architecture}")
    new = [row for suggestion, row in zip(suggestions, rows, strict=True) if not suggestion.again]
    if new and len(history.new(np.stack(new))) < len(new):
        raise JobError(f"the strategy proposed an architecture twice, or outside the limits {problem.settings.limits}")
    return [
        make_proposal(problem, s.architecture, history.round, rank, "search", s.prediction)
        for rank, s in enumerate(suggestions)
    ]
