"""Inputs of surrogates: each exit of an architecture is described by what it can depend on.

The curves of an exit depend on the backbone up to it, on its own branch, on which other exits there are (one loss
trains all of them), and hardly on what comes after it. So a row of the inputs is an exit at its place in an
architecture, and the exits of all positions are rows of one table: what is learned of one exit tells of the others.
Choices that an exit does not depend on, or that do not apply, are 0.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from surrogate_nas.architecture.costing import Costing
from surrogate_nas.architecture.units import STEM_KERNEL
from surrogate_nas.archive.ladder import Ladder
from surrogate_nas.foundation.arrays import Floats, Ints
from surrogate_nas.space.candidates import Candidates
from surrogate_nas.space.genes import Key
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.surrogates.training_set import IDENTITIES, InputKind

SAME = 1e-9
"""Largest difference of numbers that count as the same."""


@dataclass(frozen=True, slots=True)
class Trained:
    """How far n networks are trained on a ladder, and which training they are of."""

    passes: Ints
    """(n,) image passes."""
    architecture: Ints
    """(n,) number of the architecture among those of the training rows, from 1; 0 for a fresh training."""
    training: Ints
    """(n,) number of the training, from 1; 0 for a fresh one."""

    @classmethod
    def fresh(cls, n: int, passes: int) -> "Trained":
        """n fresh trainings to a rung."""
        nothing = np.zeros(n, dtype=np.int64)
        return cls(np.full(n, passes), nothing, nothing)


@dataclass(frozen=True, repr=False)
class Places:
    """Inputs of the E places of architectures of a space."""

    space: SearchSpace
    costing: Costing
    ladder: Ladder | None = None
    """Rungs that networks are trained to; `None` without a ladder, where how far they are is no input."""

    def __repr__(self) -> str:
        """Short text."""
        return f"<Places: {self.space.positions} of {self.space.spec.name}>"

    @property
    def rungs(self) -> tuple[int, ...]:
        """(R,) image passes of the rungs of the ladder; none without one."""
        return () if self.ladder is None else self.ladder.rungs

    @cached_property
    def kinds(self) -> tuple[InputKind, ...]:
        """(d,) kind of each input."""
        genes, kinds = self.space.genes, list[InputKind](["position"])
        of = dict(zip(genes.encoded, genes.kinds, strict=True))
        kinds += [of[g] for g in self._backbone]
        kinds += [next(of[g] for g in genes_of_role if g is not None) for genes_of_role in self._roles]
        kinds += ["additive"] * len(genes.exits)
        kinds += self._kinds_of_numbers
        return tuple(kinds) if self.ladder is None else (*kinds, "cost", "passes", *IDENTITIES)

    def inputs(self, candidates: Candidates, span: tuple[Floats, Floats], trained: Trained | None) -> Floats:
        """(n, E, d) inputs: position, choices, presence of the other exits, numbers scaled by `span`, and on a ladder
        the logarithm of the image passes, 0 at its first rung and 1 at the top, its product with the MACs up to the
        exit, and the numbers of architecture and training; all 0 where an exit is missing.

        Args:
            candidates: n architectures.
            span: smallest and largest of each number; see `span`.
            trained: how far each candidate is trained; `None` without a ladder.
        """
        low, high = span
        numbers = (self.numbers(candidates) - low) / (high - low)
        columns = [self._choices(candidates), np.nan_to_num(numbers)]
        if self.ladder is not None:
            assert trained is not None
            first, top = np.log(self.ladder.rungs[0]), np.log(self.ladder.top)
            far = (np.log(trained.passes) - first) / (top - first)
            of_network = np.stack([far, trained.architecture, trained.training], axis=-1)[:, None]
            columns.append(columns[1][:, :, :1] * far[:, None, None])
            columns.append(np.broadcast_to(of_network, (*candidates.present.shape, of_network.shape[-1])))
        return np.concatenate(columns, axis=2) * candidates.present[:, :, None]

    def span(self, candidates: Candidates) -> tuple[Floats, Floats]:
        """Smallest and largest of each number over the exits of trained architectures; apart by 1 where all are the
        same, such as the number of exits of a few networks, so that others are not infinitely far from them."""
        rows = self.numbers(candidates)[candidates.present]
        is_there = np.isfinite(rows).any(axis=0)
        low, high = np.zeros(rows.shape[1]), np.ones(rows.shape[1])
        low[is_there], high[is_there] = np.nanmin(rows[:, is_there], axis=0), np.nanmax(rows[:, is_there], axis=0)
        return low, np.where(high - low > SAME, high, low + 1)

    def _choices(self, candidates: Candidates) -> Floats:
        genes, E = self.space.genes, self.space.positions
        codes = np.where(genes.active(candidates.indices), (candidates.indices + 1) / genes.counts, 0.0)
        n, columns = len(candidates), list[Floats]()
        columns.append(np.broadcast_to((np.arange(E) + 1) / E, (n, E)))
        for g in self._backbone:
            key = genes[g].key
            reaches = np.arange(E) >= (int(key[1]) if key[0] == "stage" else 0)
            columns.append(codes[:, g, None] * reaches)
        for genes_of_role in self._roles:
            columns.append(np.stack([np.zeros(n) if g is None else codes[:, g] for g in genes_of_role], axis=1))
        for e in genes.exits:
            columns.append(candidates.present[:, e, None] * np.ones(E))
        return np.stack(columns, axis=2)

    @cached_property
    def _backbone(self) -> list[int]:
        """Genes of everything but exits."""
        return [g for g in self.space.genes.encoded if self.space.genes[g].key[0] != "exit"]

    @cached_property
    def _roles(self) -> list[list[int | None]]:
        """For each choice of a branch, its gene at each of the E positions."""
        genes, encoded = self.space.genes, set(self.space.genes.encoded)
        branch = [genes[g].key for g in genes.encoded if genes[g].key[0] == "exit" and len(genes[g].key) > 2]
        roles = list(dict.fromkeys(key[2:] for key in branch))

        def gene_at(e: int, role: Key) -> int | None:
            g = genes.at.get(("exit", e, *role))
            return g if g in encoded else None

        return [[gene_at(e, role) for e in range(self.space.positions)] for role in roles]

    # ------------------------------------------------------------------ numbers

    @property
    def _kinds_of_numbers(self) -> tuple[InputKind, ...]:
        """Kinds of `numbers`: few rows cannot tell the trends of more than three costs, which go together, apart."""
        maps: tuple[InputKind, ...] = ("number",) * 4 if self.space.spec.stages else ()
        return ("cost", "cost", "cost", "count", "number", *maps)

    def numbers(self, candidates: Candidates) -> Floats:
        """(n, E, k) physical features of each place, in log₁₀; NaN where they do not apply.

        MACs up to the exit, MACs of its branch, how many times the MACs of the whole network are those up to the exit;
        of the last exit the number of exits (itself, not in log₁₀), since the loss of each takes something away from
        it, and the parameters; where stages are chosen also blocks so far, channels and side of the feature
        map, and the side of the receptive field in pixels.
        """
        cost, last = candidates.cost, np.arange(self.space.positions) == self.space.positions - 1
        backbone = np.log10(cost.backbone)
        columns = [backbone, np.where(last, np.nan, np.log10(np.maximum(cost.branch, 1))), backbone[:, -1:] - backbone]
        columns.append(np.where(last, candidates.present.sum(axis=1)[:, None], np.nan))
        columns.append(np.where(last, np.log10(cost.parameters)[:, None], np.nan))
        if self.space.spec.stages:
            columns += [np.log10(feature) for feature in self._maps(candidates.indices)]
        return np.stack(columns, axis=2)

    def _maps(self, indices: Ints) -> Iterator[Floats]:
        """(n, E) each: blocks so far, channels, side of the feature map, and side of the receptive field."""
        spec, n = self.space.spec, len(indices)
        blocks, channels, sides, fields = [], [], [], []
        depth, side = np.zeros(n), self._values(indices, ("resolution",), self._image_side)
        field, jump = np.ones(n), np.ones(n)
        if spec.stem:
            stride = self._values(indices, ("stem", "stride"), 1)
            field, jump, side = field + (STEM_KERNEL - 1) * jump, jump * stride, np.ceil(side / stride)
        for s, stage in enumerate(spec.stages):
            in_stage, most = self._values(indices, ("stage", s, "depth"), 1), max(stage.depth)
            convolutions = 2 - self._is(indices, ("stage", s, "block"), "inverted")
            side = np.ceil(side / stage.stride)
            for i in range(most):
                kernel = self._values(indices, ("stage", s, "kernel", i if stage.per_block else 0), 1)
                there = i < in_stage
                after = jump * (stage.stride if i == 0 else 1)
                field = field + there * (kernel - 1) * (jump + (convolutions - 1) * after)
                jump = np.where(there, after, jump)
            depth = depth + in_stage
            blocks.append(depth)
            channels.append(self._values(indices, ("stage", s, "width"), 1))
            sides.append(side)
            fields.append(field)
        return (np.stack(parts, axis=1) for parts in (blocks, channels, sides, fields))

    @property
    def _image_side(self) -> int:
        """Side of the images where it is no choice."""
        return next(iter(self.space.spec.resolution), self.costing.shape.size)

    def _values(self, indices: Ints, key: Key, default: float) -> Floats:
        """(n,) values of a gene; the default if there is no such gene."""
        g = self.space.genes.at.get(key)
        if g is None:
            return np.full(len(indices), float(default))
        return np.array(self.space.genes[g].values, dtype=np.float64)[indices[:, g]]

    def _is(self, indices: Ints, key: Key, value: str) -> Ints:
        g = self.space.genes.at.get(key)
        if g is None:
            return np.zeros(len(indices), dtype=np.int64)
        matches: Ints = np.array([v == value for v in self.space.genes[g].values], dtype=np.int64)
        return matches[indices[:, g]]
