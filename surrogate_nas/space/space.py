"""The search space: genes, their vector encoding, and moves from one architecture to others.

Inside, n architectures are an (n, G) integer matrix of *choice indices*, one column per gene. A gene may hang on
others (an expansion on an inverted block, a branch on its exit); a gene that does not apply holds index 0, so that
equal architectures have equal rows.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from surrogate_nas.architecture.architecture import FLOAT_BITS, Architecture, Backbone, Segment, Stage, Stem
from surrogate_nas.architecture.branches import Branch
from surrogate_nas.foundation.arrays import Bools, Floats, Ints
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.space.genes import MOST_SETTINGS, Chosen, Gene, Key, Value, genes_of, name_of
from surrogate_nas.space.parts import exit_values, make_branch, make_stage, make_stem, stage_values
from surrogate_nas.space.spec import SpaceSpec

LONGEST_ENCODING = 4000
"""Characters; those of the presets have a few hundred."""


@dataclass(frozen=True)
class SearchSpace:
    """Architectures that a `SpaceSpec` allows.

    >>> from surrogate_nas.space.spec import preset
    >>> space = SearchSpace(preset("tiny"))
    >>> a, b = space.sample(2, np.random.default_rng(0))
    >>> space.decode(space.encode([a, b])) == [a, b]
    True
    """

    spec: SpaceSpec

    @cached_property
    def genes(self) -> tuple[Gene, ...]:
        """Every choice; a gene stands after those it hangs on."""
        return genes_of(self.spec)

    @cached_property
    def at(self) -> Mapping[Key, int]:
        """Where each gene is."""
        return {gene.key: g for g, gene in enumerate(self.genes)}

    @property
    def positions(self) -> int:
        """Exit positions E, the final classifier's included."""
        return self.spec.positions

    @cached_property
    def exit_genes(self) -> dict[int, int]:
        """Of each position that may have an early exit, the gene that says whether it has."""
        return {e: self.at["exit", e] for e in self.spec.exit_places}

    @cached_property
    def encoded_genes(self) -> tuple[int, ...]:
        """Indices of the genes that the vector encoding has a coordinate for: those with a real choice."""
        return tuple(g for g, gene in enumerate(self.genes) if len(gene.values) > 1 and self._can_apply(g))

    @property
    def gene_kinds(self) -> tuple[Literal["ordinal", "nominal"], ...]:
        """(d,) of the encoded genes: names are nominal, numbers and what is there or not are ordinal."""
        named = [any(isinstance(v, str) for v in self.genes[g].values) for g in self.encoded_genes]
        return tuple("nominal" if name else "ordinal" for name in named)

    @property
    def dimension(self) -> int:
        """Length d of the vector encoding."""
        return len(self.encoded_genes)

    def _can_apply(self, gene: int) -> bool:
        return all(allowed and self._can_apply(parent) for parent, allowed in self.genes[gene].needs)

    @cached_property
    def size(self) -> int:
        """Number of distinct architectures."""
        total = 1
        exits = set(self.exit_genes.values())
        for group in self._independent_groups:
            if not exits & set(group):
                total *= self._count(group)
        return total * self._count_exits()

    @cached_property
    def _independent_groups(self) -> list[list[int]]:
        """Genes that hang on each other, directly or not."""
        of = list(range(len(self.genes)))
        for g, gene in enumerate(self.genes):
            for parent, _ in gene.needs:
                old, new = of[g], of[parent]
                of = [new if root == old else root for root in of]
        return [[g for g, root in enumerate(of) if root == r] for r in sorted(set(of))]

    def _count(self, group: Sequence[int], fixed: Mapping[int, int] | None = None) -> int:
        """Distinct canonical settings of a group of genes."""

        def below(place: int, chosen: dict[int, int]) -> int:
            if place == len(group):
                return 1
            g = group[place]
            if not all(chosen[parent] in allowed for parent, allowed in self.genes[g].needs):
                return below(place + 1, {**chosen, g: -1})
            if not any(g == parent for h in group for parent, _ in self.genes[h].needs):  # nothing hangs on it
                return len(self.genes[g].values) * below(place + 1, {**chosen, g: 0})
            values = [fixed[g]] if fixed and g in fixed else range(len(self.genes[g].values))
            return sum(below(place + 1, {**chosen, g: v}) for v in values)

        return below(0, {})

    def _count_exits(self) -> int:
        """Settings of all exits together, of which a number must be there."""
        with_exits = [1]  # entry k: settings with k exits
        for gene in self.exit_genes.values():
            group = next(group for group in self._independent_groups if gene in group)
            there = self._count(group, {gene: 1}) if len(group) > 1 else 1
            longer = [*with_exits, 0]
            with_exits = [a + there * b for a, b in zip(longer, [0, *with_exits], strict=True)]
        return sum(with_exits[self.spec.exits.at_least :])

    # ------------------------------------------------------------------ indices

    def active(self, indices: Ints) -> Bools:
        """(n, G): which genes apply."""
        active = np.ones(indices.shape, dtype=bool, order="F")
        for g, gene in enumerate(self.genes):
            for parent, allowed in gene.needs:
                fits = np.isin(np.arange(len(self.genes[parent].values)), allowed)
                active[:, g] &= active[:, parent] & fits[indices[:, parent]]
        return active

    def canonical(self, indices: Ints) -> Ints:
        """(n, G) with index 0 in every gene that does not apply."""
        return np.where(self.active(indices), indices, 0)

    def valid(self, indices: Ints) -> Bools:
        """(n,) whether there are as many early exits as there must be."""
        if self.spec.exits.at_least == 0:
            return np.ones(len(indices), dtype=bool)
        return np.asarray(indices[:, list(self.exit_genes.values())].sum(axis=1) >= self.spec.exits.at_least)

    def present(self, indices: Ints) -> Bools:
        """(n, E): which exits exist; the last always does."""
        present = np.zeros((len(indices), self.positions), dtype=bool)
        present[:, -1] = True
        for e, gene in self.exit_genes.items():
            present[:, e] = indices[:, gene] == 1
        return present

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
        given = self._values(architecture)
        row = [self._index(gene, given.pop(gene.key, None)) for gene in self.genes]
        for key, value in given.items():  # what the space fixes
            allowed = self._fixed.get(key)
            if value is not None and value != allowed:
                raise InputError(f"{name_of(key)} {value} is not one of {allowed} in space {self.spec.name!r}")
        if not self.valid(np.array([row]))[0]:
            raise InputError(
                f"space {self.spec.name!r} has at least {self.spec.exits.at_least} early exits, the encoding has fewer"
            )
        return row

    def _index(self, gene: Gene, value: Value | None) -> int:
        if value is None:
            return 0
        if value not in gene.values:
            allowed = ", ".join(str(v) for v in gene.values)
            raise InputError(f"{gene.name} {value} is not one of {allowed} in space {self.spec.name!r}")
        return gene.values.index(value)

    def _values(self, architecture: Architecture) -> dict[Key, Value | None]:
        """What an architecture says of every gene and of everything that a space may fix; `None` does not apply."""
        values: dict[Key, Value | None] = {
            ("resolution",): architecture.resolution,
            ("bits",): architecture.bits or FLOAT_BITS,
            ("classifier",): None if self.spec.backbone else str(architecture.classifier),
        }
        stem = architecture.stem
        if isinstance(stem, Stem):
            values |= {("stem", name): getattr(stem, name) for name in ("width", "stride", "block", "activation")}
        else:
            values |= {("backbone",): str(stem)}
        for s, stage in enumerate(architecture.stages):
            values |= stage_values(s, stage, self.at)
            if s < self.positions - 1:
                values |= exit_values(s, architecture.branches[s], self.spec)
        return values

    @cached_property
    def _fixed(self) -> dict[Key, Value]:
        """What no gene chooses."""
        spec = self.spec
        fixed: dict[Key, Value] = {("classifier",): spec.classifier, ("bits",): spec.bits[0]}
        if spec.resolution:
            fixed["resolution",] = spec.resolution[0]
        if spec.stem:
            fixed |= {("stem", "block"): spec.stem.block, ("stem", "activation"): spec.stem.activation}
        if spec.backbone:
            fixed["backbone",] = str(self._backbone)
            fixed |= {("segment", s): segment.name for s, segment in enumerate(spec.backbone.segments)}
        for s, stage in enumerate(spec.stages):
            fixed |= {
                ("stage", s, "stride"): stage.stride,
                ("stage", s, "squeeze"): stage.squeeze[0],
                ("stage", s, "activation"): stage.activation[0],
            }
        if spec.branch.kind == "gated":
            fixed |= {("exit", e, "channels"): ".".join(map(str, spec.branch.channels)) for e in spec.exit_places}
        return fixed

    @property
    def _backbone(self) -> Backbone:
        assert self.spec.backbone is not None
        return Backbone(self.spec.backbone.factory, self.spec.backbone.frozen)

    def architectures(self, indices: Ints) -> list[Architecture]:
        """The architectures of (n, G) choice indices."""
        return [self._architecture(row) for row in indices.tolist()]

    def chosen(self, row: Sequence[int]) -> Chosen:
        """What a row of choice indices says of any key: by its gene, or because the space fixes it."""
        genes, at, fixed = self.genes, self.at, self._fixed
        return lambda *key: genes[at[key]].values[row[at[key]]] if key in at else fixed.get(key)

    def _architecture(self, row: Sequence[int]) -> Architecture:
        spec, chosen = self.spec, self.chosen(row)
        branches: list[Branch | None] = []
        for e in range(self.positions - 1):
            there = e in self.exit_genes and row[self.exit_genes[e]] == 1
            branches.append(make_branch(spec.branch, e, chosen) if there else None)
        stages: Iterable[Stage | Segment]
        if spec.backbone:
            stages = (Segment(segment.name) for segment in spec.backbone.segments)
        else:
            stages = (make_stage(s, stage, chosen) for s, stage in enumerate(spec.stages))
        stem, bits = self._backbone if spec.backbone else make_stem(chosen), chosen("bits")
        return Architecture(
            stem,
            tuple(stages),
            tuple(branches),
            spec.last_branch,
            chosen("resolution"),
            None if bits == FLOAT_BITS else bits,
        )

    # ------------------------------------------------------------------ vectors

    def encode_indices(self, indices: Ints) -> Floats:
        """(n, d) in [0, 1]: each choice's rank divided by the last rank; 0 where a gene does not apply."""
        return indices[:, list(self.encoded_genes)] / self._spread

    def encode(self, architectures: Sequence[Architecture]) -> Floats:
        """(n, d) vector encodings in [0, 1]. Raises `InputError` for an architecture outside the space."""
        return self.encode_indices(self.indices(architectures))

    def decode_indices(self, X: Floats) -> Ints:
        """(n, G) choice indices nearest to (n, d) vectors.

        Raises:
            InputError: for a wrong number of coordinates, or one outside [0, 1].
        """
        X = np.asarray(X, dtype=np.float64)
        self.check_encodings(X)
        return self._with_enough_exits(X, self.canonical(self.nearest_indices(X)))

    def check_encodings(self, X: Floats) -> None:
        """Raise `InputError` for a wrong number of coordinates, or one outside [0, 1]."""
        if X.ndim != 2 or X.shape[1] != self.dimension:
            raise InputError(f"space {self.spec.name!r} has encodings of shape (n, {self.dimension}), got {X.shape}")
        if not ((X >= 0) & (X <= 1)).all():
            raise InputError(f"encodings lie in [0, 1], got {X[~((X >= 0) & (X <= 1))][0]}")

    def nearest_indices(self, X: Floats) -> Ints:
        """(n, G) index of the nearest choice of each gene, also where it does not apply; coordinates are trusted."""
        indices = np.zeros((len(X), len(self.genes)), dtype=np.int64, order="F")
        nearest = np.rint(X * self._spread)
        for column, g in enumerate(self.encoded_genes):
            indices[:, g] = nearest[:, column]
        return indices

    @cached_property
    def _spread(self) -> Floats:
        """(d,) last index of each encoded gene."""
        return np.array([len(self.genes[g].values) - 1 for g in self.encoded_genes], dtype=np.float64)

    def _with_enough_exits(self, X: Floats, indices: Ints) -> Ints:
        """Rows with too few early exits get those whose coordinates come nearest to being on."""
        short = np.flatnonzero(~self.valid(indices))
        if len(short) == 0:
            return indices
        genes = list(self.exit_genes.values())
        order = np.argsort(-X[short][:, [self.encoded_genes.index(g) for g in genes]], axis=1, kind="stable")
        free = self.nearest_indices(X[short])
        for k in range(self.spec.exits.at_least):
            free[np.arange(len(short)), np.array(genes)[order[:, k]]] = 1
        indices[short] = self.canonical(free)
        return indices

    def decode(self, X: Floats) -> list[Architecture]:
        """Architectures nearest to (n, d) vectors; raises as `decode_indices`."""
        return self.architectures(self.decode_indices(X))

    def parse(self, text: str) -> Architecture:
        """An architecture from its text form, or from its vector as numbers between commas.

        Raises:
            InputError: for anything else, and for an architecture outside the space.
        """
        return self.parse_with_row(text)[0]

    def parse_with_row(self, text: str) -> tuple[Architecture, list[int]]:
        """The same with its G choice indices, which parsing finds anyway."""
        if len(text) > LONGEST_ENCODING:
            raise InputError(f"an encoding has at most {LONGEST_ENCODING:,} characters, got {len(text):,}")
        if "/" in text:
            architecture = Architecture.parse(text)
            return architecture, self._row(architecture)
        try:
            vector = [float(word) for word in text.strip().strip("[]").split(",")]
        except ValueError:
            raise InputError(f"encoding {text.strip()!r} is neither a text form nor numbers between commas") from None
        row = self.decode_indices(np.array([vector]))[0].tolist()
        return self._architecture(row), row

    @cached_property
    def everything(self) -> Ints | None:
        """(size, G) every canonical row; `None` for a space with too many settings of its genes to try them all."""
        counts = [len(gene.values) for gene in self.genes]
        if math.prod(counts) > MOST_SETTINGS:
            return None
        rows = np.stack(np.unravel_index(np.arange(math.prod(counts)), counts), axis=1).astype(np.int64)
        rows = np.unique(self.canonical(rows), axis=0)
        return rows[self.valid(rows)]

    # ------------------------------------------------------------------ moves

    def sample_indices(self, n: int, rng: np.random.Generator) -> Ints:
        """(n, G) canonical rows, each gene uniform over its values; rows may repeat."""
        return self._until_valid(n, lambda k: self.canonical(self._draw(k, rng)), self.valid)

    def _until_valid(self, n: int, draw: Callable[[int], Ints], accept: Callable[[Ints], Bools]) -> Ints:
        """n rows, drawn again where they are not accepted."""
        rows = draw(n)
        while len(bad := np.flatnonzero(~accept(rows))):
            rows[bad] = draw(len(bad))
        return rows

    def _draw(self, n: int, rng: np.random.Generator) -> Ints:
        """(n, G) uniform values in every gene, also where one does not apply."""
        return np.stack([rng.integers(len(gene.values), size=n) for gene in self.genes], axis=1)

    def sample(self, n: int, rng: np.random.Generator) -> list[Architecture]:
        """n distinct architectures.

        Raises:
            InputError: if the space has fewer.
        """
        return [a for rows in self.distinct_indices(n, rng, draw=n) for a in self.architectures(rows)]

    def distinct_indices(self, n: int, rng: np.random.Generator, *, draw: int) -> Iterator[Ints]:
        """n distinct canonical rows in parts of at most `draw`; up to `draw` rows are the same for any larger `draw`.

        Of rows that were drawn before, 64-bit fingerprints are kept: sums modulo 2⁶⁴ with random weights. Two of a
        million rows share one with a probability below 10⁻⁶, and then the later row is left out.

        Raises:
            InputError: if the space has fewer.
        """
        if not 0 <= n <= self.size:
            raise InputError(f"cannot sample {n} distinct architectures; space {self.spec.name!r} has {self.size}")
        weights = np.random.default_rng(0).integers(2**64, size=len(self.genes), dtype=np.uint64) | np.uint64(1)
        seen = np.zeros(0, dtype=np.uint64)
        while len(seen) < n:
            rows = self.sample_indices(min(n - len(seen), draw), rng)
            prints = (rows.astype(np.uint64) * weights).sum(axis=1, dtype=np.uint64)
            _, first = np.unique(prints, return_index=True)
            new = np.sort(first[~np.isin(prints[first], seen)])
            seen = np.concatenate([seen, prints[new]])
            yield rows[new]

    def mutate_indices(self, indices: Ints, rng: np.random.Generator, rate: float = 0.1) -> Ints:
        """Each gene redrawn with probability `rate`, and one gene that applies changed for certain.

        Genes that a change makes apply are drawn uniformly.
        """
        mutants = self._mutated(indices, rng, rate)
        while len(bad := np.flatnonzero(~self.valid(mutants))):
            mutants[bad] = self._mutated(indices[bad], rng, rate)
        return mutants

    def _mutated(self, indices: Ints, rng: np.random.Generator, rate: float) -> Ints:
        applies = self.active(indices)
        redrawn = np.where(applies & (rng.random(indices.shape) >= rate), indices, self._draw(len(indices), rng))
        can_change = applies & np.isin(np.arange(len(self.genes)), self.encoded_genes)
        gene = np.argmax(np.where(can_change, rng.random(indices.shape), -1.0), axis=1)
        choices = np.array([len(gene.values) for gene in self.genes])[gene]
        rows = np.arange(len(indices))
        step = rng.integers(1, np.maximum(choices, 2))
        redrawn[rows, gene] = (indices[rows, gene] + step) % choices
        return self.canonical(redrawn)

    def step_indices(self, indices: Ints, rng: np.random.Generator) -> tuple[Ints, Floats]:
        """One gene of each row changed, and the Metropolis–Hastings ratio under which uniform choices stay uniform.

        Genes that come to apply are drawn uniformly, so only the numbers of genes to choose from differ: (n,) of the
        row over that of the changed one. Changed rows need not be valid.
        """
        changed = self._mutated(indices, rng, 0.0)
        free = np.isin(np.arange(len(self.genes)), self.encoded_genes)
        before, after = ((self.active(rows) & free).sum(axis=1) for rows in (indices, changed))
        return changed, np.asarray(before / np.maximum(after, 1))

    def crossover_indices(self, left: Ints, right: Ints, rng: np.random.Generator) -> Ints:
        """Each group of genes from either parent, so that an exit and its branch move together.

        A child that would have too few early exits has all of its left parent's.
        """
        groups = np.array([gene.group for gene in self.genes])
        from_left = rng.random((len(left), groups.max() + 1)) < 0.5
        children = np.where(from_left[:, groups], left, right)
        if len(bad := np.flatnonzero(~self.valid(children))):
            of_exits = np.isin(groups, groups[list(self.exit_genes.values())])
            children[bad] = np.where(of_exits, left[bad], children[bad])
        return self.canonical(children)

    def neighbor_indices(self, row: Ints) -> Ints:
        """(k, G): every row that differs from this (G,) row in one gene, genes that this makes apply being free.

        The relation is symmetric, and never holds between a row and itself.
        """
        was = self.active(row[None])[0]
        changed = []
        for g in np.flatnonzero(was & np.isin(np.arange(len(row)), self.encoded_genes)):
            others = np.delete(np.arange(len(self.genes[g].values)), row[g])
            rows = np.repeat(row[None], len(others), axis=0)
            rows[:, g] = others
            changed.append(rows)
        if not changed:
            return np.zeros((0, len(self.genes)), dtype=np.int64)
        found = self._completed(np.concatenate(changed), was)
        return found[self.valid(found)]

    def _completed(self, rows: Ints, was: Bools) -> Ints:
        """Each row with every setting of the genes that apply to it and did not before; the others as they were."""
        active = np.ones(rows.shape, dtype=bool)
        for g, gene in enumerate(self.genes):
            for parent, allowed in gene.needs:
                active[:, g] &= active[:, parent] & np.isin(rows[:, parent], allowed)
            rows[~active[:, g], g] = 0
            fresh = active[:, g] & ~was[g]
            copies = np.where(fresh, len(gene.values), 1)
            rows, active = np.repeat(rows, copies, axis=0), np.repeat(active, copies, axis=0)
            place = np.arange(len(rows)) - np.repeat(np.cumsum(copies) - copies, copies)
            rows[:, g] = np.where(np.repeat(fresh, copies), place, rows[:, g])
        return rows

    def mutate(self, architecture: Architecture, rng: np.random.Generator, rate: float = 0.1) -> Architecture:
        """Another architecture of the space; see `mutate_indices`."""
        return self.architectures(self.mutate_indices(self.indices([architecture]), rng, rate))[0]

    def crossover(self, left: Architecture, right: Architecture, rng: np.random.Generator) -> Architecture:
        """A child of two architectures; see `crossover_indices`."""
        return self.architectures(self.crossover_indices(self.indices([left]), self.indices([right]), rng))[0]

    def neighbors(self, architecture: Architecture) -> list[Architecture]:
        """All architectures one gene away; see `neighbor_indices`."""
        return self.architectures(self.neighbor_indices(self.indices([architecture])[0]))
