"""Comparison of hand-made baselines with the front: solutions are chosen on tune, and their test values reported."""

from collections.abc import Sequence
from dataclasses import dataclass

from surrogate_nas.exits.limit_table import Quantity, marked
from surrogate_nas.exits.limits import Limits
from surrogate_nas.report.contents import Baseline, Contents
from surrogate_nas.report.text import at, count, entry, escape, html_table, paragraph, percent
from surrogate_nas.study.baselines import name_of
from surrogate_nas.study.results import Measured, Solution

COLUMNS: dict[str, Quantity | None] = {
    "baseline": None,
    "thresholds": None,
    "test accuracy": "accuracy",
    "95 % interval": None,
    "expected test MACs": "expected_macs",
    "parameters": "parameters",
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """A baseline and the solutions of the front to compare it with, chosen on tune."""

    baseline: Solution
    as_accurate: Solution | None
    """The cheapest solution that is at least as accurate; `None` if there is none."""
    as_cheap: Solution | None
    """The most accurate solution that needs no more expected MACs; `None` if there is none."""

    @classmethod
    def of(cls, baseline: Solution, front: Sequence[Solution]) -> "Comparison":
        """Compare a baseline at an operating point with a front."""
        tune = baseline.tune
        as_accurate = [s for s in front if s.tune.accuracy >= tune.accuracy]
        as_cheap = [s for s in front if s.tune.expected_macs <= tune.expected_macs]
        return cls(
            baseline,
            min(as_accurate, key=lambda s: s.tune.expected_macs, default=None),
            max(as_cheap, key=lambda s: s.tune.accuracy, default=None),
        )

    def sentences(self) -> str:
        """Sentences of the comparison, as HTML."""
        same = self.as_accurate is not None and self.as_accurate is self.as_cheap
        if same and self.as_accurate is not None:
            return (
                "On tune, one solution is the cheapest of at least this accuracy and the most accurate of at most this "
                f"cost: {self._against(self.as_accurate)}."
            )
        first = "No solution on the front is as accurate on tune."
        if self.as_accurate is not None:
            first = f"The cheapest solution of at least this accuracy on tune is {self._against(self.as_accurate)}."
        second = "No solution on the front is as cheap on tune."
        if self.as_cheap is not None:
            second = f"The most accurate solution of at most this cost on tune is {self._against(self.as_cheap)}."
        return f"{first} {second}"

    def _against(self, solution: Solution) -> str:
        ours, theirs = solution.test, self.baseline.test
        overlap = "; the 95 % intervals overlap" if overlapping(ours, theirs) else ""
        return (
            f"{at(solution)}: on test it needs {times_text(theirs.expected_macs, ours.expected_macs)} "
            f"({count(ours.expected_macs)}) and is "
            f"{points_text(ours.accuracy - theirs.accuracy)} ({percent(ours.accuracy)}{overlap})"
        )


def overlapping(a: Measured, b: Measured) -> bool:
    """Whether the 95 % intervals of two accuracies overlap."""
    return max(a.accuracy_interval[0], b.accuracy_interval[0]) <= min(a.accuracy_interval[1], b.accuracy_interval[1])


def times_text(theirs: float, ours: float) -> str:
    """
    >>> times_text(300.0, 100.0), times_text(100.0, 150.0), times_text(100.0, 101.0)
    ('3.0 times fewer expected MACs', '1.5 times as many expected MACs', 'as many expected MACs')
    """
    fewer, more = f"{theirs / ours:.1f}", f"{ours / theirs:.1f}"
    if fewer == "1.0" or more == "1.0":
        return "as many expected MACs"
    return f"{fewer} times fewer expected MACs" if ours < theirs else f"{more} times as many expected MACs"


def points_text(difference: float) -> str:
    """
    >>> points_text(0.0123), points_text(-0.3), points_text(0.0004)
    ('1.2 points more accurate', '30.0 points less accurate', 'as accurate')
    """
    points = f"{100 * abs(difference):.1f}"
    if points == "0.0":
        return "as accurate"
    return f"{points} points {'more' if difference > 0 else 'less'} accurate"


def baselines_part(contents: Contents) -> str:
    """Part of the section on the front: a table of the baselines, and sentences on each."""
    title = "<h3>Hand-made baselines</h3>"
    failures = [
        paragraph(f"The training of {escape(name_of(r.architecture))} failed: {escape(r.failure.message)}.", "warning")
        for r in contents.failed_baselines
        if r.failure is not None
    ]
    if not contents.baselines:
        none = "No baseline has been trained; <code>surrogate-nas baselines STUDY</code> trains them."
        return "\n".join([title, *failures, paragraph(none)])
    note = (
        "Trained with the same recipe on the same images; not part of the search. The static network is the backbone "
        "of the best network with early exits at that time, trained without them."
    )
    return "\n".join([title, *failures, paragraph(note, "note"), _table(contents), _compared(contents)])


def _table(contents: Contents) -> str:
    bodies = [
        entry(
            *(_cells(b.name, point, contents.limits) for point in points(b)),
            encoding=str(b.exits_off.record.architecture),
        )
        for b in contents.baselines
    ]
    return html_table("Baselines", [*COLUMNS, *["within the limits on tune"] * bool(contents.limits.active)], bodies)


def points(baseline: Baseline) -> list[Solution]:
    """A baseline with its exits off, and at its most accurate thresholds if these differ."""
    off, best = baseline.exits_off, baseline.most_accurate
    return [off] if best.operating_point == off.operating_point else [off, best]


def _cells(name: str, point: Solution, limits: Limits) -> list[str]:
    (low, high), test = point.test.accuracy_interval, point.test
    cells = [
        escape(name),
        f"<code>{escape(point.printed)}</code>",
        percent(test.accuracy),
        f"{100 * low:.1f} – {100 * high:.1f}",
        count(test.expected_macs),
        count(point.parameters),
    ]
    cells = marked(cells, [*COLUMNS.values()], test.broken_names(limits))
    if not limits.active:
        return cells
    broken = ", ".join(row.limit.words for row in point.tune.broken(limits))  # limits are checked on tune
    return [*cells, f"no: {escape(broken)}" if broken else "yes"]


def _compared(contents: Contents) -> str:
    if not contents.front:
        return paragraph("There is no solution to compare the baselines with.")
    lines = "".join(f"<li>{_line(b, contents.front)}</li>" for b in contents.baselines)
    note = (
        "Solutions for the comparison are chosen on tune, like everything else. The values are of test, where a "
        "solution may be less accurate than on tune."
    )
    return f"<ul>{lines}</ul>\n{paragraph(note, 'note')}"


def _line(baseline: Baseline, front: Sequence[Solution]) -> str:
    best = baseline.most_accurate
    how = f" at <code>{escape(best.printed)}</code>, its most accurate thresholds on tune"
    sentences = Comparison.of(best, front).sentences()
    return f"<strong>{escape(baseline.name)}</strong>{how if baseline.has_exits else ''}: {sentences}"
