"""Section on classes: accuracy per class of some solutions and of the baselines."""

from collections.abc import Sequence
from dataclasses import dataclass

from surrogate_nas.report.contents import Classes, Contents
from surrogate_nas.report.front_table import MOST_CLASSES
from surrogate_nas.report.solutions import evenly_by_cost
from surrogate_nas.report.text import count, entry, escape, html_table, paragraph, percent, section
from surrogate_nas.study.results import Measured

ALL_LISTED, WORST_LISTED, BEST_LISTED = 30, 10, 5
"""Largest number of classes that are all in the table; of more, numbers of the worst and the best."""
IMBALANCED = 1.5
"""Smallest ratio of the largest class to the smallest, in images, of data that are called imbalanced."""
DARKEST, LIGHTEST = 0.55, 0.05
"""Opacity of the table's lowest accuracy, at which text is legible, and the smallest error rate that gets it."""


@dataclass(frozen=True, slots=True)
class Column:
    """Column of the table: a network at an operating point, measured on test."""

    heading: str
    """Heading of the column, as HTML."""
    test: Measured

    @property
    def lowest(self) -> float:
        """Accuracy of the worst class."""
        return min(a for a in self.test.class_accuracy if a is not None)

    @property
    def uneven(self) -> bool:
        """Whether the classes differ in accuracy."""
        return any(a is not None and a > self.lowest for a in self.test.class_accuracy)


def classes_section(contents: Contents) -> str:
    """Section on the cheapest, a middle and the most accurate solution, and on every baseline."""
    title, classes = "Accuracy per class", contents.classes
    columns = [*solution_columns(contents), *_baseline_columns(contents)]
    if not columns:
        return section(title, paragraph("No network has been trained yet."))
    indices = listed_classes(contents, columns)
    headings = ("class", "test images", *(column.heading for column in columns))
    lowest = min(column.lowest for column in columns)
    rows = [*_summary(columns), *(_class_row(c, classes, columns, lowest) for c in indices)]
    notes = [paragraph(balance_text(classes)), paragraph(_intro(len(indices), len(classes.images)), "note")]
    return section(title, *notes, html_table("Accuracy per class", headings, rows, "classes"))


def solution_columns(contents: Contents) -> list[Column]:
    """At most three solutions, from the cheapest to the most accurate; the closest to the limits if there are none."""
    if contents.nearest is not None:
        return [Column(f"closest to the limits<br>{escape(contents.nearest.record.id)}", contents.nearest.test)]
    some = evenly_by_cost(contents.front, 3)
    names = {1: ["the only solution"], 2: ["cheapest", "most accurate"], 3: ["cheapest", "middle", "most accurate"]}
    return [
        Column(f"{name}<br>{escape(s.record.id)}", s.test)
        for name, s in zip(names.get(len(some), []), some, strict=True)
    ]


def _baseline_columns(contents: Contents) -> list[Column]:
    """One column per baseline, at its most accurate thresholds on tune."""
    return [Column(f"baseline<br>{escape(b.name)}", b.most_accurate.test) for b in contents.baselines]


def listed_classes(contents: Contents, columns: Sequence[Column]) -> list[int]:
    """Indices of all classes; if there are many, the worst and the best of the most accurate solution, worst first."""
    leading = columns[len(solution_columns(contents)) - 1] if solution_columns(contents) else columns[0]
    accuracy = leading.test.class_accuracy
    if len(accuracy) <= ALL_LISTED:
        return list(range(len(accuracy)))
    candidates = [c for c, a in enumerate(accuracy) if a is not None]
    order = sorted(candidates, key=lambda c: accuracy[c] or 0.0)
    return [*order[:WORST_LISTED], *order[WORST_LISTED:][-BEST_LISTED:]]


def balance_text(classes: Classes) -> str:
    """Sentences on the numbers of test images per class, and on imbalance."""
    smallest, largest = (f(range(len(classes.images)), key=classes.images.__getitem__) for f in (min, max))
    least, most = classes.images[smallest], classes.images[largest]
    spread = f"{count(least)}" if least == most else f"{count(least)} to {count(most)}"
    text = f"Each class has {spread} images in the test split."
    if most < IMBALANCED * least:
        return text
    return (
        f"{text} The data are imbalanced: {escape(classes.names[largest])} has {count(most)} images, "
        f"{escape(classes.names[smallest])} has {count(least)}. Accuracy weights all images equally, class-balanced "
        "accuracy all classes."
    )


def _intro(rows: int, n: int) -> str:
    text = (
        "Share of right answers among the test images of each class; darker is worse. Class-balanced accuracy is the "
        "mean over the classes. Baselines are at their most accurate thresholds on tune."
    )
    if rows == n:
        return text
    few = f"Listed: the {WORST_LISTED} worst and the {BEST_LISTED} best of {n} classes for the most accurate solution"
    return f"{text} {few}; all are in {_complete_list(n)}."


def _complete_list(n: int) -> str:
    return ("<code>front.csv</code> and " if n <= MOST_CLASSES else "") + "the output of <code>--json</code>"


def _summary(columns: Sequence[Column]) -> list[str]:
    lines = [
        ("accuracy", [c.test.accuracy for c in columns]),
        ("class-balanced accuracy", [c.test.balanced_accuracy for c in columns]),
    ]
    return [entry([name, count(columns[0].test.n), *map(percent, values)]) for name, values in lines]


def _class_row(index: int, classes: Classes, columns: Sequence[Column], lowest: float) -> str:
    cells = [_cell(column, index, lowest) for column in columns]
    return entry([escape(classes.names[index]), count(classes.images[index]), *cells])


def _cell(column: Column, index: int, lowest: float) -> str:
    accuracy = column.test.class_accuracy[index]
    if accuracy is None:
        return "–"
    text = percent(accuracy)
    if column.uneven and accuracy == column.lowest:
        text = f"<strong>worst {text}</strong>"
    opacity = DARKEST * (1 - accuracy) / max(1 - lowest, LIGHTEST)
    return f'<span class="heat" style="background: rgba(213, 94, 0, {opacity:.3f})">{text}</span>'
