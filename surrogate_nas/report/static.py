"""Figures for papers and slides, as SVG and PNG. The same study gives the same bytes."""

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter

from surrogate_nas.exits.limits import Limits
from surrogate_nas.foundation.arrays import evenly
from surrogate_nas.report.contents import Baseline, Contents
from surrogate_nas.report.drawing import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    HATCHES,
    KINDS,
    MARKS,
    NEAREST,
    POINTS_PER_LINE,
    VERMILLION,
    Mark,
    baseline_mark,
    exit_colour,
    front_ranges,
    label_places,
)
from surrogate_nas.report.leaving import exit_shares
from surrogate_nas.report.solutions import page_solutions
from surrogate_nas.report.text import ORIGINS, exit_name
from surrogate_nas.study.results import Solution

SIZE = (6.5, 4.5)
"""Size in inches; the width is that of the text of a paper."""
DOTS_PER_INCH = 200
STYLE: dict[str, Any] = {
    "svg.hashsalt": "surrogate-nas",  # otherwise the ids inside an SVG are random
    "font.family": "DejaVu Sans",  # comes with matplotlib, so the same on every machine
    "font.size": 9,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "hatch.linewidth": 0.4,
}
LEAST_WITH_TEXT = 0.08
"""Smallest share of a bar that has room for its percentage."""


def static_figures(contents: Contents) -> dict[str, bytes]:
    """Contents of the files by name; a study without trained networks has fewer figures."""
    drawings: dict[str, Callable[[Axes, Contents], None]] = {}
    if contents.networks:
        drawings |= {"front": _draw_front, "exit_mix": _draw_exit_mix}
    if contents.records:
        drawings["hypervolume"] = _draw_hypervolume
    with style.context(["default", STYLE]):  # ignores the user's matplotlib settings, and restores them
        return {
            f"{name}.{kind}": content
            for name, draw in drawings.items()
            for kind, content in _files(draw, contents).items()
        }


def _files(draw: Callable[[Axes, Contents], None], contents: Contents) -> dict[str, bytes]:
    figure = Figure(figsize=SIZE, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    draw(axes, contents)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    files = {}
    for kind in KINDS:
        file = io.BytesIO()
        metadata = {"Date": None} if kind == "svg" else None
        figure.savefig(file, format=kind, dpi=DOTS_PER_INCH, metadata=metadata)
        files[kind] = file.getvalue()
    return files


def _draw_front(axes: Axes, contents: Contents) -> None:
    x_range, y_range = front_ranges(contents)
    _draw_limits(axes, contents.limits)
    for i, network in enumerate(contents.networks):
        curve = network.curve[evenly(len(network.curve), POINTS_PER_LINE)]
        axes.plot(
            curve.expected_macs,
            curve.accuracy,
            color="#CFCFCF",
            linewidth=0.6,
            zorder=1,
            label="all threshold curves" if i == 0 else None,
        )
    ends = [n.to_the_end for n in contents.networks]
    axes.plot(
        [e.expected_macs for e in ends],
        [e.accuracy for e in ends],
        linestyle="",
        marker="o",
        markersize=3.5,
        markerfacecolor="none",
        markeredgecolor=GREY,
        markeredgewidth=0.7,
        label="last exit only",
    )
    for name, mark in MARKS.items():
        some = [s for s in contents.front if s.record.proposal.origin == name]
        _draw_solutions(axes, some, f"front, {ORIGINS[name]}", mark)
    if contents.nearest is not None:
        _draw_solutions(axes, [contents.nearest], "closest to the limits", NEAREST)
    _draw_baselines(axes, contents.baselines)
    axes.set(xscale="log", xlim=x_range, ylim=y_range, ylabel="test accuracy", xlabel="expected MACs per image")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))


def _draw_limits(axes: Axes, limits: Limits) -> None:
    cap, floor = limits.max_macs, limits.min_accuracy
    if cap is None and floor is None:
        return
    dashed: dict[str, Any] = {"color": GREEN, "linewidth": 1, "linestyle": "--", "zorder": 0}
    axes.fill_between(
        [1, cap or 1e15], floor or 0.0, 1.0, color=GREEN, alpha=0.08, linewidth=0, zorder=0, label="within the limits"
    )
    if cap is not None:
        axes.axvline(cap, **dashed)
    if floor is not None:
        axes.axhline(floor, **dashed)


