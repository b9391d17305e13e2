"""Search space: conversion of architectures to and from choice indices, vectors and text."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from surrogate_nas.architecture.architecture import FLOAT_BITS, Architecture, Backbone, Segment, Stage, Stem
from surrogate_nas.architecture.branches import Branch
from surrogate_nas.foundation.arrays import Floats, Ints
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.space import moves
from surrogate_nas.space.genes import Gene, Genes, Key, Value, name_of
from surrogate_nas.space.parts import Choice, exit_values, make_branch, make_stage, make_stem, stage_values
from surrogate_nas.space.spec import SpaceSpec

LONGEST_ENCODING = 4000
"""Largest number of characters of an encoding; those of the presets have a few hundred."""


@dataclass(frozen=True, repr=False)
class SearchSpace:
    """Set of the architectures that a `SpaceSpec` allows.

    >>> from surrogate_nas.space.spec import preset
    >>> space = SearchSpace(preset("tiny"))
    >>> a, b = space.sample(2, np.random.default_rng(0))
    >>> space.decode(space.encode([a, b])) == [a, b]
    True
    """

    spec: SpaceSpec
    """Choices, as in a YAML file."""

    def __repr__(self) -> str:
        """Short text, without the choices."""
        return f"<SearchSpace {self.spec.name}>"

    @cached_property
    def genes(self) -> Genes:
        """Genes: every choice of the space."""
        return Genes(self.spec)

    @property
    def positions(self) -> int:
        """Exit positions E, the final classifier's included."""
        return self.spec.positions

    @property
    def dimension(self) -> int:
        """Length d of the vector encoding."""
        return len(self.genes.encoded)

    @property
    def size(self) -> int:
        """Number of distinct architectures."""
        return self.genes.size

    def sample(self, n: int, rng: np.random.Generator) -> list[Architecture]:
        """n distinct architectures, drawn by `rng`.

        Raises:
            InputError: if the space has fewer.
        """
        return [a for rows in moves.distinct(self.genes, n, rng, draw=n) for a in self.architectures(rows)]

    # ------------------------------------------------------------------ choice indices

    def indices(self, architectures: Sequence[Architecture]) -> Ints:
        """(n, G) choice indices.

        Raises:
            InputError: for an architecture outside the space; the message names the part, and the choices for it.
        """
        return np.array([self._row(a) for a in architectures], dtype=np.int64).reshape(-1, len(self.genes))

    def _row(self, architecture: Architecture) -> list[int]:
        if architecture.positions != self.positions:
            raise InputError(
                f"space {self.spec.name!r} has {self.positions} stages, the encoding has {architecture.positions}"
            )
        values = self._values(architecture)
        row = [self._index(gene, values.pop(gene.key, None)) for gene in self.genes]
        for key, value in values.items():  # those that the space fixes
            allowed = self._fixed_values.get(key)
            if value is not None and value != allowed:
                raise InputError(f"{name_of(key)} {value} is not one of {allowed} in space {self.spec.name!r}")
        if not self.genes.valid(np.array([row]))[0]:
            raise InputError(
                f"space {self.spec.name!r} requires at least {self.spec.exits.at_least} early exits, the encoding has "
                "fewer"
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
        """Values of every gene and of everything that a space may fix; `None` where a key does not apply."""
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
            values |= stage_values(s, stage, self.genes.at)
            if s < self.positions - 1:
                values |= exit_values(s, architecture.branches[s], self.spec)
        return values

    @cached_property
    def _fixed_values(self) -> dict[Key, Value]:
        """Values that the space fixes, by key."""
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
        """Architectures of (n, G) choice indices."""
        return [self._architecture(row) for row in indices.tolist()]

    def choices(self, row: Sequence[int]) -> Choice:
        """Values of keys for a row of choice indices, from genes or fixed by the space."""
        values = self._fixed_values | {gene.key: gene.values[k] for gene, k in zip(self.genes, row, strict=True)}
        return lambda *key: values.get(key)

    def _architecture(self, row: Sequence[int]) -> Architecture:
        spec, choice = self.spec, self.choices(row)
        branches: list[Branch | None] = []
        for e in range(self.positions - 1):
            there = e in self.genes.exits and row[self.genes.exits[e]] == 1
            branches.append(make_branch(spec.branch, e, choice) if there else None)
        stages: Iterable[Stage | Segment]
        if spec.backbone:
            stages = (Segment(segment.name) for segment in spec.backbone.segments)
        else:
            stages = (make_stage(s, stage, choice) for s, stage in enumerate(spec.stages))
        stem, bits = self._backbone if spec.backbone else make_stem(choice), choice("bits")
        return Architecture(
            stem,
            tuple(stages),
            tuple(branches),
            spec.last_branch,
            choice("resolution"),
            None if bits == FLOAT_BITS else bits,
        )

    # ------------------------------------------------------------------ vectors

    def encode_indices(self, indices: Ints) -> Floats:
        """(n, d) in [0, 1]: each choice's rank divided by the last rank; 0 where a gene does not apply."""
        return indices[:, list(self.genes.encoded)] / self._spread

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
        return self._with_enough_exits(X, self.genes.canonical(self.nearest_indices(X)))

    def check_encodings(self, X: Floats) -> None:
        """Raise `InputError` for a wrong number of coordinates, or one outside [0, 1]."""
        if X.ndim != 2 or X.shape[1] != self.dimension:
            raise InputError(f"space {self.spec.name!r} has encodings of shape (n, {self.dimension}), got {X.shape}")
        if not ((X >= 0) & (X <= 1)).all():
            raise InputError(f"coordinates of encodings must be in [0, 1], got {X[~((X >= 0) & (X <= 1))][0]}")

    def nearest_indices(self, X: Floats) -> Ints:
        """(n, G) index of the nearest choice of each gene, whether or not it applies; coordinates are not checked."""
        indices = np.zeros((len(X), len(self.genes)), dtype=np.int64, order="F")
        nearest = np.rint(X * self._spread)
        for column, g in enumerate(self.genes.encoded):
            indices[:, g] = nearest[:, column]
        return indices

    @cached_property
    def _spread(self) -> Floats:
        """(d,) last index of each encoded gene."""
        return (self.genes.counts[list(self.genes.encoded)] - 1).astype(np.float64)

    def _with_enough_exits(self, X: Floats, indices: Ints) -> Ints:
        """Add early exits to rows with too few: those whose coordinates are closest to being on."""
        short = np.flatnonzero(~self.genes.valid(indices))
        if len(short) == 0:
            return indices
        genes = list(self.genes.exits.values())
        order = np.argsort(-X[short][:, [self.genes.encoded.index(g) for g in genes]], axis=1, kind="stable")
        free = self.nearest_indices(X[short])
        for k in range(self.spec.exits.at_least):
            free[np.arange(len(short)), np.array(genes)[order[:, k]]] = 1
        indices[short] = self.genes.canonical(free)
        return indices

    def decode(self, X: Floats) -> list[Architecture]:
        """Architectures nearest to (n, d) vectors in [0, 1]; raises `InputError` for other coordinates."""
        return self.architectures(self.decode_indices(X))

    def parse(self, text: str) -> Architecture:
        """Parse an architecture from its text form, or from its vector as numbers separated by commas.

        Raises:
            InputError: for any other text, and for an architecture outside the space.
        """
        return self.parse_with_row(text)[0]

    def parse_with_row(self, text: str) -> tuple[Architecture, list[int]]:
        """Parse an architecture, and return its G choice indices too, which parsing computes anyway."""
        if len(text) > LONGEST_ENCODING:
            raise InputError(f"an encoding has at most {LONGEST_ENCODING:,} characters, got {len(text):,}")
        if "/" in text:
            architecture = Architecture.parse(text)
            return architecture, self._row(architecture)
        try:
            vector = [float(word) for word in text.strip().strip("[]").split(",")]
        except ValueError:
            raise InputError(
                f"encoding {text.strip()!r} is neither a text form nor numbers separated by commas"
            ) from None
        row = self.decode_indices(np.array([vector]))[0].tolist()
        return self._architecture(row), row
