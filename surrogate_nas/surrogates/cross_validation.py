"""Cross-validation: predictions of rows by models of the other folds, with folds over architectures."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from botorch.models.model import Model

from surrogate_nas.foundation.arrays import Floats, Ints
from surrogate_nas.surrogates.mixture import Mixture, equal_weights, mix, stacking_weights
from surrogate_nas.surrogates.normal_model import NormalModel, marginals
from surrogate_nas.surrogates.registry import Surrogate, member_named
from surrogate_nas.surrogates.training_set import TrainingSet


@dataclass(frozen=True, slots=True)
class HeldOutPredictions:
    """Predictions of n rows, each by a model fitted to the other folds."""

    mean: Floats
    """(n, m) means."""
    variance: Floats
    """(n, m) variances."""


def held_out(training: TrainingSet, fold: Ints, member: str, seed: int) -> HeldOutPredictions:
    """Predict every row by a model fitted to the rows of other folds."""
    mean, variance = np.zeros_like(training.Y), np.zeros_like(training.Y)
    for k in np.unique(fold):
        test = fold == k
        model = member_named(member).fit(training.rows(np.flatnonzero(~test)), seed)
        posterior = marginals(model, torch.from_numpy(training.X[test]))
        mean[test], variance[test] = posterior[0].numpy(), posterior[1].numpy()
    return HeldOutPredictions(mean, variance)


def combine(
    training: TrainingSet, fold: Ints, surrogate: Surrogate, parts: Mapping[str, HeldOutPredictions]
) -> HeldOutPredictions:
    """Held-out predictions of a surrogate, from those of its members; weights for a fold come from other folds."""
    members = [parts[name] for name in surrogate.members]
    if len(members) == 1:
        return members[0]
    means, variances = (np.stack([getattr(part, name) for part in members]) for name in ("mean", "variance"))
    mean, variance = np.zeros_like(training.Y), np.zeros_like(training.Y)
    for test in (fold == k for k in np.unique(fold)):
        if surrogate.stacked:
            weights = stacking_weights(means[:, ~test], training.Y[~test], training.Yvar[~test], surrogate.shares)
        else:
            weights = equal_weights(len(members), training.outputs)
        mixture = mix(*(torch.from_numpy(a) for a in (weights[:, None], means[:, test], variances[:, test])))
        mean[test], variance[test] = mixture[0].numpy(), mixture[1].numpy()
    return HeldOutPredictions(mean, variance)


def fit_whole(training: TrainingSet, surrogate: Surrogate, parts: Mapping[str, HeldOutPredictions], seed: int) -> Model:
    """A surrogate fitted to all rows; if it is stacked, with weights from its members' held-out predictions."""
    models = [member_named(name).fit(training, seed) for name in surrogate.members]
    if len(models) == 1:
        return models[0]
    if surrogate.stacked:
        held_out_means = np.stack([parts[name].mean for name in surrogate.members])
        weights = stacking_weights(held_out_means, training.Y, training.Yvar, surrogate.shares)
    else:
        weights = equal_weights(len(models), training.outputs)
    return Mixture([m for m in models if isinstance(m, NormalModel)], weights)