def _draw_solutions(axes: Axes, solutions: Sequence[Solution], name: str, mark: Mark, size: float = 5.5) -> None:
    if not solutions:
        return
    accuracy = np.array([s.test.accuracy for s in solutions])
    ends = np.array([s.test.accuracy_interval for s in solutions])
    axes.errorbar(
        [s.test.expected_macs for s in solutions],
        accuracy,
        yerr=[accuracy - ends[:, 0], ends[:, 1] - accuracy],
        fmt=mark.matplotlib,
        color=mark.colour,
        markersize=size,
        markeredgecolor="white",
        markeredgewidth=0.5,
        elinewidth=0.7,
        capsize=1.5,
        label=name,
        zorder=3,
    )


def _draw_baselines(axes: Axes, baselines: Sequence[Baseline]) -> None:
    places = label_places(baselines)
    for i, (baseline, place) in reversed(list(enumerate(zip(baselines, places, strict=True)))):  # the first on top
        test, name = baseline.exits_off.test, baseline.name
        if baseline.has_exits:
            curve = baseline.curve[evenly(len(baseline.curve), POINTS_PER_LINE)]
            axes.plot(
                curve.expected_macs,
                curve.accuracy,
                color=BLACK,
                linewidth=1,
                linestyle="--",
                marker=".",
                markersize=3,
                zorder=2,
                label=f"{name}, thresholds",
            )
        how = ", exits off" if baseline.has_exits else ""
        _draw_solutions(axes, [baseline.exits_off], name + how, baseline_mark(i), size=8)
        axes.annotate(
            name,
            (test.expected_macs, test.accuracy),
            (-12, -45 - 12 * place),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=8,
            zorder=4,
            bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1},
            arrowprops={"arrowstyle": "-", "linewidth": 0.6, "shrinkB": 4, "relpos": (1, 0.5)},
        )


def _draw_exit_mix(axes: Axes, contents: Contents) -> None:
    solutions = page_solutions(contents)
    last, labeled = contents.positions - 1, set()
    for row, solution in enumerate(solutions):
        left = 0.0
        for share in exit_shares(solution, contents.costing):
            background, foreground = exit_colour(share.position)
            name = None if share.position in labeled else exit_name(share.position, last)
            labeled.add(share.position)
            axes.barh(
                row,
                share.rate,
                left=left,
                height=0.75,
                color=background,
                edgecolor="white",
                label=name,
                hatch=HATCHES[share.position % len(HATCHES)],
            )
            if share.rate >= LEAST_WITH_TEXT:
                axes.text(
                    left + share.rate / 2,
                    row,
                    f"{share.rate:.0%}",
                    color=foreground,
                    fontsize=8,
                    ha="center",
                    va="center",
                    bbox={"facecolor": background, "edgecolor": "none", "pad": 1},
                )
            left += share.rate
    names = [f"{s.record.id}   {s.test.accuracy:.1%}" for s in solutions]
    axes.set_yticks(range(len(solutions)), names)
    axes.set(
        xlim=(0, 1),
        ylim=(len(solutions) - 0.5, -0.5),
        xlabel="share of the test images that leave at each exit",
        ylabel="solution and its test accuracy, cheapest first",
    )
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def _draw_hypervolume(axes: Axes, contents: Contents) -> None:
    volumes, records = contents.hypervolume, contents.records
    number = range(1, len(records) + 1)
    axes.step(number, volumes, where="post", color=BLUE, linewidth=1.5, label="hypervolume on tune")
    failed = [i for i, r in enumerate(records) if r.failure is not None]
    if failed:
        axes.plot(
            [number[i] for i in failed],
            [volumes[i] for i in failed],
            linestyle="",
            marker="X",
            markersize=6,
            color=VERMILLION,
            label="failed training",
        )
    searched = [i for i, r in enumerate(records) if r.proposal.origin == "search"]
    if searched:
        axes.axvline(number[searched[0]] - 0.5, color=BLACK, linewidth=0.8, linestyle="--", label="search begins")
    axes.set(xlabel="training", ylabel="hypervolume (accuracy × log₁₀ MACs)")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
