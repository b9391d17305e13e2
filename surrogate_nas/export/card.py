"""Model card: the README of an exported network's folder."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from surrogate_nas.exits.limit_table import BREAKS_LEGEND, Quantity, marked
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.policies import POLICIES
from surrogate_nas.export.runtime import EXAMPLES

MOST_LABELS = 20
PERCENT = 100
SETTING_COLUMNS: dict[str, Quantity | None] = {
    "setting": None,
    "thresholds": None,
    "test accuracy % [95 %]": "accuracy",
    "expected test MACs": "expected_macs",
    "95 % of test MACs": "p95_macs",
    "test exit rates %": None,
}


def card(manifest: Mapping[str, Any]) -> str:
    """Model card as Markdown; every value comes from the manifest."""
    setting = manifest["settings"][manifest["default_setting"]]
    test, data = setting["test"], manifest["data"]
    low, high = (PERCENT * end for end in test["accuracy_interval"])
    channels, height, width = manifest["input"]["shape"]
    return f"""# Early-exit network {manifest["network"]}

Classifies images of {channels} × {height} × {width} pixels into {len(manifest["labels"])} classes: {_labels(manifest)}.
{_stopping(manifest)}

At the default setting, {PERCENT * test["accuracy"]:.2f} % of {test["images"]:,} test images are classified correctly
(95 % interval {low:.2f} to {high:.2f}; at least {PERCENT * test["accuracy_bound"]:.2f}, one-sided), with
{test["expected_macs"]:,.0f} multiply-accumulates (MACs) on average and {setting["macs"][-1]:,} for an image that leaves
at the last exit. It has {manifest["parameters"]:,} parameters.

## Use

The network needs NumPy and ONNX Runtime.

```python
from runtime import ExportedNetwork     # runtime.py in this folder

network = ExportedNetwork.load(".")     # checks every file
answer = network.run(images)            # (N, {channels}, {height}, {width}) pixels 0 … 255
answer.classes, answer.exits, answer.macs
network.run(images, network.within({_cheapest(manifest):.0f}))   # another setting, by expected MACs
```

`python runtime.py . --check` compares this machine's results with those before the export.

Images are made square by `{manifest["input"]["resize"]}`, as for training: {_preparation(manifest)}.
They are handed over as bytes{", red, green and blue" if channels == 3 else ""}; normalisation is inside.
`surrogate-nas infer` does all of that with image files.

## Settings

{_settings(manifest)}

Thresholds, one per exit position but the last, are printed with the digits that matter; `manifest.json` has the exact
ones. They were chosen on {setting["tune"]["images"]:,} other images (the tune split); the values are measured on the
test split, which was used for no choice. MACs are of convolutions and linear layers, with every branch that is run.
{_limits(manifest)}

{_certificates(manifest)}

## Exits

{_exits(manifest, setting)}

Values of the default setting. Exits are numbered by their position in the architecture, from 1. Reach: share of test
images for which the segment is computed, with its 95 % interval.

## Limitations

- Exit rates depend on the images. On noisy or blurred images fewer may leave early, so that the average cost rises; on
  others, all may leave early with confident, wrong answers. Measure accuracy and cost on images from the place of use.
- Confidence scores are {POLICIES[manifest["policy"]].words}. They rank images; they are probabilities only if
  temperatures were fitted.
- Trained from scratch on {data["name"]} (fingerprint {data["fingerprint"][:12]}…), {_training(manifest["training"])}.
- `{EXAMPLES}` contains test images of that data set: check its licence before sharing this folder.
- Checksums in `manifest.json` detect damage; they do not prove who made the folder.

