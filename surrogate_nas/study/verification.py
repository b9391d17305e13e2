"""The front trained again with other seeds: how much of it was luck.

A front is the best of many trainings, and the best of many measurements promises too much. What networks of the front
measure with seeds that nobody chose is what to expect of training them again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.outputs import Split
from surrogate_nas.study.results import Solution


@dataclass(frozen=True, slots=True)
class Claim:
    """A solution of the front, and the same architecture with other seeds within the same expected cost."""

    solution: Solution
    again: tuple[Solution, ...]
    """One per seed that can keep the cost, each at the thresholds that are best on its own tune outputs."""


@dataclass(frozen=True, slots=True)
class Verification:
    """One architecture of the front."""

    architecture: Architecture
    claims: tuple[Claim, ...]
    """Its solutions on the front, cheapest first; at least one of them has been trained again."""
    trainings: int
    """Of this architecture in all that did not fail."""

    @property
    def _verified(self) -> Sequence[Claim]:
        return [claim for claim in self.claims if claim.again]

    def claimed(self, split: Split) -> float:
        """Mean accuracy of the solutions as the front has them."""
        return mean(_accuracy(claim.solution, split) for claim in self._verified)

    def again(self, split: Split) -> float:
        """The same with other seeds: the mean over solutions and seeds."""
        return mean(mean(_accuracy(s, split) for s in claim.again) for claim in self._verified)


def _accuracy(solution: Solution, split: Split) -> float:
    return (solution.tune if split == "tune" else solution.test).accuracy
