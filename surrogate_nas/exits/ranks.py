"""Ranks of scores and samples as bits, for comparing many thresholds at once."""

from dataclasses import dataclass

import numpy as np

from surrogate_nas.foundation.arrays import Array, Bools, Floats, Floats32, Ints

WORD_BYTES = 8
"""Bytes of the words into which samples are packed."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """Ranks of one exit's scores: comparing them is faster than comparing scores, and as exact."""

    sorted_scores: Floats
    """(N,) scores, ascending."""
    ranks: Ints
    """(N,) number of smaller scores."""

    @classmethod
    def of(cls, scores: Floats32) -> "Ranks":
        """Create from (N,) scores."""
        sorted_scores = np.sort(scores.astype(np.float64))
        return cls(sorted_scores, np.searchsorted(sorted_scores, scores).astype(np.int32))

    def passes(self, thresholds: Floats) -> Array:
        """(T, words) whether the scores reach each of (T,) thresholds, as packed bits."""
        distinct, of = np.unique(thresholds, return_inverse=True)
        smaller = np.searchsorted(self.sorted_scores, distinct).astype(np.int32)
        return pack_bits(self.ranks >= smaller[:, None])[of.ravel()]


def pack_bits(samples: Bools) -> Array:
    """Pack (…, N) booleans into (…, words) of 64 bits, padded with zeros, so that 64 samples are counted at a time."""
    bits = np.packbits(samples, axis=-1)
    padded = np.zeros((*bits.shape[:-1], -(-bits.shape[-1] // WORD_BYTES) * WORD_BYTES), dtype=np.uint8)
    padded[..., : bits.shape[-1]] = bits
    return padded.view(np.uint64)
