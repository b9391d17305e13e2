"""Contents of the commands `spaces`, `spaces show` and `spaces check`."""

from typing import Any

import numpy as np

from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.exits.limits import Limits
from surrogate_nas.space import moves
from surrogate_nas.space.costs import cost_of_indices, costing_for
from surrogate_nas.space.laws import check_laws
from surrogate_nas.space.sampling import sample_within
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.spec import SpaceSpec, preset, preset_names

SPACE_SAMPLE = 20_000
"""Number of random architectures from which the range of a preset's MACs is taken."""
CHECK_SAMPLE = 2000
"""Number of architectures from which the ranges of a checked space's costs are taken."""


def space_rows() -> list[dict[str, Any]]:
    """Presets, with ranges of MACs over 20,000 random architectures at the smallest and largest images."""
    rows = []
    for name in preset_names():
        spec = preset(name)
        space = SearchSpace(spec)
        indices = moves.sample(space.genes, SPACE_SAMPLE, np.random.default_rng(0))
        low, high = (
            cost_of_indices(space, indices, costing_for(space, ImageShape(3, size, 10))).macs()[:, -1]
            for size in spec.image_sizes
        )
        rows.append(
            {
                "space": name,
                "about": spec.about,
                "networks": space.size,
                "genes": space.dimension,
                "exits": space.positions,
                "image_sizes": list(spec.image_sizes),
                "macs": [int(low.min()), int(high.max())],
                "sample": str(space.sample(1, np.random.default_rng(0))[0]),
            }
        )
    return rows


def gene_rows(space: SearchSpace) -> list[dict[str, Any]]:
    """Genes of a space with their values, and the genes that each depends on."""
    rows = []
    for g in space.genes.encoded:
        gene = space.genes[g]
        needs = [
            f"{space.genes[parent].name} {' or '.join(str(space.genes[parent].values[i]) for i in allowed)}"
            for parent, allowed in gene.needs
            if len(allowed) < len(space.genes[parent].values)
        ]
        rows.append({"gene": gene.name, "choices": ", ".join(map(str, gene.values)), "only_with": "; ".join(needs)})
    return rows


def check_space(spec: SpaceSpec, samples: int, channels: int, classes: int) -> dict[str, Any]:
    """Results of testing the laws of a space, and ranges of costs at the smallest and the largest images."""
    space, rng = SearchSpace(spec), np.random.default_rng(0)
    sizes = {}
    for size in sorted({*spec.image_sizes}):
        costing = costing_for(space, ImageShape(channels, size, classes))
        n = min(space.size, CHECK_SAMPLE)
        architectures = sample_within(
            space, n, costing, Limits(), rng, set(), "uniform" if n < CHECK_SAMPLE else "stratified"
        )
        cost = cost_of_indices(space, space.indices(architectures), costing)
        amounts = {
            "macs": cost.macs()[:, -1],
            "parameters": cost.parameters,
            "weight_bytes": cost.weight_bytes,
            "activation_bytes": cost.memory(),
        }
        sizes[str(size)] = {name: [int(values.min()), int(values.max())] for name, values in amounts.items()}
    smallest = costing_for(space, ImageShape(channels, spec.image_sizes[0], classes))
    return {
        "space": spec.name,
        "about": spec.about,
        "networks": space.size,
        "genes": space.dimension,
        "exits": space.positions,
        "costs": sizes,
        "laws": [
            {"law": r.law, "holds": r.holds, "tried": r.cases, "counterexample": r.counterexample}
            for r in check_laws(space, smallest, rng, samples)
        ],
        "sample": [str(a) for a in space.sample(min(3, space.size), rng)],
    }
