"""Hand-made networks to compare a search with. They are trained by the same engine under the same recipe."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from surrogate_nas.architecture.architecture import Architecture

if TYPE_CHECKING:
    from surrogate_nas.study.solutions import Solutions

HAND_MADE: Mapping[str, Architecture] = {
    # the image classification network of MLPerf Tiny (arXiv 2106.07597)
    "ResNet-8": Architecture.parse("stem-w16-s1/res-d1-w16-k3-s1/res-d1-w32-k3-s2/res-d1-w64-k3-s2"),
    # the same with a convolution and a classifier after each stage, as BranchyNet does (arXiv 1709.01686)
    "BranchyNet of ResNet-8": Architecture.parse(
        "stem-w16-s1/res-d1-w16-k3-s1@conv-d1-c16-p2/res-d1-w32-k3-s2@conv-d1-c32-p2/res-d1-w64-k3-s2"
    ),
}
STATIC = "static network"


def without_exits(architecture: Architecture) -> Architecture:
    """The same backbone as an ordinary network: one exit, at the end.

    >>> str(without_exits(HAND_MADE["BranchyNet of ResNet-8"])) == str(HAND_MADE["ResNet-8"])
    True
    """
    return replace(architecture, branches=(None,) * len(architecture.branches))


def baselines_of(solutions: "Solutions") -> list[Architecture]:
    """The hand-made networks, and the best network of the front (else the nearest to the limits) without its exits.

    Raises:
        JobError: if nothing has been trained yet.
    """
    front = solutions.front()
    best = front[-1] if front else solutions.nearest()
    return [*HAND_MADE.values(), without_exits(best.record.architecture)]


def name_of(architecture: Architecture) -> str:
    """Display name of a baseline.

    >>> name_of(HAND_MADE["ResNet-8"])
    'ResNet-8'
    """
    return next((name for name, hand_made in HAND_MADE.items() if hand_made == architecture), STATIC)
