"""Tables of trained networks at operating points: front, finals, verification, tiers, policies."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surrogate_nas.archive.ladder import passes_text
from surrogate_nas.certificates.evidence import learned
from surrogate_nas.cli.output import MOST_ROWS, print_line, print_table, with_legend
from surrogate_nas.exits.limit_table import LIMITS, Quantity, exact_text, kept_text, marked
from surrogate_nas.foundation.arrays import evenly

if TYPE_CHECKING:
    from surrogate_nas.exits.limits import Limits
    from surrogate_nas.study.payoff import Payoff
    from surrogate_nas.study.results import Solution, Tier
    from surrogate_nas.study.solutions import Solutions

POLICY_COLUMNS: dict[str, Quantity | None] = {
    "policy": None,
    "temperatures": None,
    "tune accuracy": None,
    "test accuracy [95 %]": "accuracy",
    "expected test MACs": "expected_macs",
    "test exit rates %": None,
    "thresholds": None,
}


def print_front(solutions: "Solutions", page: Path, early_exits: "Payoff") -> None:
    """Print whether early exits pay, and the front measured on test, or else the solution closest to the limits."""
    path, records, front = solutions.home.path, solutions.home.archive.records(), solutions.front()
    if front:
        print_line(_best(solutions, front))
    if solutions.home.archive.header.seal is not None and learned(solutions.limits):
        print_certificates(solutions, solutions.limits, solutions.certified(solutions.limits))
    print_payoff(early_exits)
    if early_exits.static is None:
        print_line(f"surrogate-nas baselines {path} trains the best backbone without exits, to compare with.")
    searched = sum(r.proposal.origin == "search" for r in records)
    failed = sum(r.failure is not None for r in records)
    why = f" (surrogate-nas archive list {path} --failed shows why)" if failed else ""
    print_line(f"{len(records)} networks trained, {searched} of them proposed by the search, {failed} failed{why}")
    limits = solutions.limits
    if front:
        rows = [front[i] for i in evenly(len(front), MOST_ROWS)]
        count = f"{len(front)}" if len(rows) == len(front) else f"{len(rows)} of {len(front)}"
        at = "" if solutions.rung_name is None else f" at {solutions.rung_name}"
        _print_solutions(rows, f"Front{at} within {limits} on tune: {count} solutions, cheapest first", limits)
    else:
        nearest = solutions.nearest()
        broken = ", ".join(map(str, nearest.tune.broken(limits)))
        print_line(f"No trained network keeps {limits} on tune. The closest one breaks: {broken}.")
        _print_solutions([nearest], "Closest network, outside the limits on tune", limits)
    ladder = solutions.home.problem.ladder
    if ladder is not None and solutions.passes != ladder.top:
        print_line(f"surrogate-nas finalize {path} trains the networks of the front on to {ladder.name(ladder.top)}.")
    print_line(f"report: {page}")


def _best(solutions: "Solutions", front: Sequence["Solution"]) -> str:
    """The solution that limits and goal ask for."""
    best = solutions.preferred(front)
    (low, high), at = best.test.accuracy_interval, solutions.rung_name
    return (
        f"Best within your limits: {best.record.id}, {best.test.accuracy:.3f} [{low:.3f}, {high:.3f}] on test, at "
        f"least {kept_text(best.test.accuracy_bound, floor=True)}, at {best.test.expected_macs:,.0f} expected MACs, "
        f"thresholds {best.printed}" + ("" if at is None else f"; {at}")
    )


def print_certificates(solutions: "Solutions", limits: "Limits", certified: Sequence["Solution"]) -> None:
    """Print what is certified, or why nothing is, in a study with sealed images."""
    from surrogate_nas.study.certifying import shortfall

    if not certified:
        print_line(f"Nothing is certified: {'; '.join(shortfall(solutions, limits))}.")
        return
    print_line(f"Certified: {certified[0].certificate}.")
    _print_solutions(certified, f"{len(certified)} certified solutions, cheapest first", limits)


def print_payoff(result: "Payoff") -> None:
    """Print whether early exits pay, for the preferred solution, the front, and against the static network."""
    for sentence in result.sentences:
        print_line(sentence)


def print_tuned(solution: "Solution", network: str, limits: "Limits") -> None:
    """Print measurements on test of a network at thresholds chosen on tune within limits."""
    _print_solutions([solution], f"{_named(network, solution)} within {limits} on tune", limits)


def _named(network: str, solution: "Solution") -> str:
    """Network with the rung that it was trained to, if there is a ladder."""
    passes = solution.record.proposal.passes
    return f"Network {network}" + ("" if passes is None else f" at {passes_text(passes)} image passes")


def _print_solutions(solutions: Sequence["Solution"], title: str, limits: "Limits") -> None:
    columns: dict[str, Quantity | None] = {
        "network": None,
        "origin": None,
        "test accuracy [95 %]": "accuracy",
        "at least": None,
        "expected test MACs": "expected_macs",
        **({"expected test cost": "expected_cost"} if solutions[0].test.cost else {}),
        "worst-case MACs": "worst_macs",
        "parameters": "parameters",
        "test exit rates %": None,
        "thresholds": None,
    }
    rows = [marked(_cells(s), [*columns.values()], s.test.broken_names(limits)) for s in solutions]
    note = (
        f"thresholds were chosen on tune; the other figures are exact or of the {solutions[0].test.n} test images; at "
        "least: lower bound of accuracy on new images, one-sided at 95 %, for each solution by itself"
    )
    print_table(title, [*columns], rows, with_legend(note, rows))


def _cells(solution: "Solution") -> list[object]:
    test, (low, high) = solution.test, solution.test.accuracy_interval
    return [
        solution.record.id,
        solution.record.proposal.origin,
        f"{test.accuracy:.3f} [{low:.3f}, {high:.3f}]",
        kept_text(test.accuracy_bound, floor=True),
        f"{test.expected_macs:,.0f}",
        *([f"{test.cost[0]:,.1f}"] if test.cost else []),
        f"{test.worst_macs:,}",
        f"{solution.parameters:,}",
        percentages(test.rates),
        solution.printed,
    ]


def print_finals(document: dict[str, Any], *, wide: bool = False) -> None:
    """Print the networks at full fidelity of a `finals_document`; `wide` as in `print_table`."""
    row = next(limit for limit in LIMITS if f"within_{limit.name}" in document)
    finals = [(exact_text(float(b)), f) for b, f in document[f"within_{row.name}"].items()]
    finals = finals or [("the study's", f) for f in document["finals"]]
    within = [(budget, f) for budget, f in finals if f is not None]
    columns: dict[str, Quantity | None] = {
        f"max {row.unit} on tune": None,
        "best seed": None,
        "seeds": None,
        "test accuracy": "accuracy",
        "95 % interval": None,
        "expected test MACs": "expected_macs",
        **({"expected test cost": "expected_cost"} if any(f["test_expected_cost"] for _, f in within) else {}),
        "test accuracy in the search": None,
    }
    rows = [marked([budget, *_final_cells(f)], [*columns.values()], f["broken_on_test"]) for budget, f in within]
    note = "networks and thresholds were chosen on tune; accuracy and expected MACs are of test, means over seeds"
    encodings = [f["encoding"] for _, f in within]
    title = f"At {document['rung']}" if "rung" in document else "At full fidelity"
    print_table(title, [*columns], rows, with_legend(note, rows), encodings=encodings, wide=wide)
    missing = [budget for budget, f in finals if f is None]
    if missing:
        print_line(f"No network keeps {row.words} ≤ {' or '.join(missing)} on tune.")
    if document["ranking"] is not None:
        print_line(
            f"rank correlation of {document['ranking']['networks']} networks between the search and full fidelity, by "
            f"accuracy on tune: τ {document['ranking']['tau']:.2f}"
        )
    if document["report"] is not None:
        print_line(f"report: {document['report']}")


def _final_cells(final: dict[str, Any]) -> list[object]:
    low, high = final["test_interval"]
    return [
        final["best"],
        final["seeds"],
        f"{final['test_accuracy']:.4f}",
        f"[{low:.4f}, {high:.4f}]",
        f"{final['test_expected_macs']:,.0f}",
        *([] if final["test_expected_cost"] is None else [f"{final['test_expected_cost']:,.1f}"]),
        "–" if final["low_fidelity"] is None else f"{final['low_fidelity']['test']['accuracy']:.4f}",
    ]


def print_verification(document: Sequence[dict[str, Any]]) -> None:
    """Print a `verification_document`: accuracies on the front, and of trainings with other seeds."""
    rows = []
    for v in document:
        macs = [c["claimed"]["tune"]["expected_macs"] for c in v["claims"]]
        claimed, again = v["tune_accuracy_claimed"], v["tune_accuracy_again"]
        cells = (
            v["claims"][0]["claimed"]["id"],
            v["trainings"],
            f"{min(macs):,.0f} – {max(macs):,.0f}",
            f"{claimed:.4f}",
            f"{again:.4f}",
            f"{100 * (again - claimed):+.2f}",
            f"{v['test_accuracy_claimed']:.4f}",
            f"{v['test_accuracy_again']:.4f}",
        )
        broken = {name for claim in v["claims"] for name in claim["claimed"]["broken_on_test"]}
        rows.append(marked(cells, [None] * len(cells), broken))
    columns = (
        "network",
        "trainings",
        "expected tune MACs",
        "tune accuracy, on the front",
        "tune accuracy, other seeds",
        "change on tune, points",
        "test accuracy, on the front",
        "test accuracy, other seeds",
    )
    note = "means over the solutions of each network on the front; other seeds keep the same expected cost on tune"
    print_table("Networks of the front, trained again with other seeds", columns, rows, with_legend(note, rows))
    if document:
        points = [100 * (v["tune_accuracy_again"] - v["tune_accuracy_claimed"]) for v in document]
        print_line(f"mean change on tune: {sum(points) / len(points):+.2f} points")
    else:
        print_line("No network of the front keeps its expected cost on tune with another seed.")


def print_tiers(tiers: Sequence["Tier"], network: str, limits: "Limits") -> None:
    """Print tiers within limits."""
    columns: dict[str, Quantity | None] = {
        "budget on tune": None,
        "thresholds": None,
        "tune accuracy": None,
        "test accuracy [95 %]": "accuracy",
        "at least": None,
        "expected test MACs [95 %]": "expected_macs",
        **({"expected test cost": "expected_cost"} if tiers[0].solution.test.cost else {}),
        "test exit rates %": None,
    }
    rows = [marked(_tier_cells(r), [*columns.values()], r.solution.test.broken_names(r.limits)) for r in tiers]
    note = (
        "thresholds were chosen on tune, where they keep the budget; intervals: 95 % bootstrap over test images; at "
        "least: lower bound of accuracy on new images, one-sided at 95 %, for each setting by itself"
    )
    title = f"{_named(network, tiers[0].solution)} within {limits} on tune"
    print_table(title, [*columns], rows, with_legend(note, rows))


def _tier_cells(tier: "Tier") -> list[object]:
    test, (low, high) = tier.solution.test, tier.test_accuracy_interval
    least, most = test.expected_macs_interval
    return [
        kept_text(tier.budget),
        tier.solution.printed,
        f"{tier.solution.tune.accuracy:.4f}",
        f"{test.accuracy:.4f} [{low:.4f}, {high:.4f}]",
        kept_text(test.accuracy_bound, floor=True),
        f"{test.expected_macs:,.0f} [{least:,.0f}, {most:,.0f}]",
        *([f"{test.cost[0]:,.1f}"] if test.cost else []),
        percentages(test.rates),
    ]


def print_policies(solutions: Sequence["Solution"], network: str, limits: "Limits") -> None:
    """Print one network under several policies, each at its best thresholds within limits."""
    rows = []
    for s in solutions:
        point, test = s.operating_point, s.test
        cells = (
            point.policy,
            " ".join(f"{T:.2f}" for T in point.temperatures) or "–",
            f"{s.tune.accuracy:.4f}",
            f"{test.accuracy:.4f} [{test.accuracy_interval[0]:.4f}, {test.accuracy_interval[1]:.4f}]",
            f"{test.expected_macs:,.0f}",
            percentages(test.rates),
            s.printed,
        )
        rows.append(marked(cells, [*POLICY_COLUMNS.values()], test.broken_names(limits)))
    note = "each policy at the thresholds that are best on tune; expected MACs and exit rates are of test"
    title = f"{_named(network, solutions[0])} within {limits} on tune"
    print_table(title, [*POLICY_COLUMNS], rows, with_legend(note, rows))


def percentages(rates: Sequence[float]) -> str:
    """Rates as whole percentages, separated by spaces."""
    return " ".join(f"{100 * rate:.0f}" for rate in rates)
