"""Formatting of numbers, and elements of HTML."""

import html
from collections.abc import Iterable, Sequence

from surrogate_nas.archive.record import Record
from surrogate_nas.exits.limits import Limits
from surrogate_nas.study.results import Measured, Solution

ORIGINS = {
    "initial": "initial sample",
    "search": "search",
    "user": "requested",
    "promoted": "promoted",
    "baseline": "baseline",
}


def count(value: float) -> str:
    """
    >>> count(1234567.8)
    '1,234,568'
    """
    return f"{value:,.0f}"


def percent(share: float) -> str:
    """Percentage with one decimal and a no-break space.

    >>> percent(0.90833) == "90.8\\N{NO-BREAK SPACE}%"
    True
    """
    return f"{share:.1%}".replace("%", "\N{NO-BREAK SPACE}%")


def rates(figures: Measured) -> str:
    """Exit rates in percent, one per exit position, such as `21.7 / 77.5 / 0.8`."""
    return " / ".join(f"{100 * rate:.1f}" for rate in figures.rates)


def exit_name(position: int, last: int) -> str:
    """
    >>> exit_name(0, 2), exit_name(2, 2)
    ('exit 1', 'exit 3, the last')
    """
    return f"exit {position + 1}" + (", the last" if position == last else "")


def at(solution: Solution) -> str:
    """A solution's id and thresholds, as HTML."""
    return f"<strong>{escape(solution.record.id)}</strong> at <code>{escape(solution.printed)}</code>"


def escape(value: object) -> str:
    """Text escaped for an element or an attribute of HTML.

    >>> escape("<b>&")
    '&lt;b&gt;&amp;'
    """
    return html.escape(str(value))


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of HTML, optionally with a CSS class."""
    return f'<p class="{kind}">{text}</p>' if kind else f"<p>{text}</p>"


def section(title: str, *parts: str) -> str:
    """A section of HTML: a heading and its parts."""
    return "\n".join([f"<section>\n<h2>{title}</h2>", *parts, "</section>"])


def html_table(label: str, columns: Sequence[str], bodies: Iterable[str], kind: str = "") -> str:
    """A table of HTML that scrolls sideways if the page is too narrow.

    Args:
        label: accessible name, for screen readers.
        columns: headings, as HTML.
        bodies: results of `entry`.
        kind: CSS class.
    """
    head = "".join(f'<th scope="col">{column}</th>' for column in columns)
    return "\n".join(
        [
            f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(label)}"><table class="{kind}">',
            f"<thead><tr>{head}</tr></thead>",
            *bodies,
            "</table></div>",
        ]
    )


def entry(*rows: Sequence[str], encoding: str = "") -> str:
    """Rows of HTML cells that belong together, followed by a row with their common encoding, which can be copied.

    The first cell of a row is its heading.
    """
    lines = [f'<th scope="row">{first}</th>' + "".join(f"<td>{cell}</td>" for cell in cells) for first, *cells in rows]
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    if encoding:
        body += f'\n<tr class="encoding"><td colspan="{len(rows[0])}">{copyable(encoding)}</td></tr>'
    return f"<tbody>{body}</tbody>"


def copyable(text: str) -> str:
    """Text as code, with a button that copies it."""
    return f'<code>{escape(text)}</code> <button type="button" class="copy">copy</button>'


def origin(record: Record) -> str:
    """Origin of a training, for readers."""
    return ORIGINS[record.proposal.origin]


def limits_text(limits: Limits) -> str:
    """Text of all limits that are set, or `none`."""
    return ", ".join(limits.phrases(percent)) or "none"
