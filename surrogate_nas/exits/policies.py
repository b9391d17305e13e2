"""Table of exit policies, which give the confidence scores of exits.

The scores of every policy are in [0, 1], larger = more confident, and are compared with thresholds.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from surrogate_nas.foundation.arrays import Array, Floats32

PolicyName = Literal["max_softmax", "margin", "entropy", "gate", "cumulative_gate"]
"""Rule that scores how sure an exit is, in [0, 1], larger = surer."""
LARGEST_GATE_LOGIT = 80.0


def softmax(logits: Array) -> Floats32:
    """Softmax over the last axis, in float32."""
    shifted = logits.astype(np.float32)
    shifted -= shifted.max(axis=-1, keepdims=True)
    np.exp(shifted, out=shifted)
    result: Floats32 = shifted / shifted.sum(axis=-1, keepdims=True)
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


def gate_scores(gates: Array) -> Floats32:
    """Learned confidence in [0, 1], from the logits of gates (NACHOS, arXiv 2401.13330)."""
    clipped = np.clip(gates.astype(np.float32), -LARGEST_GATE_LOGIT, LARGEST_GATE_LOGIT)
    return np.asarray(1 / (1 + np.exp(-clipped)), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Policy:
    """An exit policy: a row of the table."""

    name: PolicyName
    words: str
    """Description of the score, as in "Scores are …"."""
    score: Callable[[Array], Array]
    """From (…, C) class probabilities, or from (…) logits of gates, to (…) scores of exits by themselves."""
    needs_gates: bool = False
    """Whether scores come from gates, which have no temperature, instead of from logits, which may have one."""
    cumulative: bool = False
    """Whether thresholds are compared with the probability of having left at this exit or an earlier one,
    `having_left`, instead of with the exit's own score."""


POLICIES: Mapping[PolicyName, Policy] = {
    policy.name: policy
    for policy in (
        Policy("max_softmax", "the largest class probability", _max_softmax),
        # EDANAS, IJCNN 2023
        Policy("margin", "the largest class probability minus the second", _margin),
        # 1 − entropy / log C, after BranchyNet, arXiv 1709.01686
        Policy("entropy", "one minus the normalised entropy", _entropy),
        Policy("gate", "the confidence from a learned gate", gate_scores, needs_gates=True),
        # Σ_{j≤e} g_j with g_j = c_j Π_{i<j} (1 − c_i): NACHOS, arXiv 2401.13330
        Policy(
            "cumulative_gate",
            "the probability of having left at this exit or an earlier one, from learned gates",
            gate_scores,
            needs_gates=True,
            cumulative=True,
        ),
    )
}
"""All policies by name."""
POLICY_NAMES: tuple[PolicyName, ...] = tuple(p.name for p in POLICIES.values() if not p.needs_gates)
"""Policies that need logits only."""
GATE_POLICIES: tuple[PolicyName, ...] = tuple(p.name for p in POLICIES.values() if p.needs_gates)
"""Policies that need the gates of branches."""


def available(policy: PolicyName, gates: object | None) -> PolicyName:
    """The policy, or `max_softmax` if it needs gates and there are none, as in baselines."""
    return "max_softmax" if POLICIES[policy].needs_gates and gates is None else policy


def scores(policy: PolicyName, logits: Array, temperature: float = 1.0) -> Floats32:
    """(…) confidence in [0, 1], larger = more confident, of (…, C) logits divided by a temperature.

    >>> scores("margin", np.array([[0.0, 0.0], [9.0, -9.0]])).round(3).tolist()
    [0.0, 1.0]
    """
    scaled = logits if temperature == 1.0 else logits.astype(np.float32) / np.float32(temperature)
    return POLICIES[policy].score(softmax(scaled)).astype(np.float32)


def confidence(policy: PolicyName, logits: Array, gates: Array | None, temperature: float = 1.0) -> Floats32:
    """(…) scores of exits by themselves, under the policy that is `available`.

    Args:
        policy: the policy.
        logits: (…, C).
        gates: (…) logits of gates, if there are any.
        temperature: divisor of the logits; not applied to gates.
    """
    policy = available(policy, gates)
    if gates is not None and POLICIES[policy].needs_gates:
        return np.asarray(POLICIES[policy].score(gates), dtype=np.float32)
    return scores(policy, logits, temperature)


def having_left(before: Floats32 | float, confidence: Floats32) -> Floats32:
    """Probability of having left at an exit or an earlier one: 1 − (1 − before)(1 − c), the recursion of Σ_{j≤e} g_j.

    >>> having_left(np.float32(0.5), np.float32([0.0, 0.5])).tolist()
    [0.5, 0.75]
    """
    return np.asarray(1 - (1 - np.asarray(before, np.float32)) * (1 - confidence), dtype=np.float32)
