"""Predicted seconds of trainings, from those that there were.

Multiply-accumulates do not tell how long a network takes: of two with as many, the one with depthwise convolutions and
wide layers takes up to four times as long to train, since every output is written to memory and read. The number of
activations tells the rest (Radosavovic et al., CVPR 2020, arXiv 2003.13678).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np
from scipy.optimize import nnls

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.architecture.costing import Costing
from surrogate_nas.architecture.units import AnyUnit
from surrogate_nas.archive.record import COMPUTED, Record
from surrogate_nas.foundation.arrays import Floats

LATEST = 64
"""Number of latest timings that predictions follow from: older ones may be from other conditions."""
MEASURING = 1 / 3
"""Work of measuring an image, relative to training on it."""
REWEIGHTINGS = 4
"""Fits of the seconds; in each, errors are relative to the prediction of the one before."""


class Work(NamedTuple):
    """Work of an image pass through a whole network."""

    macs: float
    """Multiply-accumulates."""
    activations: float
    """Elements of all layers' outputs."""


@dataclass(frozen=True, slots=True)
class Activations:
    """Elements of all layers' outputs, as a cost model."""

    name: ClassVar[str] = "activations"

    def cost(self, unit: AnyUnit) -> float:
        """Elements of a unit."""
        return float(unit.activations)


def work_of(architectures: Sequence[Architecture], costing: Costing) -> Floats:
    """(n, 2) work of architectures; see `Work`."""
    counting = replace(costing, model=Activations(), charge_heads="all")
    rows = np.zeros((len(architectures), 2))
    for row, architecture in zip(rows, architectures, strict=True):
        cost = counting.of(architecture)
        activations = cost.others()
        assert activations is not None
        row[:] = cost.macs()[0, -1], activations[0, -1]
    return rows


class Timing(NamedTuple):
    """Seconds of a training."""

    work: Work
    passes: float
    """Image passes that were computed, those of measuring included."""
    seconds: float


@dataclass(frozen=True, slots=True)
class TrainingSeconds:
    """Seconds of a training of p image passes of a network of M multiply-accumulates and A activations:
    a + p (b + c M + d A), with coefficients ≥ 0."""

    begin: float
    """a, seconds to begin and to end."""
    each: float
    """b, seconds of each image pass."""
    of_macs: float
    """c, seconds of each multiply-accumulate."""
    of_activations: float
    """d, seconds of each activation."""
    held_out: int
    """Number of images that are measured after training."""

    @classmethod
    def of(cls, timings: Sequence[Timing], held_out: int) -> "TrainingSeconds":
        """Fit to at least one timing, by least squares of the errors relative to the predictions: relative to the
        seconds, they would be predicted too short."""
        timings = timings[-LATEST:]
        work = np.array([timing.work for timing in timings])
        passes, seconds = (np.array(column) for column in zip(*[t[1:] for t in timings], strict=True))
        parts = np.column_stack([np.ones(len(seconds)), passes, passes[:, None] * work])
        scale = parts.max(axis=0)
        scale[scale == 0] = 1.0
        parts, predicted = parts / scale, seconds
        for _ in range(REWEIGHTINGS):
            shares, _ = nnls(parts / predicted[:, None], seconds / predicted)
            predicted = parts @ shares
        begin, each, of_macs, of_activations = (float(part) for part in shares / scale)
        return cls(begin, each, of_macs, of_activations, held_out)

    def each_pass(self, work: Floats) -> Floats:
        """(…) seconds of an image pass for (…, 2) work."""
        return np.asarray(self.each + work @ np.array([self.of_macs, self.of_activations]))

    def __call__(self, work: Floats, passes: Floats) -> Floats:
        """(…) predicted seconds for (…, 2) work and (…) image passes to compute."""
        return np.asarray(self.begin + (passes + MEASURING * self.held_out) * self.each_pass(work))

    def paces(self, timings: Sequence[Timing]) -> Floats:
        """(n,) factors by which networks are slower than predicted: √(seconds / predicted) of a training of each.

        Half of what one training deviates by, on a logarithmic scale, is the network's; the rest was the machine's.
        """
        work = np.array([timing.work for timing in timings]).reshape(-1, 2)
        passes, seconds = np.array([timing[1:] for timing in timings]).reshape(-1, 2).T
        return np.sqrt(seconds / self(work, passes - MEASURING * self.held_out))

    def passes_in(self, seconds: float, work: Floats) -> float:
        """Image passes of a training that takes so many seconds, of the median of networks of (n, 2) work."""
        each = max(float(np.median(self.each_pass(work))), 1e-12)
        return max((seconds - self.begin) / each - MEASURING * self.held_out, 0.0)


def timings_of(records: Sequence[Record], costing: Costing, held_out: int) -> list[Timing]:
    """Timings of the successful trainings on a ladder, in their order."""
    timed = [r for r in records if r.failure is None and r.proposal.passes is not None]
    return [
        Timing(
            Work(*work),
            float(record.provenance.get(COMPUTED, record.proposal.passes)) + MEASURING * held_out,
            max(record.seconds, 1e-3),
        )
        for record, work in zip(timed, work_of([r.architecture for r in timed], costing), strict=True)
    ]
