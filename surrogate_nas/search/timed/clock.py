"""Time that is left, and what trainings are predicted to take of it."""

from dataclasses import dataclass

import numpy as np

from surrogate_nas.archive.record import Proposal
from surrogate_nas.foundation.arrays import Floats
from surrogate_nas.search.timed.seconds import TrainingSeconds


@dataclass(frozen=True)
class Clock:
    """Time that is left for trainings, and what they are predicted to take."""

    left: float
    """Seconds in which trainings have to end."""
    total: float
    """Seconds of the whole search by time."""
    workers: int
    """Number of trainings at a time."""
    seconds: TrainingSeconds
    top: int
    """Number of the rung that networks are to be trained to, from 1."""

    def steps(self, work: Floats, rungs: tuple[int, ...]) -> Floats:
        """(n, top) predicted seconds of training n networks from each rung to the next.

        Args:
            work: (n, 2) work of the networks; see `seconds.Work`.
            rungs: (R,) image passes of the ladder.
        """
        passes = np.diff(np.array([0, *rungs[: self.top]], dtype=np.float64))
        return self.seconds(work[:, None], passes[None])


@dataclass(frozen=True)
class Step:
    """A training to carry out: of a new network, or of one that goes on."""

    proposal: Proposal
    seconds: float
    """Predicted seconds."""
