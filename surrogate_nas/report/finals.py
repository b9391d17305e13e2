"""Section on networks at full fidelity."""

import math
from collections.abc import Mapping

from surrogate_nas.exits.limit_table import Quantity, marked
from surrogate_nas.exits.limits import Limits
from surrogate_nas.report.contents import Contents
from surrogate_nas.report.text import count, entry, escape, html_table, limits_text, paragraph, percent, section
from surrogate_nas.study.finals import Final, RankAgreement

COLUMNS: dict[str, Quantity | None] = {
    "best seed": None,
    "seeds": None,
    "test accuracy": "accuracy",
    "95 % interval": None,
    "sd over seeds": None,
    "expected test MACs": "expected_macs",
    "test accuracy in the search": None,
}
WITH_COST: dict[str, Quantity | None] = {**COLUMNS, "expected test cost": "expected_cost"}


def finals_section(contents: Contents) -> str:
    """Section with means over seeds and the accuracies in the search; empty if no network was finalized."""
    if not contents.finals:
        return ""
    ladder = contents.header.ladder
    how = "again with the final recipe" if ladder is None else f"to {ladder.name(ladder.top)}"
    title = "At full fidelity" if ladder is None else "At the top rung"
    note = (
        f"Networks trained {how}; limits: {limits_text(contents.limits)}. Each seed has its own "
        "best thresholds on tune. Values are means over seeds on test; rows are sorted by the accuracy on tune."
    )
    costs = any(final.test_cost is not None for final in contents.finals)
    columns = WITH_COST if costs else COLUMNS
    rows = [_row(final, columns, contents.limits) for final in contents.finals]
    parts = [paragraph(note, "note"), html_table(f"Networks {title.lower()}", [*columns], rows, "finals")]
    agreement = RankAgreement.of(contents.finals)
    if agreement is not None:
        parts.append(
            paragraph(
                f"Agreement of the rankings by tune accuracy, in the search and {title.lower()}: Kendall's τ "
                f"{agreement.tau:.2f} over {agreement.n} networks."
            )
        )
    return section(title, *parts)


def _row(final: Final, columns: Mapping[str, Quantity | None], limits: Limits) -> str:
    (low, high), deviation = final.test_interval, final.test_deviation
    cells = [
        escape(final.best.record.id),
        str(len(final.solutions)),
        percent(final.test_accuracy),
        f"{100 * low:.1f} – {100 * high:.1f}",
        "–" if math.isnan(deviation) else f"{100 * deviation:.2f}",
        count(final.test_macs),
        "–" if final.low is None else percent(final.low.test.accuracy),
        *([] if final.test_cost is None else [f"{final.test_cost:,.1f}"]),
    ]
    cells = marked(cells, [*columns.values()], final.broken_names(limits))
    return entry(cells, encoding=str(final.architecture))
