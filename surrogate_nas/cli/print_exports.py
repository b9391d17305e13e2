"""Output of the commands about exported networks."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from surrogate_nas.cli.output import print_line, print_table, with_legend
from surrogate_nas.exits.limit_table import Quantity, kept_text, marked
from surrogate_nas.exits.limits import Limits
from surrogate_nas.export.card import certificate_text, rates_text
from surrogate_nas.export.certify import CertifiedSetting, chosen
from surrogate_nas.export.folder import Export
from surrogate_nas.export.images import Classified
from surrogate_nas.export.runtime import GUARD, ExportedNetwork, ExportError, Guard
from surrogate_nas.foundation.arrays import evenly
from surrogate_nas.foundation.errors import InputError

MOST_SHOWN = 20
PERCENT = 100
TIMED = {"routed": "with early exits", "to_the_end": "all exits run, to the last", "static": "without early exits"}
EXPORT_COLUMNS: dict[str, Quantity | None] = {
    "setting": None,
    "thresholds": None,
    "test accuracy [95 %]": "accuracy",
    "at least": None,
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
            f"{i}" + " *" * (i == manifest["default_setting"]) + " ✓" * ("certificate" in setting),
            setting["thresholds_text"],
            f"{test['accuracy']:.4f} [{low:.4f}, {high:.4f}]",
            kept_text(test["accuracy_bound"], floor=True),
            f"{test['expected_macs']:,.0f}",
            f"{setting['macs'][-1]:,}",
            rates_text(manifest, test["exit_rates"]),
        )
        rows.append(marked(cells, [*EXPORT_COLUMNS.values()], setting["broken_on_test"]))
    images = manifest["settings"][0]["test"]["images"]
    note = (
        f"* default setting, chosen within {Limits(**manifest['limits'])} on tune; the others are for other budgets. "
        f"Logits differ from PyTorch's by at most {export.logit_difference:.2g}; at every setting all {images:,} test "
        f"images leave at PyTorch's exit. At least: lower bound of accuracy on new images, one-sided at 95 %"
    )
    for setting in manifest["settings"]:
        if "certificate" in setting:
            note += f". ✓ {certificate_text(setting['certificate'])}"
            break
    print_table(f"Exported network {manifest['network']}", [*EXPORT_COLUMNS], rows, with_legend(note, rows))
    print_line(str(export.folder))


def certified_document(
    network: ExportedNetwork,
    images: int,
    new: int,
    limits: Limits,
    confidence: float,
    settings: Sequence[CertifiedSetting],
) -> dict[str, Any]:
    """Settings of a network as new images judge them, in the order of their tests."""
    best = chosen(settings)
    return {
        "network": network.manifest["network"],
        "limits": limits.model_dump(exclude_none=True),
        "confidence": confidence,
        "images": images,
        "new_images": new,
        "default_setting": network.default,
        "certified_setting": None if best is None else best.setting,
        "settings": [asdict(setting) for setting in settings],
    }


def print_certified(document: Mapping[str, Any]) -> None:
    """Print what new images certify, in the order of the tests."""
    rows = [
        (
            f"{s['setting']} *" if s["setting"] == document["default_setting"] else f"{s['setting']}",
            f"{s['accuracy']:.4f}",
            kept_text(s["accuracy_bound"], floor=True),
            f"{PERCENT * s['drop']:+.2f}",
            f"{s['expected_macs']:,.0f}",
            "–" if s["p_value"] is None else f"{s['p_value']:.2g}",
            "yes" if s["certified"] else "no" if s["p_value"] is not None else "not tested",
        )
        for s in document["settings"]
    ]
    heads = ("setting", "accuracy", "at least", "drop, points", "mean MACs", "p-value", "certified")
    limits, confidence = Limits(**document["limits"]), f"{PERCENT * document['confidence']:.4g} %"
    note = (
        f"of {document['images']:,} images, {document['new_images']:,} of them new; in the order of the tests, which "
        "end where one fails. * default setting. At least: lower bound of accuracy on new images at 95 %, at all times"
    )
    print_table(f"Network {document['network']}: {limits}, at {confidence}", heads, rows, note)
    best = document["certified_setting"]
    if best is None:
        print_line("No setting is certified.")
    else:
        print_line(f"Certified at {confidence}: {limits}; of the certified settings, {best} costs least.")


def guard_of(network: ExportedNetwork, setting: int, folder: Path | None) -> Guard | None:
    """A guard of a setting, which goes on from the state in a folder; `None` for exports of older versions.

    Raises:
        InputError: for a state in the folder that is damaged, or of another setting.
    """
    if network.settings[setting].reference is None:
        return None
    with runtime_errors_as_bad_input():
        guard = network.guard(setting)
        return guard if folder is None else guard.load(folder / GUARD)


def guard_document(guard: Guard) -> dict[str, Any]:
    """State of a guard: images seen, the share of what raises the alarm, and when it was raised."""
    return {"images": guard.images, "evidence": guard.evidence, "alarm_at": guard.alarm_at}


def guard_text(guard: Guard) -> str:
    """Sentence on whether images have changed."""
    if guard.alarm_at is not None:
        return (
            f"The images have changed: after {guard.alarm_at:,} of {guard.images:,} the guard raised its alarm, which "
            f"takes {guard.run_length:,.0f} images on average while nothing changes. Certificates no longer hold."
        )
    return f"No sign that images have changed, in {guard.images:,} of them ({guard.evidence:.1%} of an alarm)."


def print_classified(network: ExportedNetwork, rows: Sequence[Classified], guard: Guard | None = None) -> None:
    """Print some of the classified images, the exit rates of all, and what the guard says."""
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
    if guard is not None:
        print_line(guard_text(guard))


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
