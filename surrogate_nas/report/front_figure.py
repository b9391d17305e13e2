"""Interactive figure of the front."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from surrogate_nas.archive.record import Record
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.measurements import Measurements
from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.foundation.arrays import evenly
from surrogate_nas.report.contents import Baseline, Contents, TrainedNetwork
from surrogate_nas.report.drawing import (
    BLACK,
    GREEN,
    GREY,
    MARKS,
    NEAREST,
    POINTS_PER_LINE,
    Mark,
    baseline_mark,
    front_ranges,
    label_places,
)
from surrogate_nas.report.figures import LOG, style
from surrogate_nas.report.text import ORIGINS, count, escape, origin, percent, rates
from surrogate_nas.study.results import Measured, Solution

FAINT, REGION = "rgba(110,110,110,0.4)", "rgba(0,158,115,0.09)"
LABEL_BELOW, LABEL_STEP = 90, 18
"""Pixels from a baseline down to the highest label, and between labels."""


def front_figure(contents: Contents) -> go.Figure:
    """Figure of test accuracy over expected MACs: the front, every threshold curve, and every network's last exit.

    It also has the hand-made baselines. There must be at least one trained network.
    """
    x_range, y_range = front_ranges(contents)
    figure = go.Figure()
    _draw_limits(figure, contents.limits, x_range, y_range)
    for i, network in enumerate(contents.networks):
        figure.add_trace(_network_curve(network, first=i == 0))
    figure.add_trace(_to_the_end(contents.networks))
    for name, mark in MARKS.items():
        some = [s for s in contents.front if s.record.proposal.origin == name]
        if some:
            figure.add_trace(_solutions(some, f"front, {ORIGINS[name]}", mark))
    if contents.nearest is not None:
        figure.add_trace(_solutions([contents.nearest], "closest to the limits", NEAREST))
    _draw_baselines(figure, contents.baselines)
    style(figure, height=600)
    figure.update_xaxes(title_text="expected MACs per image (log scale)", **LOG, range=np.log10(x_range).tolist())
    figure.update_yaxes(title_text="test accuracy (%)", tickformat="~%", range=list(y_range))
    return figure


def _draw_limits(figure: go.Figure, limits: Limits, x_range: tuple[float, float], y_range: tuple[float, float]) -> None:
    """Shade the region within the limits on expected MACs and accuracy, and draw the limits as lines."""
    cap, floor = limits.max_macs, limits.min_accuracy
    if cap is None and floor is None:
        return
    left, right = x_range[0] / 1e3, x_range[1] * 1e3  # beyond the axes, for zooming out
    inside_x, inside_y = [left, cap or right], [floor or 0.0, 1.0]
    figure.add_trace(
        go.Scatter(
            x=[inside_x[0], inside_x[1], inside_x[1], inside_x[0]],
            y=[inside_y[0], inside_y[0], inside_y[1], inside_y[1]],
            mode="lines",
            line={"width": 0},
            fill="toself",
            fillcolor=REGION,
            hoverinfo="skip",
            name="within the limits",
        )
    )
    lines: list[tuple[list[float], list[float]]] = []
    if cap is not None:
        lines.append(([cap, cap], [0.0, 1.0]))
    if floor is not None:
        lines.append(([left, right], [floor, floor]))
    for x, y in lines:
        figure.add_trace(
            go.Scatter(
                x=x,
                y=y,
                mode="lines",
                line={"color": GREEN, "width": 1.5, "dash": "dash"},
                showlegend=False,
                hoverinfo="skip",
            )
        )


def _network_curve(network: TrainedNetwork, *, first: bool) -> go.Scatter:
    return _curve(
        network.record,
        network.curve,
        mode="lines",
        line={"color": FAINT, "width": 1},
        showlegend=first,
        name="all threshold curves",
        legendgroup="curves",
    )


def _curve(record: Record, curve: Measurements, **look: Any) -> go.Scatter:
    points = curve[evenly(len(curve), POINTS_PER_LINE)]
    return go.Scatter(
        x=points.expected_macs,
        y=points.accuracy,
        customdata=_curve_notes(points),
        hovertemplate=_hover(record, "%{customdata[0]}", "%{customdata[1]}"),
        **look,
    )


def _curve_notes(curve: Measurements) -> list[list[str]]:
    return [
        [str(OperatingPoint.from_array(thresholds)), " / ".join(f"{100 * rate:.1f}" for rate in row)]
        for thresholds, row in zip(curve.thresholds, curve.rates, strict=True)
    ]


def _to_the_end(networks: Sequence[TrainedNetwork]) -> go.Scatter:
    return go.Scatter(
        x=[n.to_the_end.expected_macs for n in networks],
        y=[n.to_the_end.accuracy for n in networks],
        mode="markers",
        marker={"symbol": "circle-open", "size": 6, "color": GREY},
        name="last exit only",
        hovertemplate="%{text}",
        text=[_hover(n.record, "all off", rates(n.to_the_end), n.to_the_end) for n in networks],
    )


def _draw_baselines(figure: go.Figure, baselines: Sequence[Baseline]) -> None:
    """Draw a mark and a label for each baseline with its exits off, and a dashed threshold curve if it has exits."""
    places = label_places(baselines)
    for i, (baseline, place) in reversed(list(enumerate(zip(baselines, places, strict=True)))):  # the first on top
        point, name, how = baseline.exits_off, escape(baseline.name), ""
        if baseline.has_exits:
            how = ", exits off"
            figure.add_trace(
                _curve(
                    point.record,
                    baseline.curve,
                    mode="lines+markers",
                    name=f"{name}, thresholds",
                    line={"color": BLACK, "width": 1.5, "dash": "dash"},
                    marker={"size": 3, "color": BLACK},
                )
            )
        figure.add_trace(_solutions([point], name + how, baseline_mark(i)))
        figure.add_annotation(
            x=np.log10(point.test.expected_macs),
            y=point.test.accuracy,
            text=name,
            font={"size": 12},
            ax=-15,
            ay=LABEL_BELOW + LABEL_STEP * place,
            xanchor="right",
            arrowwidth=1,
            arrowhead=0,
            standoff=6,
            bgcolor="rgba(255,255,255,0.8)",
            borderpad=0,
        )


def _solutions(solutions: Sequence[Solution], name: str, mark: Mark) -> go.Scatter:
    tests = [s.test for s in solutions]
    return go.Scatter(
        x=[t.expected_macs for t in tests],
        y=[t.accuracy for t in tests],
        mode="markers",
        name=name,
        error_y={
            "array": [t.accuracy_interval[1] - t.accuracy for t in tests],
            "arrayminus": [t.accuracy - t.accuracy_interval[0] for t in tests],
            "thickness": 1,
            "width": 3,
        },
        marker={"symbol": mark.plotly, "size": 10, "color": mark.colour, "line": {"color": "white", "width": 1}},
        text=[_hover(s.record, str(s.printed), rates(s.test), s.test) for s in solutions],
        hovertemplate="%{text}",
    )


def _hover(record: Record, thresholds: str, exit_rates: str, figures: Measured | None = None) -> str:
    """Text of a hover label; without measurements, plotly fills in accuracy and MACs of the point."""
    accuracy, macs = ("%{y:.1%}", "%{x:,.0f}")
    if figures is not None:
        accuracy, macs = percent(figures.accuracy), count(figures.expected_macs)
    encoding = "<br>   /".join(escape(part) for part in str(record.architecture).split("/"))
    return (
        f"<b>{escape(record.id)}</b> ({origin(record)})<br>{encoding}<br>thresholds {thresholds}<br>"
        f"exit rates {exit_rates} %<br>accuracy {accuracy}, expected MACs {macs}<extra></extra>"
    )
