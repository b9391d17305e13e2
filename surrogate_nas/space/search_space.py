"""The search space: genes, their vector encoding, and moves from one architecture to others.

Inside, n architectures are an (n, G) integer matrix of *choice indices*, one column per gene. A gene may hang on
another (an expansion on an inverted block, a branch on its exit); a gene that does not apply holds index 0, so that
equal architectures have equal rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate_nas.errors import InputError
from surrogate_nas.space.architecture import Architecture, Branch, Stage
from surrogate_nas.space.columns import Bools, Columns, Ints
from surrogate_nas.space.spec import SpaceSpec

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Gene:
    """One choice of the space."""

    name: str
    values: tuple[int | str, ...]
    group: int
    """Genes of one group (the stem, a stage, an exit with its branch) cross over together."""
    parent: int | None = None
    """The gene it hangs on, or `None`."""
    when: tuple[int, ...] = ()
    """Indices of the parent's values under which this gene applies."""


def _genes(spec: SpaceSpec) -> tuple[Gene, ...]:
    genes = [Gene("stem width", spec.stem.width, 0), Gene("stem stride", spec.stem.stride, 0)]
    for s, stage in enumerate(spec.stages, start=1):
        group, block = genes[-1].group + 1, len(genes)
        inverted = tuple(i for i, b in enumerate(stage.block) if b == "inverted")
        genes += [
            Gene(f"stage {s} block", stage.block, group),
            Gene(f"stage {s} depth", stage.depth, group),
            Gene(f"stage {s} width", stage.width, group),
            Gene(f"stage {s} kernel", stage.kernel, group),
            Gene(f"stage {s} expansion", stage.expansion, group, block, inverted),
        ]
        if s == len(spec.stages):
            break
        exit_, depth = len(genes), len(genes) + 1
        layered = tuple(i for i, d in enumerate(spec.branch.depth) if d > 0)
        genes += [
            Gene(f"exit {s}", (0, 1), group + 1),
            Gene(f"exit {s} depth", spec.branch.depth, group + 1, exit_, (1,)),
            Gene(f"exit {s} layer", spec.branch.layer, group + 1, depth, layered),
            Gene(f"exit {s} channels", spec.branch.channels, group + 1, depth, layered),
            Gene(f"exit {s} pool", spec.branch.pool, group + 1, depth, layered),
        ]
    return tuple(genes)


_STEM_GENES, _STAGE_GENES, _EXIT_GENES = 2, 5, 5
_STRIDE_OF_GROUPS = _STAGE_GENES + _EXIT_GENES


