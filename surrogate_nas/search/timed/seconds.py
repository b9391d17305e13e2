"""Predicted seconds of trainings, from those that there were."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls

from surrogate_nas.architecture.costing import Costing
from surrogate_nas.archive.record import COMPUTED, Record
from surrogate_nas.foundation.arrays import Floats

LATEST = 64
"""Number of latest timings that predictions follow from: older ones may be from other conditions."""
MEASURING = 1 / 3
"""Work of measuring an image, relative to training on it."""


class Timing(NamedTuple):
    """Seconds of a training."""

    macs: float
    """Multiply-accumulates of the whole network."""
    passes: float
    """Image passes that were computed, those of measuring included."""
    seconds: float


@dataclass(frozen=True, slots=True)
class TrainingSeconds:
    """Seconds of a training of p image passes of a network of M multiply-accumulates: a + p (b + c M), with a, b and c
    ≥ 0 by least squares of the relative errors."""

    begin: float
    """a, seconds to begin and to end."""
    each: float
    """b, seconds of each image pass."""
    of_macs: float
    """c, seconds of each multiply-accumulate."""
    held_out: int
    """Number of images that are measured after training."""

    @classmethod
    def of(cls, timings: Sequence[Timing], held_out: int) -> "TrainingSeconds":
        """Fit to at least one timing."""
        macs, passes, seconds = (np.array(column) for column in zip(*timings[-LATEST:], strict=True))
        parts = np.stack([np.ones(len(seconds)), passes, passes * macs], axis=1)
        scale = parts.max(axis=0)
        shares, _ = nnls(parts / scale / seconds[:, None], np.ones(len(seconds)))
        begin, each, of_macs = shares / scale
        return cls(float(begin), float(each), float(of_macs), held_out)

    def __call__(self, macs: Floats, passes: Floats) -> Floats:
        """(…) predicted seconds for (…) multiply-accumulates and image passes to compute."""
        return np.asarray(self.begin + (passes + MEASURING * self.held_out) * (self.each + self.of_macs * macs))

    def paces(self, timings: Sequence[Timing]) -> Floats:
        """(n,) factors by which networks are slower than predicted: √(seconds / predicted) of a training of each.

        Half of what one training deviates by, on a logarithmic scale, is the network's; the rest was the machine's.
        """
        macs, passes, seconds = np.array(timings, dtype=np.float64).reshape(-1, 3).T
        return np.sqrt(seconds / self(macs, passes - MEASURING * self.held_out))

    def passes_in(self, seconds: float, macs: float) -> float:
        """Image passes of a training that takes so many seconds, of a network of so many multiply-accumulates."""
        each = max(self.each + self.of_macs * macs, 1e-12)
        return max((seconds - self.begin) / each - MEASURING * self.held_out, 0.0)


def timings_of(records: Sequence[Record], costing: Costing, held_out: int) -> list[Timing]:
    """Timings of the successful trainings on a ladder, in their order."""
    return [
        Timing(
            float(costing.of(r.architecture).macs()[0, -1]),
            float(r.provenance.get(COMPUTED, r.proposal.passes)) + MEASURING * held_out,
            max(r.seconds, 1e-3),
        )
        for r in records
        if r.failure is None and r.proposal.passes is not None
    ]
