"""How an exit scores its own confidence, and how far such scores are to be believed.

Every policy gives a score in [0, 1], larger = surer, so that any of them can be compared with thresholds.
"""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

from surrogate_nas.foundation.arrays import Array

PolicyName = Literal["max_softmax", "margin", "entropy", "gate", "cumulative_gate"]
Scores = npt.NDArray[np.float32]
LARGEST_GATE_LOGIT = 80.0


def softmax(logits: Array) -> Scores:
    """Softmax over the last axis, in float32."""
    shifted = logits.astype(np.float32)
    shifted -= shifted.max(axis=-1, keepdims=True)
    np.exp(shifted, out=shifted)
    result: Scores = shifted / shifted.sum(axis=-1, keepdims=True)
    return result


def _max_softmax(probabilities: Array) -> Array:
    return np.asarray(probabilities.max(axis=-1))


def _margin(probabilities: Array) -> Array:
    top = np.partition(probabilities, -2, axis=-1)[..., -2:]
    return np.asarray(top[..., 1] - top[..., 0])


def _entropy(probabilities: Array) -> Array:
    tiny = np.finfo(np.float32).tiny
    entropy = -(probabilities * np.log(np.maximum(probabilities, tiny))).sum(axis=-1)
    return np.asarray(np.clip(1 - entropy / math.log(probabilities.shape[-1]), 0, 1))


_OF_LOGITS: dict[PolicyName, Callable[[Array], Array]] = {
    "max_softmax": _max_softmax,  # largest class probability
    "margin": _margin,  # largest minus second largest (EDANAS, IJCNN 2023)
    "entropy": _entropy,  # 1 − entropy / log C (after BranchyNet, arXiv 1709.01686)
}
POLICY_NAMES: tuple[PolicyName, ...] = tuple(_OF_LOGITS)
"""Policies that need logits only."""
GATE_POLICIES: tuple[PolicyName, ...] = ("gate", "cumulative_gate")
"""Those that need what a branch says beside its logits: `gate` is an exit's own, `cumulative_gate` the probability of
having left by then, Σ_{j≤e} g_j with g_j = c_j Π_{i<j} (1 − c_i) (NACHOS, arXiv 2401.13330)."""


def scores(policy: PolicyName, logits: Array, temperature: float = 1.0) -> Scores:
    """Confidence in [0, 1], larger = surer, of (…, C) logits divided by a temperature; shape (…).

    >>> scores("margin", np.array([[0.0, 0.0], [9.0, -9.0]])).round(3).tolist()
    [0.0, 1.0]
    """
    cooled = logits if temperature == 1.0 else logits.astype(np.float32) / np.float32(temperature)
    return _OF_LOGITS[policy](softmax(cooled)).astype(np.float32)


def gate_scores(gates: Array) -> Scores:
    """Confidence in [0, 1] of gates' logits: a learned one (NACHOS, arXiv 2401.13330)."""
    clipped = np.clip(gates.astype(np.float32), -LARGEST_GATE_LOGIT, LARGEST_GATE_LOGIT)
    return np.asarray(1 / (1 + np.exp(-clipped)), dtype=np.float32)


def having_left(before: Scores | float, confidence: Scores) -> Scores:
    """Probability of having left by an exit: 1 − (1 − before)(1 − c), which is Σ_{j≤e} g_j taken one exit further.

    >>> having_left(np.float32(0.5), np.float32([0.0, 0.5])).tolist()
    [0.5, 0.75]
    """
    return np.asarray(1 - (1 - np.asarray(before, np.float32)) * (1 - confidence), dtype=np.float32)
