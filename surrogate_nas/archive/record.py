"""Proposals, and records of trainings. A measurement always carries its architecture."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.outputs import Outputs
from surrogate_nas.foundation.display import displayed_by

Origin = Literal["initial", "search", "user", "promoted", "baseline", "final"]
"""Reason for a training: sampled, proposed by the search, named by the user, or its group."""
Group = Literal["search", "promoted", "baseline", "final"]
"""Purpose of a training. Records of the `search` (sampled, proposed, or requested by the user) count against the
budget; those `promoted` are of its networks at a higher rung of the ladder. Both train surrogates and form fronts. A
`baseline` is for comparison and may lie outside the space; a `final` is a network of the front at full fidelity, in a
study without a ladder."""
GROUPS: tuple[Group, ...] = get_args(Group)
STUDIED: tuple[Group, ...] = ("search", "promoted")
"""Groups that surrogates learn from, and that form fronts."""
PACKAGE = "surrogate-nas"
"""Key in a record's provenance: the version of this package. Records of 0.3.0 and before do not have it."""
COMPUTED = "image_passes"
"""Key in the provenance of a record on a ladder: image passes computed for it, since the rung that it went on from."""
FailureKind = Literal["diverged", "memory", "time", "crashed", "error"]
"""Reason of a failure: weights that are not finite, a limit exceeded, a process that died, or an exception."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason why a training has no outputs."""

    kind: FailureKind
    """Reason of the failure."""
    message: str
    """Sentence on the failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A training to run. Its id depends on architecture, seed, fidelity and rung, not on the round."""

    round: int
    """Round of the search; 0 is the initial sample."""
    rank: int
    """Position within the round."""
    origin: Origin
    """Reason for the training."""
    architecture: Architecture
    """Network to train."""
    seed: int
    """Seed of weights, batches and augmentation."""
    fidelity: str
    """Fidelity of the recipe; see `Recipe.fidelity`. On a ladder it is the same at all rungs."""
    passes: int | None = None
    """Rung of the study's ladder: image passes behind the measured weights. `None` for a training without a ladder,
    by the epochs of its recipe."""
    prediction: Mapping[str, Any] | None = None
    """The surrogate's prediction at the time of the proposal; `None` without a surrogate."""

    @property
    def group(self) -> Group:
        """Purpose of the training."""
        match self.origin:
            case "baseline" | "final" | "promoted":
                return self.origin
            case _:
                return "search"

    @property
    def id(self) -> str:
        """Eight hexadecimal digits, the same in every study."""
        return _digest(self._training if self.passes is None else f"{self._training}|{self.passes}")

    @property
    def training(self) -> str:
        """Eight hexadecimal digits that all rungs of one training share: one architecture, one seed, one trunk."""
        return _digest(self._training)

    @property
    def _training(self) -> str:
        return f"{self.architecture}|{self.seed}|{self.fidelity}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@displayed_by(
    lambda r: {
        "id": r.id,
        "origin": r.proposal.origin,
        "architecture": str(r.architecture),
        "tune accuracy": r.accuracy,
        "failure": r.failure and r.failure.kind,
        "seconds": r.seconds,
    }
)
@dataclass(frozen=True, slots=True, repr=False)
class Record:
    """A proposal and the result of its training."""

    proposal: Proposal
    """Training that was done."""
    outputs: Outputs | None
    """Held-out outputs; `None` for a failure, and if arrays were not read."""
    failure: Failure | None
    """`None` for a successful training."""
    seconds: float
    """Wall time of the training and its measurement, summed over restarts if it was interrupted."""
    provenance: Mapping[str, Any]
    """Versions, device, and other conditions of the training."""

    @property
    def id(self) -> str:
        """The proposal's id."""
        return self.proposal.id

    @property
    def architecture(self) -> Architecture:
        """The trained architecture."""
        return self.proposal.architecture

    @property
    def accuracy(self) -> float | None:
        """Accuracy of the last exit on all tune images; `None` for a failure, and for a record without its outputs."""
        return None if self.outputs is None else float(self.outputs.tune.right[-1].mean())
