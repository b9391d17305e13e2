"""Compression of scores to one byte each.

Each exit has 256 levels, the quantiles of its own scores: levels are dense where scores are, so that scores near 1 stay
distinct. Codes increase with scores, so that their order is kept, with ties.
"""

import numpy as np
import numpy.typing as npt

from surrogate_nas.foundation.arrays import Array, Floats32

Codes = npt.NDArray[np.uint8]
Levels = Floats32
LEVELS = 256


def encode_scores(scores: Floats32) -> tuple[Codes, Levels]:
    """Codes of (X, N) scores, and the (X, 256) levels that codes index, ascending; unused levels repeat the last.

    Exact for an exit with at most 256 distinct scores. Otherwise equal scores stay equal, and at any threshold fewer
    than N/256 of the N samples change sides; if all scores differ, at most half of ⌈N/256⌉.

    >>> encode_scores(np.float32([[0.5, 0.25, 0.5]]))[0].tolist()
    [[1, 0, 1]]
    """
    rows = [_encode_row(row) for row in scores]
    return np.stack([codes for codes, _ in rows]), np.stack([levels for _, levels in rows])


def decode_scores(codes: Codes, levels: Levels) -> Floats32:
    """(X, N) scores from (X, N) codes and (X, 256) levels."""
    scores = np.empty(codes.shape, dtype=np.float32)
    for code, level, row in zip(codes, levels, scores, strict=True):
        np.take(level, code, out=row, mode="clip")  # every byte is in range; "raise" would copy
    return scores


def _encode_row(row: Floats32) -> tuple[Codes, Levels]:
    """Codes and levels of one exit's (N,) scores."""
    values, of, counts = np.unique(row, return_inverse=True, return_counts=True)
    smaller = np.cumsum(counts) - counts
    of_value = np.arange(len(values)) if len(values) <= LEVELS else smaller * LEVELS // len(row)
    first = np.flatnonzero(np.diff(of_value, prepend=-1))
    levels = _medians(np.sort(row), smaller[first])
    code = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(values))))
    return code[of].astype(np.uint8), np.append(levels, np.repeat(levels[-1], LEVELS - len(levels)))


def _medians(ordered: Floats32, starts: Array) -> Levels:
    """(L,) lower medians of the runs of (N,) sorted scores that begin at (L,) indices.

    A median as the level of a run changes the side of the fewest samples, over all thresholds.
    """
    ends = np.append(starts[1:], len(ordered))
    return np.asarray(ordered[(starts + ends - 1) // 2])
