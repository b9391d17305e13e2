"""Section on exit rates: one bar per solution of the page, with its numbers as text."""

from surrogate_nas.architecture.costing import Costing
from surrogate_nas.report.contents import Contents
from surrogate_nas.report.drawing import exit_colour
from surrogate_nas.report.leaving import ExitShare, exit_shares
from surrogate_nas.report.solutions import page_solutions, static_links
from surrogate_nas.report.text import at, count, exit_name, paragraph, percent, section
from surrogate_nas.study.results import Solution

LEAST_WITH_TEXT = 0.15
"""Smallest share of a bar that has room for text on a phone; all shares are listed below the bar."""


def exit_mix_section(contents: Contents) -> str:
    """Section with a bar for each solution in the table of the front, or for the closest to the limits."""
    title, solutions = "Exit rates", page_solutions(contents)
    if not solutions:
        return section(title, paragraph("No network has been trained yet."))
    intro = (
        "Each bar stands for all test images: those that leave at the first exit are on the left, those that reach the "
        "last on the right. Exits are numbered by their position in the network; those that are off or do not exist "
        "are left out. MACs are those of an image that leaves at the exit, including every branch that it passed."
    )
    bars = [_solution(s, contents.costing) for s in solutions]
    return section(title, paragraph(intro, "note"), *bars, static_links("exit_mix"))


def _solution(solution: Solution, costing: Costing) -> str:
    shares, test, last = exit_shares(solution, costing), solution.test, len(solution.test.rates) - 1
    segments = "".join(_segment(s, last) for s in shares if s.rate > 0)
    words = "".join(f"<li>{_key(s)} {share_text(s, last)}</li>" for s in shares)
    name = f"{at(solution)}: {percent(test.accuracy)} accurate, {count(test.expected_macs)} expected MACs"
    return f'<div class="mix"><p>{name}</p><div class="bar" aria-hidden="true">{segments}</div><ul>{words}</ul></div>'


def _segment(share: ExitShare, last: int) -> str:
    back, front = exit_colour(share.position)
    text = f"{share.position + 1}: {100 * share.rate:.0f}\N{NO-BREAK SPACE}%" if share.rate >= LEAST_WITH_TEXT else ""
    look = f"flex-grow: {share.rate:.6f}; background: {back}; color: {front}"
    return f'<span style="{look}" title="{share_text(share, last)}">{text}</span>'


def _key(share: ExitShare) -> str:
    back, front = exit_colour(share.position)
    look = f"background: {back}; color: {front}"
    return f'<span class="key" style="{look}" aria-hidden="true">{share.position + 1}</span>'


def share_text(share: ExitShare, last: int) -> str:
    """Text with exit rate, accuracy and MACs of an exit; `last` is the position of the last exit."""
    name, macs = exit_name(share.position, last), f"{count(share.macs)} MACs"
    if share.accuracy is None:
        return f"{name}: no image leaves here; {macs}"
    return f"{name}: {percent(share.rate)} leave, {percent(share.accuracy)} of them right; {macs}"
