"""Run an exported early-exit network. This file stands alone: it needs only NumPy and ONNX Runtime.

    python runtime.py FOLDER [--check] [--images IMAGES.npy] [--budget MACS]

    network = ExportedNetwork.load("FOLDER")
    answer = network.run(images)               # (N, channels, size, size) pixels 0 … 255
    answer.classes, answer.exits, answer.macs
    answer = network.run(images, network.within(1e6))   # at another setting: at most 1e6 MACs on average

Images that leave at an exit are not computed further. A copy of this file lies in every exported folder.
"""

import argparse
import bisect
import hashlib
import json
import math
import os
import re
import sys
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

MANIFEST, EXAMPLES, GUARD = "manifest.json", "examples.npz", "guard.json"
FORMAT, VERSION = "surrogate_nas early-exit network", 1
POLICIES = ("max_softmax", "margin", "entropy", "gate", "cumulative_gate")
TOLERANCE = 1e-4
"""Allowed difference of logits from those of the original network; see `difference`."""
LEAST_TEMPERATURE, GREATEST_TEMPERATURE = 1e-3, 1e3
MOST_MACS = 2**53
MOST_EXITS = 10_000
LARGEST_MANIFEST = 16 << 20
BATCH = 256
RUN_LENGTH, DRIFT = 10_000.0, 0.01
"""Mean number of images until a false alarm of the guard, and tolerated drift of the mean uncertainty."""
STAKES = (0.1, 0.3, 0.8)
ERRORS = 2.5
"""Standard errors of a reference that are allowed for."""
BINS = 8
REMEMBER, PRIOR = 1 + 1 / 32, 4.0
"""How much more an image counts than the one before among those lately seen, and the weight of the reference there, in
images."""
MOST_WEIGHT = 1e12
LEVELS = 64
"""Number of quantiles of a reference."""
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

Floats32 = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Array = npt.NDArray[Any]


class ExportError(ValueError):
    """A folder that differs from the export, or invalid images or arguments; the message is one line."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Thresholds for one budget, with measurements on test images, which were not used to choose them."""

    thresholds: tuple[float | None, ...]
    """(X − 1,) thresholds in [0, 1]; an exit with `None` is off: neither run nor charged."""
    macs: tuple[int, ...]
    """(X,) multiply-accumulates of an image that leaves at each exit."""
    budget: float
    """Expected MACs per image on tune, on which thresholds were chosen; `within` compares budgets with it."""
    expected_macs: float
    """Expected MACs per image on test."""
    accuracy: float
    """Accuracy on test."""
    reference: "Reference | None" = None
    """Reference of its guard; `None` in folders of older versions."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """Predictions for N images."""

    logits: Floats32
    """(N, C) logits of the exit at which each image left."""
    probabilities: Floats32
    """(N, C) softmax of the logits divided by that exit's temperature."""
    classes: Ints
    """(N,) indices of the most probable classes."""
    exits: Ints
    """(N,) number of the exit at which each image left; 1 is the first position of the architecture."""
    macs: Ints
    """(N,) multiply-accumulates spent on each image."""


def joined(answers: Sequence[Predictions]) -> Predictions:
    """Concatenate the predictions of several batches."""
    return Predictions(*(np.concatenate([getattr(a, name) for a in answers]) for name in Predictions.__slots__))


@dataclass(frozen=True, slots=True)
class LoadedPiece:
    """A loaded ONNX file."""

    session: ort.InferenceSession
    inputs: tuple[str, ...]

    def __call__(self, values: Sequence[Array]) -> list[Array]:
        return list(self.session.run(None, dict(zip(self.inputs, values, strict=True))))


@dataclass(frozen=True, slots=True)
class ExitPieces:
    """The backbone up to an exit, from the exit before, and the exit's branch."""

    exit: int
    """Number of the exit; 1 is the first position of the architecture, whether or not the network has an exit there."""
    segment: LoadedPiece
    """Backbone from all outputs of the segment before to those of this one; the last segment returns logits."""
    branch: LoadedPiece | None
    """Branch from the segment's first output to (N, C) logits and (N,) confidence; `None` at the last exit."""
    temperature: float
    """Temperature of the reported probabilities; the confidence already includes it."""


