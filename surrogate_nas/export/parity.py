"""Comparison of exported files with the network, and thresholds at which rounding changes no exit."""

import numpy as np

from surrogate_nas.export.runtime import ExportedNetwork, ExportError, Predictions, difference
from surrogate_nas.foundation.arrays import Array
from surrogate_nas.foundation.errors import JobError
from surrogate_nas.network.predictions import ExitPredictions, OnImages, no_progress

LAST_PLACE, SLACK = 2.0**-23, 4e-6
"""Errors of scores: one unit in the last place of single precision at 1, where a softmax saturates, plus `SLACK` times
the distance from 1."""


def predictions_of(network: ExportedNetwork, images: Array, on_images: OnImages = no_progress) -> ExitPredictions:
    """Predictions of all exits by ONNX Runtime."""
    return ExitPredictions.batched(network.everything, images, on_images)


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
