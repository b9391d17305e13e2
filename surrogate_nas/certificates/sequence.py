"""Tests of many operating points in an order fixed beforehand, so that all certificates hold together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

FIRST = 0.75
"""Share of δ that the first opening of the sealed images may spend."""


def spent(delta: float, opening: int) -> float:
    """Part of δ that an opening of the sealed images spends: 3/4 the first, then δ / (4 k (k − 1)) the k-th.

    All parts add up to δ, so the certificates of every opening hold together, however many there will be.

    Args:
        delta: δ of the study, 1 − the confidence.
        opening: number of the opening, from 1.

    >>> [round(spent(0.1, k), 4) for k in (1, 2, 3, 4)]
    [0.075, 0.0125, 0.0042, 0.0021]
    """
    return delta * FIRST if opening == 1 else delta * (1 - FIRST) / (opening * (opening - 1))


@dataclass(frozen=True, slots=True)
class Strand:
    """Hypotheses that are tested one after the other, until one is not refuted."""

    count: int
    weight: float
    """Share of δ; the weights of all strands add up to 1."""


def refuted(strands: Sequence[Strand], p_value: Callable[[int, int], float], delta: float) -> list[int]:
    """Number of hypotheses refuted in each strand; with probability 1 − δ none of them is true.

    A strand is tested at its weight of δ, each hypothesis at the whole of it (fixed sequence; Learn then Test,
    Angelopoulos et al., Annals of Applied Statistics 19, 2025; Pareto Testing, Laufer-Goldshtein et al., ICLR 2023). A
    strand that is refuted to its end passes its weight on to the next ones (the fallback procedure; Wiens & Dmitrienko,
    J. Biopharm. Statist. 15, 2005).

    Args:
        strands: in the order in which they are tested.
        p_value: p-value of the hypothesis with a number, in the strand with a number; asked for in order, and only
            where it decides.
        delta: probability that any refuted hypothesis is true.
    """
    counts, passed_on = [], 0.0
    for s, strand in enumerate(strands):
        level = delta * (strand.weight + passed_on)
        count = next((i for i in range(strand.count) if p_value(s, i) > level), strand.count)
        counts.append(count)
        passed_on = strand.weight + passed_on if count == strand.count else 0.0
    return counts
