"""The interface of search strategies: from the history of a search to the architectures to train next."""

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
"""Fits surrogates to records."""


@dataclass(frozen=True)
class History:
    """The only input of a strategy, which has no state of its own, so a resumed search continues as it would have."""

    problem: Problem
    """The search problem with the settings: limits, batch, policy."""
    records: Sequence[Record]
    """Records of trainings, failures included, in the order they were proposed."""
    taken: Sequence[Proposal]
    """All proposals so far; those without a record are in flight."""
    round: int
    """Number of the round to propose."""
    excluded: frozenset[bytes] = field(default=frozenset(), repr=False)
    """Rows of architectures that cannot be trained, such as those missing from a table."""

    @property
    def seed(self) -> int:
        """Seed of all random draws in this round."""
        return self.problem.seed_of(self.round)

    @cached_property
    def trained(self) -> list[tuple[Record, Exits]]:
        """Every record with outputs, and its exits on tune."""
        return self.problem.views.trained(self.records)

    @cached_property
    def networks(self) -> Candidates:
        """The architectures of `trained`, in its order, with encodings and exact costs."""
        return self.candidates([r.architecture for r, _ in self.trained])

    @cached_property
    def pending(self) -> list[Proposal]:
        """Proposals in flight."""
        done = {r.id for r in self.records}
        return [p for p in self.taken if p.id not in done]

    @cached_property
    def closed(self) -> set[bytes]:
        """Rows of architectures that must not be proposed as new."""
        return taken_rows(self.problem.space, [p.architecture for p in self.taken]) | self.excluded

    def candidates(self, architectures: Sequence[Architecture]) -> Candidates:
        """Candidates for architectures of the space, with encodings and exact costs."""
        return Candidates.of(self.problem.space, architectures, self.problem.costing)

    def new(self, rows: Ints) -> Candidates:
        """Candidates for (n, G) canonical rows that are distinct, not taken, and keep the exact limits, in order."""
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
    """Whether this is an architecture trained before, to be trained with another seed."""


class Strategy(Protocol):
    """A search strategy. A user's own is a function, named `package.module:function`."""

    def __call__(self, history: History, q: int) -> Sequence[Suggestion]:
        """Up to q suggestions, the same for the same history; fewer, or none, where nothing is left.

        New ones are distinct, not taken, and within the exact limits, as `History.new` and `sample` return them.
        """


def propose(strategy: Strategy, history: History, q: int) -> list[Proposal]:
    """The next proposals of a strategy, checked against its contract.

    Raises:
        JobError: for more than q, or an architecture that is taken or breaks an exact limit.
    """
    suggestions = list(strategy(history, q))
    problem = history.problem
    if len(suggestions) > q:
        raise JobError(f"the strategy suggests {len(suggestions)} architectures; asked for at most {q}")
    rows = problem.space.indices([s.architecture for s in suggestions])
    for suggestion, row in zip(suggestions, rows, strict=True):
        taken = row.tobytes() in history.closed
        if suggestion.again and (not taken or row.tobytes() in history.excluded):
            raise JobError(f"the strategy suggests to train again what has not been trained: {suggestion.architecture}")
        if not suggestion.again and taken:
            raise JobError(f"the strategy suggests what is taken already: {suggestion.architecture}")
    new = [row for suggestion, row in zip(suggestions, rows, strict=True) if not suggestion.again]
    if new and len(history.new(np.stack(new))) < len(new):
        raise JobError(f"the strategy suggests an architecture twice, or outside the limits: {problem.settings.limits}")
    return [
        make_proposal(problem, s.architecture, history.round, rank, "search", s.prediction)
        for rank, s in enumerate(suggestions)
    ]
