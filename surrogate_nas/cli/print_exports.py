"""Output of the commands about exported networks."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from surrogate_nas.cli.output import console, print_table, with_legend
from surrogate_nas.exits.limit_table import Quantity, marked
from surrogate_nas.exits.limits import Limits
from surrogate_nas.export.folder import Export
from surrogate_nas.export.images import Classified
from surrogate_nas.export.runtime import ExportedNetwork, ExportError
from surrogate_nas.foundation.arrays import evenly
from surrogate_nas.foundation.errors import InputError

MOST_SHOWN = 20
PERCENT = 100
EXPORT_COLUMNS: dict[str, Quantity | None] = {
    "setting": None,
    "thresholds": None,
    "test accuracy [95 %]": "accuracy",
    "expected test MACs": "expected_macs",
    "to the end": "worst_macs",
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
    """The number of a setting: the best within a budget, the one asked for, or the default.

    Raises:
        InputError: if there is no such setting.
    """
    if setting is not None and setting not in range(len(network.settings)):
        raise InputError(f"setting {setting} is not one of 0 to {len(network.settings) - 1}")
    with runtime_errors_as_bad_input():
        return network.within(budget) if budget is not None else network.default if setting is None else setting


def export_document(export: Export) -> dict[str, Any]:
    """Folder and manifest of an export, and how far its logits differ from PyTorch's."""
    return {"folder": str(export.folder), "logit_difference": export.logit_difference, "manifest": export.manifest}


def print_export(export: Export) -> None:
    """Print the settings of an export, and the result of its check."""
    manifest, rows = export.manifest, []
    for i, setting in enumerate(manifest["settings"]):
        test = setting["test"]
        low, high = test["accuracy_interval"]
        cells = (
            f"{i} *" if i == manifest["default_setting"] else f"{i}",
            ",".join("off" if t is None else f"{t:.4g}" for t in setting["thresholds"]),
            f"{test['accuracy']:.4f} [{low:.4f}, {high:.4f}]",
            f"{test['expected_macs']:,.0f}",
            f"{setting['macs'][-1]:,}",
            " ".join(f"{PERCENT * p:.0f}" for p in test["exit_rates"]),
        )
        rows.append(marked(cells, [*EXPORT_COLUMNS.values()], setting["broken_on_test"]))
    images = manifest["settings"][0]["test"]["images"]
    note = (
        f"* within {Limits(**manifest['limits'])} on tune; the others are for other budgets. Logits differ from "
        f"PyTorch's by at most {export.logit_difference:.2g}; all {images:,} test images leave where they should, "
        f"at every setting\n{export.folder}"
    )
    print_table(f"Exported network {manifest['network']}", [*EXPORT_COLUMNS], rows)
    console.print(with_legend(note, rows), soft_wrap=True)


def print_classified(network: ExportedNetwork, rows: Sequence[Classified]) -> None:
    """Print some of the classified images, and the exit rates of all."""
    classified = [row for row in rows if row.error is None]
    cells = [
        [row.image, row.label, f"{row.probability:.3f}", row.exit, f"{row.macs:,}"]
        for row in (classified[i] for i in evenly(len(classified), MOST_SHOWN))
    ]
    exit_counts = [sum(row.exit == x + 1 for row in classified) for x in range(len(network.stages))]
    note = ""
    if classified:
        mean_macs = sum(row.macs or 0 for row in classified) / len(classified)
        rates = " ".join(f"{PERCENT * n / len(classified):.0f}" for n in exit_counts)
        note = f"{len(classified):,} images; exit rates {rates} %; {mean_macs:,.0f} MACs on average"
    print_table(f"By network {network.manifest['network']}", ("image", "class", "probability", "exit", "MACs"), cells)
    console.print(note, soft_wrap=True)


def print_latency(document: Mapping[str, Any]) -> None:
    """Print all timings beside MACs."""
    rows: list[list[str]] = []
    for size, one in document["batch"].items():
        timings = {**one["pieces"], **{name: one[name] for name in ("routed", "to_the_end", "static")}}
        rows += [
            [size, name.replace("_", " "), f"{t['median']:,.0f}", f"{t['p95']:,.0f}", f"{t['mean']:,.0f}"]
            for name, t in timings.items()
        ]
        rows += [[size, f"to leave at exit {x}", "", "", f"{t:,.0f}"] for x, t in enumerate(one["exits"], start=1)]
    macs, single = document["macs"], document["batch"]["1"]
    machine = document["machine"]
    note = (
        f"µs per batch, {document['threads']} thread of ONNX Runtime on {machine['processor']}; "
        "mean: over batches, of each one's median\n"
        f"batch 1: routed takes {single['routed_over_to_the_end']:.2f} of the time to the end, for "
        f"{macs['expected'] / macs['to_the_end']:.2f} of the MACs on all test images; "
        f"{single['routed_over_composed']:.2f} of what its pieces take by themselves"
    )
    print_table(
        f"Latency of {document['network']} at setting {document['setting']}",
        ("batch", "what", "median", "95 %", "mean"),
        rows,
    )
    console.print(note, soft_wrap=True)
