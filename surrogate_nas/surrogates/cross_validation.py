"""Cross-validation: predictions of rows by models of other rows, never of the same architecture."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from botorch.models.model import Model

from surrogate_nas.foundation.arrays import Floats, Ints
from surrogate_nas.surrogates.folds import folds
from surrogate_nas.surrogates.mixture import Mixture, equal_weights, mix, stacking_weights
from surrogate_nas.surrogates.normal_model import NormalModel, marginals
from surrogate_nas.surrogates.registry import Surrogate, member_named
from surrogate_nas.surrogates.training_set import TrainingSet


@dataclass(frozen=True, slots=True)
class HeldOutPredictions:
    """Predictions of n rows, each by a model of rows of other architectures."""

    mean: Floats
    """(n, m) means."""
    variance: Floats
    """(n, m) variances."""


@dataclass(frozen=True, slots=True)
class FittedMember:
    """A member of surrogates, fitted to all rows."""

    model: Model
    held_out: HeldOutPredictions

    @classmethod
    def of(cls, training: TrainingSet, fold: Ints, name: str, seed: int) -> "FittedMember":
        """Fit, and predict every row: from all other architectures where the model can, else by models fitted to the
        rows of other folds."""
        model = member_named(name).fit(training, seed)
        closed = model.left_out(training.group, fold) if isinstance(model, NormalModel) else None
        held_out = _refitted(training, fold, name, seed) if closed is None else HeldOutPredictions(*closed)
        return cls(model, held_out)


def _refitted(training: TrainingSet, fold: Ints, name: str, seed: int) -> HeldOutPredictions:
    mean, variance = np.zeros_like(training.Y), np.zeros_like(training.Y)
    for k in np.unique(fold):
        test = fold == k
        model = member_named(name).fit(training.rows(np.flatnonzero(~test)), seed)
        posterior = marginals(model, torch.from_numpy(training.X[test]))
        mean[test], variance[test] = posterior[0].numpy(), posterior[1].numpy()
    return HeldOutPredictions(mean, variance)


def combine(
    training: TrainingSet, fold: Ints, surrogate: Surrogate, members: Mapping[str, FittedMember]
) -> HeldOutPredictions:
    """Held-out predictions of a surrogate, from those of its members; weights for a fold come from other folds."""
    parts = [members[name].held_out for name in surrogate.members]
    if len(parts) == 1:
        return parts[0]
    means, variances = (np.stack([getattr(part, name) for part in parts]) for name in ("mean", "variance"))
    mean, variance = np.zeros_like(training.Y), np.zeros_like(training.Y)
    for test in (fold == k for k in np.unique(fold)):
        if surrogate.stacked:
            weights = stacking_weights(means[:, ~test], training.Y[~test], training.Yvar[~test])
        else:
            weights = equal_weights(len(parts), training.outputs)
        mixture = mix(*(torch.from_numpy(a) for a in (weights[:, None], means[:, test], variances[:, test])))
        mean[test], variance[test] = mixture[0].numpy(), mixture[1].numpy()
    return HeldOutPredictions(mean, variance)


def whole(training: TrainingSet, surrogate: Surrogate, members: Mapping[str, FittedMember]) -> Model:
    """A surrogate of all rows; if it is stacked, with weights from its members' held-out predictions."""
    parts = [members[name] for name in surrogate.members]
    if len(parts) == 1:
        return parts[0].model
    if surrogate.stacked:
        means = np.stack([part.held_out.mean for part in parts])
        weights = stacking_weights(means, training.Y, training.Yvar)
    else:
        weights = equal_weights(len(parts), training.outputs)
    return Mixture([p.model for p in parts if isinstance(p.model, NormalModel)], weights)


def fit_whole(training: TrainingSet, surrogate: Surrogate, seed: int) -> Model:
    """A surrogate fitted to all rows, with all of its members."""
    fold = folds(training.group, seed)
    return whole(training, surrogate, {name: FittedMember.of(training, fold, name, seed) for name in surrogate.members})
