"""Table of the front as CSV, without rounding."""

import csv
import io
from collections.abc import Sequence

from surrogate_nas.exits.limits import Limits
from surrogate_nas.study.results import Solution

COLUMNS = (
    "id",
    "encoding",
    "thresholds",
    "policy",
    "seed",
    "origin",
    "parameters",
    "tune_accuracy",
    "tune_expected_macs",
    "test_accuracy",
    "test_accuracy_low",
    "test_accuracy_high",
    "test_accuracy_bound",
    "test_balanced_accuracy",
    "test_expected_macs",
    "worst_macs",
    "broken_on_test",
    "certified",
)
MOST_CLASSES = 100
"""Largest number of classes whose accuracies get columns."""


def front_csv(front: Sequence[Solution], positions: int, classes: int, limits: Limits) -> str:
    """CSV text with a header and a line for each solution, in order; on a ladder with a column of their rung.

    Args:
        front: solutions on the front.
        positions: number E of exit positions of the space. Each, counted from 1, has a column for its exit rate, and
            one for the accuracy of the samples that leave there, which is empty if there are none.
        classes: number of classes; if there are at most 100, each, counted from 0, has a column for its accuracy.
        limits: limits that all solutions keep on tune; the names of those broken on test are in `broken_on_test`,
            separated by spaces, and limits that are certified in `certified`.
    """
    places, indices = range(1, positions + 1), range(classes if classes <= MOST_CLASSES else 0)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            *COLUMNS,
            *(f"test_exit_rate_{e}" for e in places),
            *(f"test_exit_accuracy_{e}" for e in places),
            *(f"test_class_accuracy_{c}" for c in indices),
            *(["passes"] if any(_rung(s) for s in front) else []),
        ]
    )
    writer.writerows([*_row(s, limits), *s.test.class_accuracy[: len(indices)], *_rung(s)] for s in front)
    return text.getvalue()


def _row(solution: Solution, limits: Limits) -> list[object]:
    record, point, tune, test = solution.record, solution.operating_point, solution.tune, solution.test
    return [
        record.id,
        record.architecture,
        point,
        point.policy,
        record.proposal.seed,
        record.proposal.origin,
        solution.parameters,
        tune.accuracy,
        tune.expected_macs,
        test.accuracy,
        *test.accuracy_interval,
        test.accuracy_bound,
        test.balanced_accuracy,
        test.expected_macs,
        test.worst_macs,
        " ".join(test.broken_names(limits)),
        "" if solution.certificate is None else solution.certificate.limits,
        *test.rates,
        *test.exit_accuracy,
    ]


def _rung(solution: Solution) -> list[object]:
    """Image passes of the solution's rung; nothing without a ladder."""
    passes = solution.record.proposal.passes
    return [] if passes is None else [passes]
