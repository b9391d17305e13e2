"""Overthinking: a sample that an early exit has right, and the last exit would have wrong (Kaya, Hong & Dumitras,
Shallow-deep networks, ICML 2019).

So a network may be more accurate with its early exits than without, but hardly ever is by much: most samples that an
early exit is sure of, the last one has right too. Predictions of one exit and of another err independently, and the
thresholds with the highest predicted accuracy are those where the errors of an early exit and of the last one add up.
Therefore accuracies of all samples are predicted to be at most

    a₀ + G,

with a₀ that of the last exit without the others, and G the gain that trained networks have at most.
"""

import numpy as np
from torch import Tensor

from surrogate_nas.foundation.arrays import Floats

SMALLEST = 1e-9
USUAL = 0.9
"""Share of the trained networks that gain no more than is allowed."""


def largest_gain(counts: Floats, without: Floats) -> float:
    """Largest gain of accuracy by early exits, of nine in ten networks, at the best of T settings each; at least 0.

    Args:
        counts: (n, 2, E, T) weights of the samples that left at each exit with a right answer, and with a wrong one.
        without: (n,) accuracies of the last exits on all samples.
    """
    right, everyone = counts[:, 0].sum(axis=1), counts.sum(axis=(1, 2))
    gains = (right / everyone).max(axis=1) - without
    return max(float(np.quantile(gains, USUAL)), 0.0)


def without_more(rates: Tensor, accuracy: Tensor, most: Tensor) -> Tensor:
    """(E, …) accuracies of the samples that leave, lowered in proportion until all samples together have at most an
    accuracy of (…) `most`."""
    together = (rates * accuracy).sum(0)
    return accuracy * (most / together.clamp_min(SMALLEST)).clamp_max_(1)
