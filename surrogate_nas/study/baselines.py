"""Baselines: networks to compare the front with, trained by the same code under the search's recipe."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.record import Record
from surrogate_nas.exits.limits import BrokenLimit
from surrogate_nas.foundation.progress import say
from surrogate_nas.space.candidates import exactly_broken

if TYPE_CHECKING:
    from surrogate_nas.study.home import Home
    from surrogate_nas.study.solutions import Solutions
    from surrogate_nas.study.trainings import Trainer

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
    """Backbone of an architecture as an ordinary network: one exit, at the end.

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


@dataclass(frozen=True, slots=True)
class SkippedBaseline:
    """A hand-made network that breaks an exact limit of the study at any thresholds, and is not trained."""

    name: str
    broken: tuple[BrokenLimit, ...]
    """Limits that its smallest possible costs exceed."""

    def __str__(self) -> str:
        limits = ", ".join(map(str, self.broken))
        return f"{self.name} is left out: it cannot keep the limits, {limits} (baselines --all trains it anyway)"


@dataclass(frozen=True, slots=True)
class BaselineChoice:
    """Baselines to train, and hand-made networks left out because they cannot keep the study's limits."""

    architectures: tuple[Architecture, ...]
    skipped: tuple[SkippedBaseline, ...]


def choose_baselines(solutions: "Solutions", *, everything: bool = False) -> BaselineChoice:
    """Choose hand-made networks that can keep the exact limits, and the best network of the front without its exits.

    Exact costs are known without training, so no training is spent on a network that cannot keep the limits. The best
    network with early exits, see `Solutions.preferred`, is always trained without them, to measure whether they pay.
    Hand-made networks that an earlier call proposed are chosen again.

    Args:
        solutions: solutions of the study.
        everything: whether to choose hand-made networks whatever they cost.

    Raises:
        JobError: if no network has been trained yet.
    """
    home, front = solutions.home, solutions.front()
    best = solutions.preferred([s for s in front if len(s.record.architecture.exit_positions) > 1] or front)
    taken = [*HAND_MADE.values()] if everything else [p.architecture for p in home.archive.proposals("baseline")]
    broken = {name: () if network in taken else _broken(home, network) for name, network in HAND_MADE.items()}
    chosen = [network for name, network in HAND_MADE.items() if not broken[name]]
    skipped = (SkippedBaseline(name, limits) for name, limits in broken.items() if limits)
    return BaselineChoice((*chosen, without_exits(best.record.architecture)), tuple(skipped))


def _broken(home: "Home", architecture: Architecture) -> tuple[BrokenLimit, ...]:
    """Exact limits that a network breaks at any thresholds."""
    present = np.isin(np.arange(architecture.positions), architecture.exit_positions)[None]
    return exactly_broken(home.costing.of(architecture), present, home.settings.limits)


def train_baselines(trainer: "Trainer", solutions: "Solutions", *, everything: bool = False) -> list[Record]:
    """Train the baselines of `choose_baselines`, each once, and report those left out; see `Study.baselines`."""
    choice = choose_baselines(solutions, everything=everything)
    for skipped in choice.skipped:
        say(str(skipped))
    return trainer.collect_baselines(choice.architectures, solutions.passes)
