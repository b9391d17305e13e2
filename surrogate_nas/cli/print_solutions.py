"""Tables of trained networks at operating points: front, finals, verification, ladder, policies."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surrogate_nas.cli.output import MOST_ROWS, console, print_table
from surrogate_nas.exits.limit_table import LIMITS, exact_text, kept_text
from surrogate_nas.foundation.arrays import evenly

if TYPE_CHECKING:
    from surrogate_nas.study.results import Rung, Solution
    from surrogate_nas.study.study import Study


def print_front(study: "Study", page: Path) -> None:
    """Print the front on the test split, or the solution nearest to the limits."""
    records, front = study.archive.records(), study.front()
    searched = sum(r.proposal.origin == "search" for r in records)
    failed = sum(r.failure is not None for r in records)
    why = f" (surrogate-nas archive list {study.path} --failed says why)" if failed else ""
    console.print(f"{len(records)} networks trained, {searched} of them proposed by the search, {failed} failed{why}")
    if front:
        solutions = [front[i] for i in evenly(len(front), MOST_ROWS)]
        print_solutions(solutions, f"Front within {study.settings.limits}: {len(solutions)} of {len(front)} solutions")
    else:
        nearest = study.nearest()
        broken = ", ".join(map(str, nearest.tune.broken(study.settings.limits)))
        console.print(f"No trained network keeps {study.settings.limits}. The nearest: {broken}.", soft_wrap=True)
        print_solutions([nearest], "The nearest")
    console.print(f"report: {page}", soft_wrap=True)


def print_solutions(solutions: Sequence["Solution"], title: str) -> None:
    """Print test figures of solutions."""
    rows: list[tuple[object, ...]] = []
    for s in solutions:
        low, high = s.test.accuracy_interval
        rows.append(
            (
                s.record.id,
                s.record.proposal.origin,
                f"{s.test.accuracy:.3f} [{low:.3f}, {high:.3f}]",
                f"{s.test.expected_macs:,.0f}",
                f"{s.test.worst_macs:,}",
                f"{s.parameters:,}",
                percentages(s.test.rates),
                s.operating_point,
            )
        )
    columns = [
        "network",
        "origin",
        "test accuracy [95 %]",
        "expected MACs",
        "worst MACs",
        "parameters",
        "exit rates %",
        "thresholds",
    ]
    if costs := [s.test.cost for s in solutions if s.test.cost]:
        columns.insert(4, "expected cost")
        rows = [(*row[:4], f"{cost[0]:,.1f}", *row[4:]) for row, cost in zip(rows, costs, strict=True)]
    note = f"thresholds were chosen on the tune split; all figures are of the {solutions[0].test.n} test images"
    print_table(title, columns, rows, note)


def print_finals(document: dict[str, Any]) -> None:
    """Print the networks at full fidelity of a `finals_document`."""
    row = next(limit for limit in LIMITS if f"within_{limit.name}" in document)
    finals = [(exact_text(float(b)), f) for b, f in document[f"within_{row.name}"].items()]
    finals = finals or [("of the study", f) for f in document["finals"]]
    columns = [
        f"max {row.unit}",
        "best seed",
        "seeds",
        "test accuracy",
        "95 % interval",
        "expected MACs",
        "in the search",
        "encoding",
    ]
    rows = [[budget, *_final_cells(f)] for budget, f in finals if f is not None]
    costs = [f["test_expected_cost"] for _, f in finals if f is not None]
    if any(cost is not None for cost in costs):
        columns.insert(6, "expected cost")
        for cells, cost in zip(rows, costs, strict=True):
            cells.insert(6, f"{cost:,.1f}")
    note = "means over seeds; thresholds and the choice of networks are of the tune split, figures of the test split"
    print_table("At full fidelity", columns, rows, note)
    missing = [budget for budget, f in finals if f is None]
    if missing:
        console.print(f"No network keeps {row.words} ≤ {' or '.join(missing)}.")
    if document["ranking"] is not None:
        console.print(
            f"ranking of {document['ranking']['networks']} networks, search against full fidelity: "
            f"τ {document['ranking']['tau']:.2f}"
        )
    if document["report"] is not None:
        console.print(f"report: {document['report']}", soft_wrap=True)


def _final_cells(final: dict[str, Any]) -> list[object]:
    low, high = final["test_interval"]
    return [
        final["best"],
        final["seeds"],
        f"{final['test_accuracy']:.4f}",
        f"[{low:.4f}, {high:.4f}]",
        f"{final['test_expected_macs']:,.0f}",
        "–" if final["low_fidelity"] is None else f"{final['low_fidelity']['test']['accuracy']:.4f}",
        final["encoding"],
    ]


def print_verification(document: Sequence[dict[str, Any]]) -> None:
    """Print claimed and repeated accuracies of a `verification_document`."""
    rows = []
    for v in document:
        macs = [c["claimed"]["tune"]["expected_macs"] for c in v["claims"]]
        claimed, again = v["tune_accuracy_claimed"], v["tune_accuracy_again"]
        rows.append(
            (
                v["claims"][0]["claimed"]["id"],
                v["trainings"],
                f"{min(macs):,.0f} – {max(macs):,.0f}",
                f"{claimed:.4f}",
                f"{again:.4f}",
                f"{100 * (again - claimed):+.2f}",
                f"{v['test_accuracy_claimed']:.4f}",
                f"{v['test_accuracy_again']:.4f}",
            )
        )
    columns = (
        "network",
        "trainings",
        "expected MACs",
        "tune, claimed",
        "tune, again",
        "points",
        "test, claimed",
        "test, again",
    )
    note = "means over the network's solutions on the front, within the same expected cost; again: with other seeds"
    print_table("The front trained again", columns, rows, note)
    if document:
        points = [100 * (v["tune_accuracy_again"] - v["tune_accuracy_claimed"]) for v in document]
        console.print(f"on average {sum(points) / len(points):+.2f} points on tune")
    else:
        console.print("Nothing that is on the front keeps its cost with another seed.")


def print_ladder(rungs: Sequence["Rung"], title: str) -> None:
    """Print test figures of a ladder."""
    rows = []
    for r in rungs:
        test, (low, high), (least, most) = (
            r.solution.test,
            r.test_accuracy_interval,
            r.solution.test.expected_macs_interval,
        )
        rows.append(
            (
                kept_text(r.budget),
                r.solution.operating_point,
                f"{r.solution.tune.accuracy:.4f}",
                f"{test.accuracy:.4f} [{low:.4f}, {high:.4f}]",
                f"{test.expected_macs:,.0f} [{least:,.0f}, {most:,.0f}]",
                percentages(test.rates),
            )
        )
    columns = ("budget", "thresholds", "tune accuracy", "test accuracy [95 %]", "expected MACs [95 %]", "exit rates %")
    print_table(title, columns, rows, "thresholds were chosen on tune; intervals are over test images drawn anew")


def print_policies(solutions: Sequence["Solution"], title: str) -> None:
    """Print test figures of one network under several policies."""
    rows = []
    for s in solutions:
        point, test = s.operating_point, s.test
        rows.append(
            (
                point.policy,
                " ".join(f"{T:.2f}" for T in point.temperatures) or "–",
                f"{s.tune.accuracy:.4f}",
                f"{test.accuracy:.4f} [{test.accuracy_interval[0]:.4f}, {test.accuracy_interval[1]:.4f}]",
                f"{test.expected_macs:,.0f}",
                percentages(test.rates),
                point,
            )
        )
    columns = (
        "policy",
        "temperatures",
        "tune accuracy",
        "test accuracy [95 %]",
        "expected MACs",
        "exit rates %",
        "thresholds",
    )
    print_table(title, columns, rows, "each at the thresholds that are best on tune; all other figures are of test")


def percentages(rates: Sequence[float]) -> str:
    """Rates as whole percentages, separated by spaces."""
    return " ".join(f"{100 * rate:.0f}" for rate in rates)
