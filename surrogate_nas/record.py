"""What one training leaves behind. A measurement always carries its architecture."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from surrogate_nas.config import PolicyName
from surrogate_nas.cost import Costing
from surrogate_nas.exits import POLICY_NAMES, Exits, gate_scores, scores
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

    def view(self, policy: PolicyName) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """(X, N) scores under `policy`, and which answers are right.

        A network without gates, as a baseline may be, is scored by `max_softmax` where others are by `gate`.
        """
        if self.logits is not None:
            right = np.asarray(self.logits.argmax(axis=-1) == self.labels)
        else:
            assert self.correct is not None
            right = self.correct
        if policy == "gate" and self.gates is not None:
            return gate_scores(self.gates), right
        named: PolicyName = "max_softmax" if policy == "gate" else policy
        return self.scores[named] if self.logits is None else scores(named, self.logits), right


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
    architecture: Architecture, outputs: SplitOutputs, costing: Costing, policy: PolicyName = "max_softmax"
) -> Exits:
    """The view of one network's outputs that thresholds act on."""
    E, where = architecture.positions, list(architecture.exit_positions)
    score, right = outputs.view(policy)
    all_scores = np.zeros((E, score.shape[1]), dtype=np.float32)
    all_right = np.zeros((E, score.shape[1]), dtype=bool)
    all_scores[where], all_right[where] = score, right
    present = np.zeros(E, dtype=bool)
    present[where] = True
    return Exits(policy, present, all_scores, all_right, costing.of(architecture))
