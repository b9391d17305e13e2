"""Costs and dominance, for tests of exits and of their fronts."""

import numpy as np

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.architecture.cost import Cost


def cost(backbone: list[int], branch: list[int], parameters: int = 1000) -> Cost:
    """Cost of one network; its memory is its MACs, whatever they mean."""
    return Cost(
        backbone=np.array([backbone]),
        branch=np.array([branch]),
        parameters=np.array([parameters]),
        weight_bytes=np.array([4 * parameters]),
        backbone_memory=np.array([np.maximum.accumulate(backbone)]),
        branch_memory=np.array([branch]),
    )


def undominated(points: set[tuple[int, int]]) -> list[tuple[int, int]]:
    """(MACs, correct) that no other point matches or beats in both, cheapest first."""
    return sorted(p for p in points if not any(q != p and q[0] <= p[0] and q[1] >= p[1] for q in points))


GATED = Architecture.parse(
    "stem-w8-s1/res-d1-w8-k3-s1@gated-c4/res-d1-w8-k3-s2@gated-c4/res-d1-w8-k3-s2@gated-c4/res-d1-w8-k3-s2"
)
