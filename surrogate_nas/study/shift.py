"""Evaluation of a trained network at fixed thresholds under distribution shift: on corrupted images.

Exit rates depend on the data: on corrupted images exits are less confident, so that fewer samples leave early. Besides
a loss of accuracy, a limit on expected cost that holds on clean images may then be exceeded.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import mean

from surrogate_nas.archive.outputs import SplitOutputs
from surrogate_nas.archive.record import Record
from surrogate_nas.datasets.corruptions import corrupt
from surrogate_nas.datasets.dataset import LabeledImages
from surrogate_nas.exits.limit_table import exact_text, rounded_text
from surrogate_nas.exits.limits import BrokenLimit, Limits
from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.foundation.display import displayed_by
from surrogate_nas.foundation.progress import Countdown
from surrogate_nas.network.network import EarlyExitNetwork
from surrogate_nas.study.images import StudyImages
from surrogate_nas.study.results import Measured, Solution
from surrogate_nas.study.solutions import Solutions
from surrogate_nas.study.weights import load_network
from surrogate_nas.training.training import predict_split, resolve_device

CLEAN = "clean"


@displayed_by(
    lambda s: {
        "corruption": s.corruption,
        "level": s.level,
        "accuracy": s.measured.accuracy,
        "expected MACs": s.measured.expected_macs,
        "broken": [b.limit.name for b in s.broken],
    }
)
@dataclass(frozen=True, slots=True, repr=False)
class ShiftedImages:
    """Measurements of the network on test images with one corruption at one level."""

    corruption: str
    """Name of the corruption; `clean` for none."""
    level: int
    """Level of the corruption; 0 for none."""
    measured: Measured
    """Measurements on these images, at the thresholds of clean ones."""
    broken: tuple[BrokenLimit, ...]
    """Limits that are broken on these images."""


@displayed_by(
    lambda s: {
        "id": s.solution.id,
        "clean accuracy": s.clean.measured.accuracy,
        "corrupted accuracy": s.mean_accuracy,
        "clean MACs": s.clean.measured.expected_macs,
        "corrupted MACs": s.mean_macs,
        "warnings": len(s.warnings()),
    }
)
@dataclass(frozen=True, slots=True, repr=False)
class Shift:
    """Measurements of a network at one operating point, on clean and on corrupted test images."""

    solution: Solution
    """The operating point, as chosen on clean tune images, with the stored measurements."""
    limits: Limits
    """Limits that are held against every corruption."""
    clean: ShiftedImages
    """Measurements on clean test images."""
    shifted: tuple[ShiftedImages, ...]
    """Measurements on corrupted images, by corruption, then by level."""

    @property
    def mean_accuracy(self) -> float:
        """Mean accuracy over corruptions and levels."""
        return mean(s.measured.accuracy for s in self.shifted)

    @property
    def mean_macs(self) -> float:
        """Mean expected MACs over corruptions and levels."""
        return mean(s.measured.expected_macs for s in self.shifted)

    def warnings(self) -> list[str]:
        """Sentences about broken limits, one for each corruption and limit."""
        by_case: dict[tuple[str, str], list[tuple[int, BrokenLimit]]] = {}
        for row in (self.clean, *self.shifted):
            for b in row.broken:
                by_case.setdefault((row.corruption, b.limit.name), []).append((row.level, b))
        return [_sentence(corruption, breaks) for (corruption, _), breaks in by_case.items()]


def _sentence(corruption: str, breaks: Sequence[tuple[int, BrokenLimit]]) -> str:
    """Sentence about one limit that is broken under one corruption, with its levels."""
    levels, worst = ", ".join(str(level) for level, _ in breaks), max((b for _, b in breaks), key=lambda b: b.by)
    where = f"under {corruption} of level {levels}" if corruption != CLEAN else "on clean test images"
    row, cap, value = worst.limit, exact_text(worst.cap), rounded_text(worst.value)
    if row.floor:
        return f"{row.words} falls below the floor of {cap} {where}, to {value}"
    return f"the limit of {cap} on {row.words} is exceeded {where}: up to {value}, {worst.by:.1%} over"


def shift(
    solutions: Solutions,
    images: StudyImages,
    record: Record,
    limits: Limits,
    point: OperatingPoint | None,
    corruptions: Sequence[str],
    levels: Sequence[int],
) -> Shift:
    """One trained network on corrupted test images; see `Study.shift`."""
    home = solutions.home
    network = load_network(home, record).to(resolve_device(home.settings.device))
    chosen_point = point or solutions.tune(record, limits).operating_point
    return measure_shift(
        network,
        images.splits().test,
        solutions.solution(record, chosen_point),
        limits,
        lambda outputs: solutions.measure_outputs(record.architecture, outputs, chosen_point),
        corruptions,
        levels,
        home.problem.seed,
    )


def measure_shift(
    network: EarlyExitNetwork,
    test: LabeledImages,
    solution: Solution,
    limits: Limits,
    measure: Callable[[SplitOutputs], Measured],
    corruptions: Sequence[str],
    levels: Sequence[int],
    seed: int,
) -> Shift:
    """Measure a network on clean test images, and for each corruption and level, in one pass of all exits each.

    Args:
        network: trained network in evaluation mode, on the device that computes.
        test: clean test images.
        solution: the network at its operating point.
        limits: limits to check.
        measure: function that measures outputs at that operating point.
        corruptions, levels: see `corruptions.require`.
        seed: seed of noise.
    """
    cases = [(CLEAN, 0), *product(corruptions, levels)]
    countdown, rows = Countdown(f"sets of {len(test):,} test images measured"), []
    for done, (corruption, level) in enumerate(cases, 1):
        images = corrupt(test.images, corruption, level, seed)
        measured = measure(predict_split(network, LabeledImages(images, test.labels, test.groups)))
        rows.append(ShiftedImages(corruption, level, measured, measured.broken(limits)))
        countdown.at(done, len(cases))
    return Shift(solution, limits, rows[0], tuple(rows[1:]))
