"""Certify the settings of an exported network on new labelled images, which may keep coming.

What is counted is kept beside the network: for each setting, how many images left at each exit, were classified
correctly, and would have been by the last exit. Every limit can be judged by that, at any time: with e-values, which
may be looked at after every image. No image is counted twice.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from surrogate_nas.certificates.bounds import e_value
from surrogate_nas.certificates.evidence import as_mean, learned
from surrogate_nas.certificates.sequence import Strand, refuted
from surrogate_nas.exits.limit_table import Limit, limit_on
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.measurements import Spending
from surrogate_nas.export.images import image_files, read_image, resize_of
from surrogate_nas.export.runtime import BATCH, ExportedNetwork, having_left
from surrogate_nas.foundation.arrays import Array, Floats, Ints
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.files import replaced
from surrogate_nas.foundation.progress import Countdown

STATE, VERSION = "certify.json", 1
HALVINGS = 20
BOUND = 0.95
"""Confidence of bounds that are printed, each by itself."""


@dataclass(frozen=True)
class Counted:
    """Images that were counted for each setting of a network."""

    hashes: frozenset[str]
    counts: Ints
    """(S, X, 2, 2) numbers of images at each setting: by exit, whether they were classified correctly, and whether the
    last exit would have."""

    @classmethod
    def read(cls, folder: Path, network: ExportedNetwork) -> "Counted":
        """Read the state of a folder, or begin.

        Raises:
            InputError: for a damaged state, or that of another network.
        """
        shape, path = (len(network.settings), len(network.stages), 2, 2), folder / STATE
        if not path.is_file():
            return cls(frozenset(), np.zeros(shape, dtype=np.int64))
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            counts = np.array(state["counts"], dtype=np.int64)
            if state["manifest"] != network.manifest["sha256"]:
                raise ValueError("it is of another network")
            if state["version"] != VERSION or counts.shape != shape or (counts < 0).any():
                raise ValueError(f"it has counts of shape {counts.shape}, not {shape}")
            return cls(frozenset(map(str, state["images"])), counts)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is damaged: {error}; without it, counting begins anew") from None

    def write(self, folder: Path, network: ExportedNetwork) -> None:
        """Write the state, whole or not at all."""
        state = {
            "version": VERSION,
            "manifest": network.manifest["sha256"],
            "images": sorted(self.hashes),
            "counts": self.counts.tolist(),
        }
        try:
            with replaced(folder / STATE) as partial:
                partial.write_text(json.dumps(state) + "\n", encoding="utf-8")
        except OSError as error:
            raise InputError(f"{folder / STATE} cannot be written: {error.strerror}") from None

    @property
    def images(self) -> int:
        """Number of images counted."""
        return int(self.counts[0].sum())


@dataclass(frozen=True)
class SettingEvidence:
    """Evidence of counted images about one setting."""

    counts: Ints
    """(X, 2, 2), as `Counted`."""
    macs: Floats
    """(X,) MACs of leaving at each exit."""
    costs: Floats | None
    """(X,) costs by the study's cost table, if it had one."""

    def p_of(self, limit: Limit, cap: float) -> float:
        """Anytime-valid p-value of "this limit is broken"; 0 or 1 where every exit, or none, keeps a limit on costs."""
        costs = self.macs if limit.of_accuracy else self._costs(limit)
        if not limit.of_accuracy and (costs.max() <= cap or costs.min() > cap):
            return float(costs.max() > cap)
        exits, right, last_right = np.indices(self.counts.shape).reshape(3, -1)
        values, mean = as_mean(limit, cap, right > 0, last_right > 0, costs[exits], costs)
        return min(1 / max(e_value(values, self.counts.ravel(), mean), np.finfo(float).tiny), 1.0)

    def _costs(self, limit: Limit) -> Floats:
        if not limit.needs_cost_table:
            return self.macs
        assert self.costs is not None
        return self.costs

    @property
    def accuracy(self) -> float:
        """Accuracy on the counted images; NaN without any."""
        total = self.counts.sum()
        return float(self.counts[:, 1].sum() / total) if total else float("nan")

    @property
    def drop(self) -> float:
        """Accuracy of the last exit, less the accuracy; NaN without any images."""
        total = self.counts.sum()
        return float(self.counts[:, :, 1].sum() / total) - self.accuracy if total else float("nan")

    @property
    def expected_macs(self) -> float:
        """Mean MACs of the counted images; NaN without any."""
        leaving = self.counts.sum(axis=(1, 2))
        return float(Spending(leaving / leaving.sum(), self.macs).expected) if leaving.sum() else float("nan")

    def accuracy_bound(self, delta: float) -> float:
        """Lower bound of the accuracy on new images, which holds at all times together with probability 1 − δ."""
        low, high, limit = 0.0, 1.0, limit_on("accuracy")
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self.p_of(limit, middle) <= delta else (low, middle)
        return low


# ---------------------------------------------------------------------- images


