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


@dataclass(frozen=True, slots=True)
class FittedMember:
    """A member of surrogates, fitted to all rows."""

    model: Model
    held_out: HeldOutPredictions
    going_on: HeldOutPredictions | None = None
    """Predictions of rows by what is known of their training, too; `None` if the model knows nothing of trainings."""

    @classmethod
    def of(cls, training: TrainingSet, fold: Ints, name: str, seed: int, apart: Sequence[Apart] = ()) -> "FittedMember":
        """Fit, and predict every row: from all other architectures where the model can, else by models fitted to the
        rows of other folds; and the rows in `apart` from all but those that these must not know."""
        model = member_named(name).fit(training, seed)
        closed = model.left_out(training.group, fold) if isinstance(model, NormalModel) else None
        held_out = _refitted(training, fold, name, seed) if closed is None else HeldOutPredictions(*closed)
        going_on = model.going_on(apart) if apart and isinstance(model, NormalModel) else None
        return cls(model, held_out, None if going_on is None else HeldOutPredictions(*going_on))


def _refitted(training: TrainingSet, fold: Ints, name: str, seed: int) -> HeldOutPredictions:
    mean, variance = np.zeros_like(training.Y), np.zeros_like(training.Y)
    for k in np.unique(fold):
        test = fold == k
        model = member_named(name).fit(training.rows(np.flatnonzero(~test)), seed)
        posterior = marginals(model, torch.from_numpy(training.X[test]))
        mean[test], variance[test] = posterior[0].numpy(), posterior[1].numpy()
    return HeldOutPredictions(mean, variance)


def combine(
    training: TrainingSet,
    fold: Ints,
    surrogate: Surrogate,
    members: Mapping[str, FittedMember],
    rows: Ints | None = None,
) -> HeldOutPredictions:
    """Held-out predictions of a surrogate, from those of its members; weights for a fold come from other folds.

    For `rows`, these rows are predicted as trainings that go on, by the members that know of trainings; others are 0.
    """
    parts = [part for _, part in _parts(surrogate, members, going_on=rows is not None)]
    if len(parts) == 1:
        return parts[0]
    means, variances = (np.stack([getattr(part, name) for part in parts]) for name in ("mean", "variance"))
    mean, variance = np.zeros_like(training.Y), np.zeros_like(training.Y)
    every = np.ones(len(training), dtype=bool) if rows is None else np.isin(np.arange(len(training)), rows)
    for test in (fold == k for k in np.unique(fold)):
        if surrogate.stacked:
            learned = ~test & every
            weights = stacking_weights(means[:, learned], training.Y[learned], training.Yvar[learned])
        else:
            weights = equal_weights(len(parts), training.outputs)
        mixture = mix(*(torch.from_numpy(a) for a in (weights[:, None], means[:, test], variances[:, test])))
        mean[test], variance[test] = mixture[0].numpy(), mixture[1].numpy()
    return HeldOutPredictions(mean, variance)


def whole(
    training: TrainingSet, surrogate: Surrogate, members: Mapping[str, FittedMember], rows: Ints | None = None
) -> Model:
    """A surrogate of all rows; if it is stacked, with weights from its members' held-out predictions: for `rows`, from
    those of these rows as trainings that go on, by the members that know of trainings."""
    models, parts = zip(*_parts(surrogate, members, going_on=rows is not None), strict=True)
    if len(parts) == 1:
        model: Model = models[0]
        return model
    if surrogate.stacked:
        means, learned = np.stack([part.mean for part in parts]), slice(None) if rows is None else rows
        weights = stacking_weights(means[:, learned], training.Y[learned], training.Yvar[learned])
    else:
        weights = equal_weights(len(parts), training.outputs)
    return Mixture([model for model in models if isinstance(model, NormalModel)], weights)


def _parts(
    surrogate: Surrogate, members: Mapping[str, FittedMember], *, going_on: bool
) -> list[tuple[Model, HeldOutPredictions]]:
    """Models of a surrogate with their held-out predictions: for trainings that go on, of what is known of them, too,
    where a model can."""
    own = [members[name] for name in surrogate.members]
    return [(member.model, (going_on and member.going_on) or member.held_out) for member in own]


def fit_whole(training: TrainingSet, surrogate: Surrogate, seed: int) -> Model:
    """A surrogate fitted to all rows, with all of its members."""
    fold = folds(training.group, seed)
    return whole(training, surrogate, {name: FittedMember.of(training, fold, name, seed) for name in surrogate.members})
