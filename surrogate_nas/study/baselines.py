"""Hand-made networks to compare a search with. They are trained by the same engine under the same recipe."""

from collections.abc import Mapping
from dataclasses import replace

from surrogate_nas.architecture.architecture import Architecture

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


def name_of(architecture: Architecture) -> str:
    """Display name of a baseline.

    >>> name_of(HAND_MADE["ResNet-8"])
    'ResNet-8'
    """
    return next((name for name, hand_made in HAND_MADE.items() if hand_made == architecture), STATIC)
