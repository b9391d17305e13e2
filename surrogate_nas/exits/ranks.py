"""Ranks of scores and samples as bits, for comparing many thresholds at once."""

from dataclasses import dataclass

import numpy as np

from surrogate_nas.foundation.arrays import Array, Bools, Floats, Floats32, Ints

WORD_BYTES = 8
"""Bytes of the words that samples are packed into."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """Ranks of scores, which compare faster than the scores and as exactly."""

    sorted_scores: tuple[Floats, ...]
    """Per exit (N,) scores, ascending."""
    ranks: tuple[Ints, ...]
    """Per exit (N,) how many scores are smaller."""

    @classmethod
    def of(cls, scores: Floats32) -> "Ranks":
        """From (exits, N) scores."""
        sorted_scores = tuple(np.sort(row.astype(np.float64)) for row in scores)
        ranks = (np.searchsorted(order, row) for order, row in zip(sorted_scores, scores, strict=True))
        return cls(sorted_scores, tuple(r.astype(np.int32) for r in ranks))

    def passes(self, i: int, thresholds: Floats) -> Array:
        """(T, words) packed: whether the i-th exit's scores reach each of (T,) thresholds."""
        distinct, of = np.unique(thresholds, return_inverse=True)
        smaller = np.searchsorted(self.sorted_scores[i], distinct).astype(np.int32)
        return pack_bits(self.ranks[i] >= smaller[:, None])[of.ravel()]


def pack_bits(samples: Bools) -> Array:
    """Pack (…, N) booleans into (…, words) of 64 bits, padded with zeros, so that 64 samples are counted at a time."""
    bits = np.packbits(samples, axis=-1)
    missing = -bits.shape[-1] % WORD_BYTES
    return np.pad(bits, [(0, 0)] * (bits.ndim - 1) + [(0, missing)]).view(np.uint64)
