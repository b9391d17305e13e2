"""Architectures and the spaces they are drawn from. Needs neither torch nor any other heavy library."""

from surrogate_nas.space.architecture import LINEAR, Architecture, Branch, Stage
from surrogate_nas.space.columns import Columns
from surrogate_nas.space.search_space import SearchSpace
from surrogate_nas.space.spec import SpaceSpec, parse_spec, preset, preset_names

__all__ = [
    "LINEAR", "Architecture", "Branch", "Columns", "SearchSpace", "SpaceSpec", "Stage",
    "parse_spec", "preset", "preset_names",
]  # fmt: skip
