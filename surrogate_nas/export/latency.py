"""Timing of an exported network on this machine: piece by piece, with early exits, and to the end."""

import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from surrogate_nas.export.runtime import ExportedNetwork, ExportError, read_examples, read_manifest
from surrogate_nas.foundation.arrays import Array
from surrogate_nas.foundation.files import replaced, require_output

LATENCY = "latency.json"
BATCHES = (1, 32)
SECONDS = 10.0
"""Shortest duration of timing for each batch size."""
FEWEST_PASSES = 5
NEVER = 2.0
"""Threshold that no score reaches: the exit is run, and no image leaves."""
MOST_BATCHES = 128
OnShare = Callable[[int, int], None]
"""Function that receives the number of finished passes, and the expected total."""


@dataclass(frozen=True)
class Times:
    """Times of repeated runs of a piece or a network."""

    runs: Array
    """(passes, batches) microseconds."""

    @property
    def typical(self) -> Array:
        """(batches,) medians over the passes, which ignore moments of load on the machine."""
        return np.asarray(np.median(self.runs, axis=0))

    def document(self) -> dict[str, float]:
        """Document in microseconds: median and 95th percentile of all runs, and mean of the batches' medians."""
        median, high = np.quantile(self.runs, (0.5, 0.95))
        return {"median": float(median), "p95": float(high), "mean": float(self.typical.mean())}


@dataclass(frozen=True)
class Clock:
    """Timing of one network on some batches of images."""

    network: ExportedNetwork
    thresholds: Sequence[float | None]
    """Thresholds of the timed setting."""
    batches: Sequence[Array]
    """Batches of images, as returned by `ExportedNetwork.checked`."""

    def passes(self, seconds: float, on_share: OnShare) -> dict[str, Times]:
        """Time all pieces and routes on every batch, in repeated passes, so that load on the machine affects all alike.

        The first pass is a warm-up and is not counted.
        """
        passes: dict[str, list[list[float]]] = {}
        start, n, of = time.monotonic(), 0, FEWEST_PASSES + 1
        while n < of:
            rows = [self._once(batch) for batch in self.batches]
            for name in rows[0] if n else ():
                passes.setdefault(name, []).append([row[name] for row in rows])
            n += 1
            of = max(of, round(seconds / ((time.monotonic() - start) / n)))
            on_share(n, of)
        return {name: Times(np.array(runs)) for name, runs in passes.items()}

    def _once(self, batch: Array) -> dict[str, float]:
        times = self._walk(batch)
        early = len(self.network.stages) - 1
        ways = {"routed": self.thresholds, "to_the_end": [NEVER] * early, "static": [None] * early}
        for name, thresholds in ways.items():
            start = time.perf_counter_ns()
            self.network.route(batch, thresholds)
            times[name] = (time.perf_counter_ns() - start) * 1e-3
        return times

    def _walk(self, batch: Array) -> dict[str, float]:
        """Microseconds of each piece, in the order of computation."""
        times, values = dict[str, float](), [batch]
        for stage in self.network.stages:
            start = time.perf_counter_ns()
            values = stage.segment(values)
            middle = time.perf_counter_ns()
            times[f"segment {stage.exit}"] = (middle - start) * 1e-3
            if stage.branch is not None:
                stage.branch(values[:1])
                times[f"branch {stage.exit}"] = (time.perf_counter_ns() - middle) * 1e-3
        return times


