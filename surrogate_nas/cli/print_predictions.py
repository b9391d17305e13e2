"""Tables of fitted surrogates and of predictions."""

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING

from surrogate_nas.archive.ladder import passes_text
from surrogate_nas.cli.output import MOST_ROWS, print_line, print_table
from surrogate_nas.exits.digits import approximate
from surrogate_nas.exits.limit_table import kept_text
from surrogate_nas.exits.operating_point import OperatingPoint

if TYPE_CHECKING:
    from surrogate_nas.study.results import Answer
    from surrogate_nas.surrogates.fit import FittedSurrogate


def print_fit(surrogate: "FittedSurrogate") -> None:
    """Print the cross-validation scores of all surrogates."""
    judged = [(v.kind + (" (used)" if v.kind == surrogate.predictor.kind else ""), v) for v in surrogate.validations]
    if surrogate.promotion is not None:
        judged.append((f"{surrogate.predictor.kind}, going on", surrogate.promotion))
    rows = [
        (
            name,
            s.target,
            s.n,
            f"{s.tau:.2f} [{s.tau_low:.2f}, {s.tau_high:.2f}]",
            f"{s.rmse:.4f}",
            f"{s.coverage:.0%}",
            f"{s.nll:.2f}",
            f"{s.regret:.4f}",
        )
        for name, v in judged
        for s in v.scores
    ]
    *most, last = [f"{t:g}" for t in surrogate.judged_at]
    note = (
        f"Each network was predicted without its architecture, at thresholds {', '.join(most)} and {last}; all figures "
        "are of tune. τ: Kendall's rank correlation. RMSE of MACs is relative. NLL: negative log likelihood in nats. "
        "Regret: how much worse the best of the predicted top 5 is than the best network. size: a linear trend on MACs "
        f"and parameters. Sorting by MACs ranks accuracy with τ {surrogate.chosen_validation.cost_tau:.2f}"
    )
    if surrogate.predictor.design.rungs is not None:
        note += (
            ". Networks are compared with those of the same rung; `going on`: networks that were trained to a lower "
            "rung before, which their prediction knew"
        )
    columns = ("surrogate", "target", "networks", "τ [90 %]", "RMSE", "coverage of 90 %", "NLL", "regret")
    print_table("Surrogates, judged on networks held out from their fit", columns, rows, note)
    for caution in surrogate.chosen_validation.cautions:
        print_line(f"warning: {caution}")


def print_answers(answers: Sequence["Answer"], *, wide: bool = False) -> None:
    """Print one answer in full, or a table of the first ones; `wide` as in `print_table`."""
    if len(answers) == 1:
        _print_answer(answers[0])
        return
    printed = answers[:MOST_ROWS]
    cautions, footnotes = _numbered([a.cautions for a in printed])
    rows = [
        (
            _interval(a.accuracy, ".3f"),
            _interval(a.expected_macs, ",.0f"),
            f"{a.worst_macs:,}",
            f"{a.parameters:,}",
            f"{a.feasible_probability:.2f}",
            _thresholds(a),
            "yes" if a.trained else "",
            *([numbers] if footnotes else []),
        )
        for a, numbers in zip(printed, cautions, strict=True)
    ]
    columns = (
        "tune accuracy [90 %]",
        "expected tune MACs [90 %]",
        "worst-case MACs",
        "parameters",
        "P(within limits on tune)",
        "thresholds",
        "trained",
        *(["cautions"] if footnotes else []),
    )
    how_far = _to(printed[0])
    note = f"predictions of the measurements of a training{how_far} on tune; worst-case MACs and parameters are exact"
    note = "\n".join([note, *footnotes])
    encodings = [a.encoding for a in printed]
    title = f"{len(rows)} of {len(answers)} architectures" + ("; --json prints all" if len(rows) < len(answers) else "")
    print_table(title, columns, rows, note, encodings=encodings, wide=wide)


def _numbered(cautions: Sequence[Sequence[str]]) -> tuple[list[str], list[str]]:
    """Numbers of each row's cautions, and a footnote for each number."""
    numbers = {text: str(n) for n, text in enumerate(dict.fromkeys(chain.from_iterable(cautions)), 1)}
    return [" ".join(numbers[t] for t in texts) for texts in cautions], [
        f"caution {n}: {text}" for text, n in numbers.items()
    ]


def _print_answer(answer: "Answer") -> None:
    print_line(f"{answer.encoding}\nthresholds {_thresholds(answer)}")
    for caution in answer.cautions:
        print_line(f"caution: {caution}")
    print_line(
        f"predicted{_to(answer)} on tune, with 90 % intervals: accuracy {_interval(answer.accuracy, '.3f')}, "
        f"expected MACs {_interval(answer.expected_macs, ',.0f')}, "
        f"probability of keeping the limits {answer.feasible_probability:.2f}"
    )
    print_line(
        f"exact: worst-case MACs {answer.worst_macs:,}, parameters {answer.parameters:,}, "
        f"bytes of weights {answer.weight_bytes:,} and of activations {answer.activation_bytes:,}"
    )
    if answer.cost is not None:
        print_line(f"predicted on tune: expected cost by the cost table {_interval(answer.cost, ',.1f')}")
    exits = zip(answer.macs, answer.exit_probabilities, answer.exit_accuracies, strict=True)
    rows = [
        (e, f"{macs:,}", _interval(p, ".3f"), "–" if a is None else _interval(a, ".3f"))
        for e, (macs, p, a) in enumerate(exits, 1)
    ]
    columns = ("exit", "MACs", "tune exit probability [90 %]", "tune accuracy of images that leave [90 %]")
    print_table("", columns, rows)
    for training in answer.trained:
        rates = " ".join(f"{rate:.3f}" for rate in training["rates"])
        print_line(
            f"trained as {training['id']} with seed {training['seed']}: accuracy {training['accuracy']:.4f}, "
            f"expected MACs {training['expected_macs']:,.0f}, exit rates {rates} on {training['n']} tune images; on "
            f"test {training['test_accuracy']:.4f}, at least {kept_text(training['test_accuracy_bound'], floor=True)}"
            + ("" if training["certificate"] is None else "; certified")
        )
    for text in _going_on(answer):
        print_line(text)


def _going_on(answer: "Answer") -> list[str]:
    """Lines about trainings that have not reached the rung yet."""
    return [
        f"trained as {training['id']} with seed {training['seed']} to {passes_text(training['passes'])} image passes; "
        f"predicted{_to(answer)}: accuracy {_interval(training['accuracy'], '.3f')}, "
        f"expected MACs {_interval(training['expected_macs'], ',.0f')}"
        for training in answer.going_on or ()
    ]


def _to(answer: "Answer") -> str:
    """How far the network is trained that is predicted, if there is a ladder."""
    return "" if answer.passes is None else f" to {passes_text(answer.passes)} image passes"


def _thresholds(answer: "Answer") -> str:
    return str(approximate(OperatingPoint.parse(answer.thresholds, len(answer.macs))))


def _interval(values: tuple[float, float, float], form: str) -> str:
    mean, low, high = values
    return f"{mean:{form}} [{low:{form}}, {high:{form}}]"
