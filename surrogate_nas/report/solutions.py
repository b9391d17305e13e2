"""Section on the front: the solutions, or the network closest to the limits if there are none."""

from collections.abc import Sequence
from decimal import ROUND_FLOOR, Decimal
from itertools import groupby

import numpy as np

from surrogate_nas.exits.limit_table import Quantity, exact_text, kept_text, marked
from surrogate_nas.exits.limits import BrokenLimit, Limits
from surrogate_nas.report.baselines import baselines_part
from surrogate_nas.report.contents import Contents
from surrogate_nas.report.drawing import DRAWN_LIMITS, FIGURES, KINDS
from surrogate_nas.report.figures import captioned
from surrogate_nas.report.front_figure import front_figure
from surrogate_nas.report.text import count, entry, escape, html_table, limits_text, paragraph, percent, rates, section
from surrogate_nas.study.results import Solution

MOST_SOLUTIONS = 12
"""Largest number of rows of the page's table; `front.csv` has all solutions."""
COLUMNS: dict[str, Quantity | None] = {
    "id": None,
    "test accuracy": "accuracy",
    "95 % interval": None,
    "at least": None,
    "tune accuracy": None,
    "expected test MACs": "expected_macs",
    "worst-case MACs": "worst_macs",
    "parameters": "parameters",
    "test exit rates (%)": None,
    "thresholds": None,
}


def front_section(contents: Contents) -> str:
    """Section with the figure of the front, and its table."""
    if not contents.networks:
        return section("The front", paragraph("No network has been trained successfully yet.", "warning"))
    caption = _caption(contents.limits)
    figure = captioned(front_figure(contents), "front", caption)
    answer = _front_table(contents) if contents.front else _infeasible(contents)
    title = "The front" if contents.rung is None else f"The front at {contents.rung}"
    parts = figure, static_links("front"), answer, _certified_part(contents), baselines_part(contents)
    return section(title, *parts)


def _certified_part(contents: Contents) -> str:
    """Certified solutions, or why there are none; empty in a study without a confidence."""
    if not contents.certified:
        reasons = "; ".join(map(escape, contents.uncertified))
        return paragraph(f"Nothing is certified: {reasons}.", "warning") if reasons else ""
    intro = f"{escape(contents.certified[0].certificate)}. It holds while images are like those of the study."
    table = _solutions_table(evenly_by_cost(contents.certified, MOST_SOLUTIONS), contents.limits)
    return "\n".join(["<h3>Certified solutions, cheapest first</h3>", paragraph(intro, "note"), table])


def static_links(name: str) -> str:
    """Links to the files of a figure for papers and slides."""
    files = " or ".join(f'<a href="{FIGURES}/{name}.{kind}">{FIGURES}/{name}.{kind}</a>' for kind in KINDS)
    return paragraph(f"This figure for papers and slides: {files}.", "note")


def page_solutions(contents: Contents) -> list[Solution]:
    """Solutions in the page's table: those of the front, or else the closest to the limits."""
    if contents.nearest is not None:
        return [contents.nearest]
    return evenly_by_cost(contents.front, MOST_SOLUTIONS)


def _caption(limits: Limits) -> str:
    caption = (
        "Higher is more accurate, further left needs fewer multiply-accumulates (MACs). Each solution is a trained "
        "network at its thresholds; bars are 95 % intervals of the test accuracy"
    )
    words = {limit.name: limit.words for limit, _ in limits.active}
    if words.keys() & DRAWN_LIMITS:
        caption += "; limits are checked on tune, so a solution may lie slightly outside the shaded region on test"
    if others := [text for name, text in words.items() if name not in DRAWN_LIMITS]:
        caption += f"; limits on {', '.join(others)} cannot be drawn here"
    return caption + "."


def _front_table(contents: Contents) -> str:
    solutions, n = page_solutions(contents), len(contents.front)
    few = f"{len(solutions)} of {n} solutions, spread evenly over the front; all are in <code>front.csv</code>. "
    intro = ("" if len(solutions) == n else few) + (
        "There is one threshold per early exit position; <code>off</code> if the exit is off or does not exist. At "
        "least: lower bound of accuracy on new images, one-sided at 95 %, for each solution by itself."
    )
    return "\n".join(
        ["<h3>Solutions, cheapest first</h3>", paragraph(intro, "note"), _solutions_table(solutions, contents.limits)]
    )


def evenly_by_cost(front: Sequence[Solution], most: int) -> list[Solution]:
    """At most `most` solutions spread over log MACs, in order, including the first and the last.

    Solutions are added one by one, each the farthest from those already chosen, which spaces them evenly.
    """
    if len(front) <= most:
        return list(front)
    log_macs = np.log10([s.tune.expected_macs for s in front])
    indices = [0, len(front) - 1]
    while len(indices) < most:
        indices.append(int(np.abs(log_macs[:, None] - log_macs[indices]).min(axis=1).argmax()))
    return [front[i] for i in sorted(indices)]


def _solutions_table(solutions: Sequence[Solution], limits: Limits) -> str:
    networks = [list(group) for _, group in groupby(solutions, key=lambda s: s.record.id)]
    bodies = [
        entry(*(_cells(s, limits) for s in group), encoding=str(group[0].record.architecture)) for group in networks
    ]
    return html_table("Solutions", [*COLUMNS], bodies)


def _cells(solution: Solution, limits: Limits) -> list[str]:
    test = solution.test
    low, high = test.accuracy_interval
    cells = [
        escape(solution.record.id),
        percent(test.accuracy),
        f"{100 * low:.1f} – {100 * high:.1f}",
        percent(test.accuracy_bound),
        percent(solution.tune.accuracy),
        count(test.expected_macs),
        count(test.worst_macs),
        count(solution.parameters),
        rates(test),
        f"<code>{escape(solution.printed)}</code>",
    ]
    return marked(cells, [*COLUMNS.values()], test.broken_names(limits))


def _infeasible(contents: Contents) -> str:
    nearest = contents.nearest
    assert nearest is not None
    excesses = "".join(f"<li>{line}</li>" for line in excess_lines(nearest, contents.limits))
    return "\n".join(
        [
            paragraph(
                f"No trained network keeps the limits ({escape(limits_text(contents.limits))}) on tune, at any "
                "thresholds. There is no solution.",
                "warning",
            ),
            "<h3>Closest to the limits</h3>",
            paragraph("This network is not a solution. On tune it breaks:"),
            f"<ul>{excesses}</ul>",
            _solutions_table([nearest], contents.limits),
        ]
    )


def excess_lines(solution: Solution, limits: Limits) -> list[str]:
    """Lines on each limit that a solution breaks on tune, with the excess."""
    return [_excess_line(broken) for broken in solution.tune.broken(limits)]


def _excess_line(broken: BrokenLimit) -> str:
    row, value, cap = broken.limit, broken.value, broken.cap
    if row.unit == "fraction":
        below = f"{100 * (cap - value):.1f} points below the limit of {percent(cap)}"
        return f"{row.words}: {percent(_floored(value))}, {below}"
    return f"{row.words}: {kept_text(value, floor=row.floor)}, {percent(broken.by)} over the limit of {exact_text(cap)}"


def _floored(share: float) -> float:
    """A share rounded down to tenths of a percent, so that the measured value keeps its text as a limit.

    >>> _floored(0.8669), _floored(0.29), _floored(0.955)
    (0.866, 0.29, 0.955)
    """
    return float(Decimal(repr(float(share))).quantize(Decimal("0.001"), rounding=ROUND_FLOOR))
