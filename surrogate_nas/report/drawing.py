"""Colours, marks and axis ranges shared by the page's figures and those for print.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart; shapes, dashes and text repeat them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from surrogate_nas.archive.record import Origin
from surrogate_nas.report.contents import Baseline, Contents

BLUE, VERMILLION, GREEN, BLACK = "#0072B2", "#D55E00", "#009E73", "#000000"
SKY, YELLOW = "#56B4E9", "#F0E442"
GREY = "#8A8A8A"
FIGURES, KINDS = "figures", ("svg", "png")
"""Folder of the figures for print, and their file formats."""
DRAWN_LIMITS = frozenset({"max_macs", "min_accuracy"})
"""Limits that can be drawn on the axes of the front (expected MACs and accuracy)."""
POINTS_PER_LINE = 60  # points drawn of a network's curve; more cannot be told apart
MARGIN = 0.06
"""Distance from the lowest point to the axis, in units of accuracy."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Marker symbols (for plotly and matplotlib) and colour of a kind of point."""

    plotly: str
    matplotlib: str
    colour: str


MARKS: dict[Origin, Mark] = {
    "initial": Mark("circle", "o", BLUE),
    "search": Mark("diamond", "D", VERMILLION),
    "user": Mark("square", "s", GREEN),
}
NEAREST = Mark("x", "X", VERMILLION)
_BASELINES = (("star", "*"), ("triangle-up", "^"), ("triangle-down", "v"), ("hexagon", "h"), ("cross", "P"))
EXIT_COLOURS = ((YELLOW, BLACK), (SKY, BLACK), (GREEN, BLACK), (BLUE, "#FFFFFF"), (BLACK, "#FFFFFF"))
"""Fill and text colours of the exits in order; each fill is darker than the one before, in greyscale too."""
HATCHES = ("", "//", "..", "xx", "")


def baseline_mark(index: int) -> Mark:
    """Mark of the baseline with an index."""
    return Mark(*_BASELINES[index % len(_BASELINES)], BLACK)


def exit_colour(position: int) -> tuple[str, str]:
    """Fill and text colours of an exit."""
    return EXIT_COLOURS[position % len(EXIT_COLOURS)]


def front_ranges(contents: Contents) -> tuple[tuple[float, float], tuple[float, float]]:
    """Initial ranges of the axes for expected MACs and accuracy.

    They contain solutions, limits, last exits and baselines. The low ends of other curves, near chance accuracy, appear
    on zooming out.
    """
    limits, solutions = contents.limits, [*contents.front, *([contents.nearest] if contents.nearest else [])]
    macs = [float(n.curve.expected_macs.min()) for n in contents.networks]
    macs += [n.to_the_end.expected_macs for n in contents.networks]
    low = [float(np.quantile([n.to_the_end.accuracy for n in contents.networks], 0.1))]
    low += [s.test.accuracy_interval[0] for s in solutions]
    for baseline in contents.baselines:
        macs += [baseline.exits_off.test.expected_macs, float(baseline.curve.expected_macs.min())]
        low += [baseline.exits_off.test.accuracy_interval[0], float(baseline.curve.accuracy.min())]
    if limits.max_macs is not None:
        macs.append(limits.max_macs)
    if limits.min_accuracy is not None:
        low.append(limits.min_accuracy)
    return (min(macs) / 1.2, max(macs) * 1.2), (max(min(low) - MARGIN, 0.0), 1.01)


def label_places(baselines: Sequence[Baseline]) -> list[int]:
    """Number of labels above that of each baseline; labels are sorted by accuracy, the highest at the top."""
    order = sorted(range(len(baselines)), key=lambda i: -baselines[i].exits_off.test.accuracy)
    return [order.index(i) for i in range(len(baselines))]
