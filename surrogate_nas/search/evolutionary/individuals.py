"""Individuals of the published searches (an architecture with a threshold gene for each early exit), and measurements
of trained individuals.

Threshold genes are those of EDANAS (IJCNN 2023): 0.1, 0.2, or off. In a search without them, such as NACHOS, k is 0.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from surrogate_nas.archive.record import Proposal
from surrogate_nas.exits.choosing import AEBNAS_GRID
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.measurements import Measurements
from surrogate_nas.exits.operating_point import OFF
from surrogate_nas.foundation.arrays import Bools, Floats, Ints
from surrogate_nas.search.strategy import History
from surrogate_nas.space import moves
from surrogate_nas.space.candidates import keeps_exact_limits
from surrogate_nas.space.costs import cost_of_indices
from surrogate_nas.space.space import SearchSpace

GENES = np.array(AEBNAS_GRID)
"""Values of a threshold gene."""
RATE = 0.1
"""Probability that a mutation redraws a threshold gene."""
Measure = Callable[[Exits, Floats], Measurements]
"""Function that measures a network at one operating point (T = 1), given its (E − 1,) threshold genes. The measured
thresholds replace the genes."""


@dataclass(frozen=True)
class Individuals:
    """n architectures with k threshold genes each; k is E − 1, or 0."""

    rows: Ints
    """(n, G) canonical choice indices."""
    thresholds: Floats
    """(n, k) threshold genes, ∞ for off and for missing exits."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Ints | slice) -> "Individuals":
        return Individuals(self.rows[index], self.thresholds[index])

    @classmethod
    def of(cls, space: SearchSpace, rows: Ints, thresholds: Floats) -> "Individuals":
        """Build with genes of missing exits set to off, so that equal individuals have equal genes."""
        present = space.genes.present(rows)[:, : thresholds.shape[1]]
        return cls(rows, np.where(present, thresholds, OFF))

    @classmethod
    def random(cls, space: SearchSpace, rows: Ints, k: int, rng: np.random.Generator) -> "Individuals":
        """Build from (n, G) rows, with k genes drawn uniformly."""
        return cls.of(space, rows, rng.choice(GENES, size=(len(rows), k)))

    def concatenate(self, others: "Individuals") -> "Individuals":
        """Join these individuals and the others, in this order."""
        return Individuals(
            np.concatenate([self.rows, others.rows]), np.concatenate([self.thresholds, others.thresholds])
        )

    def features(self, space: SearchSpace) -> Floats:
        """(n, d + k) features in [0, 1]: encodings, then genes (0 for 0.1, a half for 0.2, 1 for off)."""
        genes = np.interp(np.minimum(self.thresholds, 1.0), [GENES[0], GENES[1], 1.0], [0.0, 0.5, 1.0])
        return np.concatenate([space.encode_indices(self.rows), genes], axis=1)

    def keys(self) -> list[bytes]:
        """Keys of the individuals; equal individuals have equal keys."""
        return [row.tobytes() + genes.tobytes() for row, genes in zip(self.rows, self.thresholds, strict=True)]

    def children(self, space: SearchSpace, left: Ints, right: Ints, rng: np.random.Generator) -> "Individuals":
        """(m,) mutated children of (m,) left and right parents, by the moves of the space.

        Each threshold gene comes from either parent; it is redrawn if that parent lacks the exit, or by mutation.
        """
        rows = moves.crossover(space.genes, self.rows[left], self.rows[right], rng)
        rows = moves.mutate(space.genes, rows, rng)
        k = self.thresholds.shape[1]
        from_left, redrawn = rng.random((len(left), k)) < 0.5, rng.random((len(left), k)) < RATE
        had = space.genes.present(self.rows)[:, :k]
        redrawn |= ~np.where(from_left, had[left], had[right])
        genes = np.where(from_left, self.thresholds[left], self.thresholds[right])
        return Individuals.of(space, rows, np.where(redrawn, rng.choice(GENES, size=genes.shape), genes))


