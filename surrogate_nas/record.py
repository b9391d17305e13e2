"""What one training leaves behind. A measurement always carries its architecture."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from surrogate_nas.config import PolicyName
from surrogate_nas.cost import Costing
from surrogate_nas.errors import InputError
from surrogate_nas.exits import Exits
from surrogate_nas.policies import GATE_POLICIES, POLICY_NAMES, fit_temperature, gate_scores, scores
from surrogate_nas.space import Architecture

MOST_CLASSES_WITH_LOGITS = 20
Split = Literal["tune", "test"]
Origin = Literal["initial", "search", "user", "baseline", "final"]
Group = Literal["search", "baseline", "final"]
"""What a training was for. Those of the `search` (sampled, proposed, or asked for) are what surrogates learn from and
fronts are made of; a `baseline` is compared with, and not necessarily of the space; a `final` is a network of the front
at full fidelity."""
GROUPS: tuple[Group, ...] = ("search", "baseline", "final")
FailureKind = Literal["diverged", "memory", "time", "crashed", "error"]


@dataclass(frozen=True, slots=True)
class SplitOutputs:
    """What every exit of a network said of the N samples of one split. X is the number of exits that exist."""

    labels: npt.NDArray[np.int64]
    """(N,)."""
    logits: npt.NDArray[np.float16] | None
    """(X, N, C), or `None` above 20 classes."""
    scores: Mapping[PolicyName, npt.NDArray[np.float32]] = field(default_factory=dict)
    """Per policy (X, N); empty where there are logits, from which they follow."""
    correct: npt.NDArray[np.bool_] | None = None
    """(X, N); `None` where there are logits."""
    gates: npt.NDArray[np.float16] | None = None
    """(X, N) logits of the exits' gates, 0 at the last; `None` for a network without gates."""

    @classmethod
    def of(
        cls, logits: npt.NDArray[Any], labels: npt.NDArray[np.int64], gates: npt.NDArray[Any] | None = None
    ) -> "SplitOutputs":
        """From (X, N, C) logits, and (X, N) logits of gates, of any float type."""
        stored = None if gates is None else gates.astype(np.float16)
        if logits.shape[-1] <= MOST_CLASSES_WITH_LOGITS:
            return cls(labels, logits.astype(np.float16), gates=stored)
        said = {p: scores(p, logits) for p in POLICY_NAMES}
        return cls(labels, None, said, logits.argmax(axis=-1) == labels, stored)

    def available(self, policy: PolicyName) -> PolicyName:
        """A network without gates, as a baseline may be, is scored by `max_softmax` where others are by theirs."""
        return "max_softmax" if policy in GATE_POLICIES and self.gates is None else policy

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """(X, N) which answers are right."""
        if self.logits is None:
            assert self.correct is not None
            return self.correct
        return np.asarray(self.logits.argmax(axis=-1) == self.labels)

    def view(
        self, policy: PolicyName, temperatures: Sequence[float] = ()
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """(X, N) confidence of each exit by itself under `policy`, and which answers are right.

        Args:
            policy: how; see `available`.
            temperatures: of each exit that exists; none is 1 everywhere. Gates have none.
        """
        policy = self.available(policy)
        if policy in GATE_POLICIES:
            assert self.gates is not None
            return gate_scores(self.gates), self.right
        if self.logits is None:
            return self.scores[policy], self.right
        if not temperatures:
            return scores(policy, self.logits), self.right
        cooled = [scores(policy, z, T) for z, T in zip(self.logits, temperatures, strict=True)]
        return np.stack(cooled), self.right

    def temperatures(self) -> tuple[float, ...]:
        """(X,) that calibrate each exit on these outputs; see `policies.fit_temperature`.

        Raises:
            InputError: where there are too many classes to keep logits.
        """
        if self.logits is None:
            raise InputError(f"temperatures need logits, which are kept up to {MOST_CLASSES_WITH_LOGITS} classes only")
        return tuple(fit_temperature(z, self.labels) for z in self.logits)


@dataclass(frozen=True, slots=True)
class Outputs:
    """Held-out outputs of one trained network."""

    tune: SplitOutputs
    """Read by everything that chooses."""
    test: SplitOutputs
    """Read by the report and the export alone."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a training gave no outputs."""

    kind: FailureKind
    message: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """A training that has been decided on. Its id follows from what is trained, not from when."""

    round: int
    """0 for the initial sample."""
    rank: int
    """Place within the round."""
    origin: Origin
    architecture: Architecture
    seed: int
    fidelity: str
    """The recipe's fidelity; see `Recipe.fidelity`."""
    prediction: Mapping[str, Any] | None = None
    """What the surrogate said of it when it was proposed."""

    @property
    def group(self) -> Group:
        """What it is for."""
        match self.origin:
            case "baseline" | "final":
                return self.origin
            case _:
                return "search"

    @property
    def id(self) -> str:
        """Eight hexadecimal digits, the same in every study."""
        text = f"{self.architecture}|{self.seed}|{self.fidelity}"
        return hashlib.sha256(text.encode()).hexdigest()[:8]


@dataclass(frozen=True, slots=True)
class Record:
    """A proposal and what came of it."""

    proposal: Proposal
    outputs: Outputs | None
    """`None` for a failure, and where only the listing was read."""
    failure: Failure | None
    seconds: float
    """Wall time of the training and its measurement, of all its lives if it was interrupted."""
    provenance: Mapping[str, Any]
    """Versions, device, and what else explains the result."""

    @property
    def id(self) -> str:
        """The proposal's id."""
        return self.proposal.id

    @property
    def architecture(self) -> Architecture:
        """What was trained."""
        return self.proposal.architecture


def exits_of(
    architecture: Architecture, outputs: SplitOutputs, costing: Costing, policy: PolicyName = "max_softmax",
    temperatures: Sequence[float] = (),
) -> Exits:  # fmt: skip
    """The view of one network's outputs that thresholds act on; temperatures are (E,), or none."""
    E, where = architecture.positions, list(architecture.exit_positions)
    score, right = outputs.view(policy, [temperatures[e] for e in where] if temperatures else ())
    all_scores = np.zeros((E, score.shape[1]), dtype=np.float32)
    all_right = np.zeros((E, score.shape[1]), dtype=bool)
    all_scores[where], all_right[where] = score, right
    present = np.zeros(E, dtype=bool)
    present[where] = True
    return Exits(outputs.available(policy), present, all_scores, all_right, costing.of(architecture))


def temperatures_of(architecture: Architecture, tune: SplitOutputs) -> tuple[float, ...]:
    """(E,) temperatures fitted on tune; 1 where there is no exit."""
    fitted = dict(zip(architecture.exit_positions, tune.temperatures(), strict=True))
    return tuple(fitted.get(e, 1.0) for e in range(architecture.positions))
