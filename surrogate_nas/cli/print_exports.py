"""Output of the commands about exported networks."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from surrogate_nas.cli.output import print_line, print_table, with_legend
from surrogate_nas.exits.limit_table import Quantity, marked
from surrogate_nas.exits.limits import Limits
from surrogate_nas.export.card import rates_text
from surrogate_nas.export.folder import Export
from surrogate_nas.export.images import Classified
from surrogate_nas.export.runtime import ExportedNetwork, ExportError
from surrogate_nas.foundation.arrays import evenly
from surrogate_nas.foundation.errors import InputError

MOST_SHOWN = 20
PERCENT = 100
TIMED = {"routed": "with early exits", "to_the_end": "all exits run, to the last", "static": "without early exits"}
EXPORT_COLUMNS: dict[str, Quantity | None] = {
    "setting": None,
    "thresholds": None,
    "test accuracy [95 %]": "accuracy",
    "expected test MACs": "expected_macs",
    "worst-case MACs": "worst_macs",
    "test exit rates %": None,
}


@contextmanager
def runtime_errors_as_bad_input() -> Iterator[None]:
    """Turn an `ExportError` of the runtime inside the block into an `InputError`."""
    try:
        yield
    except ExportError as error:
        raise InputError(str(error)) from None


def load_network(folder: Path, threads: int) -> ExportedNetwork:
    """Load an exported network; raises `InputError` if the folder is not a sound export."""
    with runtime_errors_as_bad_input():
        return ExportedNetwork.load(folder, threads)


def setting_number(network: ExportedNetwork, budget: float | None, setting: int | None) -> int:
    """The number of a setting: the best within a budget, the given one, or the default.

    Raises:
        InputError: if there is no such setting.
    """
    if setting is not None and setting not in range(len(network.settings)):
        raise InputError(f"setting {setting} is not one of 0 to {len(network.settings) - 1}")
    with runtime_errors_as_bad_input():
        return network.within(budget) if budget is not None else network.default if setting is None else setting


def export_document(export: Export) -> dict[str, Any]:
    """Folder and manifest of an export, and the largest difference of its logits from PyTorch's."""
    return {"folder": str(export.folder), "logit_difference": export.logit_difference, "manifest": export.manifest}


def print_export(export: Export) -> None:
    """Print the settings of an export, and the result of its check."""
    manifest, rows = export.manifest, []
    for i, setting in enumerate(manifest["settings"]):
        test = setting["test"]
        low, high = test["accuracy_interval"]
        cells = (
            f"{i} *" if i == manifest["default_setting"] else f"{i}",
            setting["thresholds_text"],
            f"{test['accuracy']:.4f} [{low:.4f}, {high:.4f}]",
            f"{test['expected_macs']:,.0f}",
            f"{setting['macs'][-1]:,}",
            rates_text(manifest, test["exit_rates"]),
        )
        rows.append(marked(cells, [*EXPORT_COLUMNS.values()], setting["broken_on_test"]))
    images = manifest["settings"][0]["test"]["images"]
    note = (
        f"* default setting, chosen within {Limits(**manifest['limits'])} on tune; the others are for other budgets. "
        f"Logits differ from PyTorch's by at most {export.logit_difference:.2g}; at every setting all {images:,} test "
        "images leave at PyTorch's exit"
    )
    print_table(f"Exported network {manifest['network']}", [*EXPORT_COLUMNS], rows, with_legend(note, rows))
    print_line(str(export.folder))


def print_classified(network: ExportedNetwork, rows: Sequence[Classified]) -> None:
    """Print some of the classified images, and the exit rates of all."""
    classified = [row for row in rows if row.error is None]
    cells = [
        [row.image, row.label, f"{row.probability:.3f}", row.exit, f"{row.macs:,}"]
        for row in (classified[i] for i in evenly(len(classified), MOST_SHOWN))
    ]
    note = ""
    if classified:
        exits = Counter(row.exit for row in classified)
        shares = ((stage.exit, exits[stage.exit] / len(classified)) for stage in network.stages)
        rates = ", ".join(f"exit {exit} {PERCENT * share:.0f} %" for exit, share in shares)
        mean_macs = sum(row.macs or 0 for row in classified) / len(classified)
        note = f"of the {len(classified):,} images given: exit rates: {rates}; mean MACs {mean_macs:,.0f}"
    title = f"Answers of network {network.manifest['network']}"
    print_table(title, ("image", "class", "probability", "exit", "MACs"), cells, note)


def print_latency(document: Mapping[str, Any]) -> None:
    """Print all timings, and compare them with MACs."""
    rows: list[list[str]] = []
    for size, one in document["batch"].items():
        timings = {**one["pieces"], **{name: one[name] for name in TIMED}}
        rows += [
            [size, TIMED.get(name, name), f"{t['median']:,.0f}", f"{t['p95']:,.0f}", f"{t['mean']:,.0f}"]
            for name, t in timings.items()
        ]
        exits = zip(document["exit_numbers"], one["exits"], strict=True)
        rows += [[size, f"to leave at exit {exit}", "", "", f"{t:,.0f}"] for exit, t in exits]
    macs, single = document["macs"], document["batch"]["1"]
    machine = document["machine"]
    note = (
        f"µs per batch on the test images in the folder, {document['threads']} thread of ONNX Runtime on "
        f"{machine['processor']}; mean: over batches, of the median of each\n"
        f"batch 1: with early exits the network takes {single['routed_over_to_the_end']:.2f} of the time to the last "
        f"exit, for {macs['expected'] / macs['to_the_end']:.2f} of the MACs on all test images, and "
        f"{single['routed_over_composed']:.2f} of the summed time of the pieces it runs"
    )
    print_table(
        f"Latency of network {document['network']} at setting {document['setting']}",
        ("batch size", "timed", "median", "95th percentile", "mean"),
        rows,
        note,
    )
