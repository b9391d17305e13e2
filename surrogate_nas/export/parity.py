"""Whether the exported files compute what the network does, and thresholds at which rounding decides nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from surrogate_nas.errors import JobError
from surrogate_nas.exits import OperatingPoint
from surrogate_nas.network import EarlyExitNetwork
from surrogate_nas.runtime import BATCH, TOLERANCE, Answer, ExportedNetwork, score

Array = npt.NDArray[Any]
LAST_PLACE, SLACK = 2.0**-23, 4e-6
"""Scores are sure to the last place of single precision near 1, where a softmax saturates, and less sure below."""
OnImages = Callable[[int], None]
"""Told how many images more are done."""


@dataclass(frozen=True, slots=True)
class Said:
    """What all X exits say of N images, whoever would have left."""

    logits: npt.NDArray[np.float32]
    """(X, N, C)."""
    gates: npt.NDArray[np.float32] | None
    """(X, N) logits of the gates, 0 at the last; `None` for a network without gates."""

    @classmethod
    def by_network(cls, network: EarlyExitNetwork, images: Array, on_images: OnImages) -> "Said":
        """By PyTorch."""

        @torch.inference_mode()
        def said(batch: Array) -> tuple[Array, list[Array | None]]:
            pairs = network.said(torch.from_numpy(batch).contiguous(memory_format=torch.channels_last))
            logits = np.stack([z.numpy() for z, _ in pairs])
            return logits, [None if g is None else g.numpy() for _, g in pairs]

        return cls._batched(said, images, on_images)

    @classmethod
    def by_export(cls, network: ExportedNetwork, images: Array, on_images: OnImages) -> "Said":
        """By ONNX Runtime."""
        return cls._batched(network.all_logits, images, on_images)

    @classmethod
    def _batched(
        cls, said: Callable[[Array], tuple[Array, Sequence[Array | None]]], images: Array, on_images: OnImages
    ) -> "Said":
        parts = []
        for at in range(0, len(images), BATCH):
            batch = images[at : at + BATCH]
            logits, gates = said(batch)
            gated = any(g is not None for g in gates)
            none = np.zeros(len(batch), dtype=np.float32)
            parts.append(cls(logits, np.stack([none if g is None else g for g in gates]) if gated else None))
            on_images(len(batch))
        return cls.joined(parts)

    @classmethod
    def joined(cls, parts: Sequence["Said"]) -> "Said":
        """Of several lots of images."""
        gates = [part.gates for part in parts if part.gates is not None]
        logits = np.concatenate([part.logits for part in parts], axis=1)
        return cls(logits, np.concatenate(gates, axis=1) if gates else None)

    def compared(self, policy: str, on: Sequence[bool], temperatures: Sequence[float]) -> Array:
        """(X − 1, N) scores that are held against thresholds where those early exits are on; 0 where one is off."""
        compared = np.zeros(self.logits.shape[:2], dtype=np.float32)[:-1]
        left = np.zeros(self.logits.shape[1], dtype=np.float32)
        for x in np.flatnonzero(on).tolist():
            gate = None if self.gates is None else self.gates[x]
            left = compared[x] = score(policy, self.logits[x], gate, temperatures[x], left)
        return compared


def require_equal(network: Said, export: Said, *, quantized: bool) -> float:
    """The largest difference between logits; it may be 1e-4, or 1e-4 of the largest logit where that is above 1.

    A quantised network rounds its activations, so a difference in the last place becomes one of a whole step now and
    then: there it is the median over images of each one's largest difference that is held against the limit.

    Raises:
        JobError: if it is more.
    """
    pairs = [(network.logits, export.logits)]
    if network.gates is not None and export.gates is not None:
        pairs.append((network.gates[..., None], export.gates[..., None]))
    for expected, got in pairs:
        of_image = np.abs(expected - got).max(axis=(0, 2))
        worst = float(np.median(of_image) if quantized else of_image.max())
        allowed = TOLERANCE * max(1.0, float(np.abs(expected).max()))
        if not worst <= allowed:
            raise JobError(f"the exported files give logits that differ by {worst:.3g}; allowed: {allowed:.3g}")
    return float(np.abs(network.logits - export.logits).max())


def clear_of(threshold: float, one: Array, other: Array) -> float:
    """The nearest threshold in [0, 1] that no score is near, and that no image's two scores lie on either side of.

    Args:
        threshold: as chosen.
        one, other: (N,) scores of the same images, computed in two ways.
    """
    low, high = (f(one, other).astype(np.float64) for f in (np.minimum, np.maximum))
    clearance = LAST_PLACE + SLACK * (1 - low)
    low, high = low - clearance, high + clearance
    below = above = threshold
    while (hit := (low < below) & (below < high)).any():
        below = float(low[hit].min())
    while (hit := (low < above) & (above < high)).any():
        above = float(high[hit].max())
    below = max(below, 0.0)  # every score is at least 0
    return below if above > 1 or threshold - below <= above - threshold else above


def settle(point: OperatingPoint, network: Said, export: Said, exits: Sequence[int]) -> OperatingPoint:
    """The operating point with every threshold moved clear of scores; who leaves where hardly changes.

    Args:
        point: thresholds of every position but the last.
        network, export: what they say of the same images.
        exits: positions of the X exits.
    """
    early = list(exits[:-1])
    on = [point.thresholds[e] is not None for e in early]
    temperatures = [point.temperature(e) for e in exits]
    scores = [said.compared(point.policy, on, temperatures) for said in (network, export)]
    thresholds: list[float | None] = [None] * len(point.thresholds)
    for x, e in enumerate(early):
        chosen = point.thresholds[e]
        thresholds[e] = None if chosen is None else clear_of(chosen, scores[0][x], scores[1][x])
    return OperatingPoint(tuple(thresholds), point.policy, point.temperatures)


def require_same_answers(expected: tuple[Array, Array], got: Answer, what: str) -> None:
    """Raise `JobError` unless every image leaves where it did, with the same class.

    Args:
        expected: (N,) exits, counted over those that there are, and (N,) classes.
        got: what the exported network said of the same images.
        what: for the message.
    """
    differ = (expected[0] != got.positions) | (expected[1] != got.classes)
    if differ.any():
        raise JobError(f"the exported files route {differ.sum()} of {len(differ)} test images otherwise {what}")
