"""Output of a merge: JSON documents, and tables for people."""

from collections.abc import Sequence
from typing import Any

from surrogate_nas.archive.record import Proposal
from surrogate_nas.cli.output import print_line, print_rows
from surrogate_nas.study.home import Home
from surrogate_nas.study.merge import MergeResult
from surrogate_nas.study.warm_start import WARM_START


def document(home: Home, results: Sequence[MergeResult]) -> dict[str, Any]:
    """Records added from each study, and the number of records after the merge."""
    return {
        "study": str(home.path),
        "records": len(home.archive.records()),
        "budget": home.settings.budget,
        "merged": [
            {
                "study": str(m.source),
                "added": list(m.added),
                "trained_there_only": list(m.trained),
                "duplicates": list(m.duplicates),
                "weights_kept": m.weights,
                "conflicts": [
                    {"id": c.id, "last_exit_tune_accuracy_here": c.here, "and_there": c.there} for c in m.conflicts
                ],
            }
            for m in results
        ],
    }


def print_merge_result(document: dict[str, Any]) -> None:
    """Print the counts of a merge."""
    lists = ("added", "trained_there_only", "duplicates", "conflicts")
    rows = [
        {"study": m["study"], **{name: len(m[name]) for name in lists}, "weights_kept": m["weights_kept"]}
        for m in document["merged"]
    ]
    records, budget = document["records"], document["budget"]
    print_rows(rows, f"Merged into {document['study']}: it now has {records} trainings of the search")
    if records >= budget:
        print_line(f"The budget of {budget} trainings is spent; a larger --budget continues the search.")


def proposal_rows(proposals: Sequence[Proposal]) -> list[dict[str, Any]]:
    """One row per architecture to be trained, with the study and record it comes from."""
    rows = []
    for p in proposals:
        source = (p.prediction or {})[WARM_START]
        rows.append(
            {"id": p.id, "encoding": str(p.architecture), "from_study": source["study"], "record": source["record"]}
        )
    return rows


def print_proposals(rows: Sequence[dict[str, Any]], *, wide: bool = False) -> None:
    """Print a table of proposals; `wide` as in `print_table`."""
    if rows:
        print_rows(rows, f"{len(rows)} networks, to be trained by the next run, search or collect", wide=wide)
    else:
        print_line("There is no new network to train.")
