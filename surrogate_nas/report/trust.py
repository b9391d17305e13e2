"""Sections on the quality of predictions."""

from collections.abc import Mapping

from surrogate_nas.report.contents import Contents
from surrogate_nas.report.figures import accuracy_figure, captioned, held_out_figures, macs_figure
from surrogate_nas.report.text import count, entry, escape, html_table, paragraph, percent, section
from surrogate_nas.settings import FEWEST_NETWORKS
from surrogate_nas.space.candidates import Candidates
from surrogate_nas.space.genes import Genes
from surrogate_nas.surrogates.applicability import ApplicabilityDomain
from surrogate_nas.surrogates.metrics import Score
from surrogate_nas.surrogates.validation import HELD_OUT_AT, RELATIVE, Validation

NAMES: Mapping[str, str] = {
    "gp": "Gaussian processes (gp)",
    "xgb": "XGBoost ensemble (xgb)",
    "stack": "weighted mean of both (stack)",
    "switching": "adaptive switching (switching)",
    "size": "linear regression on costs alone (size), for comparison",
}


def predictions_section(contents: Contents) -> str:
    """Section on predictions for the networks of the search, and the values measured after training."""
    title = "Predictions against measurements"
    n = len(contents.predictions)
    if n == 0:
        return section(title, paragraph("No network proposed by the search has been trained yet."))
    inside_accuracy = sum(v.accuracy.inside for v in contents.predictions)
    inside_macs = sum(v.expected_macs.inside for v in contents.predictions)
    summary = (
        f"Of {n} networks proposed by the search and trained, {inside_accuracy} accuracies and {inside_macs} expected "
        "MACs lie inside their predicted 90 % intervals."
    )
    return section(
        title,
        paragraph(summary),
        '<div class="pair">',
        captioned(
            accuracy_figure(contents),
            "predicted-accuracy",
            "Accuracy on tune at the proposed thresholds; bars are 90 % intervals of the prediction.",
        ),
        captioned(
            macs_figure(contents),
            "predicted-macs",
            "Expected MACs on tune at the proposed thresholds; bars are 90 % intervals of the prediction.",
        ),
        "</div>",
    )


def trust_section(contents: Contents) -> str:
    """Section on the held-out scores of every candidate surrogate, with cautions."""
    title = "Accuracy of the surrogate"
    if contents.surrogate is None:
        networks = len(contents.networks)
        why = f"There is no surrogate yet: it needs at least {FEWEST_NETWORKS} trained networks, got {networks}."
        return section(title, paragraph(why, "warning"))
    kind = contents.surrogate.predictor.kind
    thresholds = [f"{t:g}" for t in contents.surrogate.judged_at]
    *most, last = thresholds
    intro = (
        f"Each network was predicted by a surrogate that was not fitted to it (cross-validation), with all thresholds "
        f"at {', '.join(most)} and {last}; all values are of tune. τ is Kendall's rank correlation, with its 90 % "
        "interval: 1 is the measured order, 0 is chance. RMSE is the root mean squared error, in percentage points or "
        "in percent of the measured MACs. Coverage is the share of measured values inside their 90 % interval, and "
        "should be 90 %. NLL is the negative log likelihood in nats; less is better. Regret is the gap between the "
        "best network and the best of the five predicted to be best."
    )
    if contents.rung is not None:
        intro += (
            " Networks of all rungs are judged, and ranked with those of their own rung; those that go on had been "
            "trained to a lower rung before, which their prediction knew."
        )
    validations = contents.surrogate.validations
    cautions = [
        paragraph(f"{text[0].upper()}{text[1:]}.", "warning") for text in contents.surrogate.chosen_validation.cautions
    ]
    tables = [_validation(v, f"{_named(v)}{' – in use' if v.kind == kind else ''}") for v in validations]
    if (promotion := contents.surrogate.promotion) is not None:
        tables.append(_validation(promotion, f"{_named(promotion)}, networks that go on"))
    accuracy, macs = held_out_figures(contents.surrogate)
    where = f"all thresholds at {thresholds[HELD_OUT_AT]}; bars are 90 % intervals"
    return section(
        title,
        *cautions,
        paragraph(intro, "note"),
        '<div class="pair">',
        captioned(accuracy, "held-out-accuracy", f"Held-out predictions of accuracy by {escape(kind)}, {where}."),
        captioned(macs, "held-out-macs", f"Held-out predictions of expected MACs by {escape(kind)}, {where}."),
        "</div>",
        '<div class="pair">',
        *tables,
        "</div>",
        *_domain_part(Genes(contents.header.space), contents.surrogate.predictor.design.candidates),
    )


def _domain_part(genes: Genes, trained: Candidates) -> list[str]:
    """Part on the costs of the trained networks, and on the exits and choices that none of them has."""
    cost, untrained = trained.cost, "; ".join(ApplicabilityDomain(genes, trained).untrained)
    macs, parameters = (f"{count(v.min())} to {count(v.max())}" for v in (cost.macs()[:, -1], cost.parameters))
    texts = [f"The trained networks have {macs} MACs to the last exit and {parameters} parameters."]
    if untrained:
        texts.append(escape(f"{untrained[0].upper()}{untrained[1:]}."))
    texts.append("Predictions for other networks extrapolate, and carry cautions.")
    return ["<h3>Trained networks</h3>", paragraph(" ".join(texts), "note")]


def _named(validation: Validation) -> str:
    return NAMES.get(validation.kind, validation.kind)


def _validation(validation: Validation, title: str) -> str:
    bodies = [entry([escape(s.target), str(s.n), *score_texts(s)]) for s in validation.scores]
    columns = ("quantity", "networks", "τ", "RMSE", "coverage", "NLL", "regret")
    return "\n".join(
        [
            f"<div><h3>{escape(title)}</h3>",
            html_table(f"Held-out scores of {validation.kind}", columns, bodies),
            paragraph(f"For comparison, ranking by size has τ = {validation.cost_tau:.2f} for accuracy.", "note"),
            "</div>",
        ]
    )


def score_texts(score: Score) -> tuple[str, str, str, str, str]:
    """Texts of τ, RMSE, coverage, NLL and regret; errors in percentage points, or in percent of measured costs."""

    def error(value: float) -> str:
        return percent(value) if score.target in RELATIVE else f"{100 * value:.1f} points"

    tau = f"{score.tau:.2f} [{score.tau_low:.2f}, {score.tau_high:.2f}]"
    return tau, error(score.rmse), percent(score.coverage), f"{score.nll:.2f}", error(score.regret)
