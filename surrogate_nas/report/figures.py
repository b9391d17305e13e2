"""The report's figures. Colours are Okabe and Ito's, which the colour-blind can tell apart; shapes carry the same."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from surrogate_nas.config import Limits
from surrogate_nas.exits import Measurements, OperatingPoint
from surrogate_nas.record import Record
from surrogate_nas.report.contents import Compared, Contents, Network
from surrogate_nas.report.text import ORIGINS, count, escape, origin, percent, rates
from surrogate_nas.study import Measured, Solution

BLUE, VERMILLION, GREEN, BLACK = "#0072B2", "#D55E00", "#009E73", "#000000"
GREY, FAINT = "#8A8A8A", "rgba(110,110,110,0.4)"
REGION = "rgba(0,158,115,0.09)"
MARKERS = {"initial": ("circle", BLUE), "search": ("diamond", VERMILLION), "user": ("square", GREEN)}
FONT = "system-ui, -apple-system, Segoe UI, Roboto, Helvetica Neue, Arial, sans-serif"
CONFIG = {
    "displaylogo": False, "responsive": True, "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
    "showSendToCloud": False, "plotlyServerURL": "",  # by default a button uploads the figure's data
}  # fmt: skip
MOST_UNIT_TICKS = 12
POINTS_PER_LINE = 60  # of a network's curve that are drawn; more cannot be told apart

LOG = {"type": "log", "tickformat": "~s", "dtick": "D2"}
"""A logarithmic axis with a tick at 1, 2 and 5 of each decade."""


def div(figure: go.Figure, name: str) -> str:
    """A figure as HTML that needs plotly.js on its page, with `name` as its id."""
    html: str = figure.to_html(full_html=False, include_plotlyjs=False, config=CONFIG, div_id=name)
    return html


def captioned(figure: go.Figure, name: str, caption: str) -> str:
    """The same with a caption, as HTML."""
    return f"<figure>\n{div(figure, name)}\n<figcaption>{caption}</figcaption>\n</figure>"


# ---------------------------------------------------------------------- the front


def front_figure(contents: Contents) -> go.Figure:
    """Test accuracy against expected MACs: the front, every threshold curve, every network without early exits.

    Needs at least one network.
    """
    x_range, y_range = _front_ranges(contents)
    figure = go.Figure()
    _draw_limits(figure, contents.limits, x_range, y_range)
    for i, network in enumerate(contents.networks):
        figure.add_trace(_curve(network, contents, first=i == 0))
    figure.add_trace(_to_the_end(contents.networks))
    for name in MARKERS:
        some = [s for s in contents.front if s.record.proposal.origin == name]
        if some:
            figure.add_trace(_solutions(some, f"front, {ORIGINS[name]}", *MARKERS[name]))
    if contents.nearest is not None:
        figure.add_trace(_solutions([contents.nearest], "nearest to the limits", "x", VERMILLION))
    _style(figure, height=600)
    figure.update_xaxes(title_text="expected MACs per image (log scale)", **LOG, range=np.log10(x_range).tolist())
    figure.update_yaxes(title_text="test accuracy (%)", tickformat=".0%", range=list(y_range))
    return figure


def _front_ranges(contents: Contents) -> tuple[tuple[float, float], tuple[float, float]]:
    """Axis ranges that show what matters; the feet of the curves, near chance, are left to those who zoom out."""
    limits, shown = contents.limits, [*contents.front, *([contents.nearest] if contents.nearest else [])]
    macs = [float(n.curve.expected_macs.min()) for n in contents.networks]
    macs += [n.to_the_end.expected_macs for n in contents.networks]
    low = [float(np.quantile([n.to_the_end.accuracy for n in contents.networks], 0.1))]
    low += [s.test.accuracy_interval[0] for s in shown]
    if limits.max_macs is not None:
        macs.append(limits.max_macs)
    if limits.min_accuracy is not None:
        low.append(limits.min_accuracy)
    return (min(macs) / 1.2, max(macs) * 1.2), (max(min(low) - 0.06, 0.0), 1.01)


def _draw_limits(figure: go.Figure, limits: Limits, x_range: tuple[float, float], y_range: tuple[float, float]) -> None:
    """Shade where the limits on expected MACs and accuracy hold, and draw the limits themselves."""
    cap, floor = limits.max_macs, limits.min_accuracy
    if cap is None and floor is None:
        return
    left, right = x_range[0] / 1e3, x_range[1] * 1e3  # beyond the axes, for those who zoom out
    inside_x, inside_y = [left, cap or right], [floor or 0.0, 1.0]
    figure.add_trace(go.Scatter(
        x=[inside_x[0], inside_x[1], inside_x[1], inside_x[0]], y=[inside_y[0], inside_y[0], inside_y[1], inside_y[1]],
        mode="lines", line={"width": 0}, fill="toself", fillcolor=REGION, hoverinfo="skip", name="within the limits",
    ))  # fmt: skip
    lines: list[tuple[list[float], list[float]]] = []
    if cap is not None:
        lines.append(([cap, cap], [0.0, 1.0]))
    if floor is not None:
        lines.append(([left, right], [floor, floor]))
    for x, y in lines:
        figure.add_trace(go.Scatter(
            x=x, y=y, mode="lines", line={"color": GREEN, "width": 1.5, "dash": "dash"}, showlegend=False,
            hoverinfo="skip",
        ))  # fmt: skip


def _curve(network: Network, contents: Contents, *, first: bool) -> go.Scatter:
    drawn = network.curve[_evenly(len(network.curve), POINTS_PER_LINE)]
    return go.Scatter(
        x=drawn.expected_macs, y=drawn.accuracy, mode="lines", line={"color": FAINT, "width": 1},
        name="all threshold curves", legendgroup="curves", showlegend=first,
        customdata=_curve_notes(drawn), hovertemplate=_hover(network.record, "%{customdata[0]}", "%{customdata[1]}"),
    )  # fmt: skip


def _curve_notes(measured: Measurements) -> list[list[str]]:
    return [
        [str(OperatingPoint.from_array(thresholds)), " / ".join(f"{100 * rate:.1f}" for rate in row)]
        for thresholds, row in zip(measured.thresholds, measured.rates, strict=True)
    ]


def _evenly(n: int, most: int) -> np.ndarray:
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int))


def _to_the_end(networks: Sequence[Network]) -> go.Scatter:
    return go.Scatter(
        x=[n.to_the_end.expected_macs for n in networks], y=[n.to_the_end.accuracy for n in networks],
        mode="markers", marker={"symbol": "circle-open", "size": 6, "color": GREY},
        name="last exit only", hovertemplate="%{text}",
        text=[_hover(n.record, "all off", rates(n.to_the_end), n.to_the_end) for n in networks],
    )  # fmt: skip


def _solutions(solutions: Sequence[Solution], name: str, symbol: str, colour: str) -> go.Scatter:
    tests = [s.test for s in solutions]
    return go.Scatter(
        x=[t.expected_macs for t in tests], y=[t.accuracy for t in tests], mode="markers", name=name,
        error_y={
            "array": [t.accuracy_interval[1] - t.accuracy for t in tests],
            "arrayminus": [t.accuracy - t.accuracy_interval[0] for t in tests],
            "thickness": 1, "width": 3,
        },
        marker={"symbol": symbol, "size": 10, "color": colour, "line": {"color": "white", "width": 1}},
        text=[_hover(s.record, str(s.operating_point), rates(s.test), s.test) for s in solutions],
        hovertemplate="%{text}",
    )  # fmt: skip


def _hover(record: Record, thresholds: str, exit_rates: str, measured: Measured | None = None) -> str:
    """A label; without a measurement it takes accuracy and MACs from the point it belongs to."""
    accuracy, macs = ("%{y:.1%}", "%{x:,.0f}")
    if measured is not None:
        accuracy, macs = percent(measured.accuracy), count(measured.expected_macs)
    encoding = "<br>   /".join(escape(part) for part in str(record.architecture).split("/"))
    return (
        f"<b>{escape(record.id)}</b> ({origin(record)})<br>{encoding}<br>thresholds {thresholds}<br>"
        f"exit rates {exit_rates} %<br>accuracy {accuracy}, expected MACs {macs}<extra></extra>"
    )


# ---------------------------------------------------------------------- predicted against verified


def accuracy_figure(contents: Contents) -> go.Figure:
    """Accuracy on tune, predicted before the training and measured after it."""
    figure = _against(contents, [v.accuracy for v in contents.verified], ".1%")
    figure.update_xaxes(title_text="predicted tune accuracy (%)", tickformat=".0%")
    figure.update_yaxes(title_text="measured tune accuracy (%)", tickformat=".0%")
    return figure


def macs_figure(contents: Contents) -> go.Figure:
    """Expected MACs on tune, predicted before the training and measured after it."""
    figure = _against(contents, [v.expected_macs for v in contents.verified], ",.0f")
    figure.update_xaxes(title_text="predicted expected MACs per image (log scale)", **LOG)
    figure.update_yaxes(title_text="measured expected MACs (log scale)", **LOG)
    return figure


def _against(contents: Contents, compared: Sequence[Compared], form: str) -> go.Figure:
    figure = go.Figure()
    ends = [min(min(c.low, c.measured) for c in compared), max(max(c.high, c.measured) for c in compared)]
    figure.add_trace(go.Scatter(
        x=ends, y=ends, mode="lines", line={"color": GREY, "dash": "dot"}, name="exactly as predicted", hoverinfo="skip"
    ))  # fmt: skip
    for inside, name, symbol, colour in ((True, "inside the interval", "circle", BLUE),
                                         (False, "outside", "x", VERMILLION)):  # fmt: skip
        some = [(v, c) for v, c in zip(contents.verified, compared, strict=True) if c.inside is inside]
        if not some:
            continue
        figure.add_trace(go.Scatter(
            x=[c.mean for _, c in some], y=[c.measured for _, c in some], mode="markers", name=name,
            error_x={"array": [c.high - c.mean for _, c in some], "arrayminus": [c.mean - c.low for _, c in some],
                     "thickness": 1, "width": 3},
            marker={"symbol": symbol, "size": 9, "color": colour},
            text=[f"{v.record.id}, round {v.record.proposal.round}, thresholds {v.operating_point}" for v, _ in some],
            hovertemplate=f"%{{text}}<br>predicted %{{x:{form}}}, measured %{{y:{form}}}<extra></extra>",
        ))  # fmt: skip
    _style(figure, height=430)
    return figure


# ---------------------------------------------------------------------- progress


def hypervolume_figure(contents: Contents) -> go.Figure:
    """Hypervolume on tune after each training, and where the search began."""
    volumes, records = contents.hypervolume, contents.records
    number = list(range(1, len(records) + 1))
    figure = go.Figure(go.Scatter(
        x=number, y=volumes, mode="lines", line={"shape": "hv", "color": BLUE, "width": 2}, name="hypervolume",
        text=[f"{r.id} ({origin(r)})" for r in records],
        hovertemplate="training %{x}: %{y:.4f}<br>%{text}<extra></extra>",
    ))  # fmt: skip
    failed = [i for i, r in enumerate(records) if r.failure is not None]
    if failed:
        figure.add_trace(go.Scatter(
            x=[number[i] for i in failed], y=[volumes[i] for i in failed], mode="markers", name="failed training",
            marker={"symbol": "x", "size": 9, "color": VERMILLION}, text=[records[i].id for i in failed],
            hovertemplate="%{text} failed<extra></extra>",
        ))  # fmt: skip
    searched = [i for i, r in enumerate(records) if r.proposal.origin == "search"]
    if searched:
        figure.add_vline(
            number[searched[0]] - 0.5, line={"color": BLACK, "width": 1, "dash": "dash"},
            annotation={"text": "search begins", "xanchor": "right", "xshift": -4},
        )  # fmt: skip
    _style(figure, height=360)
    whole = {"dtick": 1} if len(records) <= MOST_UNIT_TICKS else {}
    figure.update_xaxes(title_text="training (number)", rangemode="tozero", **whole)
    figure.update_yaxes(title_text="hypervolume (accuracy × log₁₀ MACs)", rangemode="tozero")
    return figure


def _style(figure: go.Figure, height: int) -> None:
    figure.update_layout(
        template="plotly_white", height=height, font={"family": FONT, "size": 13}, hovermode="closest",
        margin={"l": 60, "r": 12, "t": 36, "b": 55}, hoverlabel={"align": "left", "font": {"size": 12}},
        legend={"orientation": "h", "x": 0, "yref": "container", "y": 0, "yanchor": "bottom"},
    )  # fmt: skip
    for axis in (figure.layout.xaxis, figure.layout.yaxis):
        axis.update(showline=True, linecolor=GREY, ticks="outside", title_font_size=13)
