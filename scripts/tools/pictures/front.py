"""Picture of the front of a study: accuracy on test over expected MACs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter
from pictures.paint import POINT, WIDTH, blank, colour, percents, plot

from surrogate_nas import Record, Study
from surrogate_nas.exits.measurements import Measurements
from surrogate_nas.foundation.arrays import evenly
from surrogate_nas.report.drawing import POINTS_PER_LINE
from surrogate_nas.study.payoff import payoff
from surrogate_nas.study.results import Solution

HEIGHT = 470
HEADROOM = 0.32
"""Room for a note above 100 %, as a share of the heights of the front."""
ORIGINS = {
    "initial": ("blue", "on the front, of the first sample"),
    "search": ("orange", "on the front, proposed by the search"),
    "other": ("purple", "on the front, others"),
}


def trained(study: Study) -> list[Record]:
    """The networks of a study that were trained."""
    return [record for record in study.records() if record.outputs is not None]


def tested(study: Study, record: Record) -> Measurements:
    """Figures on test of a network at the thresholds of its curve, which were chosen on tune."""
    return study.exits(record, "test").measure(study.exits(record, "tune").curve.thresholds)


def origin_of(solution: Solution) -> str:
    """A key of `ORIGINS`."""
    origin = solution.record.proposal.origin
    return origin if origin in ORIGINS else "other"


def draw(study: Study) -> Figure:
    """Draw it."""
    front, figure = study.front(), blank(HEIGHT)
    axes = plot(figure, 74, 40, WIDTH - 92, HEIGHT - 94)
    curves = [tested(study, record) for record in trained(study)]
    for i, curve in enumerate(c[evenly(len(c), POINTS_PER_LINE)] for c in curves):
        label, dot = (None if i else "a network at all thresholds"), "." if len(curve) == 1 else None
        axes.plot(curve.expected_macs, curve.accuracy, marker=dot, color=colour("line"), lw=0.9, zorder=1, label=label)
    for origin, (hue, label) in ORIGINS.items():
        diamonds(axes, [s for s in front if origin_of(s) == origin], hue, label)
    best = largest_saving(study, front)
    dearest = max(curve.expected_macs.max() for curve in curves)
    scale(axes, front, dearest, HEADROOM if best else 0)
    if best:
        point_out(axes, *best)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.08, 1.01), ncols=3, frameon=False, labelcolor=colour("ink"))
    return figure


def diamonds(axes: Axes, solutions: Sequence[Solution], hue: str, label: str) -> None:
    """Draw solutions with their 95 % intervals."""
    if not solutions:
        return
    macs, accuracy = [s.macs for s in solutions], [s.accuracy for s in solutions]
    low, high = zip(*(s.test.accuracy_interval for s in solutions), strict=True)
    axes.vlines(macs, low, high, color=colour(hue), lw=0.8, alpha=0.35, zorder=2)
    look: dict[str, Any] = {"marker": "D", "ms": 5.2, "mec": colour("paper"), "mew": 0.6}
    axes.plot(macs, accuracy, ls="", color=colour(hue), zorder=3, label=label, **look)


def scale(axes: Axes, front: Sequence[Solution], dearest: float, headroom: float) -> None:
    """Set the axes to the front with its intervals and the dearest network, with room above."""
    lowest = min(s.test.accuracy_interval[0] for s in front)
    axes.set(
        xscale="log",
        xlim=(min(s.macs for s in front) / 1.4, dearest * 1.2),
        ylim=(lowest - 0.06, 1 + headroom * (1 - lowest)),
    )
    axes.set(xlabel="expected multiply-accumulates (MACs) per image, log scale", ylabel="accuracy on test")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
    axes.xaxis.set_minor_formatter(NullFormatter())
    percents(axes)
    axes.spines.left.set_bounds(lowest - 0.06, 1)
    axes.grid(axis="y", color=colour("faint"), lw=0.5, alpha=0.5)


def largest_saving(study: Study, front: Sequence[Solution]) -> tuple[Solution, float] | None:
    """The solution that saves the largest share by its early exits, of those for which they pay."""
    pairs = zip(front, payoff(study.solutions, front).front, strict=True)
    return max(((s, c.saved) for s, c in pairs if c.pays), key=lambda pair: pair[1], default=None)


def point_out(axes: Axes, solution: Solution, saved: float) -> None:
    """Say how much a solution saves by its early exits."""
    early, left = 100 * (1 - solution.test.rates[-1]), solution.macs < np.sqrt(np.prod(axes.get_xlim()))
    axes.annotate(
        f"{early:.0f} of 100 images leave early:\n{100 * saved:.0f} % fewer MACs than without early exits",
        (solution.macs, solution.accuracy),
        (-12 if left else 12, axes.get_ylim()[1]),
        textcoords=("offset points", "data"),
        va="top",
        ha="left" if left else "right",
        fontsize=12 * POINT,
        arrowprops={"arrowstyle": "-", "lw": 0.8, "color": colour("soft"), "shrinkB": 4},
    )