@dataclass(frozen=True)
class SearchSpace:
    """Architectures that a `SpaceSpec` allows.

    >>> from surrogate_nas.space import preset
    >>> space = SearchSpace(preset("tiny"))
    >>> a, b = space.sample(2, np.random.default_rng(0))
    >>> space.decode(space.encode([a, b])) == [a, b]
    True
    """

    spec: SpaceSpec

    @cached_property
    def genes(self) -> tuple[Gene, ...]:
        """Every choice, single-valued ones included; a gene stands after the one it hangs on."""
        return _genes(self.spec)

    @property
    def positions(self) -> int:
        """Exit positions E, the final classifier's included."""
        return len(self.spec.stages)

    @cached_property
    def encoded_genes(self) -> tuple[int, ...]:
        """Indices of the genes that the vector encoding has a coordinate for: those with a real choice."""
        return tuple(g for g, gene in enumerate(self.genes) if len(gene.values) > 1 and self._can_apply(g))

    @property
    def dimension(self) -> int:
        """Length d of the vector encoding."""
        return len(self.encoded_genes)

    def _can_apply(self, gene: int) -> bool:
        parent = self.genes[gene].parent
        return parent is None or (bool(self.genes[gene].when) and self._can_apply(parent))

    @cached_property
    def size(self) -> int:
        """Number of distinct architectures."""
        below: list[list[int]] = [[1] * len(gene.values) for gene in self.genes]
        total = 1
        for g in reversed(range(len(self.genes))):
            count, parent = sum(below[g]), self.genes[g].parent
            if parent is None:
                total *= count
            else:
                for value in self.genes[g].when:
                    below[parent][value] *= count
        return total

    # ------------------------------------------------------------------ indices

    def active(self, indices: Ints) -> Bools:
        """(n, G): which genes apply."""
        active = np.ones(indices.shape, dtype=bool)
        for g, gene in enumerate(self.genes):
            if gene.parent is not None:
                active[:, g] = active[:, gene.parent] & np.isin(indices[:, gene.parent], gene.when)
        return active

    def canonical(self, indices: Ints) -> Ints:
        """(n, G) with index 0 in every gene that does not apply."""
        return np.where(self.active(indices), indices, 0)

    def indices(self, architectures: Sequence[Architecture]) -> Ints:
        """(n, G) choice indices.

        Raises:
            InputError: naming the part that is not a choice of this space, and the choices.
        """
        return np.array([self._row(a) for a in architectures], dtype=np.int64).reshape(-1, len(self.genes))

    def _row(self, architecture: Architecture) -> list[int]:
        if architecture.positions != self.positions:
            raise InputError(
                f"space {self.spec.name!r} has {self.positions} stages, the encoding has {architecture.positions}"
            )
        values: list[int | str | None] = [architecture.stem_width, architecture.stem_stride]
        for s, stage in enumerate(architecture.stages):
            if stage.stride != self.spec.stages[s].stride:
                raise InputError(f"stage {s + 1} stride {stage.stride} is not one of {self.spec.stages[s].stride}")
            expansion = stage.expansion if stage.block == "inverted" else None
            values += [stage.block, stage.depth, stage.width, stage.kernel, expansion]
            if s < self.positions - 1:
                values += _branch_values(architecture.branches[s])
        return [self._index(g, value) for g, value in enumerate(values)]

    def _index(self, gene: int, value: int | str | None) -> int:
        if value is None:
            return 0
        choices = self.genes[gene].values
        if value not in choices:
            allowed = ", ".join(str(v) for v in choices)
            raise InputError(f"{self.genes[gene].name} {value} is not one of {allowed} in space {self.spec.name!r}")
        return choices.index(value)

    def architectures(self, indices: Ints) -> list[Architecture]:
        """The architectures of (n, G) choice indices."""
        return [
            self._architecture([gene.values[i] for gene, i in zip(self.genes, row, strict=True)]) for row in indices
        ]

    def _architecture(self, values: Sequence[Any]) -> Architecture:
        stages: list[Stage] = []
        branches: list[Branch | None] = []
        for s, spec in enumerate(self.spec.stages):
            start = _STEM_GENES + s * _STRIDE_OF_GROUPS
            block, depth, width, kernel, expansion = values[start : start + _STAGE_GENES]
            stages.append(Stage(block, depth, width, kernel, expansion, spec.stride))
            if s < self.positions - 1:
                exists, *branch = values[start + _STAGE_GENES : start + _STRIDE_OF_GROUPS]
                branches.append(Branch(*branch) if exists else None)
        return Architecture(int(values[0]), int(values[1]), tuple(stages), tuple(branches))

    def columns(self, indices: Ints) -> Columns:
        """What the cost model reads, without building an architecture."""
        values = [np.array([v if isinstance(v, int) else 0 for v in gene.values])[indices[:, g]]
                  for g, gene in enumerate(self.genes)]  # fmt: skip
        S = self.positions
        stage = [_STEM_GENES + s * _STRIDE_OF_GROUPS for s in range(S)]
        exit_ = [start + _STAGE_GENES for start in stage[:-1]]

        def stack(starts: list[int], offset: int) -> Ints:
            if not starts:
                return np.zeros((len(indices), 0), dtype=np.int64)
            return np.stack([values[start + offset] for start in starts], axis=1)

        def chosen(starts: list[int], offset: int, word: str) -> Bools:
            flags = [np.array([v == word for v in self.genes[start + offset].values])[indices[:, start + offset]]
                     for start in starts]  # fmt: skip
            return np.stack(flags, axis=1) if flags else np.zeros((len(indices), 0), dtype=bool)

        inverted = chosen(stage, 0, "inverted")
        strides = np.broadcast_to([s.stride for s in self.spec.stages], inverted.shape).astype(np.int64)
        return Columns(
            values[0], values[1], inverted, stack(stage, 1), stack(stage, 2), stack(stage, 3),
            np.where(inverted, stack(stage, 4), 1), strides,
            stack(exit_, 0).astype(bool), stack(exit_, 1), chosen(exit_, 2, "separable"),
            stack(exit_, 3), stack(exit_, 4),
        )  # fmt: skip

    # ------------------------------------------------------------------ vectors

    def encode_indices(self, indices: Ints) -> Floats:
        """(n, d) in [0, 1]: each choice's rank divided by the last rank; 0 where a gene does not apply."""
        spread = np.array([len(self.genes[g].values) - 1 for g in self.encoded_genes], dtype=np.float64)
        return indices[:, list(self.encoded_genes)] / spread

    def encode(self, architectures: Sequence[Architecture]) -> Floats:
        """(n, d) vector encodings in [0, 1]. Raises `InputError` for an architecture outside the space."""
        return self.encode_indices(self.indices(architectures))

    def decode_indices(self, X: Floats) -> Ints:
        """(n, G) choice indices nearest to (n, d) vectors.

        Raises:
            InputError: for a wrong number of coordinates, or one outside [0, 1].
        """
        X = np.asarray(X, dtype=np.float64)
        if X.ndim != 2 or X.shape[1] != self.dimension:
            raise InputError(f"space {self.spec.name!r} has encodings of shape (n, {self.dimension}), got {X.shape}")
        if not ((X >= 0) & (X <= 1)).all():
            raise InputError(f"encodings lie in [0, 1], got {X[~((X >= 0) & (X <= 1))][0]}")
        indices = np.zeros((len(X), len(self.genes)), dtype=np.int64)
        for column, g in enumerate(self.encoded_genes):
            indices[:, g] = np.rint(X[:, column] * (len(self.genes[g].values) - 1))
        return self.canonical(indices)

    def decode(self, X: Floats) -> list[Architecture]:
        """Architectures nearest to (n, d) vectors; raises as `decode_indices`."""
        return self.architectures(self.decode_indices(X))

    def parse(self, text: str) -> Architecture:
        """An architecture from its text form, or from its vector as numbers between commas.

        Raises:
            InputError: for anything else, and for an architecture outside the space.
        """
        if "/" in text:
            architecture = Architecture.parse(text)
            self.indices([architecture])
            return architecture
        try:
            vector = [float(word) for word in text.strip().strip("[]").split(",")]
        except ValueError:
            raise InputError(f"encoding {text.strip()!r} is neither a text form nor numbers between commas") from None
        return self.decode(np.array([vector]))[0]

    # ------------------------------------------------------------------ moves

    def sample_indices(self, n: int, rng: np.random.Generator) -> Ints:
        """(n, G) canonical rows, each gene uniform over its values; rows may repeat."""
        return self.canonical(self._draw(n, rng))

    def _draw(self, n: int, rng: np.random.Generator) -> Ints:
        """(n, G) uniform values in every gene, also where one does not apply."""
        return np.stack([rng.integers(len(gene.values), size=n) for gene in self.genes], axis=1)

    def sample(self, n: int, rng: np.random.Generator) -> list[Architecture]:
        """n distinct architectures.

        Raises:
            InputError: if the space has fewer.
        """
        if not 0 <= n <= self.size:
            raise InputError(f"cannot sample {n} distinct architectures; space {self.spec.name!r} has {self.size}")
        seen: dict[bytes, Ints] = {}
        while len(seen) < n:
            for row in self.sample_indices(n - len(seen), rng):
                seen.setdefault(row.tobytes(), row)
        return self.architectures(np.stack(list(seen.values()))) if n else []

    def mutate_indices(self, indices: Ints, rng: np.random.Generator, rate: float = 0.1) -> Ints:
        """Each gene redrawn with probability `rate`, and one gene that applies changed for certain.

        Genes that a change makes apply are drawn uniformly.
        """
        applies = self.active(indices)
        redrawn = np.where(applies & (rng.random(indices.shape) >= rate), indices, self._draw(len(indices), rng))
        can_change = applies & np.isin(np.arange(len(self.genes)), self.encoded_genes)
        gene = np.argmax(np.where(can_change, rng.random(indices.shape), -1.0), axis=1)
        choices = np.array([len(gene.values) for gene in self.genes])[gene]
        rows = np.arange(len(indices))
        step = rng.integers(1, np.maximum(choices, 2))
        redrawn[rows, gene] = (indices[rows, gene] + step) % choices
        return self.canonical(redrawn)

    def crossover_indices(self, left: Ints, right: Ints, rng: np.random.Generator) -> Ints:
        """Each group of genes from either parent, so that an exit and its branch move together."""
        groups = np.array([gene.group for gene in self.genes])
        from_left = rng.random((len(left), groups.max() + 1)) < 0.5
        return self.canonical(np.where(from_left[:, groups], left, right))

    def neighbor_indices(self, row: Ints) -> Ints:
        """(k, G): every row that differs from this (G,) row in one gene, genes that this makes apply being free.

        The relation is symmetric, and never holds between a row and itself.
        """
        was = self.active(row[None])[0]
        found: list[Ints] = []
        for g in self.encoded_genes:
            for value in range(len(self.genes[g].values)) if was[g] else ():
                if value != row[g]:
                    changed = row.copy()
                    changed[g] = value
                    found += self._completions(changed, was, 0)
        return np.stack(found) if found else np.zeros((0, len(self.genes)), dtype=np.int64)

    def _completions(self, row: Ints, was: Bools, start: int) -> Iterator[Ints]:
        row = self.canonical(row[None])[0]
        active = self.active(row[None])[0]
        fresh = next((g for g in range(start, len(row)) if active[g] and not was[g]), None)
        if fresh is None:
            yield row
            return
        for value in range(len(self.genes[fresh].values)):
            row[fresh] = value
            yield from self._completions(row.copy(), was, fresh + 1)

    def mutate(self, architecture: Architecture, rng: np.random.Generator, rate: float = 0.1) -> Architecture:
        """Another architecture of the space; see `mutate_indices`."""
        return self.architectures(self.mutate_indices(self.indices([architecture]), rng, rate))[0]

    def crossover(self, left: Architecture, right: Architecture, rng: np.random.Generator) -> Architecture:
        """A child of two architectures; see `crossover_indices`."""
        return self.architectures(self.crossover_indices(self.indices([left]), self.indices([right]), rng))[0]

    def neighbors(self, architecture: Architecture) -> list[Architecture]:
        """All architectures one gene away; see `neighbor_indices`."""
        return self.architectures(self.neighbor_indices(self.indices([architecture])[0]))


def _branch_values(branch: Branch | None) -> list[int | str | None]:
    if branch is None:
        return [0, None, None, None, None]
    if branch.depth == 0:
        return [1, 0, None, None, None]
    return [1, branch.depth, branch.layer, branch.channels, branch.pool]