def time_network(
    folder: Path,
    *,
    setting: int | None = None,
    threads: int = 1,
    seconds: float = SECONDS,
    on_share: OnShare = lambda done, of: None,
) -> dict[str, Any]:
    """Time an exported network on the images in its folder; the result is written there as `latency.json`.

    Times are microseconds. `to_the_end` runs every exit, but no image leaves early; `static` is the network without
    early exits. `composed` is the sum of the pieces' times, Σ p_e · (pieces up to exit e), for the routed images.

    Args:
        folder: the exported folder.
        setting: index of the setting that routes images; by default the default setting.
        threads: number of threads of ONNX Runtime.
        seconds: shortest duration for each batch size.
        on_share: function that receives the progress.

    Raises:
        ExportError: if the folder differs from the export, or the setting is unknown.
        InputError: if the folder cannot be written.
    """
    network = ExportedNetwork.load(folder, threads)
    require_output(folder / LATENCY)
    number = network.default if setting is None else setting
    if number not in range(len(network.settings)):
        raise ExportError(f"setting {number} is not one of 0 to {len(network.settings) - 1}")
    images = network.checked(read_examples(folder)[0])
    chosen_setting = network.settings[number]
    sizes = {}
    for size in BATCHES:
        clock = Clock(network, chosen_setting.thresholds, _batches(images, size))
        sizes[str(size)] = _document(clock, clock.passes(seconds, on_share))
    document = {
        "network": network.manifest["network"],
        "manifest": read_manifest(folder)["sha256"],
        "setting": number,
        "threads": threads,
        "machine": machine(),
        "unit": "µs",
        "exit_numbers": [stage.exit for stage in network.stages],
        "batch": sizes,
        "macs": {
            "expected": chosen_setting.expected_macs,
            "to_the_end": chosen_setting.macs[-1],
            "exits": list(chosen_setting.macs),
        },
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with replaced(folder / LATENCY) as partial:
        partial.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return document


def _batches(images: Array, size: int) -> list[Array]:
    """Up to `MOST_BATCHES` batches; images are repeated if there are too few."""
    count = max(1, min(MOST_BATCHES, len(images) // size))
    rows = np.arange(count * size) % len(images)
    return [np.ascontiguousarray(images[part]) for part in rows.reshape(count, size)]


def _document(clock: Clock, times: Mapping[str, Times]) -> dict[str, Any]:
    """Document with times and exit rates of one batch size."""
    X = len(clock.network.stages)
    places = [clock.network.route(batch, clock.thresholds)[1] for batch in clock.batches]
    leaving = np.bincount(np.concatenate(places), minlength=X)
    pieces = {name: t.document() for name, t in times.items() if name.split()[0] in ("segment", "branch")}
    numbers = [stage.exit for stage in clock.network.stages]
    up_to = _up_to(clock.thresholds, {name: times[name].typical.mean() for name in pieces}, numbers)
    routed, end = times["routed"], times["to_the_end"]
    composed = float(leaving @ up_to / leaving.sum())
    return {
        "pieces": pieces,
        "exits": up_to.tolist(),
        "routed": routed.document(),
        "to_the_end": end.document(),
        "static": times["static"].document(),
        "composed": composed,
        "routed_over_composed": float(routed.typical.mean() / composed),
        "routed_over_to_the_end": float(routed.typical.mean() / end.typical.mean()),
        "exit_rates": (leaving / leaving.sum()).tolist(),
        "images": int(leaving.sum()),
        "passes": len(routed.runs),
    }


def _up_to(thresholds: Sequence[float | None], pieces: Mapping[str, float], numbers: Sequence[int]) -> Array:
    """(X,) microseconds of the pieces run for an image that leaves at each exit; branches that are off are left out.

    Args:
        thresholds: (X − 1,) of the setting.
        pieces: microseconds of each segment and branch.
        numbers: (X,) number of each exit of the network.
    """
    spent, up_to = 0.0, []
    for exit, threshold in zip(numbers, [*thresholds, None], strict=True):
        spent += pieces[f"segment {exit}"] + (0.0 if threshold is None else pieces[f"branch {exit}"])
        up_to.append(spent)
    return np.array(up_to)


def machine() -> dict[str, Any]:
    """Document about the machine on which times are measured."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        models = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    return {"processor": name, "cores": os.cpu_count(), "system": platform.system(), "onnxruntime": ort.__version__}
