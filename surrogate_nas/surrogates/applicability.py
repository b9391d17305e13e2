"""Applicability domain of a surrogate: exits, choices and costs of candidates that no trained network has.

An applicability domain is the part of the input space in which a model was trained (Netzeva et al., ATLA 33, 2005,
doi:10.1177/026119290503300209). Here it is a box: the exits and choices that some trained network has, and the range of
each cost. Cautions are facts about the trained networks, not estimates of an error.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from surrogate_nas.foundation.arrays import Bools, Floats, Ints
from surrogate_nas.space.candidates import Candidates
from surrogate_nas.space.genes import Gene, Genes

MARGIN = 0.05
"""Relative distance from the trained range within which a cost gives no caution."""


@dataclass(frozen=True, repr=False)
class ApplicabilityDomain:
    """Exits, choices and costs of the trained networks of a study."""

    genes: Genes
    trained: Candidates

    def __repr__(self) -> str:
        """Short text."""
        return f"<ApplicabilityDomain of {len(self.trained)} networks>"

    def cautions(self, candidates: Candidates) -> list[list[str]]:
        """Cautions about each of n candidates, one per exit, choice or cost outside the domain."""
        cautions: list[list[str]] = [[] for _ in range(len(candidates))]
        for i, g in np.argwhere(self._new_choices(candidates.indices)).tolist():
            cautions[i].append(self._choice_cautions[g][candidates.indices[i, g]])
        for i, text in self._cost_cautions(candidates):
            cautions[i].append(text)
        return cautions

    @property
    def untrained(self) -> list[str]:
        """Cautions about all exits and choices of the space that no trained network has."""
        return [
            self._choice_cautions[g][k]
            for g in self.genes.encoded
            for k in np.flatnonzero(~self._trained[g, : self.genes.counts[g]]).tolist()
            if self._can_apply(g)
        ]

    def _can_apply(self, g: int) -> bool:
        """Whether a gene applies with trained values of the genes that it depends on."""
        return all(self._trained[parent, list(allowed)].any() for parent, allowed in self.genes[g].needs)

    @cached_property
    def _choice_cautions(self) -> list[list[str]]:
        """Caution about each value of each gene."""
        return [[_choice_caution(gene, index) for index in range(len(gene.values))] for gene in self.genes]

    @cached_property
    def _trained(self) -> Bools:
        """(G, V) whether some trained network has each value of each gene."""
        indices, applies = self.trained.indices, self.genes.active(self.trained.indices)
        trained = np.zeros((len(self.genes), int(self.genes.counts.max())), dtype=bool)
        for g in range(len(self.genes)):
            trained[g, indices[applies[:, g], g]] = True
        return trained

    def _new_choices(self, indices: Ints) -> Bools:
        """(n, G) whether no trained network has a choice; only the first of choices that depend on each other."""
        applies, new = self.genes.active(indices), np.zeros(indices.shape, dtype=bool)
        follows = new.copy()
        for g in self.genes.encoded:
            for parent, _ in self.genes[g].needs:
                follows[:, g] |= new[:, parent] | follows[:, parent]
            new[:, g] = applies[:, g] & ~follows[:, g] & ~self._trained[g, indices[:, g]]
        return new

    def _cost_cautions(self, candidates: Candidates) -> Iterator[tuple[int, str]]:
        """Index of a candidate and caution, for each cost that is well outside the trained range."""
        low, high = self._cost_range
        costs = _costs(candidates)
        above, below = costs / high, costs / low
        for i, c in np.argwhere((above > 1 + MARGIN) | (below < 1 - MARGIN)).tolist():
            name = "parameters" if c == costs.shape[1] - 1 else f"MACs to exit {c + 1}"
            yield i, _cost_caution(name, above[i, c], below[i, c])

    @cached_property
    def _cost_range(self) -> tuple[Floats, Floats]:
        """Smallest and largest trained costs, (E + 1,) each; NaN for an exit that no trained network has."""
        costs = _costs(self.trained)
        known = np.isfinite(costs)
        low, high = np.where(known, costs, np.inf).min(axis=0), np.where(known, costs, -np.inf).max(axis=0)
        unknown = ~known.any(axis=0)
        return np.where(unknown, np.nan, low), np.where(unknown, np.nan, high)


def _costs(candidates: Candidates) -> Floats:
    """(n, E + 1) MACs to each exit, NaN where it does not exist, and parameters."""
    macs = np.where(candidates.present, candidates.cost.macs(), np.nan)
    return np.concatenate([macs, candidates.cost.parameters[:, None]], axis=1)


def _choice_caution(gene: Gene, index: int) -> str:
    """Caution about a value of a gene that no trained network has."""
    if gene.key[0] == "exit" and len(gene.key) == 2:
        return f"{gene.name} was never trained" if index == 1 else f"{gene.name} was never left out"
    value = gene.values[index]
    text = ("yes" if value else "no") if isinstance(value, bool) else str(value)
    return f"{gene.name} = {text} was never trained"


def _cost_caution(name: str, times_largest: float, times_smallest: float) -> str:
    """Caution about a cost, from its ratio to the largest and to the smallest trained one."""
    if times_largest > 1:
        return f"{name}: {times_largest:,.1f} × the largest trained"
    return f"{name}: {times_smallest:.2g} × the smallest trained"
