"""Pages: the report below a status strip, the networks, and the what-if form."""

from contextlib import suppress
from typing import Any

from surrogate_nas.foundation.errors import JobError
from surrogate_nas.foundation.lock import holder_of
from surrogate_nas.report.page import POLICY
from surrogate_nas.report.text import escape, paragraph, section
from surrogate_nas.serve.gate import NO_EMBEDDING
from surrogate_nas.serve.live import Live
from surrogate_nas.serve.snapshot import Snapshot
from surrogate_nas.study.paths import REPORT
from surrogate_nas.study.time_plan import TimePlan

PAGES = {"/": "Report", "/networks": "Networks", "/what-if": "What if", "/docs": "API"}
INLINE = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'"
)
"""Content security policy of the report, plus the sources that the status strip needs."""
REPORT_HEADERS = {"content-security-policy": INLINE + NO_EMBEDDING}
BODY = "<body>\n"


def state_document(live: Live) -> dict[str, Any]:
    """Document of the served state: version, trainings covered, and work in progress."""
    now = live.snapshot
    return {
        "version": live.version,
        "trainings": len(now.records),
        "report": REPORT in now.files,
        "surrogate": now.respondent is not None,
        "making": live.making,
        "time": _time_of(live),
        "problem": live.problem,
    }


def _time_of(live: Live) -> str:
    """Time that a study has spent and planned, in words; empty for one that is not searched by time."""
    with suppress(JobError):  # damaged, which the command that runs says
        plan = TimePlan.read(live.study)
        if plan is not None:
            planned = ", ".join(f"{n:.0f}" for n in plan.planned)
            text = plan.text(running=holder_of(live.study) is not None)
            return f"Time: {text}." + (f" Networks planned at each rung: {planned}." if planned else "")
    return ""


def whole_page(title: str, at: str, body: str, script: str = "") -> str:
    """HTML page with the style of the report.

    Args:
        title: title, as text.
        at: address of the page.
        body: HTML below the title.
        script: name of the asset with the page's script, if it has one.
    """
    script_tag = f'<script type="module" src="/assets/{script}"></script>' if script else ""
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>",
            '<link rel="icon" href="data:,">',
            '<link rel="stylesheet" href="/style.css"><link rel="stylesheet" href="/assets/serve.css">',
            f"{script_tag}\n</head>\n<body>\n{navigation(at)}\n<main>\n<h1>{escape(title)}</h1>\n{body}\n</main>\n</body>\n</html>\n",
        ]
    )


def navigation(at: str) -> str:
    """HTML of links to all pages; `at` is the address of the current one."""
    links = "".join(
        f'<a href="{path}"{" aria-current=page" if path == at else ""}>{name}</a>' for path, name in PAGES.items()
    )
    return f'<nav class="pages" aria-label="Pages">{links}</nav>'


def report_page(live: Live) -> str:
    """The latest report below a status strip, or a page to wait for the first report."""
    report = live.snapshot.files.get(REPORT)
    if report is None:
        waiting = paragraph("It will be ready in a few seconds; this page reloads by itself.")
        return whole_page("The report is being made", "/", strip(live) + waiting, "live.js")
    page = report.decode("utf-8").replace(POLICY, INLINE, 1)
    head, body, rest = page.partition(BODY)
    links = '<link rel="icon" href="data:,"><link rel="stylesheet" href="/assets/serve.css">'
    script = '<script type="module" src="/assets/live.js"></script>'
    return "".join([head.replace("</head>", f"{links}{script}</head>"), body, navigation("/"), strip(live), rest])


def strip(live: Live) -> str:
    """HTML of the status strip, with the number of trainings in the report; the page's script updates it."""
    n = len(live.snapshot.records)
    covers = f"This report covers {n} training{'' if n == 1 else 's'}." if REPORT in live.snapshot.files else ""
    text = f'{covers} <span id="live-note"></span> <span id="live-time">{escape(_time_of(live))}</span>'
    return f'<p class="strip" id="live" role="status" data-version="{live.version}">{text}</p>'


def networks_page(snapshot: Snapshot) -> str:
    """Page with the card of a network, which its script fills."""
    intro = (
        "A trained network along its threshold curve: cheaper on the left, more accurate on the right. Thresholds were "
        "chosen on the tune split; the test split was used for no choice."
    )
    parts = [
        paragraph(intro + _of_the_rung(snapshot), "note"),
        '<p class="field"><label for="network">Network</label> <select id="network"></select></p>',
        '<div id="card" class="card" hidden>',
        '<p class="encoding"><code id="encoding"></code></p>',
        '<dl id="facts"></dl>',
        '<p class="slider"><label for="place">Point on the curve</label>',
        '<input type="range" id="place" min="0" value="0" step="1"></p>',
        '<div class="pair"><div><dl id="figures"></dl></div><figure id="plot"></figure></div>',
        "<h2>Exit rates (test)</h2>",
        '<div id="mix" class="mix"></div>',
        '<p><a id="try" href="/what-if">Change this network in the what-if form</a></p>',
        "</div>",
        _note(),
    ]
    return whole_page("Networks", "/networks", "\n".join(parts), "networks.js")


def what_if_page(snapshot: Snapshot) -> str:
    """Page with the what-if form, which its script fills with the genes."""
    early = snapshot.solutions.home.space.positions - 1
    intro = (
        "Predictions of the surrogate for a new training of this architecture, measured on tune, with 90 % intervals. "
        "Costs are exact. Nothing is trained."
    )
    limits = section(
        "Limits",
        _number("max_macs", "Expected MACs at most", "1"),
        _number("min_accuracy", "Accuracy at least, %", "0.1", 100),
        paragraph("Leave a field empty for no limit. The initial values are the study's limits.", "note"),
        '<p><button type="button" id="best">Find the best network within these limits</button></p>',
        paragraph("Searches a few hundred architectures that were predicted in advance.", "note"),
    )
    thresholds = section(
        "Thresholds",
        '<p class="field"><label><input type="checkbox" id="own"> set thresholds by hand, instead of '
        "the best within the limits</label></p>",
        *(_threshold(e) for e in range(early)),
    )
    form = f'<form id="form" autocomplete="off">{limits}<div id="genes"></div>{thresholds}</form>'
    answer = '<section id="answer" class="answer"><h2>Prediction</h2><div id="prediction"></div></section>'
    summary = '<p id="summary" class="strip" role="status" hidden></p>'
    first = paragraph(intro + _of_the_rung(snapshot), "note")
    body = f'{first}\n{_note()}\n{summary}<div class="split">{form}{answer}</div>'
    return whole_page("What if", "/what-if", body, "what_if.js")


def _of_the_rung(snapshot: Snapshot) -> str:
    """Sentence on the rung of all figures; empty without a ladder."""
    name = snapshot.solutions.rung_name
    return "" if name is None else f" All figures are of {escape(name)}."


def _number(name: str, label: str, step: str, most: int | None = None) -> str:
    cap = "" if most is None else f' max="{most}"'
    return (
        f'<p class="field"><label for="{name}">{label}</label> '
        f'<input type="number" id="{name}" min="0"{cap} step="{step}" inputmode="decimal"></p>'
    )


def _threshold(e: int) -> str:
    return (
        f'<p class="field threshold" data-exit="{e}"><label for="t{e}">Exit {e + 1}</label> '
        f'<input type="range" id="t{e}" min="0" max="1" step="0.01" value="0.8" disabled> '
        f'<output for="t{e}">0.80</output> '
        f'<label><input type="checkbox" id="off{e}" disabled> off</label></p>'
    )


def _note() -> str:
    return '<p id="note" class="warning" role="alert" hidden></p>'
