"""Exit rates of a solution, and random example images of each exit."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from surrogate_nas.architecture.costing import Costing
from surrogate_nas.archive.views import Views
from surrogate_nas.datasets.dataset import Images, LabeledImages, Splits
from surrogate_nas.study.results import Solution

FEWEST_EARLY = 0.05
"""Smallest share of test images that leave early, for a solution to have examples."""
FEWEST_EARLY_TEXT = f"{100 * FEWEST_EARLY:.0f}\N{NO-BREAK SPACE}%"
MOST_IMAGES = 12
"""Largest number of example images per exit."""
SEED = 0


@dataclass(frozen=True, slots=True)
class ExitShare:
    """Share and accuracy of the test images at an exit that is on."""

    position: int
    rate: float
    accuracy: float | None
    """Accuracy of the images that leave at this exit; `None` if there are none."""
    macs: int
    """MACs of an image that leaves at this exit."""


def exit_shares(solution: Solution, costing: Costing) -> list[ExitShare]:
    """The exits of a solution that are on, in order."""
    architecture, test = solution.record.architecture, solution.test
    macs = costing.of(architecture).macs(np.isfinite(solution.operating_point.array()))[0]
    return [ExitShare(e, test.rates[e], test.exit_accuracy[e], int(macs[e])) for e in exits_on(solution)]


def exits_on(solution: Solution) -> list[int]:
    """Positions of the exits that exist and are on, including the last."""
    architecture, thresholds = solution.record.architecture, (*solution.operating_point.thresholds, 0.0)
    return [e for e in architecture.exit_positions if thresholds[e] is not None]


@dataclass(frozen=True, slots=True)
class Example:
    """An image of the test split, with its class and the answer of the exit at which it leaves."""

    image: Images
    """Pixels, of shape (channels, size, size)."""
    label: int
    answer: int | None
    """Predicted class; `None` if only its correctness is stored."""
    right: bool


@dataclass(frozen=True, slots=True)
class ExitExamples:
    """Example images of an exit that is on."""

    position: int
    count: int
    """Number of all test images that leave at this exit."""
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class Examples:
    """Example images of one solution, for each of its exits."""

    solution: Solution | None
    per_exit: tuple[ExitExamples, ...]
    missing: str = ""
    """Reason why there are no examples, as a sentence; else empty."""

    @classmethod
    def of(cls, solutions: Sequence[Solution], splits: Splits | None, views: Views) -> "Examples":
        """Draw examples of the most accurate solution on tune at which at least 5 % of the test images leave early.

        Args:
            solutions: solutions to choose from.
            splits: data splits of the study; `None` if they cannot be read.
            views: views of the study's archive.
        """
        early = [s for s in solutions if 1 - s.test.rates[-1] >= FEWEST_EARLY]
        if not early:
            return cls(
                None,
                (),
                f"At every solution, fewer than {FEWEST_EARLY_TEXT} of the test images leave early.",
            )
        best = max(early, key=lambda s: s.tune.accuracy)
        assert best.record.outputs is not None
        if splits is None or not np.array_equal(splits.test.labels, best.record.outputs.test.labels):
            return cls(best, (), "There are no examples, because the study's images can no longer be read.")
        return cls(best, _examples_per_exit(best, splits.test, views))


def _examples_per_exit(solution: Solution, test: LabeledImages, views: Views) -> tuple[ExitExamples, ...]:
    record, point = solution.record, solution.operating_point
    exits = views.under(record, "test", point.policy, point.temperatures)
    route = exits.route(point)
    per_exit = []
    for e in exits_on(solution):
        here = np.flatnonzero(route == e)
        sample = np.random.default_rng((SEED, e)).permutation(len(here))[:MOST_IMAGES]
        examples = tuple(_example(solution, test, e, int(i), bool(exits.correct[e, i])) for i in here[sample])
        per_exit.append(ExitExamples(e, len(here), examples))
    return tuple(per_exit)


def _example(solution: Solution, test: LabeledImages, position: int, index: int, right: bool) -> Example:
    assert solution.record.outputs is not None
    predicted = solution.record.outputs.test.predicted
    exit = solution.record.architecture.exit_positions.index(position)
    answer = None if predicted is None else int(predicted[exit, index])
    return Example(test.images[index], int(test.labels[index]), answer, right)