def count_images(network: ExportedNetwork, folder: Path, images: Path, counted: Counted) -> Counted:
    """Count the images of a folder with one folder of each class; those counted before are left out.

    The state is written after every batch.

    Raises:
        InputError: for a folder that is not there, a class that the network does not know, or an unreadable image.
    """
    places, resize = {name: c for c, name in enumerate(network.labels)}, resize_of(network)
    if not images.is_dir():
        raise InputError(f"{images} is not a folder; allowed: a folder with one folder of images of each class")
    classes = sorted(path for path in images.iterdir() if path.is_dir() and not path.name.startswith("."))
    if unknown := [path.name for path in classes if path.name not in places]:
        raise InputError(f"class {unknown[0]!r} in {images} is not one of {', '.join(network.labels)}")
    if not classes:
        raise InputError(f"{images} has no folders of classes; allowed: {', '.join(network.labels)}")
    files = [(file, places[path.name]) for path in classes for file in image_files([path])]
    countdown, known, counts = Countdown("images counted"), set(counted.hashes), counted.counts.copy()
    for at in range(0, len(files), BATCH):
        pixels, labels = [], []
        for file, label in files[at : at + BATCH]:
            image = np.ascontiguousarray(read_image(file, network.shape, resize))
            digest = hashlib.sha256(image.tobytes()).hexdigest()
            if digest not in known:
                known.add(digest)
                pixels.append(image)
                labels.append(label)
        if pixels:
            counts += _counts_of(network, np.stack(pixels), np.array(labels))
            Counted(frozenset(known), counts).write(folder, network)
        countdown.at(min(at + BATCH, len(files)), len(files))
    return Counted(frozenset(known), counts)


def _counts_of(network: ExportedNetwork, images: Array, labels: Ints) -> Ints:
    """(S, X, 2, 2) counts of some images."""
    logits, confidence = network.everything(images)
    right = logits.argmax(axis=2) == labels
    parts = []
    for setting in network.settings:
        passes, left = np.ones(right.shape, dtype=bool), None
        for x, threshold in enumerate(setting.thresholds):
            if threshold is None:
                passes[x] = False
                continue
            score = confidence[x]
            if network.policy == "cumulative_gate":
                score = left = having_left(left, score)
            passes[x] = score.astype(np.float64) >= threshold
        exits = passes.argmax(axis=0)
        cell = (exits * 2 + right[exits, np.arange(len(labels))]) * 2 + right[-1]
        parts.append(np.bincount(cell, minlength=4 * len(right)).reshape(len(right), 2, 2))
    return np.stack(parts)


# ---------------------------------------------------------------------- certificates


@dataclass(frozen=True, slots=True)
class CertifiedSetting:
    """One setting of an exported network, judged on the images that were counted."""

    setting: int
    accuracy: float
    accuracy_bound: float
    """Lower bound of accuracy on new images, at 95 % and by itself, at all times together."""
    drop: float
    expected_macs: float
    p_value: float | None
    """Anytime-valid p-value of "some limit is broken"; `None` where it was not tested, after one that did not pass."""
    certified: bool


def certify(network: ExportedNetwork, counted: Counted, limits: Limits, confidence: float) -> list[CertifiedSetting]:
    """Settings in the order of their tests, safest first, each with what the counted images say.

    With the stated probability no certified setting breaks a limit on new images like these, however often one looks.

    Raises:
        InputError: as `require_certifiable`.
    """
    require_certifiable(network, limits)
    order, caps = order_of(network.manifest), learned(limits)
    evidence = [_evidence(network, counted, i) for i in order]
    p_values = list[float]()

    def p_value(_: int, place: int) -> float:
        p_values.append(max(evidence[place].p_of(limit, cap) for limit, cap in caps))
        return p_values[-1]

    [passed] = refuted([Strand(len(order), 1.0)], p_value, 1 - confidence)
    return [
        CertifiedSetting(
            setting=i,
            accuracy=one.accuracy,
            accuracy_bound=one.accuracy_bound(1 - BOUND),
            drop=one.drop,
            expected_macs=one.expected_macs,
            p_value=p_values[place] if place < len(p_values) else None,
            certified=place < passed,
        )
        for place, (i, one) in enumerate(zip(order, evidence, strict=True))
    ]


def require_certifiable(network: ExportedNetwork, limits: Limits) -> None:
    """Raise `InputError` without a limit on what images do, or for one on a cost that the network does not have."""
    caps = learned(limits)
    if not caps:
        raise InputError(f"nothing to certify: {limits}; allowed: limits that images keep, such as min_accuracy")
    if any(limit.needs_cost_table for limit, _ in caps) and "cost" not in network.manifest["settings"][0]:
        raise InputError(f"{limits}: the network has no costs by a table, only MACs")


def order_of(manifest: Any) -> list[int]:
    """Numbers of the settings in the order in which they are certified: the most accurate on tune first."""
    settings = manifest["settings"]
    return sorted(
        range(len(settings)), key=lambda i: (-settings[i]["tune"]["accuracy"], -settings[i]["tune"]["expected_macs"])
    )


def _evidence(network: ExportedNetwork, counted: Counted, setting: int) -> SettingEvidence:
    entry = network.manifest["settings"][setting]
    costs = np.array(entry["cost"], dtype=np.float64) if "cost" in entry else None
    return SettingEvidence(counted.counts[setting], np.array(entry["macs"], dtype=np.float64), costs)


def chosen(settings: Sequence[CertifiedSetting]) -> CertifiedSetting | None:
    """The certified setting that costs least on the counted images; `None` if none is certified."""
    return min((s for s in settings if s.certified), key=lambda s: s.expected_macs, default=None)
