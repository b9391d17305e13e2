"""Tables of fitted surrogates and of predictions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from surrogate_nas.cli.output import MOST_ROWS, console, print_table

if TYPE_CHECKING:
    from surrogate_nas.study.results import Answer
    from surrogate_nas.surrogates.fit import FittedSurrogate


def print_fit(surrogate: "FittedSurrogate") -> None:
    """Print the cross-validation scores of all surrogates."""
    rows = [
        (
            v.kind + (" (used)" if v.kind == surrogate.predictor.kind else ""),
            s.target,
            s.n,
            f"{s.tau:.2f} [{s.tau_low:.2f}, {s.tau_high:.2f}]",
            f"{s.rmse:.4f}",
            f"{s.coverage:.0%}",
            f"{s.nll:.2f}",
            f"{s.regret:.4f}",
        )
        for v in surrogate.validations
        for s in v.scores
    ]
    *most, last = [f"{t:g}" for t in surrogate.judged_at]
    note = (
        f"5-fold cross-validation over architectures, at thresholds {', '.join(most)} and {last}. NLL in nats; regret: "
        "what the best of the predicted top 5 lacks to the best. All of it on the tune split. Errors of MACs are "
        "relative. size: a linear trend on MACs and parameters; sorting by MACs ranks accuracy with τ "
        f"{surrogate.chosen_validation.cost_tau:.2f}"
    )
    columns = ("surrogate", "target", "n", "τ [90 %]", "RMSE", "90 % covers", "NLL", "regret")
    print_table("Surrogates on networks they never saw", columns, rows, note)
    for caution in surrogate.chosen_validation.cautions:
        console.print(f"warning: {caution}", soft_wrap=True)


def print_answers(answers: Sequence["Answer"]) -> None:
    """Print one answer in full, or a table of the first ones."""
    if len(answers) == 1:
        _print_answer(answers[0])
        return
    rows = [
        (
            _interval(a.accuracy, ".3f"),
            _interval(a.expected_macs, ",.0f"),
            f"{a.worst_macs:,}",
            f"{a.parameters:,}",
            f"{a.feasible_probability:.2f}",
            a.thresholds,
            "yes" if a.trained else "",
            a.encoding,
        )
        for a in answers[:MOST_ROWS]
    ]
    columns = (
        "tune accuracy [90 %]",
        "expected tune MACs [90 %]",
        "worst MACs",
        "parameters",
        "P(feasible)",
        "thresholds",
        "trained",
        "encoding",
    )
    note = "predictions of what a training would measure on tune; limits are judged by them"
    print_table(f"{len(rows)} of {len(answers)} architectures; --json gives all", columns, rows, note)


def _print_answer(answer: "Answer") -> None:
    console.print(f"{answer.encoding}\nthresholds {answer.thresholds}", soft_wrap=True)
    console.print(
        f"predicted on tune: accuracy {_interval(answer.accuracy, '.3f')}, "
        f"expected MACs {_interval(answer.expected_macs, ',.0f')}, P(feasible) {answer.feasible_probability:.2f}; "
        f"exact: worst-case MACs {answer.worst_macs:,}, parameters {answer.parameters:,}, "
        f"bytes of weights {answer.weight_bytes:,} and of activations {answer.activation_bytes:,}",
        soft_wrap=True,
    )
    if answer.cost is not None:
        console.print(f"expected cost on tune by the table {_interval(answer.cost, ',.1f')}")
    exits = zip(answer.macs, answer.exit_probabilities, answer.exit_accuracies, strict=True)
    rows = [
        (e, f"{macs:,}", _interval(p, ".3f"), "–" if a is None else _interval(a, ".3f"))
        for e, (macs, p, a) in enumerate(exits, 1)
    ]
    print_table("", ("exit", "MACs", "tune probability [90 %]", "tune accuracy of those who leave [90 %]"), rows)
    for training in answer.trained:
        rates = " ".join(f"{rate:.3f}" for rate in training["rates"])
        console.print(
            f"trained as {training['id']} with seed {training['seed']}: accuracy {training['accuracy']:.4f}, "
            f"expected MACs {training['expected_macs']:,.0f}, exit rates {rates} on {training['n']} tune images",
            soft_wrap=True,
        )


def _interval(values: tuple[float, float, float], form: str) -> str:
    mean, low, high = values
    return f"{mean:{form}} [{low:{form}}, {high:{form}}]"
