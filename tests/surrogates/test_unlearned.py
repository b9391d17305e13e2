"""Exits that at most one trained architecture has: expected to be like the others, and uncertain by as much."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.architecture.costing import Costing
from surrogate_nas.archive.record import Proposal, Record
from surrogate_nas.exits.limits import Limits
from surrogate_nas.space.candidates import Candidates
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.fit import fit_surrogate
from surrogate_nas.surrogates.normal_model import moments
from surrogate_nas.surrogates.predictor import Predictor
from tests.helpers.outputs import SHAPE, problem, verify

PROBLEM = problem()
THRESHOLDS = (0.3, 0.6, 0.9)
SAMPLE = PROBLEM.space.sample(120, np.random.default_rng(3))


def trained(architectures: Sequence[Architecture], trainings: int = 1) -> list[Record]:
    return verify(
        [
            Proposal(round=0, rank=i, origin="user", architecture=a, seed=i, fidelity="f")
            for i, a in enumerate([a for a in architectures for _ in range(trainings)])
        ]
    )


def split(exit: int) -> tuple[list[Architecture], list[Architecture]]:
    """Architectures without an early exit, and with it."""
    return [a for a in SAMPLE if exit not in a.exit_positions], [a for a in SAMPLE if exit in a.exit_positions]


def fitted(records: Sequence[Record]) -> Predictor:
    views = PROBLEM.views.trained(records)
    design = DesignMatrix.build(views, PROBLEM.space, Costing(SHAPE))
    return fit_surrogate(design, [exits for _, exits in views], "size", seed=0).predictor


@pytest.mark.parametrize("exit", [0, 1])
@pytest.mark.parametrize(("known", "trainings"), [(0, 1), (1, 1), (1, 3)])
def test_its_predictions_are_those_of_other_exits_and_wide(exit: int, known: int, trainings: int) -> None:
    without, having = split(exit)
    predictor = fitted([*trained(without[:24]), *trained(having[:known], trainings)])
    held_out = having[1:21]
    candidates = Candidates.of(PROBLEM.space, held_out, Costing(SHAPE))
    exits = [view for _, view in PROBLEM.views.trained(trained(held_out))]
    other, basis = 1 - exit, predictor.design.basis
    for curves in (basis.leave, basis.right):
        of_it, of_the_other = (predictor.design.targets.center[curves[e]] for e in (exit, other))
        np.testing.assert_allclose(of_it, of_the_other, atol=1.0)  # the pool has its own, if any, too
        assert np.abs(of_it).max() > 0.5
    learned = fitted(trained([*without[:24], *having[21:45]]))
    inside, widths = list[float](), list[tuple[float, float]]()
    for t in THRESHOLDS:
        thresholds = np.full((len(held_out), 2), np.inf)
        thresholds[:, exit] = t
        predicted, usual = (p.predict(candidates, thresholds, Limits()) for p in (predictor, learned))
        of_learned = (usual.rates.high - usual.rates.low)[:, exit].mean()
        widths.append(((predicted.rates.high - predicted.rates.low)[:, exit].mean(), of_learned))
        measured = [view.measure(thresholds[i : i + 1]) for i, view in enumerate(exits)]
        for estimate, values in (
            (predicted.rates, np.array([m.rates[0] for m in measured])),
            (predicted.exit_accuracy, np.array([m.exit_accuracy[0] for m in measured])),
        ):
            low, high, of_exit = estimate.low[:, exit], estimate.high[:, exit], values[:, exit]
            inside.append(float(np.mean(((of_exit >= low) & (of_exit <= high))[np.isfinite(of_exit)])))
    assert np.mean(inside) >= 0.8  # what is special about a position is common to all networks
    of_it, of_learned = np.mean(widths, axis=0)
    assert of_it > 1.5 * of_learned
    assert of_it > 0.25  # of 400 samples, binomial noise alone is at most 0.08 wide


def test_its_rate_falls_with_the_threshold_as_that_of_other_exits() -> None:
    without, having = split(0)
    predictor = fitted(trained(without[:24]))
    candidates = Candidates.of(PROBLEM.space, having[:20], Costing(SHAPE))
    rates = [
        predictor.predict(candidates, np.tile([t, np.inf], (20, 1)), Limits()).rates.mean[:, 0].mean()
        for t in THRESHOLDS
    ]
    assert rates[0] > rates[1] > rates[2]
    assert rates[0] - rates[2] > 0.2


def test_an_exit_that_two_architectures_have_is_learned() -> None:
    without, having = split(0)
    design = fitted(trained([*without[:24], *having[:2]])).design
    assert design.targets.learned.all()
    assert not design.targets.unknown.any()


@pytest.mark.parametrize("name", ["gp", "xgb"])
def test_networks_with_another_number_of_exits_than_all_trained_ones_are_no_further_than_others(name: str) -> None:
    """A number that all trained networks share was once scaled by its span of almost 0."""
    three = [a for a in SAMPLE if len(a.exit_positions) == 2][:8]
    others = [a for a in SAMPLE if len(a.exit_positions) != 2][:20]
    views = PROBLEM.views.trained(trained(three))
    design = DesignMatrix.build(views, PROBLEM.space, Costing(SHAPE))
    predictor = fit_surrogate(design, [exits for _, exits in views], name, seed=0).predictor
    candidates = Candidates.of(PROBLEM.space, others, Costing(SHAPE))
    assert np.abs(design.places.inputs(candidates, design.span, None)).max() < 10
    mean, covariance = moments(predictor.model, torch.from_numpy(predictor.design.inputs(candidates)))
    assert mean.abs().max() < 100
    assert covariance.abs().max() < 1000
