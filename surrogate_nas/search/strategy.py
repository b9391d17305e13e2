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
from surrogate_nas.search.proposals import initial_proposals, make_proposal
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
    listed: Ints | None = field(default=None, repr=False)
    """(k, G) rows of the only architectures that can be trained, such as those of a table; `None` for the whole
    space."""
    passes: int | None = None
    """Rung, in image passes, at which networks are compared; by default that of new networks."""

    @property
    def seed(self) -> int:
        """Seed of all random draws in this round."""
        return self.problem.seed_of(self.round)

    @cached_property
    def trained(self) -> list[tuple[Record, Exits]]:
        """Successful trainings at the rung at which networks are compared, each with its exits on tune."""
        return self.at(self.passes or self.problem.passes)

    def at(self, passes: int | None) -> list[tuple[Record, Exits]]:
        """Successful trainings at a rung, each with its exits on tune."""
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
    def reached(self) -> int:
        """Image passes of the farthest training that has not failed, those in flight included; 0 without any."""
        failed = {r.id for r in self.records if r.failure is not None}
        return max((p.passes or 0 for p in self.taken if p.id not in failed), default=0)

    @cached_property
    def closed(self) -> set[bytes]:
        """Rows, as bytes, of architectures that were proposed before."""
        return taken_rows(self.problem.space, [p.architecture for p in self.taken])

    @property
    def size(self) -> int:
        """Number of architectures that there are."""
        return self.problem.space.size if self.listed is None else len(self.listed)

    def has(self, row: Ints) -> bool:
        """Whether the architecture of a (G,) row can be trained."""
        return self._listed is None or row.tobytes() in self._listed

    @cached_property
    def _listed(self) -> frozenset[bytes] | None:
        return None if self.listed is None else frozenset(row.tobytes() for row in self.listed)

    def candidates(self, architectures: Sequence[Architecture]) -> Candidates:
        """Candidates for architectures of the space, with encodings and exact costs."""
        return Candidates.of(self.problem.space, architectures, self.problem.costing)

    def new(self, rows: Ints) -> Candidates:
        """Candidates for those of (n, G) canonical rows that can be trained, and are distinct, not taken, and within
        the exact limits."""
        if self.listed is not None:
            rows = rows[np.array([self.has(row) for row in rows], dtype=bool)]
        return untaken(self.problem.space, rows, self.problem.costing, self.problem.bounds, self.closed)

    def sample(self, most: int, rng: np.random.Generator) -> Candidates:
        """Up to `most` new candidates, uniform over choices; fewer if no more are found within the exact limits."""
        problem = self.problem
        if self.listed is not None:
            return self.new(rng.permutation(self.new(np.unique(self.listed, axis=0)).indices)[:most])
        return self.new(some_rows(problem.space, most, problem.costing, problem.bounds, rng, self.closed))


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


def sampled(history: History, n: int) -> list[Proposal]:
    """Proposals of n sampled architectures; fewer if there are no more of those that are listed.

    Raises:
        InputError: if no more are found within the exact limits in a whole space; see `initial_proposals`.
    """
    problem = history.problem
    if history.listed is None:
        return initial_proposals(problem, n, history.taken, history.round)
    rows = history.sample(n, np.random.default_rng(history.seed)).indices
    architectures = problem.space.architectures(rows)
    return [make_proposal(problem, a, history.round, rank, "initial") for rank, a in enumerate(architectures)]


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
        if suggestion.again and not (taken and history.has(row)):
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
