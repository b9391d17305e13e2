"""The sections on the quality of predictions."""

from collections.abc import Mapping

from surrogate_nas.report.contents import Contents
from surrogate_nas.report.figures import accuracy_figure, captioned, held_out_figures, macs_figure
from surrogate_nas.report.text import entry, escape, html_table, paragraph, percent, section
from surrogate_nas.settings import FEWEST_NETWORKS
from surrogate_nas.surrogates.metrics import Score
from surrogate_nas.surrogates.validation import HELD_OUT_AT, RELATIVE, Validation

NAMES: Mapping[str, str] = {
    "gp": "Gaussian processes (gp)",
    "xgb": "XGBoost ensemble (xgb)",
    "stack": "both, weighted (stack)",
    "switching": "adaptive switching (switching)",
    "size": "costs alone (size), for comparison",
}


def predictions_section(contents: Contents) -> str:
    """Predictions for the networks of the search against the values measured after training."""
    title = "Predicted against verified"
    n = len(contents.predictions)
    if n == 0:
        return section(title, paragraph("No network proposed by the search has been trained yet."))
    inside_accuracy = sum(v.accuracy.inside for v in contents.predictions)
    inside_macs = sum(v.expected_macs.inside for v in contents.predictions)
    summary = (
        f"Of {n} networks that the search proposed and then trained, {inside_accuracy} accuracies and {inside_macs} "
        "expected MACs lie inside their 90 % interval."
    )
    return section(
        title,
        paragraph(summary),
        '<div class="pair">',
        captioned(
            accuracy_figure(contents),
            "predicted-accuracy",
            "Accuracy on tune at the predicted thresholds; bars are 90 % intervals of the prediction.",
        ),
        captioned(
            macs_figure(contents),
            "predicted-macs",
            "Expected MACs on tune at the predicted thresholds; bars are 90 % intervals of the prediction.",
        ),
        "</div>",
    )


def trust_section(contents: Contents) -> str:
    """Held-out scores of every surrogate tried, and cautions that follow from them."""
    title = "How far to trust the surrogate"
    if contents.surrogate is None:
        networks = len(contents.networks)
        why = f"There is no surrogate yet: it needs {FEWEST_NETWORKS} trained networks, and there are {networks}."
        return section(title, paragraph(why, "warning"))
    kind = contents.surrogate.predictor.kind
    thresholds = [f"{t:g}" for t in contents.surrogate.judged_at]
    *most, last = thresholds
    intro = (
        f"Each network was predicted by a surrogate that never saw it (cross-validation), with all thresholds at "
        f"{', '.join(most)} and {last}; all figures are of tune. τ is Kendall's rank correlation, with its 90 % "
        "interval: 1 is the measured order, 0 is chance. RMSE is the typical error, in percentage points or in percent "
        "of the measured MACs. Coverage is the share of measured values inside their 90 % interval, and should be "
        "90 %. NLL is the negative log likelihood in nats, less is better. Regret is how much worse the best of the "
        "predicted top five is than the best."
    )
    validations = contents.surrogate.validations
    cautions = [
        paragraph(f"{text[0].upper()}{text[1:]}.", "warning") for text in contents.surrogate.chosen_validation.cautions
    ]
    tables = [_validation(v, in_use=v.kind == kind) for v in validations]
    accuracy, macs = held_out_figures(contents.surrogate)
    where = f"all thresholds at {thresholds[HELD_OUT_AT]}; bars are 90 % intervals"
    return section(
        title,
        *cautions,
        paragraph(intro, "note"),
        '<div class="pair">',
        captioned(accuracy, "held-out-accuracy", f"Accuracy of networks that {escape(kind)} never saw, {where}."),
        captioned(macs, "held-out-macs", f"Expected MACs of networks that {escape(kind)} never saw, {where}."),
        "</div>",
        '<div class="pair">',
        *tables,
        "</div>",
    )


def _validation(validation: Validation, *, in_use: bool) -> str:
    bodies = [entry([escape(s.target), str(s.n), *score_texts(s)]) for s in validation.scores]
    columns = ("quantity", "networks", "τ", "RMSE", "coverage", "NLL", "regret")
    return "\n".join(
        [
            f"<div><h3>{escape(NAMES.get(validation.kind, validation.kind))}{' – the one used' if in_use else ''}</h3>",
            html_table(f"Held-out scores of {validation.kind}", columns, bodies),
            paragraph(f"For comparison, sorting by size gives τ = {validation.cost_tau:.2f} for accuracy.", "note"),
            "</div>",
        ]
    )


def score_texts(score: Score) -> tuple[str, str, str, str, str]:
    """τ, RMSE (in points of a share, in percent of measured costs), coverage, NLL and regret."""

    def error(value: float) -> str:
        return percent(value) if score.target in RELATIVE else f"{100 * value:.1f} points"

    tau = f"{score.tau:.2f} [{score.tau_low:.2f}, {score.tau_high:.2f}]"
    return tau, error(score.rmse), percent(score.coverage), f"{score.nll:.2f}", error(score.regret)
