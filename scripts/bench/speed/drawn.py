"""Networks that are drawn, not trained, as cases for `fit.py` and `propose.py`: what their exits do is made up."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from surrogate_nas.architecture.architecture import Architecture, Stage
from surrogate_nas.architecture.branches import ConvBranch
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.archive.record import Record
from surrogate_nas.exits.exits import Exits
from surrogate_nas.foundation.arrays import Floats
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.proposals import initial_proposals
from surrogate_nas.settings import Settings
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.spec import SpaceSpec, parse_spec
from surrogate_nas.space.yaml_files import load_space

STAGE = {"block": ["residual", "inverted"], "depth": [1, 2], "kernel": [3, 5], "expansion": [2, 4]}
FIVE_EXITS = parse_spec(
    {
        "name": "five",
        "image_sizes": [32, 64],
        "stem": {"width": [8, 16], "stride": [1, 2]},
        "stages": [
            {**STAGE, "width": [w, w + w // 2, 2 * w], "stride": 2 if s else 1}
            for s, w in enumerate((8, 12, 16, 24, 32))
        ],
        "branch": {"depth": [0, 1, 2], "layer": ["conv", "separable"], "channels": [16, 32], "pool": [1, 2]},
    }
)
PER_DECADE = 1.2
"""Strength that ten times the MACs give."""
SEED_SD, IMAGE_SD = 0.05, 0.5
"""Deviation of an exit's strength over seeds, and of a network's sureness over images that are equally easy."""


@dataclass(frozen=True)
class Case:
    """A space, and the images that its networks are measured on."""

    space: SpaceSpec
    shape: ImageShape
    samples: int
    limits: Mapping[str, float] = field(default_factory=dict)

    @property
    def problem(self) -> Problem:
        """The search problem of this case."""
        return Problem(SearchSpace(self.space), self.shape, Settings().updated({"limits": dict(self.limits)}), 0)


CASES = {
    "digits": Case(load_space("tiny"), ImageShape(1, 8, 10), 144),
    "five": Case(FIVE_EXITS, ImageShape(3, 32, 10), 5000, {"max_macs": 5e6}),
}
"""Cases by name: three exits on the tune split of digits, and five exits."""


def sizes_of(option: str, text: str) -> list[tuple[str, int]]:
    """Cases with numbers of networks, such as digits-32,five-100.

    Raises:
        InputError: for text that is something else.
    """
    parts = [part.partition("-") for part in text.split(",")]
    if any(case not in CASES or not number.isdecimal() for case, _, number in parts):
        allowed = " or ".join(f"{case}-NUMBER" for case in CASES)
        raise InputError(f"{option} {text}: allowed is {allowed}, separated by commas")
    return [(case, int(number)) for case, _, number in parts]


def drawn_networks(problem: Problem, n: int, samples: int) -> list[tuple[Record, Exits]]:
    """Trainings of n networks on so many images: surer, and more often right, where their exits are stronger.

    An exit's strength follows from the MACs and choices up to it, from its branch and from the other exits, with a
    deviation of its own, so that there is something to learn beyond costs.
    """
    proposals = initial_proposals(problem, n, [], 0)
    costs = [problem.costing.of(proposal.architecture) for proposal in proposals]
    macs = np.log10(np.concatenate([cost.macs() for cost in costs]).astype(np.float64))  # (n, E)
    size, easy = PER_DECADE * (macs - np.median(macs[:, 0])), np.random.default_rng(0).normal(size=samples)
    views = []
    for i, (proposal, cost) in enumerate(zip(proposals, costs, strict=True)):
        rng, positions = np.random.default_rng(proposal.seed), np.arange(macs.shape[1])
        strength = size[i] + merits(proposal.architecture) + SEED_SD * rng.normal(size=len(positions))
        sure = easy + strength[:, None] + IMAGE_SD * rng.normal(size=(len(positions), samples))
        scores = 0.1 + 0.9 / (1 + np.exp(-2 * sure))
        right = rng.random(sure.shape) < scores
        present = np.isin(positions, proposal.architecture.exit_positions)
        exits = Exits("max_softmax", present, scores.astype(np.float32), right, cost)
        views.append((Record(proposal, None, None, 0.0, {}), exits))
    return views


def merits(architecture: Architecture) -> Floats:
    """(E,) strength of each exit beyond what its MACs give."""
    stages = [stage for stage in architecture.stages if isinstance(stage, Stage)]
    merit = np.array([0.6 * (s.block == "inverted") + 0.4 * (s.kernel[0] > 3) + 0.4 * (s.depth > 1) for s in stages])
    way = np.cumsum(merit) / np.arange(1, len(merit) + 1)
    own = np.array([0.3 * b.depth if isinstance(b, ConvBranch) else 0.0 for b in (*architecture.branches, None)])
    return np.asarray(way + own - 0.1 * (len(architecture.exit_positions) - 1))
