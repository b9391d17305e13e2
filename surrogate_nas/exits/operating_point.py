"""Operating point: a threshold for each early exit, with the policy and temperatures of the scores."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from surrogate_nas.exits.policies import PolicyName
from surrogate_nas.foundation.arrays import Floats
from surrogate_nas.foundation.errors import InputError

OFF = math.inf
"""Threshold of an exit that is off, in arrays."""


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A threshold for every early exit position; `None` switches the exit off.

    A sample leaves at the first exit whose score is at least its threshold, else at the last.

    >>> OperatingPoint.parse("0.8,off,0.6", positions=4)
    OperatingPoint(thresholds=(0.8, None, 0.6), policy='max_softmax', temperatures=())
    """

    thresholds: tuple[float | None, ...]
    """Threshold at each position but the last; without effect where a network has no exit."""
    policy: PolicyName = "max_softmax"
    """Policy that scores samples; see `exits.policies`."""
    temperatures: tuple[float, ...] = ()
    """Temperature at each position, by which logits are divided before they are scored; `()` is 1 everywhere."""

    def __post_init__(self) -> None:
        if self.temperatures and len(self.temperatures) != len(self.thresholds) + 1:
            got, needed = len(self.temperatures), len(self.thresholds) + 1
            raise InputError(f"{needed} exits need {needed} temperatures or none, got {got}")
        for threshold in self.thresholds:
            if threshold is not None and not 0 <= threshold <= 1:
                raise InputError(f"threshold {threshold} is not in [0, 1] and not off")

    @classmethod
    def parse(cls, text: str, positions: int, policy: PolicyName = "max_softmax") -> "OperatingPoint":
        """Parse a text such as `0.8,off,0.6`: a threshold for each of the positions but the last, under a policy.

        Raises:
            InputError: for a wrong number of thresholds, or one that is neither a number in [0, 1] nor `off`.
        """
        words = [word.strip() for word in text.split(",")] if text.strip() else []
        if len(words) != positions - 1:
            raise InputError(f"{positions} exits need {positions - 1} thresholds, got {len(words)}: {text!r}")
        try:
            return cls(tuple(None if word == "off" else float(word) for word in words), policy)
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"thresholds {text!r}: each must be a number in [0, 1] or off") from None

    @classmethod
    def read(
        cls, thresholds: str | Sequence[float | None], positions: int, policy: PolicyName = "max_softmax"
    ) -> "OperatingPoint":
        """Read a text as `parse` does, or a sequence with `None` or infinity for off.

        >>> print(OperatingPoint.read((0.8, None), positions=3))
        0.8,off

        Raises:
            InputError: for a wrong number of thresholds, or one that is neither a number in [0, 1] nor off.
        """
        if isinstance(thresholds, str):
            return cls.parse(thresholds, positions, policy)
        try:
            texts = ["off" if t is None or t == OFF else repr(float(t)) for t in thresholds]
        except (TypeError, ValueError):
            raise InputError(f"thresholds {thresholds!r}: each is a number in [0, 1], or None for off") from None
        return cls.parse(",".join(texts), positions, policy)

    @classmethod
    def from_array(
        cls, thresholds: Floats, policy: PolicyName = "max_softmax", temperatures: tuple[float, ...] = ()
    ) -> "OperatingPoint":
        """Create from (E − 1,) thresholds with ∞ for off, under a policy with its temperatures."""
        return cls(tuple(None if np.isinf(t) else float(t) for t in thresholds), policy, temperatures)

    def temperature(self, position: int) -> float:
        """Temperature of the exit at a position."""
        return self.temperatures[position] if self.temperatures else 1.0

    def array(self) -> Floats:
        """(E − 1,) thresholds with ∞ for off."""
        return np.array([OFF if t is None else t for t in self.thresholds], dtype=np.float64)

    def rounded(self) -> str:
        """The thresholds to three digits, for a glance.

        >>> OperatingPoint((0.123456, None)).rounded()
        '0.123,off'
        """
        return ",".join("off" if t is None else f"{t:.3g}" for t in self.thresholds)

    def __str__(self) -> str:
        return ",".join("off" if t is None else repr(float(t)).removesuffix(".0") for t in self.thresholds)
