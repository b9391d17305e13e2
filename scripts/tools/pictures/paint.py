"""Figures as SVG files whose colours follow the reader's light or dark scheme, on a transparent background."""

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.ticker import MaxNLocator

WIDTH = 800
"""Width of every picture in CSS pixels."""
PIXELS_PER_INCH = 96
IMAGE_DPI = 216
"""Dots per inch of images inside a picture."""
POINT = 72 / PIXELS_PER_INCH
"""Points in a pixel."""
PALETTE = {
    "ink": ("#1f2328", "#e6edf3"),
    "soft": ("#59636e", "#9aa4af"),
    "faint": ("#b4bcc5", "#48515c"),
    "line": ("#98a3ae", "#5f6a75"),
    "box": ("#f1f4f7", "#1b222b"),
    "paper": ("#fffffe", "#0d1117"),
    "green": ("#00785a", "#35c79c"),
    "blue": ("#0069a6", "#5cb3f0"),
    "orange": ("#bf4b00", "#ff9550"),
    "purple": ("#92478f", "#d98fd6"),
    "olive": ("#7a6200", "#d8b93a"),
}
"""Colours on white and on near-black, by name. They stay apart for colour-blind readers: after Okabe and Ito, with the
lightness changed for contrast."""
EXIT_COLOURS = ("green", "blue", "orange", "purple", "olive")
FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
STYLE: dict[str, Any] = {
    "svg.hashsalt": "surrogate-nas",  # otherwise the ids inside an SVG are random
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",  # wider than the fonts of readers, so that their text fits, too
    "font.size": 12 * POINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.75,
}


def colour(name: str) -> str:
    """The light colour of a name, which stands for both until the picture is saved."""
    return PALETTE[name][0]


STYLE |= {f"{part}.color": colour("soft") for part in ("xtick", "ytick")}
STYLE |= {"axes.edgecolor": colour("soft"), "axes.labelcolor": colour("soft"), "text.color": colour("ink")}


def blank(height: int) -> Figure:
    """An empty figure, its height in pixels."""
    return Figure(figsize=(WIDTH / PIXELS_PER_INCH, height / PIXELS_PER_INCH))


def sheet(figure: Figure) -> Axes:
    """Axes over the whole figure without a frame, in pixels from the upper left."""
    width, height = figure.get_size_inches() * PIXELS_PER_INCH
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0), facecolor="none")
    axes.set_axis_off()
    return axes


def plot(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes for data, with their place in pixels from the upper left."""
    whole_width, whole_height = figure.get_size_inches() * PIXELS_PER_INCH
    return figure.add_axes(
        (left / whole_width, 1 - (top + height) / whole_height, width / whole_width, height / whole_height),
        facecolor="none",
    )


def write(axes: Axes, x: float, y: float, text: str, hue: str = "ink", size: float = 12, **how: Any) -> None:
    """Write text at a place, its size in pixels."""
    axes.text(x, y, text, color=colour(hue), fontsize=size * POINT, **{"va": "center"} | how)


def percents(axes: Axes) -> None:
    """Label the vertical axis in whole percents, up to 100 %."""
    low, high = axes.get_ylim()
    ticks = MaxNLocator(6, steps=[1, 2, 5, 10], integer=True).tick_values(100 * low, 100 * min(high, 1))
    ticks = [tick for tick in ticks if 100 * low <= tick <= 100]
    axes.set_yticks([tick / 100 for tick in ticks], [f"{tick:.0f} %" for tick in ticks])


def heading(axes: Axes, x: float, title: str, subtitle: str) -> None:
    """Write a title and, below it, a sentence."""
    write(axes, x, 20, title, size=15, weight="bold")
    write(axes, x, 36, subtitle, "soft", va="top", linespacing=1.3)


def box(axes: Axes, x: float, y: float, width: float, height: float, hue: str = "faint", fill: str = "box") -> None:
    """Draw a rounded box; `x` and `y` are its upper left corner."""
    look: dict[str, Any] = {"facecolor": colour(fill), "edgecolor": colour(hue), "linewidth": 1}
    axes.add_patch(FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=5", **look))


def arrow(axes: Axes, start: Sequence[float], end: Sequence[float], hue: str = "soft", **how: Any) -> None:
    """Draw an arrow."""
    look: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 8, "shrinkA": 0, "shrinkB": 0, "linewidth": 1} | how
    axes.add_patch(FancyArrowPatch(tuple(start), tuple(end), color=colour(hue), **look))


def save(figure: Figure, path: Path) -> None:
    """Write a figure; the same figure gives the same bytes."""
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, dpi=IMAGE_DPI, metadata={"Date": None, "Creator": None})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(switching(file.getvalue()), encoding="utf-8")


def switching(svg: str) -> str:
    """An SVG text whose colours are variables that follow the reader's scheme.

    Each keeps its light colour in front, for programs that know no variables.
    """
    for name, (light, _) in PALETTE.items():
        svg = re.sub(rf"(fill|stroke): {light}", rf"\1: {light}; \1: var(--{name})", svg)
    light, dark = ("; ".join(f"--{name}: {pair[i]}" for name, pair in PALETTE.items()) for i in (0, 1))
    rules = (
        f"text {{font-family: {FONTS}}}\n:root {{{light}}}\n@media (prefers-color-scheme: dark) {{:root {{{dark}}}}}"
    )
    svg = re.sub(r"font-family: [^;]+; ?", "", svg)
    return re.sub(r"(<svg[^>]*>\n)", lambda match: f"{match[1]}<style>\n{rules}\n</style>\n", svg, count=1)
