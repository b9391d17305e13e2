"""Fitting of the surrogate named in the settings, with its held-out validation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from surrogate_nas.exits.exits import Exits
from surrogate_nas.foundation.arrays import Ints
from surrogate_nas.foundation.display import displayed_by
from surrogate_nas.foundation.progress import Countdown
from surrogate_nas.foundation.threads import one_thread, side_by_side
from surrogate_nas.settings import FEWEST_NETWORKS
from surrogate_nas.surrogates.cross_validation import (
    FittedMember,
    HeldOutPredictions,
    Members,
    combine,
    whole,
)
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.folds import folds
from surrogate_nas.surrogates.predictor import GoingOn, Predictor
from surrogate_nas.surrogates.quantities import Measured, measured_quantities
from surrogate_nas.surrogates.registry import AUTO, BY_SIZE, preferred, surrogate_named
from surrogate_nas.surrogates.validation import Validation, judge, judged_settings, reference_thresholds


def _summary(fitted: "FittedSurrogate") -> Mapping[str, object]:
    score = fitted.chosen_validation.accuracy
    return {
        "surrogate": fitted.predictor.kind,
        "networks": len(fitted.predictor.design),
        "held-out τ of accuracy": f"{score.tau:.2f} [{score.tau_low:.2f}, {score.tau_high:.2f}]",
        "RMSE": score.rmse,
        "90 % intervals cover": f"{score.coverage:.0%}",
    }


@displayed_by(_summary)
@dataclass(frozen=True, slots=True, repr=False)
class FittedSurrogate:
    """The chosen surrogate, and the held-out validation of each candidate."""

    predictor: Predictor
    validations: tuple[Validation, ...]
    promotion: Validation | None = None
    """Validation of the chosen surrogate on networks of which it knew lower rungs; `None` if there are too few."""

    @property
    def chosen_validation(self) -> Validation:
        """Validation of the chosen surrogate."""
        return next(v for v in self.validations if v.kind == self.predictor.kind)

    @property
    def judged_at(self) -> tuple[float, ...]:
        """Thresholds at which the surrogate was judged, each applied at every early exit."""
        return reference_thresholds(self.predictor.design.basis)


def fit_surrogate(design: DesignMatrix, exits: list[Exits], surrogate: str, seed: int) -> FittedSurrogate:
    """Cross-validate, choose, and fit to all rows.

    Args:
        design: n rows.
        exits: the same networks' exits on tune, for the measured values.
        surrogate: name; `auto` takes `stack`, unless another is clearly better at ranking held-out accuracies. The
            surrogate of costs alone is judged too, for comparison.
        seed: seed of folds, bootstrap samples and draws.
    """
    with one_thread():
        kinds = AUTO if surrogate == "auto" else (surrogate,)
        training, fold = design.training, folds(design.training.group, seed)
        members = _members(design, [*kinds, BY_SIZE], fold, seed)
        predictions = {kind: combine(training, fold, surrogate_named(kind), members) for kind in (*kinds, BY_SIZE)}
        measured = measured_quantities(design, exits, judged_settings(design.basis))
        of_networks = folds(design.group, seed)
        judged = side_by_side(lambda item: _judged(design, measured, *item, of_networks, seed), predictions.items())
        validations = tuple(judged)
        best_kind = preferred({v.kind: v.accuracy.tau for v in validations if v.kind in kinds})
        best = next(v for v in validations if v.kind == best_kind)
        model = design.whole(whole(training, surrogate_named(best.kind), members))
        predictor = Predictor(best.kind, design, model, best.calibration)
        if design.passes is None:
            return FittedSurrogate(predictor, validations)
        going_on, promotion = _going_on(predictor, measured, members, seed)
        return FittedSurrogate(replace(predictor, going_on=going_on), validations, promotion)


def _members(design: DesignMatrix, kinds: Sequence[str], fold: Ints, seed: int) -> Members:
    names = list(dict.fromkeys(name for kind in kinds for name in surrogate_named(kind).members))
    members, countdown = dict[str, FittedMember](), Countdown("models cross-validated")
    for name in names:
        members[name] = FittedMember.of(design.training, fold, name, seed, design.apart)
        countdown.at(len(members), len(names) + 1)
    return members


def _judged(
    design: DesignMatrix, measured: Measured, kind: str, held_out: HeldOutPredictions, fold: Ints, seed: int
) -> Validation:
    of_networks = HeldOutPredictions(design.of_networks(held_out.mean), design.of_networks(held_out.variance))
    return judge(design, measured, kind, of_networks, fold, seed)


def _going_on(fresh: Predictor, measured: Measured, members: Members, seed: int) -> tuple[GoingOn, Validation | None]:
    """Prediction of trainings that go on, with its validation on networks of which lower rungs were known: each rung is
    predicted from each lower one. With too few networks, or all of them in one fold, intervals are those of fresh
    trainings."""
    rows, _ = fresh.design.going_on
    fold = folds(fresh.design.group, seed)[rows]
    if len({fresh.design.architectures[i] for i in rows}) < FEWEST_NETWORKS or len(np.unique(fold)) < 2:
        return GoingOn(fresh.model, fresh.calibration), None
    cases, surrogate = fresh.design.rows(rows), surrogate_named(fresh.kind)
    of_exits = fold[cases.rows_of_exits[0]]
    held_out = combine(cases.training, of_exits, surrogate, members, going_on=True)
    known = {quantity: values[:, rows] for quantity, values in measured.items() if np.isfinite(values[:, rows]).any()}
    promotion = _judged(cases, known, fresh.kind, held_out, fold, seed)
    model = cases.whole(whole(cases.training, surrogate, members, going_on=True))
    return GoingOn(model, promotion.calibration), promotion
