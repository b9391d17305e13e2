"""What a search strategy is: from everything known so far to the architectures to train next."""

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
    """What a strategy is asked with. It has no state beside this, so a resumed search goes on as it would have."""

    problem: Problem
    """What is searched, and the settings: limits, batch, policy."""
    records: Sequence[Record]
    """What came of trainings, failures too, in the order they were proposed."""
    taken: Sequence[Proposal]
    """Everything decided on; what has no record is in flight."""
    round: int
    """That is to be proposed."""
    excluded: frozenset[bytes] = field(default=frozenset(), repr=False)
    """Rows of architectures that cannot be trained, such as those missing from a table."""

    @property
    def seed(self) -> int:
        """Of all chance in this round."""
        return self.problem.seed_of(self.round)

    @cached_property
    def trained(self) -> list[tuple[Record, Exits]]:
        """Every record with outputs, and what its exits do on tune."""
        return self.problem.views.trained(self.records)

    @cached_property
    def networks(self) -> Candidates:
        """The architectures of `trained`, in its order, with encodings and exact costs."""
        return self.candidates([r.architecture for r, _ in self.trained])

    @cached_property
    def pending(self) -> list[Proposal]:
        """What is in flight."""
        done = {r.id for r in self.records}
        return [p for p in self.taken if p.id not in done]

    @cached_property
    def closed(self) -> set[bytes]:
        """Rows of architectures that are not to be proposed as new."""
        return taken_rows(self.problem.space, [p.architecture for p in self.taken]) | self.excluded

    def candidates(self, architectures: Sequence[Architecture]) -> Candidates:
        """Architectures of the space with all that is known of them untrained."""
        return Candidates.of(self.problem.space, architectures, self.problem.costing)

    def new(self, rows: Ints) -> Candidates:
        """Those of (n, G) canonical rows that are distinct, not taken, and keep the exact limits, in their order."""
        return untaken(self.problem.space, rows, self.problem.costing, self.problem.settings.limits, self.closed)

    def sample(self, most: int, rng: np.random.Generator) -> Candidates:
        """Up to so many new ones, uniform over choices; fewer where no more are found within the exact limits."""
        problem, limits = self.problem, self.problem.settings.limits
        return self.new(some_rows(problem.space, most, problem.costing, limits, rng, self.closed))


@dataclass(frozen=True)
class Suggestion:
    """An architecture to train."""

    architecture: Architecture
    prediction: Mapping[str, Any] | None = None
    """What is expected of it, and at which thresholds; kept with the proposal, as JSON."""
    again: bool = False
    """Whether it is known that it has been trained, and is to be trained with another seed."""


class Strategy(Protocol):
    """Anything that suggests. A user's own is a function, named `package.module:function`."""

    def __call__(self, history: History, q: int) -> Sequence[Suggestion]:
        """Up to q suggestions, the same for the same history; fewer, or none, where nothing is left.

        What is new is distinct, not taken, and within the exact limits, as `History.new` and `sample` give it.
        """


def propose(strategy: Strategy, history: History, q: int) -> list[Proposal]:
    """The next trainings, held against what strategies promise.

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
