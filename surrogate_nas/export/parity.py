"""Comparison of exported files with the network, and thresholds at which rounding changes no exit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from surrogate_nas.exits.policies import PolicyName, confidence
from surrogate_nas.export.runtime import BATCH, ExportedNetwork, ExportError, Predictions, difference
from surrogate_nas.foundation.arrays import Array, Floats32
from surrogate_nas.foundation.errors import JobError
from surrogate_nas.network.network import EarlyExitNetwork

LAST_PLACE, SLACK = 2.0**-23, 4e-6
"""Errors of scores: one unit in the last place of single precision at 1, where a softmax saturates, plus `SLACK` times
the distance from 1."""
OnImages = Callable[[int], object]
"""Function that receives the number of images finished since the last call."""


def no_progress(images: int) -> None:
    """An `OnImages` that ignores progress."""


@dataclass(frozen=True, slots=True)
class ExitPredictions:
    """Predictions of all X exits for N images, without early exiting."""

    logits: Floats32
    """(X, N, C) logits."""
    confidence: Floats32
    """(X − 1, N) confidence of each early exit by itself."""

    @classmethod
    def by_network(
        cls,
        network: EarlyExitNetwork,
        policy: PolicyName,
        temperatures: Sequence[float],
        images: Array,
        on_images: OnImages = no_progress,
    ) -> "ExitPredictions":
        """Predictions by PyTorch; temperatures are (E,), or empty."""
        where = network.architecture.exit_positions[:-1]

        @torch.inference_mode()
        def predict(batch: Array) -> tuple[Array, Array]:
            pairs = network.exit_outputs(torch.from_numpy(batch).contiguous(memory_format=torch.channels_last))
            confidences = np.zeros((len(where), len(batch)), dtype=np.float32)
            for x, (e, (logits, gate)) in enumerate(zip(where, pairs[:-1], strict=True)):
                T = temperatures[e] if temperatures else 1.0
                confidences[x] = confidence(policy, logits.numpy(), None if gate is None else gate.numpy(), T)
            return np.stack([logits.numpy() for logits, _ in pairs]), confidences

        return cls._batched(predict, images, on_images)

    @classmethod
    def by_export(cls, network: ExportedNetwork, images: Array, on_images: OnImages = no_progress) -> "ExitPredictions":
        """Predictions by ONNX Runtime."""
        return cls._batched(network.everything, images, on_images)

    @classmethod
    def _batched(
        cls, predict: Callable[[Array], tuple[Array, Array]], images: Array, on_images: OnImages
    ) -> "ExitPredictions":
        parts = []
        for at in range(0, len(images), BATCH):
            batch = images[at : at + BATCH]
            parts.append(predict(batch))
            on_images(len(batch))
        logits, confidence = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
        return cls(logits, confidence)


def require_equal(network: ExitPredictions, export: ExitPredictions, *, quantized: bool) -> float:
    """The largest difference between logits; raises `JobError` if it is more than `runtime.difference` allows."""
    try:
        return difference(network.logits, export.logits, quantized=quantized)
    except ExportError as error:
        raise JobError(f"the exported files give other results: {error}") from None


def clear_of(threshold: float, one: Array, other: Array) -> float:
    """The nearest threshold in [0, 1] that is clear of all scores and not between the two scores of any image.

    Args:
        threshold: the chosen threshold.
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


def require_same_answers(expected: tuple[Array, Array], actual: Predictions, what: str) -> None:
    """Raise `JobError` unless every image leaves at the expected exit with the expected class.

    Args:
        expected: (N,) numbers of exits, 1 for the first position, and (N,) classes.
        actual: predictions of the exported network for the same images.
        what: end of the error message, such as `from PyTorch`.
    """
    differ = (expected[0] != actual.exits) | (expected[1] != actual.classes)
    if differ.any():
        raise JobError(f"the exported files route {differ.sum()} of {len(differ)} test images differently {what}")