def softmax(logits: Array) -> Floats32:
    """Softmax over the last axis, in float32."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    np.exp(shifted, out=shifted)
    result: Floats32 = shifted / shifted.sum(axis=-1, keepdims=True)
    return result


def having_left(before: Floats32 | None, confidence: Floats32) -> Floats32:
    """(N,) probability of having left at or before an exit, from that of the exit before: 1 − (1 − before)(1 − c)."""
    return confidence if before is None else np.asarray(1 - (1 - before) * (1 - confidence), dtype=np.float32)


def difference(expected: Array, actual: Array, *, quantized: bool) -> float:
    """The largest difference of (X, N, C) logits; allowed are 1e-4, times the largest logit if that is above 1.

    A quantised network rounds its activations, so a difference in the last place may become a whole step. The limit
    then applies to the median over images of each image's largest difference.

    Raises:
        ExportError: if the difference is larger.
    """
    of_image = np.abs(expected - actual).max(axis=(0, 2))
    worst = float(np.median(of_image) if quantized else of_image.max())
    allowed = TOLERANCE * max(1.0, float(np.abs(expected).max()))
    if not worst <= allowed:
        raise ExportError(f"logits differ by {worst:.3g} from those before the export; allowed: {allowed:.3g}")
    return float(of_image.max())


# ---------------------------------------------------------------------- the network


@dataclass(frozen=True)
class ExportedNetwork:
    """A network of X exits that computes each image only up to the exit at which it leaves."""

    manifest: Mapping[str, Any]
    stages: tuple[ExitPieces, ...]
    """Pieces of the X exits, in order."""
    labels: tuple[str, ...]
    """Names of the C classes."""
    policy: str
    """Exit policy; one of `POLICIES`."""
    settings: tuple[Setting, ...]
    """Settings, the cheapest and least accurate first."""
    default: int
    """Index of the default setting, chosen at export."""
    shape: tuple[int, int, int]
    """Channels, height and width of images."""

    @cached_property
    def _places(self) -> Mapping[int, int]:
        """Place among the X exits, from 0, of each number of an exit."""
        return {stage.exit: x for x, stage in enumerate(self.stages)}

    @classmethod
    def load(cls, folder: str | Path, threads: int = 1) -> "ExportedNetwork":
        """Load the network in an exported folder, and check every file against the manifest.

        Args:
            folder: the exported folder.
            threads: number of threads of ONNX Runtime.

        Raises:
            ExportError: naming the file or value that is missing, changed, damaged or inconsistent.
        """
        folder = Path(folder)
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise ExportError(f"threads {threads!r} is not a positive number")
        manifest = read_manifest(folder)
        content = {name: _verified(folder, name, digest) for name, digest in manifest["files"].items()}
        try:
            return cls._of(manifest, content, threads)
        except (KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
            raise ExportError(f"{folder / MANIFEST} does not describe a network: {error!r}") from None

    @classmethod
    def _of(cls, manifest: Mapping[str, Any], content: Mapping[str, bytes], threads: int) -> "ExportedNetwork":
        stages = tuple(
            ExitPieces(
                _exit_number(one),
                _piece(content, one["segment"], threads),
                _piece(content, one["branch"], threads) if one["branch"] is not None else None,
                _number(
                    one["temperature"], f"temperature of {one['segment']}", LEAST_TEMPERATURE, GREATEST_TEMPERATURE
                ),
            )
            for one in manifest["exits"]
        )
        settings = tuple(
            Setting(
                tuple(None if t is None else _number(t, "threshold", 0, 1) for t in one["thresholds"]),
                tuple(_integer(m, "MACs", 0, MOST_MACS) for m in one["macs"]),
                _number(one["tune"]["expected_macs"], "expected MACs", 0, MOST_MACS),
                _number(one["test"]["expected_macs"], "expected MACs", 0, MOST_MACS),
                _number(one["test"]["accuracy"], "accuracy", 0, 1),
                None if "reference" not in one else Reference.read(one["reference"], len(stages)),
            )
            for one in manifest["settings"]
        )
        if not settings:
            raise ExportError("the network has no settings")
        _texts([manifest["network"]], "network")
        if not isinstance(manifest["quantized"], bool):
            raise ExportError(f"quantized {manifest['quantized']!r} is not true or false")
        channels, height, width = manifest["input"]["shape"]
        network = cls(
            manifest,
            stages,
            _texts(manifest["labels"], "labels"),
            manifest["policy"],
            settings,
            _integer(manifest["default_setting"], "default setting", 0, len(settings) - 1),
            (channels, height, width),
        )
        network._require_fit()
        network._require_answer()
        return network

    def _require_fit(self) -> None:
        """Raise `ExportError` if the manifest contradicts itself or the files."""
        X, first, last = len(self.stages), self.stages[0].segment.session, self.stages[-1].segment.session
        taken, classes = first.get_inputs()[0].shape[1:], last.get_outputs()[0].shape[-1]
        if list(self.shape) != taken:
            raise ExportError(f"the network takes images of shape {taken}, but the manifest says {list(self.shape)}")
        if classes != len(self.labels):
            raise ExportError(f"the network has {classes} classes, but the manifest has {len(self.labels)} labels")
        if self.policy not in POLICIES:
            raise ExportError(f"policy {self.policy!r} is not one of {', '.join(POLICIES)}")
        if [stage.branch is None for stage in self.stages] != [False] * (X - 1) + [True]:
            raise ExportError("every exit but the last must have a branch, and the last must not")
        for setting in self.settings:
            if len(setting.thresholds) != X - 1 or len(setting.macs) != X:
                raise ExportError(f"{X} exits need {X - 1} thresholds and {X} costs, got {setting}")
            if setting.reference is not None and len(setting.reference.classes) != len(self.labels):
                raise ExportError(
                    f"a reference has {len(setting.reference.classes)} classes; expected {len(self.labels)}"
                )

    def _require_answer(self) -> None:
        """Compute all exits of a black image; raise `ExportError` if the pieces do not fit together."""
        try:
            logits, confidence = self.everything(np.zeros((1, *self.shape), dtype=np.uint8))
        except Exception as error:  # ONNX Runtime's errors have no common base
            raise ExportError(f"the pieces do not fit together: {' '.join(str(error).split())}") from None
        if logits.shape != (len(self.stages), 1, len(self.labels)):
            raise ExportError(f"the pieces do not fit together: a black image has logits of shape {logits.shape}")
        if not (np.isfinite(logits).all() and np.isfinite(confidence).all()):
            raise ExportError("the logits of a black image are not finite numbers")

    # ------------------------------------------------------------------ settings

    def within(self, budget: float) -> int:
        """Index of the most accurate setting of at most `budget` expected MACs per image.

        Raises:
            ExportError: if there is none; the message names the cheapest.
        """
        affordable = [i for i, s in enumerate(self.settings) if s.budget <= budget]
        if not affordable:
            cheapest = min(s.budget for s in self.settings)
            raise ExportError(
                f"no setting needs at most {budget:,.0f} expected MACs; the cheapest needs {math.ceil(cheapest):,}"
            )
        return affordable[-1]

    def at_load(self, load: float) -> int:
        """Index of the setting for a load from 0 (the default setting) to 1 (the cheapest), in equal steps.

        Raises:
            ExportError: for a load outside 0 to 1.
        """
        if not 0 <= load <= 1:
            raise ExportError(f"load {load} is not between 0 and 1")
        return round((1 - load) * self.default)

    # ------------------------------------------------------------------ running

    def guard(
        self,
        setting: int | None = None,
        run_length: float = RUN_LENGTH,
        drift: float = DRIFT,
        answers: bool = True,
    ) -> "Guard":
        """A guard of the images that are run at a setting; see `Guard`.

        Raises:
            ExportError: for an unknown setting, or one without a reference.
        """
        index = self._setting(setting)
        if (reference := self.settings[index].reference) is None:
            raise ExportError(f"setting {index} has no reference for a guard; export the network again")
        return Guard(reference, run_length, drift, answers)

    def watch(self, guard: "Guard", answers: Predictions) -> bool:
        """Let a guard see the answers of a run; returns whether its alarm is raised."""
        for i, (exit, answer) in enumerate(zip(answers.exits.tolist(), answers.classes.tolist(), strict=True)):
            guard.see(self._places[exit], float(answers.probabilities[i, answer]), answer)
        return guard.alarm_at is not None

    def run(self, images: Array, setting: int | None = None) -> Predictions:
        """Classify images, computing each only up to the exit at which it leaves.

        Args:
            images: (N, channels, height, width) pixels from 0 to 255.
            setting: index in `settings`; by default the default setting.

        Raises:
            ExportError: for images of a wrong shape or type, or an unknown setting.
        """
        chosen_setting = self.settings[self._setting(setting)]
        logits, x = self.route(self.checked(images), chosen_setting.thresholds)
        return self._answer(logits, x, chosen_setting)

    def route(self, pixels: Array, thresholds: Sequence[float | None]) -> tuple[Floats32, Ints]:
        """(N, C) logits, and (N,) indices in `stages` of the exits at which images leave.

        Args:
            pixels: images as returned by `checked`.
            thresholds: (X − 1,) thresholds; `None` turns an exit off; above 1 it is run, but no image leaves there.
        """
        if len(pixels) == 1:
            exit_logits, x = self._route_one(pixels, thresholds)
            return exit_logits, np.array([x])
        N, X = len(pixels), len(self.stages)
        inside = np.arange(N)
        logits = np.zeros((N, len(self.labels)), dtype=np.float32)
        places = np.full(N, X - 1, dtype=np.int64)
        left_probability: Floats32 | None = None
        values: list[Array] = [pixels]
        for x, stage in enumerate(self.stages):
            if not len(inside):
                break
            values = stage.segment(values)
            if stage.branch is None:
                logits[inside] = values[0]
                break
            threshold = thresholds[x]
            if threshold is None:
                continue
            exit_logits, confidence = stage.branch(values[:1])
            if self.policy == "cumulative_gate":
                confidence = left_probability = having_left(left_probability, confidence)
            leaves = confidence.astype(np.float64) >= threshold
            count = np.count_nonzero(leaves)
            if count == 0:
                continue
            if count == len(inside):
                logits[inside], places[inside] = exit_logits, x
                break
            logits[inside[leaves]], places[inside[leaves]] = exit_logits[leaves], x
            stays = ~leaves
            values, inside = [value[stays] for value in values], inside[stays]
            left_probability = None if left_probability is None else left_probability[stays]
        return logits, places

    def _route_one(self, pixels: Array, thresholds: Sequence[float | None]) -> tuple[Floats32, int]:
        """Route a single image, without the overhead of a batch."""
        values: list[Array] = [pixels]
        left_probability: Floats32 | None = None
        for x, stage in enumerate(self.stages):
            values = stage.segment(values)
            if stage.branch is None:
                break
            threshold = thresholds[x]
            if threshold is None:
                continue
            exit_logits, confidence = stage.branch(values[:1])
            if self.policy == "cumulative_gate":
                confidence = left_probability = having_left(left_probability, confidence)
            if float(confidence[0]) >= threshold:
                return exit_logits, x
        return values[0], len(self.stages) - 1

    def _answer(self, logits: Floats32, x: Ints, setting: Setting) -> Predictions:
        temperature = np.array([stage.temperature for stage in self.stages], dtype=np.float32)[x]
        probabilities = softmax(logits / temperature[:, None])
        macs = np.array(setting.macs, dtype=np.int64)[x]
        exits = np.array([stage.exit for stage in self.stages], dtype=np.int64)[x]
        return Predictions(logits, probabilities, logits.argmax(axis=1), exits, macs)

    def everything(self, images: Array) -> tuple[Floats32, Floats32]:
        """(X, N, C) logits of all exits, and (X − 1, N) confidence of each early exit; no image leaves early."""
        values: list[Array] = [self.checked(images)]
        logits, confidence = [], np.zeros((len(self.stages) - 1, len(images)), dtype=np.float32)
        for x, stage in enumerate(self.stages):
            values = stage.segment(values)
            if stage.branch is None:
                logits.append(values[0])
                break
            exit_logits, confidence[x] = stage.branch(values[:1])
            logits.append(exit_logits)
        return np.stack(logits), confidence

    def check(self, folder: str | Path) -> float:
        """The largest difference of the examples' logits from those of the original network.

        Raises:
            ExportError: if it is more than `difference` allows, or there are no examples.
        """
        images, _, expected = read_examples(folder)
        actual, _ = self.everything(images)
        return difference(expected, actual, quantized=bool(self.manifest["quantized"]))

    def _setting(self, setting: int | None) -> int:
        if setting is None:
            return self.default
        if isinstance(setting, bool) or not isinstance(setting, int) or setting not in range(len(self.settings)):
            raise ExportError(f"setting {setting!r} is not one of 0 to {len(self.settings) - 1}")
        return setting

    def checked(self, images: Array) -> Array:
        """Check images, and convert them to the input of the first segment.

        Raises:
            ExportError: for images of a wrong shape or type.
        """
        allowed = f"(N, {', '.join(map(str, self.shape))}) pixels from 0 to 255"
        if not isinstance(images, np.ndarray) or images.dtype.kind not in "uif":
            kind = images.dtype if isinstance(images, np.ndarray) else type(images).__name__
            raise ExportError(f"images are of {kind}; allowed: an array of {allowed}")
        if images.ndim != 4 or images.shape[1:] != self.shape:
            raise ExportError(f"images have shape {images.shape}; allowed: {allowed}")
        if images.dtype != np.uint8 and len(images):
            low, high = float(images.min()), float(images.max())
            if not (low >= 0 and high <= 255):  # NaN is neither
                raise ExportError(f"pixels are from {low:g} to {high:g}; allowed: {allowed}")
        return np.ascontiguousarray(images, dtype=np.float32)


# ---------------------------------------------------------------------- guard


@dataclass(frozen=True, slots=True)
class Reference:
    """Behaviour of a setting's exits on images like those that it was chosen and certified on; no labels are used."""

    images: int
    """Number N of images that were seen."""
    before: tuple[float, ...]
    """(X,) share of them that left before each exit."""
    levels: tuple[tuple[float, ...], ...]
    """For each of X exits, ascending quantiles of the largest probability of its answers; () where none left."""
    mean: float
    """Mean of the uncertainty u of these images."""
    deviation: float
    """Standard deviation of u."""
    bins: tuple[float, ...]
    """Shares of these images in equally wide bins of u."""
    classes: tuple[float, ...]
    """(C,) shares of the answers."""

    @classmethod
    def of(cls, exits: Ints, probabilities: Floats32, X: int) -> "Reference":
        """Build from (N,) places of the exits, from 0, and (N, C) probabilities of the answers."""
        N, largest, answers = len(exits), probabilities.max(axis=1), probabilities.argmax(axis=1)
        shares = np.bincount(exits, minlength=X) / N
        levels = tuple(_quantiles(largest[exits == x]) for x in range(X))
        classes = tuple((np.bincount(answers, minlength=probabilities.shape[1]) / N).tolist())
        rough = cls(N, tuple((np.cumsum(shares) - shares).tolist()), levels, 0.5, 0.0, (), classes)
        u = np.array([rough.uncertainty(x, p) for x, p in zip(exits.tolist(), largest.tolist(), strict=True)])
        bins = tuple((np.bincount(_bin_of(u), minlength=BINS) / N).tolist())
        return cls(N, rough.before, levels, float(u.mean()), float(u.std()), bins, classes)

    def uncertainty(self, x: int, largest: float) -> float:
        """u in [0, 1]: about the share of the reference that is less uncertain. Whoever leaves later is less certain,
        and at one exit, who has the smaller probability."""
        return self.uncertainties(x)[bisect.bisect_left(self.levels[x], largest)]

    def uncertainties(self, x: int) -> list[float]:
        """u at the x-th exit, from 0, of a probability above 0, 1, … all of its levels."""
        low, most = self.before[x], len(self.levels[x])
        high = self.before[x + 1] if x + 1 < len(self.before) else 1.0
        return [low + (high - low) * (1 - i / most if most else 1.0) for i in range(most + 1)]

    def document(self) -> dict[str, Any]:
        """Entry of the manifest."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def read(cls, entry: Mapping[str, Any], X: int) -> "Reference":
        """Read an entry of the manifest, of a network with X exits; raises `ExportError` if it is damaged."""
        lengths = {"before": X, "levels": X, "bins": BINS}
        for name, length in lengths.items():
            if len(entry[name]) != length:
                raise ExportError(f"{name} of a reference has {len(entry[name])} values; expected {length}")
        before, bins, classes = (
            tuple(_number(share, "share of a reference", 0, 1) for share in entry[name])
            for name in ("before", "bins", "classes")
        )
        return cls(
            _integer(entry["images"], "images of a reference", 1, MOST_MACS),
            before,
            tuple(tuple(_number(p, "level of a reference", 0, 1) for p in of) for of in entry["levels"]),
            _number(entry["mean"], "mean of a reference", 0, 1),
            _number(entry["deviation"], "deviation of a reference", 0, 1),
            bins,
            classes,
        )


def _quantiles(values: Array) -> tuple[float, ...]:
    if not len(values):
        return ()
    shares = (np.arange(LEVELS) + 0.5) / LEVELS
    return tuple(np.quantile(values.astype(np.float64), shares).tolist())


def _bin_of(u: Array) -> Ints:
    return np.minimum((u * BINS).astype(np.int64), BINS - 1)


class Guard:
    """A sequential test, without labels, of whether images are still like those of the reference.

    It bets against "each share p of the reference has moved by at most a drift, besides 2.5 standard errors of the N
    images that it was measured on", in three ways, with factors whose mean is then at most 1:

    - 1 ± λ (u − m′) for some stakes λ: the mean uncertainty has left m by more;
    - q / p′ of the bin of u, and of the class of the answer, with the q of lately seen images, and p′ the largest p.

    For each it keeps Rₜ = (Rₜ₋₁ + 1) · factor, and raises the alarm when their mean reaches the run length A. While
    nothing has changed, R − t is a supermartingale, so that a false alarm takes at least A images on average (an
    e-detector: Shin, Ramdas & Rinaldo, "E-detectors: a nonparametric framework for sequential change detection", NEJSDS
    2, 2024). Only these numbers are kept, no images.
    """

    def __init__(
        self, reference: Reference, run_length: float = RUN_LENGTH, drift: float = DRIFT, answers: bool = True
    ) -> None:
        """Begin.

        Args:
            reference: what has been seen before.
            run_length: mean number of images until a false alarm.
            drift: tolerated drift of every share.
            answers: whether the classes of the answers count; not where images of one class follow each other.
        """
        if not run_length >= 1 or not 0 <= drift < 0.5:
            raise ExportError(f"run length {run_length} and drift {drift}; allowed: at least 1, and 0 to below 0.5")
        self.reference, self.run_length, self.drift = reference, float(run_length), float(drift)
        root = math.sqrt(reference.images)
        slack = drift + ERRORS * reference.deviation / root
        up, down = min(reference.mean + slack, 1.0), max(reference.mean - slack, 0.0)
        self._bets = [(stake / max(up, 0.5), up) for stake in STAKES]
        self._bets += [(-stake / max(1 - down, 0.5), down) for stake in STAKES]
        self._shares = [reference.bins, reference.classes][: 1 + answers]
        self._most = [[self._largest(p, drift + ERRORS / root) for p in of] for of in self._shares]
        self._known = [
            [([1 + stake * (u - mean) for stake, mean in self._bets], min(int(u * BINS), BINS - 1)) for u in of]
            for of in map(reference.uncertainties, range(len(reference.before)))
        ]
        """Factors of the bets on the mean, and the bin, of every u that there is."""
        self.reset()

    def _largest(self, p: float, slack: float) -> float:
        """p′, the largest share that one of the reference stands for."""
        error = math.sqrt(max(p * (1 - p), 1 / self.reference.images))
        return min(p + self.drift + (slack - self.drift) * error, 1.0)

    def reset(self) -> None:
        """Begin anew."""
        self.images = 0
        """Number of images seen."""
        self.alarm_at: int | None = None
        """Number of images seen when the alarm was raised, until `reset`; `None` if it was not."""
        self._by_mean = [0.0] * len(self._bets)
        self._by_share = [0.0] * len(self._shares)
        self._lately = [[0.0] * len(of) for of in self._shares]
        self._seen, self._unit = 0.0, 1.0

    def see(self, x: int, largest: float, answer: int) -> bool:
        """Take note of an image that left at the x-th exit, from 0, with an answer and its probability; returns whether
        the alarm is raised."""
        self.images += 1
        if self.alarm_at is not None:
            return True
        factors, bin = self._known[x][bisect.bisect_left(self.reference.levels[x], largest)]
        self._by_mean = [(R + 1) * f for R, f in zip(self._by_mean, factors)]  # noqa: B905  strict costs as much again
        unit = self._unit
        before = PRIOR * unit
        for i, k in enumerate((bin, answer)[: len(self._shares)]):
            lately = self._lately[i]
            q = (self._shares[i][k] * before + lately[k]) / (before + self._seen)
            self._by_share[i] = (self._by_share[i] + 1) * q / self._most[i][k]
            lately[k] += unit
        self._seen, self._unit = self._seen + unit, unit * REMEMBER
        if self._unit > MOST_WEIGHT:
            self._rescale()
        if self.evidence >= 1:
            self.alarm_at = self.images
        return self.alarm_at is not None

    def save(self, path: str | Path) -> None:
        """Write what the guard keeps to a file, whole or not at all; see `load`."""
        path = Path(path)
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        names = ("images", "alarm_at", "_by_mean", "_by_share", "_lately", "_seen", "_unit")
        state = {name.removeprefix("_"): getattr(self, name) for name in (*names, "evidence", "run_length")}
        try:
            partial.write_text(json.dumps({"version": VERSION, "bets": [list(b) for b in self._bets], **state}) + "\n")
            partial.replace(path)
        except OSError as error:
            raise ExportError(f"{path} cannot be written: {error.strerror or error}") from None

    def load(self, path: str | Path) -> "Guard":
        """Go on from a file that `save` wrote; as new if there is none.

        Raises:
            ExportError: for a damaged file, or one of another reference, run length or drift.
        """
        path = Path(path)
        try:
            state = json.loads(path.read_bytes())
        except FileNotFoundError:
            return self
        except (OSError, ValueError, RecursionError) as error:
            raise ExportError(f"{path} is not the state of a guard: {' '.join(str(error).split())}") from None
        lengths = [len(self._bets), len(self._shares), *map(len, self._shares)]
        try:
            lists = [state["by_mean"], state["by_share"], *state["lately"]]
            numbers = [[_number(n, "number of a guard", 0, math.inf) for n in of] for of in lists]
            if state["bets"] != [list(bet) for bet in self._bets] or [len(of) for of in numbers] != lengths:
                raise ExportError(f"{path} is of a guard with another reference, run length or drift")
            seen, unit = (_number(state[name], "number of a guard", 0, math.inf) for name in ("seen", "unit"))
            alarm, images = state["alarm_at"], _integer(state["images"], "images of a guard", 0, MOST_MACS)
            self.alarm_at = None if alarm is None else _integer(alarm, "alarm of a guard", 1, MOST_MACS)
        except (KeyError, TypeError) as error:
            raise ExportError(f"{path} is not the state of a guard: {error!r}") from None
        self._by_mean, self._by_share, *self._lately = numbers
        self.images, self._seen, self._unit = images, seen, unit
        return self

    @property
    def evidence(self) -> float:
        """Share of what raises the alarm, 1 or more from the alarm on."""
        mean = sum(self._by_mean) / len(self._by_mean)
        return (mean + sum(self._by_share)) / (1 + len(self._by_share)) / self.run_length

    def _rescale(self) -> None:
        """Count images seen in the unit of the next one."""
        self._lately = [[count / self._unit for count in of] for of in self._lately]
        self._seen, self._unit = self._seen / self._unit, 1.0


# ---------------------------------------------------------------------- files


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """The manifest of a folder, checked against its own checksum.

    Raises:
        ExportError: if the manifest is missing, damaged or changed, or of another version of the format.
    """
    path = Path(folder) / MANIFEST
    try:
        if path.stat().st_size > LARGEST_MANIFEST:
            raise ExportError(f"{path} has {path.stat().st_size:,} bytes; allowed: {LARGEST_MANIFEST:,}")
        manifest = json.loads(path.read_bytes())
    except OSError as error:
        raise ExportError(f"no exported network at {Path(folder)}: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        raise ExportError(f"{path} is not JSON") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ExportError(f"{path} does not describe an exported network")
    if manifest.get("version") != VERSION:
        raise ExportError(f"{path} is of version {manifest.get('version')!r} of the format; allowed: {VERSION}")
    if manifest.get("sha256") != digest_of(manifest):
        raise ExportError(f"{path} was changed after the export: its checksum does not match")
    files = manifest.get("files")
    if not isinstance(files, dict) or not all(_FILE_NAME.fullmatch(name) for name in files):
        raise ExportError(f"{path} lists no files, or files outside its folder")
    return manifest


def digest_of(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of a manifest without its entry `sha256`."""
    content = {name: value for name, value in manifest.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _verified(folder: Path, name: str, digest: str) -> bytes:
    """Content of a file, checked against its checksum."""
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise ExportError(f"{folder / name} cannot be read: {error.strerror or error}") from None
    if hashlib.sha256(content).hexdigest() != digest:
        raise ExportError(f"{folder / name} is not the file that was exported: its checksum does not match")
    return content


def _piece(content: Mapping[str, bytes], name: str, threads: int) -> LoadedPiece:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4  # errors are raised
    try:
        session = ort.InferenceSession(content[name], options, providers=["CPUExecutionProvider"])
        return LoadedPiece(session, tuple(i.name for i in session.get_inputs()))
    except KeyError:
        raise ExportError(f"{name} is not among the files of the manifest") from None
    except Exception as error:  # ONNX Runtime's errors have no common base
        raise ExportError(f"{name} cannot be run: {str(error).splitlines()[0]}") from None


def _exit_number(one: Mapping[str, Any]) -> int:
    """Number of an exit; folders of version 0.1.0 have its position, counted from 0."""
    exit = one["exit"] if "exit" in one else one["position"] + 1
    return _integer(exit, "number of an exit", 1, MOST_EXITS)


def _number(value: object, what: str, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:  # NaN is neither
        raise ExportError(f"{what} {value!r:.40} is not a number from {low:g} to {high:g}")
    return float(value)


def _integer(value: object, what: str, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ExportError(f"{what} {value!r:.40} is not a whole number from {low} to {high}")
    return value


def _texts(values: object, what: str) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ExportError(f"{what} {values!r:.40} is not text")
    return tuple(values)


def read_examples(folder: str | Path) -> tuple[Array, Ints, Floats32]:
    """(n, channels, height, width) test images in a folder, (n,) their classes, and (X, n, C) logits of the original
    network.

    Raises:
        ExportError: if there are none.
    """
    try:
        with np.load(Path(folder) / EXAMPLES, allow_pickle=False) as arrays:
            return arrays["images"], arrays["labels"], arrays["logits"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ExportError(f"no examples in {Path(folder)}: {' '.join(str(error).split())}") from None


# ---------------------------------------------------------------------- command line


def _lines(network: ExportedNetwork, images: Array, setting: int | None) -> None:
    for at in range(0, len(images), BATCH):
        answer = network.run(images[at : at + BATCH], setting)
        for i, c in enumerate(answer.classes):
            print(
                json.dumps(
                    {
                        "image": at + i,
                        "label": network.labels[c],
                        "probability": round(float(answer.probabilities[i, c]), 6),
                        "exit": int(answer.exits[i]),
                        "macs": int(answer.macs[i]),
                    }
                )
            )


def main(words: Sequence[str] | None = None) -> int:
    """Run the command described at the top of this file; returns its exit code."""
    parser = argparse.ArgumentParser(description="Run an exported early-exit network.")
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path(__file__).parent, help="default: that of this file"
    )
    parser.add_argument("--images", type=Path, help=".npy file of (N, channels, size, size) pixels 0 … 255")
    parser.add_argument("--budget", type=float, help="largest expected MACs per image; default: the default setting")
    parser.add_argument("--check", action="store_true", help="compare logits with those before the export")
    parser.add_argument("--threads", type=int, default=1, help="threads of ONNX Runtime; default: 1")
    options = parser.parse_args(words)
    try:
        network = ExportedNetwork.load(options.folder, options.threads)
        if options.check:
            print(f"logits differ by at most {network.check(options.folder):.3g}", file=sys.stderr)
        if options.images:
            try:
                images = np.load(options.images, allow_pickle=False)
            except (OSError, ValueError, EOFError) as error:
                raise ExportError(f"{options.images} is not a .npy file: {' '.join(str(error).split())}") from None
            _lines(network, images, None if options.budget is None else network.within(options.budget))
    except ExportError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
