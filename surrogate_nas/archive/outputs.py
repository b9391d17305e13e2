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
"""Images that were held out: `tune` to choose, `test` to report."""
SPLITS: tuple[Split, Split] = ("tune", "test")
SCORES = "scores/"
"""Prefix of the names of score arrays, followed by the policy."""
ANSWERS, CORRECT, GROUPS = "answers", "correct", "groups"
"""Names of the arrays of predicted classes, of their correctness, and of the samples' groups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitOutputs:
    """Outputs of every exit of a network for the N samples of one split. X is the number of exits that exist."""

    labels: Ints
    """(N,) true classes, from 0."""
    logits: npt.NDArray[np.float16] | None = None
    """(X, N, C) logits, for scores and temperatures; `None` above 20 classes."""
    scores: Mapping[PolicyName, Floats32] = field(default_factory=dict)
    """(X, N) scores of each policy; empty if logits are kept, from which scores are computed."""
    answers: npt.NDArray[np.unsignedinteger[Any]] | None = None
    """(X, N) predicted classes, by logits in full precision, since rounding them creates ties. `None` in tables and in
    outputs of archives before schema 5."""
    correct: Bools | None = None
    """(X, N) whether the predicted class is the label; set only if neither answers nor logits are kept."""
    gates: npt.NDArray[np.float16] | None = None
    """(X, N) logits of the exits' gates, 0 at the last; `None` for a network without gates."""
    groups: Ints | None = None
    """(N,) group numbers: samples of one group are not independent. `None` where all are."""

    @classmethod
    def of(cls, logits: Array, labels: Ints, gates: Array | None = None, groups: Ints | None = None) -> "SplitOutputs":
        """Build from finite (X, N, C) logits, (X, N) logits of gates, of any float type, and (N,) labels and groups."""
        classes = logits.shape[-1]
        answers = logits.argmax(axis=-1).astype(np.min_scalar_type(classes - 1))
        half_gates = None if gates is None else _half(gates)
        if classes <= MOST_CLASSES_WITH_LOGITS:
            return cls(labels=labels, logits=_half(logits), answers=answers, gates=half_gates, groups=groups)
        all_scores = {p: scores(p, logits) for p in POLICY_NAMES}
        return cls(labels=labels, scores=all_scores, answers=answers, gates=half_gates, groups=groups)

    def available(self, policy: PolicyName) -> PolicyName:
        """The policy, or its replacement if these outputs do not support it; see `policies.available`."""
        return available(policy, self.gates)

    @property
    def predicted(self) -> Ints | None:
        """(X, N) predicted classes; `None` if only their correctness is known.

        In archives before schema 5 they are derived from logits in half precision. Rounding kept the order of logits
        but created ties, of which the first class wins.
        """
        if self.answers is not None:
            return self.answers.astype(np.int64)
        return None if self.logits is None else np.asarray(self.logits.argmax(axis=-1))

    @property
    def right(self) -> Bools:
        """(X, N) whether the predicted class is the label."""
        predicted = self.predicted
        if predicted is not None:
            return np.asarray(predicted == self.labels)
        assert self.correct is not None
        return self.correct

    def view(self, policy: PolicyName, temperatures: Sequence[float] = ()) -> tuple[Floats32, Bools]:
        """(X, N) confidence of each exit by itself under `policy`, and whether its predicted class is right.

        Args:
            policy: the score; see `available`.
            temperatures: one per exit that exists; empty means 1 everywhere. Gates have no temperature.
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
            InputError: if there are too many classes to keep logits.
        """
        if self.logits is None:
            raise InputError(f"temperatures need logits, which are kept only up to {MOST_CLASSES_WITH_LOGITS} classes")
        return tuple(fit_temperature(z, self.labels) for z in self.logits)

    def arrays(self) -> dict[str, Array]:
        """Arrays that are not `None`, by name."""
        optional = {
            "labels": self.labels,
            "logits": self.logits,
            ANSWERS: self.answers,
            CORRECT: self.correct,
            "gates": self.gates,
            GROUPS: self.groups,
        }
        arrays = {name: array for name, array in optional.items() if array is not None}
        return {**arrays, **{f"{SCORES}{policy}": array for policy, array in self.scores.items()}}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> "SplitOutputs":
        """Rebuild outputs from the result of `arrays`."""
        by_policy: dict[Any, Any] = {n.removeprefix(SCORES): a for n, a in arrays.items() if n.startswith(SCORES)}
        single = {name: arrays.get(name) for name in ("logits", ANSWERS, "gates", GROUPS)}
        known = single[ANSWERS] is not None or single["logits"] is not None
        return cls(labels=arrays["labels"], scores=by_policy, correct=None if known else arrays[CORRECT], **single)


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
        """Rebuild outputs from the result of `arrays`."""
        tune, test = (SplitOutputs.from_arrays(_of_split(arrays, split)) for split in SPLITS)
        return cls(tune, test)


def _of_split(arrays: Mapping[str, Array], split: Split) -> dict[str, Array]:
    start = f"{split}/"
    return {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}


def _half(logits: Array) -> npt.NDArray[np.float16]:
    limit = np.finfo(np.float16).max
    return np.asarray(logits.clip(-limit, limit).astype(np.float16))


def same(a: Outputs, b: Outputs) -> bool:
    """Whether two trainings have the same outputs, bit for bit.

    Answers are compared only where both have them: archives before schema 5 have none.
    """
    x, y = a.arrays(), b.arrays()
    by_one_only = {name.split("/")[-1] for name in x.keys() ^ y.keys()}
    return by_one_only <= {ANSWERS, CORRECT} and all(np.array_equal(x[name], y[name]) for name in x.keys() & y.keys())
