"""Held-out outputs of one training: the outputs of each exit for each sample of tune and test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from surrogate_nas.exits.calibration import fit_temperature
from surrogate_nas.exits.policies import POLICIES, POLICY_NAMES, PolicyName, available, scores
from surrogate_nas.foundation.arrays import Array, Bools, Floats32, Ints
from surrogate_nas.foundation.errors import InputError

MOST_CLASSES_WITH_LOGITS = 20
Split = Literal["tune", "test"]
SPLITS: tuple[Split, Split] = ("tune", "test")
SCORES = "scores/"
"""Prefix of the policy in the name of an array of scores."""


@dataclass(frozen=True, slots=True)
class SplitOutputs:
    """Outputs of every exit of a network for the N samples of one split. X is the number of exits that exist."""

    labels: Ints
    """(N,)."""
    logits: npt.NDArray[np.float16] | None
    """(X, N, C), or `None` above 20 classes."""
    scores: Mapping[PolicyName, Floats32] = field(default_factory=dict)
    """Per policy (X, N); empty where there are logits, from which they are computed."""
    correct: Bools | None = None
    """(X, N); `None` where there are logits."""
    gates: npt.NDArray[np.float16] | None = None
    """(X, N) logits of the exits' gates, 0 at the last; `None` for a network without gates."""

    @classmethod
    def of(cls, logits: Array, labels: Ints, gates: Array | None = None) -> "SplitOutputs":
        """From (X, N, C) logits, and (X, N) logits of gates, of any float type."""
        half_gates = None if gates is None else gates.astype(np.float16)
        if logits.shape[-1] <= MOST_CLASSES_WITH_LOGITS:
            return cls(labels, logits.astype(np.float16), gates=half_gates)
        all_scores = {p: scores(p, logits) for p in POLICY_NAMES}
        return cls(labels, None, all_scores, logits.argmax(axis=-1) == labels, half_gates)

    def available(self, policy: PolicyName) -> PolicyName:
        """The policy, or the one that replaces it for these outputs; see `policies.available`."""
        return available(policy, self.gates)

    @property
    def right(self) -> Bools:
        """(X, N) whether the predicted class is the label."""
        if self.logits is None:
            assert self.correct is not None
            return self.correct
        return np.asarray(self.logits.argmax(axis=-1) == self.labels)

    def view(self, policy: PolicyName, temperatures: Sequence[float] = ()) -> tuple[Floats32, Bools]:
        """(X, N) confidence of each exit by itself under `policy`, and whether its predicted class is right.

        Args:
            policy: the score; see `available`.
            temperatures: one per exit that exists; none is 1 everywhere. Gates have none.
        """
        policy = self.available(policy)
        if POLICIES[policy].needs_gates:
            assert self.gates is not None
            return POLICIES[policy].score(self.gates), self.right
        if self.logits is None:
            return self.scores[policy], self.right
        if not temperatures:
            return scores(policy, self.logits), self.right
        scaled = [scores(policy, z, T) for z, T in zip(self.logits, temperatures, strict=True)]
        return np.stack(scaled), self.right

    def temperatures(self) -> tuple[float, ...]:
        """(X,) temperatures that calibrate each exit on these outputs; see `calibration.fit_temperature`.

        Raises:
            InputError: where there are too many classes to keep logits.
        """
        if self.logits is None:
            raise InputError(f"temperatures need logits, which are kept up to {MOST_CLASSES_WITH_LOGITS} classes only")
        return tuple(fit_temperature(z, self.labels) for z in self.logits)

    def arrays(self) -> dict[str, Array]:
        """The arrays that are set, by name."""
        optional = {"labels": self.labels, "logits": self.logits, "correct": self.correct, "gates": self.gates}
        arrays = {name: array for name, array in optional.items() if array is not None}
        return {**arrays, **{f"{SCORES}{policy}": array for policy, array in self.scores.items()}}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> "SplitOutputs":
        """Read the result of `arrays`."""
        by_policy: dict[Any, Any] = {n.removeprefix(SCORES): a for n, a in arrays.items() if n.startswith(SCORES)}
        logits = arrays.get("logits")
        correct = arrays["correct"] if logits is None else None
        return cls(arrays["labels"], logits, by_policy, correct, arrays.get("gates"))


@dataclass(frozen=True, slots=True)
class Outputs:
    """Held-out outputs of one trained network."""

    tune: SplitOutputs
    """Outputs on tune, which all decisions use."""
    test: SplitOutputs
    """Outputs on test, which only the report and the export use."""

    def __getitem__(self, split: Split) -> SplitOutputs:
        """Outputs of one split."""
        return self.tune if split == "tune" else self.test

    def arrays(self) -> dict[str, Array]:
        """Every array by its name in the archive, such as `tune/labels`; see `from_arrays`."""
        return {f"{split}/{name}": array for split in SPLITS for name, array in self[split].arrays().items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> "Outputs":
        """Read the result of `arrays`."""
        tune, test = (SplitOutputs.from_arrays(_of_split(arrays, split)) for split in SPLITS)
        return cls(tune, test)


def _of_split(arrays: Mapping[str, Array], split: Split) -> dict[str, Array]:
    start = f"{split}/"
    return {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}


def same(a: Outputs, b: Outputs) -> bool:
    """Whether two trainings have the same outputs, bit for bit."""
    x, y = a.arrays(), b.arrays()
    return x.keys() == y.keys() and all(np.array_equal(x[name], y[name]) for name in x)
