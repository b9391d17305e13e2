"""Cross-validation: predictions of rows by models of other rows, never of the same architecture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from botorch.models.model import Model

from surrogate_nas.foundation.arrays import Floats, Ints
from surrogate_nas.surrogates.folds import folds
from surrogate_nas.surrogates.mixture import Mixture, equal_weights, mix, stacking_weights
from surrogate_nas.surrogates.normal_model import Apart, NormalModel, marginals
from surrogate_nas.surrogates.registry import Surrogate, member_named
from surrogate_nas.surrogates.training_set import TrainingSet


@dataclass(frozen=True, slots=True)
class HeldOutPredictions:
    """Predictions of n rows, each by a model of rows of other architectures."""

    mean: Floats
    """(n, m) means."""
    variance: Floats
    """(n, m) variances."""

    def rows(self, index: Ints) -> "HeldOutPredictions":
        """Predictions of some of the rows."""
        return HeldOutPredictions(self.mean[index], self.variance[index])


@dataclass(frozen=True, slots=True)
class FittedMember:
    """A member of surrogates, fitted to all rows."""

    model: Model
    held_out: HeldOutPredictions
    going_on: HeldOutPredictions
    """Predictions (k, m) of trainings that go on, by what is known of them, too; of models that know nothing of
    trainings, as of fresh ones."""

    @classmethod
    def of(cls, training: TrainingSet, fold: Ints, name: str, seed: int, apart: Sequence[Apart] = ()) -> "FittedMember":
        """Fit, and predict every row: from all other architectures where the model can, else by models fitted to the
        rows of other folds; and the rows to predict in `apart` from all but those that these must not know."""
        model = member_named(name).fit(training, seed)
        closed = model.left_out(training.group, fold) if isinstance(model, NormalModel) else None
        held_out = _refitted(training, fold, name, seed) if closed is None else HeldOutPredictions(*closed)
        known = model.going_on(apart) if apart and isinstance(model, NormalModel) else None
        rows = np.array([row for rows, _ in apart for row in rows], dtype=np.int64)
        return cls(model, held_out, held_out.rows(rows) if known is None else HeldOutPredictions(*known))


Members = Mapping[str, FittedMember]
"""Members of surrogates by their names."""


def _refitted(training: TrainingSet, fold: Ints, name: str, seed: int) -> HeldOutPredictions:
    mean, variance = np.zeros_like(training.Y), np.zeros_like(training.Y)
    for k in np.unique(fold):
        test = fold == k
        model = member_named(name).fit(training.rows(np.flatnonzero(~test)), seed)
        posterior = marginals(model, torch.from_numpy(training.X[test]))
        mean[test], variance[test] = posterior[0].numpy(), posterior[1].numpy()
    return HeldOutPredictions(mean, variance)


def combine(
    training: TrainingSet, fold: Ints, surrogate: Surrogate, members: Members, *, going_on: bool = False
) -> HeldOutPredictions:
    """Held-out predictions of a surrogate, from those of its members; weights for a fold come from other folds.

    Args:
        training: the rows that are predicted.
        fold: (n,) fold of each row.
        surrogate: the surrogate.
        members: its members, among others.
        going_on: whether to take the members' predictions of trainings that go on.
    """
    parts = _held_out(surrogate, members, going_on)
    if len(parts) == 1:
        return parts[0]
    means, variances = (np.stack([getattr(part, name) for part in parts]) for name in ("mean", "variance"))
    mean, variance = np.zeros_like(training.Y), np.zeros_like(training.Y)
    for test in (fold == k for k in np.unique(fold)):
        weights = _weights(training.rows(np.flatnonzero(~test)), surrogate, means[:, ~test])
        mixture = mix(*(torch.from_numpy(a) for a in (weights[:, None], means[:, test], variances[:, test])))
        mean[test], variance[test] = mixture[0].numpy(), mixture[1].numpy()
    return HeldOutPredictions(mean, variance)


def whole(training: TrainingSet, surrogate: Surrogate, members: Members, *, going_on: bool = False) -> Model:
    """A surrogate of all rows; if it is stacked, with weights from the held-out predictions that `combine` takes."""
    models = [members[name].model for name in surrogate.members]
    if len(models) == 1:
        return models[0]
    weights = _weights(training, surrogate, np.stack([p.mean for p in _held_out(surrogate, members, going_on)]))
    return Mixture([model for model in models if isinstance(model, NormalModel)], weights)


def _held_out(surrogate: Surrogate, members: Members, going_on: bool) -> list[HeldOutPredictions]:
    own = [members[name] for name in surrogate.members]
    return [member.going_on if going_on else member.held_out for member in own]


def _weights(training: TrainingSet, surrogate: Surrogate, means: Floats) -> Floats:
    """(K, m) weights of K members, from their (K, n, m) held-out means of the rows."""
    if surrogate.stacked:
        return stacking_weights(means, training.Y, training.Yvar)
    return equal_weights(len(means), training.outputs)


def fit_whole(training: TrainingSet, surrogate: Surrogate, seed: int) -> Model:
    """A surrogate fitted to all rows, with all of its members."""
    fold = folds(training.group, seed)
    return whole(training, surrogate, {name: FittedMember.of(training, fold, name, seed) for name in surrogate.members})