Architecture: `{manifest["architecture"]}`
"""


def _training(training: Mapping[str, Any]) -> str:
    """Seed of the training and, on a ladder, how far it went."""
    rung = f", {training['passes']:,} image passes" if "passes" in training else ""
    return f"seed {training['seed']}{rung}"


def _preparation(manifest: Mapping[str, Any]) -> str:
    """Steps outside the network, in order."""
    return ", ".join(manifest["input"]["preprocessing"][:-1])


def _stopping(manifest: Mapping[str, Any]) -> str:
    early = len(manifest["exits"]) - 1
    if not early:
        return "It has no early exits: every image runs through the whole network."
    return "Easy images leave at an early exit, and the layers after it are not computed for them."


def _cheapest(manifest: Mapping[str, Any]) -> int:
    """Expected MACs of the cheapest setting, rounded up."""
    return math.ceil(float(manifest["settings"][0]["tune"]["expected_macs"]))


def _limits(manifest: Mapping[str, Any]) -> str:
    """Sentence on the limits of the default setting, with the legend of the mark for limits broken on test."""
    limits = Limits(**manifest["limits"])
    if not limits.active:
        return ""
    legend = f"\n{BREAKS_LEGEND}." if any(setting["broken_on_test"] for setting in manifest["settings"]) else ""
    return f"The default setting was chosen within {limits} on tune; the others are for other budgets.{legend}"


def _labels(manifest: Mapping[str, Any]) -> str:
    labels = manifest["labels"]
    more = f" and {len(labels) - MOST_LABELS} more" if len(labels) > MOST_LABELS else ""
    return ", ".join(labels[:MOST_LABELS]) + more


def _markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _settings(manifest: Mapping[str, Any]) -> str:
    rows = []
    for i, setting in enumerate(manifest["settings"]):
        test = setting["test"]
        low, high = test["accuracy_interval"]
        number = f"**{i}** (default)" if i == manifest["default_setting"] else str(i)
        thresholds = setting["thresholds_text"] or "–"
        rates = rates_text(manifest, test["exit_rates"])
        cells = (
            number,
            thresholds,
            f"{PERCENT * test['accuracy']:.2f} [{PERCENT * low:.2f}, {PERCENT * high:.2f}]",
            f"{test['expected_macs']:,.0f}",
            f"{test['p95_macs']:,}",
            rates,
        )
        rows.append(marked(cells, [*SETTING_COLUMNS.values()], setting["broken_on_test"]))
    return _markdown_table([*SETTING_COLUMNS], rows)


def certificate_text(certificate: Mapping[str, Any]) -> str:
    """Sentence on the certificate of a setting, without a full stop.

    >>> certificate_text({"limits": {"min_accuracy": 0.9}, "confidence": 0.9, "images": 216})
    'certified at 90 % by 216 sealed images: accuracy ≥ 0.9 on new images like those'
    """
    limits, confidence = Limits(**certificate["limits"]), f"{PERCENT * certificate['confidence']:.4g} %"
    return f"certified at {confidence} by {certificate['images']:,} sealed images: {limits} on new images like those"


def _certificates(manifest: Mapping[str, Any]) -> str:
    """Sentences on what is certified of which setting."""
    numbers = dict[str, list[int]]()
    for i, setting in enumerate(manifest["settings"]):
        if "certificate" in setting:
            numbers.setdefault(certificate_text(setting["certificate"]), []).append(i)
    if not numbers:
        return "No setting is certified: measured accuracies, and their bounds, are of the test images alone."
    texts = (f"Setting{'s' * (len(of) > 1)} {', '.join(map(str, of))}: {text}." for text, of in numbers.items())
    return " ".join(texts) + (
        " All certificates of its study hold together with that probability. They are void for any other thresholds or"
        " weights, and once images change."
    )


def rates_text(manifest: Mapping[str, Any], rates: Sequence[float]) -> str:
    """Rates of the exits of a network in whole percent, one for each position, 0 where it has no exit.

    >>> rates_text({"exits": [{"exit": 2}, {"exit": 3}]}, [0.9, 0.1])
    '0 90 10'
    """
    numbers = [one["exit"] for one in manifest["exits"]]
    by_number = dict(zip(numbers, rates, strict=True))
    return " ".join(f"{PERCENT * by_number.get(e, 0):.0f}" for e in range(1, numbers[-1] + 1))


def _exits(manifest: Mapping[str, Any], setting: Mapping[str, Any]) -> str:
    rows = []
    for x, (exit_row, macs) in enumerate(zip(manifest["exits"], setting["macs"], strict=True)):
        test = setting["test"]
        low, high = test["reach_interval"][x]
        accuracy = test["exit_accuracy"][x]
        rows.append(
            [
                str(exit_row["exit"]),
                f"{exit_row['segment_macs']:,}",
                f"{exit_row['branch_macs']:,}",
                f"{macs:,}",
                f"{PERCENT * test['reach'][x]:.1f} [{PERCENT * low:.1f}, {PERCENT * high:.1f}]",
                f"{PERCENT * test['exit_rates'][x]:.1f}",
                "–" if accuracy is None else f"{PERCENT * accuracy:.2f}",
            ]
        )
    heads = (
        "exit",
        "MACs of its segment",
        "of its branch",
        "to leave here",
        "test reach %",
        "test leave %",
        "test accuracy of these %",
    )
    return _markdown_table(heads, rows)
