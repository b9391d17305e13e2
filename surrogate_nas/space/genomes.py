"""Codecs of the genomes of published systems: integer strings, as their authors' programs write them.

A genome stands for an architecture and, if its genes include thresholds, for an operating point. Genes of blocks and
branches that do not exist are padding: decoding ignores them, and encoding writes 0, so that (architecture, operating
point) → genome → (architecture, operating point) is the identity.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from surrogate_nas.architecture.architecture import Architecture, Stage
from surrogate_nas.architecture.branches import Branch, ResizeBranch, ResizeModule
from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.spec import preset

BLOCKS = 4
"""Largest number of blocks in a stage."""
STAGE_GENES = 1 + 2 * BLOCKS  # depth, kernels, expansions
OFF = 1.0
THRESHOLDS = (0.1, 0.2, OFF)
"""Thresholds of EDANAS and AEBNAS; a threshold of 1 means that there is no exit."""
MODULE_GENES = (((8, 8, 10), (3, 3, 5), (1, 1, 2), (1, 1, 2)), ((0, 8, 10), (3, 3, 5), (1, 1, 2), (1, 1, 2)))
"""Values of the genes of AEBNAS's two modules: side (0 for no module), kernel, channel multiplier, factor of the max
pooling. A repeated value is only drawn more often; encoding writes its first index."""


@dataclass(frozen=True)
class Genome:
    """Codec of one published system.

    >>> edanas = genome("edanas")
    >>> architecture, point = edanas.decode([0] * 45 + [2, 0, 1, 2])
    >>> str(point), edanas.encode(architecture, point) == (0,) * 45 + (2, 0, 1, 2)
    ('off,0.1,0.2,off', True)
    """

    name: str
    thresholds: bool
    """Whether its genes of exits are thresholds; otherwise they are flags that say which exits exist."""
    modules: bool
    """Whether it has genes for the modules of branches."""

    @cached_property
    def space(self) -> SearchSpace:
        """Search space of its architectures."""
        return SearchSpace(preset(self.name))

    @cached_property
    def choices(self) -> tuple[tuple[int, ...] | tuple[float, ...], ...]:
        """Values of every gene, in the order of the genome."""
        spec, early = self.space.spec, self.space.positions - 1
        genes: list[tuple[int, ...] | tuple[float, ...]] = []
        for stage in spec.stages:
            genes += [stage.depth, *[stage.kernel] * BLOCKS, *[stage.expansion] * BLOCKS]
        genes += [THRESHOLDS if self.thresholds else (0, 1)] * early
        genes += [values for module in MODULE_GENES for values in module] * (early if self.modules else 0)
        return (*genes, spec.resolution) if spec.resolution else tuple(genes)

    def decode(self, genes: Sequence[int]) -> tuple[Architecture, OperatingPoint | None]:
        """Architecture and operating point of a genome; without threshold genes, `None` for the operating point.

        Raises:
            InputError: for a wrong number of genes, one out of range, or fewer exits than required.
        """
        if len(genes) != len(self.choices):
            raise InputError(f"a genome of {self.name} has {len(self.choices)} genes, got {len(genes)}")
        for place, (gene, values) in enumerate(zip(genes, self.choices, strict=True), 1):
            if not 0 <= gene < len(values):
                raise InputError(f"gene {place} of {self.name} must be from 0 to {len(values) - 1}, got {gene}")
        alleles = [values[gene] for gene, values in zip(genes, self.choices, strict=True)]
        early, start = self.space.positions - 1, STAGE_GENES * self.space.positions
        exits, rest = alleles[start : start + early], alleles[start + early :]
        there = [t != OFF if self.thresholds else t == 1 for t in exits]
        branches = tuple(self._branch(e, rest) if on else None for e, on in enumerate(there))
        stages = tuple(
            self._stage(s, [int(v) for v in alleles[s * STAGE_GENES :][:STAGE_GENES]]) for s in range(early + 1)
        )
        typical = self._typical
        architecture = Architecture(
            typical.stem, stages, branches, typical.classifier, int(alleles[-1]) if self.space.spec.resolution else None
        )
        self.space.indices([architecture])
        if not self.thresholds:
            return architecture, None
        point = tuple(float(t) if on else None for t, on in zip(exits, there, strict=True))
        return architecture, OperatingPoint(point, self.space.spec.policy)

    def encode(self, architecture: Architecture, operating_point: OperatingPoint | None = None) -> tuple[int, ...]:
        """Genome of an architecture of the space, and of an operating point if the genome has threshold genes.

        Raises:
            InputError: for an architecture outside the space, or thresholds that the genome cannot express.
        """
        self.space.indices([architecture])
        alleles: list[float] = []
        for stage in architecture.stages:
            assert isinstance(stage, Stage)
            padding = (0,) * (BLOCKS - stage.depth)
            alleles += [stage.depth, *stage.kernel, *padding, *stage.expansion, *padding]
        alleles += self._exits(architecture, operating_point)
        if self.modules:
            alleles += [value for branch in architecture.branches for value in _module_values(branch)]
        alleles += [architecture.resolution] if architecture.resolution else []
        return tuple(
            values.index(value) if value in values else 0 for value, values in zip(alleles, self.choices, strict=True)
        )

    def _exits(self, architecture: Architecture, point: OperatingPoint | None) -> list[float]:
        there = [branch is not None for branch in architecture.branches]
        if not self.thresholds:
            if point is not None:
                raise InputError(f"a genome of {self.name} has no thresholds, got {point}")
            return [int(on) for on in there]
        thresholds = point.thresholds if point else ()
        if len(thresholds) != len(there):
            raise InputError(f"a genome of {self.name} has {len(there)} thresholds, got {point or 'none'}")
        for e, (on, threshold) in enumerate(zip(there, thresholds, strict=True), 1):
            allowed = THRESHOLDS[:-1] if on else (None,)
            if threshold not in allowed:
                words = ", ".join("off" if t is None else f"{t:g}" for t in allowed)
                raise InputError(f"threshold {e} is not one of {words} in a genome of {self.name}, got {point}")
        return [OFF if t is None else t for t in thresholds]

    @cached_property
    def _typical(self) -> Architecture:
        """An architecture with every exit, for the parts that all architectures share."""
        return self.space.decode(np.ones((1, self.space.dimension)))[0]

    def _stage(self, s: int, genes: Sequence[int]) -> Stage:
        depth, kernels, expansions = genes[0], genes[1 : 1 + BLOCKS], genes[1 + BLOCKS :]
        like = self._typical.stages[s]
        assert isinstance(like, Stage)
        return Stage(
            like.block,
            like.width,
            tuple(kernels[:depth]),
            tuple(expansions[:depth]),
            like.stride,
            like.squeeze,
            like.activation,
        )

    def _branch(self, e: int, rest: Sequence[float]) -> Branch:
        if not self.modules:
            branch = self._typical.branches[e]
            assert branch is not None
            return branch
        size = sum(len(module) for module in MODULE_GENES)
        first, second = ([int(v) for v in rest[e * size + at :][:4]] for at in (0, len(MODULE_GENES[0])))
        modules = [ResizeModule(*first)] + ([ResizeModule(*second)] if second[0] else [])
        return ResizeBranch(tuple(modules))


def _module_values(branch: Branch | None) -> list[float]:
    modules = branch.modules if isinstance(branch, ResizeBranch) else ()
    values: list[float] = []
    for i in range(len(MODULE_GENES)):
        there = modules[i] if i < len(modules) else None
        values += [there.side, there.kernel, there.multiplier, there.pool] if there else [0, 0, 0, 0]
    return values


GENOMES = {
    "edanas": Genome("edanas", thresholds=True, modules=False),
    "edanas-resolution": Genome("edanas-resolution", thresholds=True, modules=False),
    "nachos": Genome("nachos", thresholds=False, modules=False),
    "aebnas": Genome("aebnas", thresholds=True, modules=True),
}


def genome(name: str) -> Genome:
    """Codec of a published system.

    Raises:
        InputError: for any other name; the message lists the published systems.
    """
    if name not in GENOMES:
        raise InputError(f"space {name!r} has no published genome; allowed: {', '.join(GENOMES)}")
    return GENOMES[name]
