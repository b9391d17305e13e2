"""Interactive figures of the page, except that of the front."""

from collections.abc import Sequence

import plotly.graph_objects as go

from surrogate_nas.archive.ladder import passes_text
from surrogate_nas.exits.digits import approximate
from surrogate_nas.report.contents import Contents, PredictionCheck
from surrogate_nas.report.drawing import BLACK, BLUE, GREY, VERMILLION
from surrogate_nas.report.text import origin
from surrogate_nas.surrogates.fit import FittedSurrogate
from surrogate_nas.surrogates.quantities import ACCURACY, EXPECTED_MACS

FONT = "system-ui, -apple-system, Segoe UI, Roboto, Helvetica Neue, Arial, sans-serif"
CONFIG = {
    "displaylogo": False,
    "responsive": True,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
    "showSendToCloud": False,
    "plotlyServerURL": "",  # by default a button uploads the figure's data
}
MOST_UNIT_TICKS = 12
LOG = {"type": "log", "tickformat": "~s", "dtick": "D2", "tickfont": {"size": 11}}
"""Layout of a logarithmic axis with ticks at 1, 2 and 5 in each decade."""


def div(figure: go.Figure, name: str) -> str:
    """HTML of a figure with the id `name`; the page must contain plotly.js."""
    html: str = figure.to_html(full_html=False, include_plotlyjs=False, config=CONFIG, div_id=name)
    return html


def captioned(figure: go.Figure, name: str, caption: str) -> str:
    """HTML of a figure with a caption."""
    return f"<figure>\n{div(figure, name)}\n<figcaption>{caption}</figcaption>\n</figure>"


def accuracy_figure(contents: Contents) -> go.Figure:
    """Figure of the accuracy on tune, predicted before and measured after the training."""
    return _accuracies([v.accuracy for v in contents.predictions], _prediction_names(contents))


def macs_figure(contents: Contents) -> go.Figure:
    """Figure of the expected MACs on tune, predicted before and measured after the training."""
    return _macs([v.expected_macs for v in contents.predictions], _prediction_names(contents))


def _prediction_names(contents: Contents) -> list[str]:
    return [
        f"{v.record.id}, round {v.record.proposal.round}, thresholds {approximate(v.operating_point)}"
        for v in contents.predictions
    ]


def held_out_figures(surrogate: FittedSurrogate) -> tuple[go.Figure, go.Figure]:
    """Figures of held-out predictions of accuracy and expected MACs, by the surrogate in use."""
    accuracy, macs = (
        [PredictionCheck(*point) for point in surrogate.chosen_validation.held_out[target].T.tolist()]
        for target in (ACCURACY, EXPECTED_MACS)
    )
    design = surrogate.predictor.design
    names = list(design.records)
    if design.passes is not None:
        names = [f"{id} at {passes_text(passes)} passes" for id, passes in zip(names, design.passes, strict=True)]
    return _accuracies(accuracy, names), _macs(macs, names)


def _accuracies(predictions: Sequence[PredictionCheck], names: Sequence[str]) -> go.Figure:
    figure = _prediction_figure(predictions, names, ".1%")
    figure.update_xaxes(title_text="predicted tune accuracy (%)", tickformat=".0%")
    figure.update_yaxes(title_text="measured tune accuracy (%)", tickformat=".0%")
    return figure


def _macs(predictions: Sequence[PredictionCheck], names: Sequence[str]) -> go.Figure:
    figure = _prediction_figure(predictions, names, ",.0f")
    figure.update_xaxes(title_text="predicted expected MACs (log scale)", **LOG)
    figure.update_yaxes(title_text="measured expected MACs (log scale)", **LOG)
    return figure


def _prediction_figure(predictions: Sequence[PredictionCheck], names: Sequence[str], form: str) -> go.Figure:
    figure = go.Figure()
    ends = [min(min(c.low, c.measurement) for c in predictions), max(max(c.high, c.measurement) for c in predictions)]
    figure.add_trace(
        go.Scatter(
            x=ends,
            y=ends,
            mode="lines",
            line={"color": GREY, "dash": "dot"},
            name="measured = predicted",
            hoverinfo="skip",
        )
    )
    for inside, label, symbol, colour in (
        (True, "inside the interval", "circle", BLUE),
        (False, "outside the interval", "x", VERMILLION),
    ):
        some = [(name, c) for name, c in zip(names, predictions, strict=True) if c.inside is inside]
        if not some:
            continue
        figure.add_trace(
            go.Scatter(
                x=[c.mean for _, c in some],
                y=[c.measurement for _, c in some],
                mode="markers",
                name=label,
                error_x={
                    "array": [c.high - c.mean for _, c in some],
                    "arrayminus": [c.mean - c.low for _, c in some],
                    "thickness": 1,
                    "width": 3,
                },
                marker={"symbol": symbol, "size": 9, "color": colour},
                text=[name for name, _ in some],
                hovertemplate=f"%{{text}}<br>predicted %{{x:{form}}}, measured %{{y:{form}}}<extra></extra>",
            )
        )
    style(figure, height=430)
    return figure


def hypervolume_figure(contents: Contents) -> go.Figure:
    """Figure of the hypervolume on tune after each training, with the start of the search marked."""
    volumes, records = contents.hypervolume, contents.records
    number = list(range(1, len(records) + 1))
    figure = go.Figure(
        go.Scatter(
            x=number,
            y=volumes,
            mode="lines",
            line={"shape": "hv", "color": BLUE, "width": 2},
            name="hypervolume",
            text=[f"{r.id} ({origin(r)})" for r in records],
            hovertemplate="training %{x}: %{y:.4f}<br>%{text}<extra></extra>",
        )
    )
    failed = [i for i, r in enumerate(records) if r.failure is not None]
    if failed:
        figure.add_trace(
            go.Scatter(
                x=[number[i] for i in failed],
                y=[volumes[i] for i in failed],
                mode="markers",
                name="failed training",
                marker={"symbol": "x", "size": 9, "color": VERMILLION},
                text=[records[i].id for i in failed],
                hovertemplate="%{text} failed<extra></extra>",
            )
        )
    searched = [i for i, r in enumerate(records) if r.proposal.origin == "search"]
    if searched:
        figure.add_vline(
            number[searched[0]] - 0.5,
            line={"color": BLACK, "width": 1, "dash": "dash"},
            annotation={"text": "search begins", "xanchor": "right", "xshift": -4},
        )
    style(figure, height=360)
    whole = {"dtick": 1} if len(records) <= MOST_UNIT_TICKS else {}
    figure.update_xaxes(title_text="training (number)", rangemode="tozero", **whole)
    figure.update_yaxes(title_text="hypervolume (accuracy × log₁₀ MACs)", rangemode="tozero")
    return figure


def style(figure: go.Figure, height: int) -> None:
    """Apply the common layout of the page's figures; their axes must exist."""
    figure.update_layout(
        template="plotly_white",
        height=height,
        font={"family": FONT, "size": 13},
        hovermode="closest",
        margin={"l": 60, "r": 12, "t": 36, "b": 55},
        hoverlabel={"align": "left", "font": {"size": 12}},
        legend={"orientation": "h", "x": 0, "yref": "container", "y": 0, "yanchor": "bottom"},
    )
    for axis in (figure.layout.xaxis, figure.layout.yaxis):
        axis.update(showline=True, linecolor=GREY, ticks="outside", title_font_size=13)
