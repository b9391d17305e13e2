"""Training data of a surrogate, as plain arrays, independent of networks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from surrogate_nas.foundation.arrays import Bools, Floats, Ints

InputKind = Literal[
    "position", "additive", "ordinal", "nominal", "cost", "count", "number", "passes", "architecture", "training"
]
IDENTITIES: tuple[InputKind, ...] = ("architecture", "training")
"""Kinds that name what a row is of, by a number from 1; 0 for a new one."""
TREND_PENALTY: Mapping[InputKind, float] = {"cost": 0.1, "count": 0.3, "passes": 0.1}
"""Ridge penalty of the trend over inputs in [0, 1], by their kind."""
NETWORK_VARIANCE = 0.3
"""Variance of a unit-variance target over training seeds, without sampling noise."""
TREND_NOISE = 0.5


@dataclass(frozen=True, repr=False)
class TrainingSet:
    """n rows with d inputs and m targets."""

    X: Floats
    """(n, d) inputs, scaled so that the rows lie in [0, 1]; costs of other candidates may lie outside."""
    kinds: tuple[InputKind, ...]
    """(d,) kind of each input: `position` (of an exit), `additive` (a choice whose effect is added to those of others),
    `ordinal` (a choice of which near values are similar), `nominal` (one whose values are equal or not), `cost` (a
    number with a trend, which may be extrapolated), `count` (the same, but no size), `number` (one without), `passes`
    (how far the network was trained, with a trend), `architecture` and `training` (numbers of the row's own, by which
    rungs of one training share its luck; see `IDENTITIES`)."""
    Y: Floats
    """(n, m) targets, of about zero mean and unit variance where defined, 0 elsewhere."""
    Yvar: Floats
    """(n, m) known part of the targets' noise variance, perhaps 0; ∞ where a target is undefined."""
    group: Ints
    """(n,) number of each row's group, from 0; rows of one group are trainings of one architecture."""

    def __repr__(self) -> str:
        """Short text, without the arrays."""
        return f"<TrainingSet of {len(self)} rows, {len(self.kinds)} inputs, {self.outputs} targets>"

    def __len__(self) -> int:
        return len(self.X)

    @property
    def outputs(self) -> int:
        """Number m of targets."""
        return int(self.Y.shape[1])

    @cached_property
    def defined(self) -> Bools:
        """(n, m) whether each target is defined."""
        return np.isfinite(self.Yvar)

    def columns(self, *kinds: InputKind) -> list[int]:
        """Indices of the inputs of these kinds."""
        return [j for j, kind in enumerate(self.kinds) if kind in kinds]

    def rows(self, index: Ints) -> "TrainingSet":
        """Training set of some of the rows."""
        _, group = np.unique(self.group[index], return_inverse=True)
        return TrainingSet(self.X[index], self.kinds, self.Y[index], self.Yvar[index], group)

    def targets(self, index: Sequence[int]) -> "TrainingSet":
        """Training set of all rows, with some of the targets."""
        columns = list(index)
        return TrainingSet(self.X, self.kinds, self.Y[:, columns], self.Yvar[:, columns], self.group)

    def trend(self, *kinds: InputKind) -> Floats:
        """(1 + d, m) weights of a ridge regression of the targets on the inputs of these kinds alone, intercept first.

        It models the effect of size, also beyond the range of the rows; trees learn the residuals.
        """
        use = [0, *(1 + j for j in self.columns(*kinds))]
        A = np.concatenate([np.ones((len(self), 1)), self.X], axis=1)[:, use]
        penalty = np.diag([1e-6, *(TREND_PENALTY[self.kinds[j - 1]] for j in use[1:])])
        weight = np.where(self.defined, 1 / (self.Yvar + TREND_NOISE), 0.0)
        trend = np.zeros((1 + self.X.shape[1], self.outputs))
        for j, w in enumerate(weight.T):
            trend[use, j] = np.linalg.solve(A.T @ (w[:, None] * A) + penalty, A.T @ (w * self.Y[:, j]))
        return trend