def genes_of(proposal: Proposal) -> Floats:
    """(E − 1,) threshold genes of a proposal; if it has none, they are drawn with its seed."""
    k = proposal.architecture.positions - 1
    thresholds = (proposal.prediction or {}).get("thresholds")
    if not isinstance(thresholds, list) or len(thresholds) != k:
        return np.random.default_rng(proposal.seed).choice(GENES, size=k)
    return np.array([OFF if t is None else t for t in thresholds], dtype=np.float64)


def pending_individuals(history: History, k: int) -> Individuals:
    """Individuals in flight."""
    space, proposals = history.problem.space, history.pending
    genes = np.array([genes_of(p)[:k] for p in proposals], dtype=np.float64).reshape(len(proposals), k)
    return Individuals.of(space, space.indices([p.architecture for p in proposals]), genes)


def at_genes(exits: Exits, genes: Floats) -> Measurements:
    """Measurements at the individual's own threshold genes."""
    return exits.measure(genes[None])


@dataclass(frozen=True)
class TrainedIndividuals:
    """n trained individuals with their measurements on tune; failures are left out."""

    individuals: Individuals
    error: Floats
    """(n,) error, a fraction in [0, 1]."""
    log_cost: Floats
    """(n,) log₁₀ of the expected cost."""
    feasible: Bools
    """(n,) whether all limits are kept."""

    def __len__(self) -> int:
        return len(self.individuals)

    @classmethod
    def of(cls, history: History, measure: Measure, *, genes: bool = True, macs: bool = False) -> "TrainedIndividuals":
        """Build from all trained networks of a history.

        Args:
            history: history with the records.
            measure: function that measures each network at its thresholds.
            genes: whether individuals have threshold genes.
            macs: whether the cost is expected MACs, whatever the study minimises.
        """
        space, limits = history.problem.space, history.problem.settings.limits
        measurements = [measure(exits, genes_of(record.proposal)) for record, exits in history.trained]
        k = space.positions - 1 if genes else 0
        thresholds = np.array([m.thresholds[0, :k] for m in measurements], dtype=np.float64).reshape(
            len(measurements), k
        )
        cost = np.array([m.expected_macs[0] if macs else m.objective[0] for m in measurements], dtype=np.float64)
        error = np.array([1 - m.accuracy[0] for m in measurements], dtype=np.float64)
        feasible = np.array([m.feasible(limits)[0] for m in measurements], dtype=bool)
        rows = history.networks.indices
        return cls(Individuals.of(space, rows, thresholds), error, np.log10(cost), feasible)


def within_limits(history: History, individuals: Individuals) -> Individuals:
    """Individuals that keep the exact limits, trained or not."""
    cost = cost_of_indices(history.problem.space, individuals.rows, history.problem.costing)
    present = history.problem.space.genes.present(individuals.rows)
    return individuals[np.flatnonzero(keeps_exact_limits(cost, present, history.problem.settings.limits))]


def new_ones(history: History, individuals: Individuals) -> Individuals:
    """The first individual of each architecture that may be proposed as new, in order."""
    first: dict[bytes, int] = {}
    for i, row in enumerate(individuals.rows):
        first.setdefault(row.tobytes(), i)
    new = history.new(individuals.rows).indices
    return individuals[np.array([first[row.tobytes()] for row in new], dtype=np.int64)]


def fill_up(history: History, candidates: Individuals, q: int, rng: np.random.Generator) -> Individuals:
    """Up to q individuals: the candidates, which must be new, followed by samples."""
    if len(candidates) >= q:
        return candidates[:q]
    space, k = history.problem.space, candidates.thresholds.shape[1]
    samples = Individuals.random(space, history.sample(q + len(candidates), rng).indices, k, rng)
    return new_ones(history, candidates.concatenate(samples))[:q]
