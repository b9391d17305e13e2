"""Picture of searches by time on a table of networks: hypervolume at the top rung after some training."""

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pictures.paint import POINT, WIDTH, blank, colour, heading, plot, sheet, write

from surrogate_nas.foundation.arrays import Floats

OURS = "time"
NAMES = {
    "asha": ("ASHA", "from rung 2"),
    "asha@1": ("ASHA", "from rung 1, the lowest"),
    "pasha": ("PASHA", "raises its top when needed"),
    "random": ("random networks", "each to the top rung"),
    "value": ("most promising", "per second of training"),
    "value-alone": ("most promising", "whatever it takes"),
}
COLUMNS, GAP, LEFT, TOP, PANEL = 4, 12, 50, 76, 150
"""Panels in a row; pixels between them, left of them, above them, and their height."""
ROW = PANEL + 76
PANEL_WIDTH = (WIDTH - LEFT - 10) / COLUMNS - GAP

Runs = Mapping[float, Mapping[int, float]]
"""Hypervolume by seconds and seed."""


def read(file: Path) -> dict[str, Runs]:
    """The runs of each method by the surrogate of the first line."""
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    runs: dict[str, dict[float, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for line in lines:
        if line["surrogate"] == lines[0]["surrogate"] and line.get("goal", "front") == "front":
            runs[line["method"]][line["seconds"]][line["seed"]] = float(line["hypervolume"])
    return {method: runs[method] for method in sorted(runs)}


def draw(file: Path) -> Figure:
    """Draw it: a panel for each rival of the search by time."""
    runs = read(file)
    ends = [end for _, means, errors in map(summary, runs.values()) for end in (means - errors, means + errors)]
    limits = float(np.concatenate(ends).min()), float(np.concatenate(ends).max())
    seeds = sorted({len(by_seed) for of in runs.values() for by_seed in of.values()})
    ours, rivals = runs.pop(OURS), runs
    figure = blank(TOP + -(-len(rivals) // COLUMNS) * ROW + 6)
    page = sheet(figure)
    headings(page, seeds)
    for i, (method, other) in enumerate(rivals.items()):
        x, y = LEFT + i % COLUMNS * (PANEL_WIDTH + GAP), TOP + i // COLUMNS * ROW
        for text, below, look in zip(name_of(method), (4, 20), ({"weight": "bold"}, {"size": 11}), strict=True):
            write(page, x, y + below, text, "blue", **look)
        panel(plot(figure, x, y + 34, PANEL_WIDTH, PANEL), ours, other, limits, labelled=x == LEFT)
    return figure


def name_of(method: str) -> tuple[str, str]:
    """Name of a method, and what it does; `search@2/0.4` is a search at rung 2 for 40 % of the time."""
    if method.startswith("search@"):
        rung, share = method.removeprefix("search@").split("/")
        return f"all at rung {rung}", f"for {100 * float(share):.0f} % of the time, then on"
    return NAMES.get(method, (method, ""))


def headings(page: Axes, seeds: list[int]) -> None:
    """Write what the axes and colours are, and the number of seeds."""
    heading(page, 12, "Hypervolume of what is trained to the top rung", "")
    write(page, 12, 46, "search by time", "orange", weight="bold")
    write(page, 130, 46, "and each other way", "blue", weight="bold")
    many = "–".join(map(str, sorted({seeds[0], seeds[-1]})))
    write(page, 282, 46, f"means of {many} seeds ± standard error; higher is better", "soft")
    bottom = page.get_ylim()[0]
    write(page, 790, bottom - 14, "minutes of training that a search may spend (log scale)", "soft", ha="right")


def panel(axes: Axes, ours: Runs, other: Runs, limits: tuple[float, float], *, labelled: bool) -> None:
    """Draw one method and the search by time."""
    line(axes, other, "blue", "s")
    line(axes, ours, "orange", "o")
    every = sorted({*ours, *other})
    axes.set(xscale="log", ylim=limits, xlim=(every[0] / 1.15, every[-1] * 1.15))
    axes.set_xticks(every, [f"{seconds / 60:,.4g}" for seconds in every], fontsize=11 * POINT)
    axes.set_xticks([], minor=True)
    axes.tick_params(labelleft=labelled)
    axes.grid(axis="y", color=colour("faint"), lw=0.5, alpha=0.5)


def line(axes: Axes, runs: Runs, hue: str, marker: str) -> None:
    """Draw means over seeds, with their standard errors."""
    seconds, means, errors = summary(runs)
    axes.fill_between(seconds, means - errors, means + errors, color=colour(hue), alpha=0.18, lw=0)
    axes.plot(seconds, means, color=colour(hue), marker=marker, ms=4.5, lw=1.6, clip_on=False, zorder=3)


def summary(runs: Runs) -> tuple[Floats, Floats, Floats]:
    """Seconds, and means over seeds with their standard errors, 0 for a single seed."""
    values = [np.array([*runs[seconds].values()]) for seconds in sorted(runs)]
    errors = [v.std(ddof=1) / np.sqrt(len(v)) if len(v) > 1 else 0.0 for v in values]
    return np.array(sorted(runs)), np.array([v.mean() for v in values]), np.array(errors)
