"""Architectures and the spaces they are drawn from. Needs neither torch nor any other heavy library."""

from surrogate_nas.space.architecture import Architecture, Backbone, Segment, Stage, Stem
from surrogate_nas.space.branches import (
    LINEAR,
    Branch,
    ConvBranch,
    GatedBranch,
    MobileBranch,
    ResizeBranch,
    ResizeModule,
)
from surrogate_nas.space.search_space import SearchSpace
from surrogate_nas.space.spec import SpaceSpec, parse_spec, preset, preset_names

__all__ = [
    "LINEAR", "Architecture", "Backbone", "Branch", "ConvBranch", "GatedBranch", "MobileBranch", "ResizeBranch",
    "ResizeModule", "SearchSpace", "Segment", "SpaceSpec", "Stage", "Stem", "parse_spec", "preset", "preset_names",
]  # fmt: skip
