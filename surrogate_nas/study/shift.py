"""Evaluation of a trained network at fixed thresholds under distribution shift: on corrupted images.

Who leaves where is a property of the data: unsure exits pass more samples on, so that a budget of expected cost that
holds on clean images may break on others, beside what accuracy loses.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import mean

from surrogate_nas.archive.outputs import SplitOutputs
from surrogate_nas.datasets.corruptions import corrupt
from surrogate_nas.datasets.dataset import LabeledImages
from surrogate_nas.exits.limit_table import exact_text, rounded_text
from surrogate_nas.exits.limits import BrokenLimit, Limits
from surrogate_nas.foundation.progress import Countdown
from surrogate_nas.network.network import EarlyExitNetwork
from surrogate_nas.study.results import Measured, Solution
from surrogate_nas.training.training import predict_split

CLEAN = "clean"


@dataclass(frozen=True, slots=True)
class ShiftedImages:
    """Measurements of the network on test images with one corruption at one level."""

    corruption: str
    """`clean` for none."""
    level: int
    """0 for none."""
    measured: Measured
    broken: tuple[BrokenLimit, ...]
    """Limits that do not hold on these images."""


@dataclass(frozen=True, slots=True)
class Shift:
    """A network at one operating point, on clean and on corrupted test images."""

    solution: Solution
    """The operating point, as chosen on clean tune images, with the stored measurements."""
    limits: Limits
    clean: ShiftedImages
    shifted: tuple[ShiftedImages, ...]
    """By corruption, then by level."""

    @property
    def mean_accuracy(self) -> float:
        """Mean accuracy over corruptions and levels."""
        return mean(s.measured.accuracy for s in self.shifted)

    @property
    def mean_macs(self) -> float:
        """Mean expected MACs over corruptions and levels."""
        return mean(s.measured.expected_macs for s in self.shifted)

    def warnings(self) -> list[str]:
        """Broken limits, in sentences: one for each corruption and limit."""
        by_case: dict[tuple[str, str], list[tuple[int, BrokenLimit]]] = {}
        for row in (self.clean, *self.shifted):
            for b in row.broken:
                by_case.setdefault((row.corruption, b.limit.name), []).append((row.level, b))
        return [_sentence(corruption, breaks) for (corruption, _), breaks in by_case.items()]


def _sentence(corruption: str, breaks: Sequence[tuple[int, BrokenLimit]]) -> str:
    """Sentence for one corruption and limit, by level."""
    levels, worst = ", ".join(str(level) for level, _ in breaks), max((b for _, b in breaks), key=lambda b: b.by)
    where = f"under {corruption} of level {levels}" if corruption != CLEAN else "on clean test images"
    row, cap, value = worst.limit, exact_text(worst.cap), rounded_text(worst.value)
    if row.floor:
        return f"{row.words} falls below the floor of {cap} {where}, to {value}"
    return f"the limit of {cap} on {row.words} breaks {where}: {value} at most, {worst.by:.1%} over"


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
    """One pass of all exits over the test images for each corruption and level, and one over the clean ones.

    Args:
        network: trained, in evaluation mode, wherever it is to compute.
        test: clean images.
        solution: the network's thresholds.
        limits: that are meant to hold.
        measure: outputs at those thresholds.
        corruptions, levels: see `corruptions.require`.
        seed: of noise.
    """
    cases = [(CLEAN, 0), *product(corruptions, levels)]
    countdown, rows = Countdown(f"sets of {len(test):,} test images measured"), []
    for done, (corruption, level) in enumerate(cases, 1):
        images = corrupt(test.images, corruption, level, seed)
        measured = measure(predict_split(network, LabeledImages(images, test.labels, test.groups)))
        rows.append(ShiftedImages(corruption, level, measured, measured.broken(limits)))
        countdown.at(done, len(cases))
    return Shift(solution, limits, rows[0], tuple(rows[1:]))
