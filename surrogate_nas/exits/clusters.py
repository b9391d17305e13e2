"""Counts of groups of samples, and the design effect: by how much groups widen an interval."""

import numpy as np

from surrogate_nas.foundation.arrays import Ints


def cell_counts(clusters: Ints, cell: Ints, cells: int) -> Ints:
    """(G, cells) samples of each group in each cell, from (N,) numbers of groups and cells."""
    groups = int(clusters.max()) + 1
    return np.bincount(clusters * cells + cell, minlength=groups * cells).reshape(groups, cells)


def design_effect(counts: Ints) -> float:
    """Variance of the shares of cells over groups drawn anew, divided by that over independent samples; at least 1.

    The variance over groups is that of a ratio, by linearisation (Kish, Survey Sampling, 1965): for one cell

        deff = [G / (G − 1) Σ_g (x_g − m_g p̂)² / n²] / [p̂ (1 − p̂) / (n − 1)]

    where x_g of the m_g samples of group g are in the cell, and the share p̂ of all; for several, both variances are
    summed over them (Rao & Scott, JASA 76, 1981). Where all samples are in one cell nothing varies; the value is then
    Σ m_g² / n, the largest there is, of groups whose samples are all alike. So it is for a single group.

    Args:
        counts: (G, cells) samples of each group in each cell.
    """
    sizes, n, groups = counts.sum(axis=1), int(counts.sum()), len(counts)
    shares = counts.sum(axis=0) / n
    independent = float((shares * (1 - shares)).sum()) / (n - 1)
    if groups == 1 or independent == 0:
        return float((sizes**2).sum() / n)
    grouped = groups / (groups - 1) * float(((counts - sizes[:, None] * shares) ** 2).sum()) / n**2
    return max(grouped / independent, 1.0)
