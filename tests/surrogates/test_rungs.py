"""Surrogates over rungs of a ladder: how far a network was trained is an input, and luck lasts from rung to rung."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from surrogate_nas.archive.ladder import Ladder
from surrogate_nas.archive.outputs import Outputs, SplitOutputs
from surrogate_nas.archive.record import Proposal, Record
from surrogate_nas.exits.limits import Limits
from surrogate_nas.foundation.arrays import Floats
from surrogate_nas.foundation.errors import JobError
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.proposals import initial_proposals, promotions
from surrogate_nas.settings import Settings
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.spec import preset
from surrogate_nas.surrogates import persistence
from surrogate_nas.surrogates.design import DesignMatrix, require_enough
from surrogate_nas.surrogates.fit import FittedSurrogate, fit_surrogate
from surrogate_nas.surrogates.folds import folds
from surrogate_nas.surrogates.gp import GaussianProcesses
from surrogate_nas.surrogates.metrics import kendall
from surrogate_nas.surrogates.persistence import FitKey
from surrogate_nas.surrogates.predictor import Predictor
from tests.helpers.outputs import SHAPE

LADDER = Ladder((1000, 3000, 9000))
PROBLEM = Problem(SearchSpace(preset("tiny")), SHAPE, Settings(), 0, ladder=LADDER)
SAMPLES, NETWORKS = 1000, 32
LUCK = 0.8


def outputs(proposal: Proposal) -> SplitOutputs:
    """Networks are right more often the larger they are, the further they are trained, and the luckier they are, which
    stays with a training; the images are the same."""
    where = list(proposal.architecture.exit_positions)
    size = np.log10(PROBLEM.costing.of(proposal.architecture).macs()[0, where])
    luck = LUCK * np.random.default_rng(proposal.seed).normal()
    far = np.log(proposal.passes / LADDER.top) / np.log(9)  # type: ignore[operator]
    own = np.random.default_rng([proposal.seed, proposal.passes or 0])
    labels, hardness = (
        np.random.default_rng(0).integers(10, size=SAMPLES),
        np.random.default_rng(1).normal(size=SAMPLES),
    )
    strength = (1.2 * (size - 4.5) + luck + 2 * far)[:, None] - hardness + 0.2 * own.normal(size=(len(where), SAMPLES))
    logits = own.normal(size=(len(where), SAMPLES, 10))
    logits[:, np.arange(SAMPLES), labels] += 3 + 1.5 * strength
    return SplitOutputs.of(logits, labels)


def trained(proposal: Proposal) -> Record:
    own = outputs(proposal)
    return Record(proposal, Outputs(own, own), None, 1.0, {})


FIRST = initial_proposals(PROBLEM, NETWORKS, [], 0)
TOP = [trained(p) for p in promotions(FIRST, LADDER.top, 2)]
"""All networks at the top."""
RECORDS = [trained(p) for p in [*FIRST, *promotions(FIRST[:24], LADDER.rungs[1], 1)]] + TOP[:12]
"""All networks at the first rung, 24 at the second, and 12 at the top."""


def design_of(records: list[Record]) -> DesignMatrix:
    return DesignMatrix.build(PROBLEM.views.trained(records), PROBLEM.space, PROBLEM.costing, ladder=LADDER)


@pytest.fixture(scope="module")
def design() -> DesignMatrix:
    return design_of(RECORDS)


@pytest.fixture(scope="module", params=["gp", "stack", "xgb"])
def fitted(request: pytest.FixtureRequest, design: DesignMatrix) -> FittedSurrogate:
    return fit_surrogate(design, [e for _, e in PROBLEM.views.trained(RECORDS)], request.param, 0)


def accuracies(predictor: Predictor, rows: slice) -> tuple[Floats, Floats, Floats]:
    """Predicted accuracy of the last exit: means, and ends of intervals."""
    candidates = predictor.design.candidates[np.arange(NETWORKS)[rows]]
    thresholds = np.full((len(candidates), PROBLEM.space.positions - 1), np.inf)
    spread = predictor.predict(candidates, thresholds, Limits()).accuracy
    return spread.mean, spread.low, spread.high


def test_the_further_a_network_is_trained_the_more_accurate_it_is_predicted(fitted: FittedSurrogate) -> None:
    means = [accuracies(fitted.predictor.at(rung), slice(None))[0] for rung in LADDER.rungs]
    assert (np.diff(means, axis=0) > 0).all()
    assert np.array_equal(means[-1], accuracies(fitted.predictor, slice(None))[0])  # the top, by default


def test_what_a_training_has_shown_tells_of_its_next_rungs(fitted: FittedSurrogate) -> None:
    """Luck, which no input explains, is the same at every rung."""
    predictor, rest = fitted.predictor, slice(12, 24)  # at the second rung, not at the top
    trainings = [p.training for p in FIRST[rest]]
    measured = np.array([r.accuracy for r in TOP[rest]])
    fresh, going_on = accuracies(predictor, rest), accuracies(predictor.of_trainings(trainings), rest)
    errors = [float(np.sqrt(np.mean((values[0] - measured) ** 2))) for values in (fresh, going_on)]
    if predictor.kind == "xgb":  # boosters know nothing of trainings
        assert errors[1] < 1.2 * errors[0]
        return
    assert errors[1] < 0.7 * errors[0]
    assert np.mean((going_on[1] <= measured) & (measured <= going_on[2])) >= 0.75
    assert np.mean(going_on[2] - going_on[1]) < np.mean(fresh[2] - fresh[1])
    assert fitted.promotion is not None
    assert fitted.promotion.accuracy.n == 24 + 2 * 12  # from each rung to each higher one
    assert fitted.promotion.accuracy.rmse < fitted.chosen_validation.accuracy.rmse


def test_rungs_of_an_architecture_share_a_fold(design: DesignMatrix) -> None:
    fold = folds(design.group, 0)
    of = dict(zip(design.architectures, fold, strict=True))
    assert all(of[a] == k for a, k in zip(design.architectures, fold, strict=True))
    assert len(np.unique(design.group)) == NETWORKS


def test_only_networks_of_a_rung_are_ranked_with_each_other(fitted: FittedSurrogate) -> None:
    """Ranking all by how far they are trained would be easy."""
    passes = np.array([r.proposal.passes for r in RECORDS], dtype=np.float64)
    design = fitted.predictor.design
    assert kendall(passes, passes) == 1
    assert kendall(passes, passes, design.rungs) == 0
    assert fitted.chosen_validation.accuracy.tau < 0.9


@pytest.mark.parametrize("view", ["ordinal", "hamming"])
def test_closed_form_is_a_process_of_the_rows_that_were_known(design: DesignMatrix, view: str) -> None:
    """The very inputs by which `Predictor.of_trainings` asks."""
    training = design.training
    whole = GaussianProcesses.fit(training, view)  # type: ignore[arg-type]
    result = whole.going_on(design.apart)
    assert result is not None
    mean, variance = result
    end = np.cumsum([len(wanted) for wanted, _ in design.apart])
    for case in (0, 11, 30, 47):
        wanted, out = design.apart[case]
        own = slice(end[case] - len(wanted), end[case])
        kept = np.setdiff1d(np.arange(len(training)), out)
        others = GaussianProcesses(training.rows(kept), view)  # type: ignore[arg-type]
        for block, fitted in zip(others.blocks, whole.blocks, strict=True):
            block.adopt(fitted)
        expected = others.eval().joint(torch.from_numpy(training.X[wanted])[:, None])
        defined = training.defined[wanted]
        np.testing.assert_allclose(mean[own][defined], expected[0][:, 0].detach().numpy()[defined], atol=1e-5)
        np.testing.assert_allclose(
            variance[own][defined], expected[1][..., 0, 0].detach().numpy()[defined], rtol=1e-3, atol=1e-5
        )


def test_a_stored_fit_predicts_the_same(fitted: FittedSurrogate, tmp_path: Path) -> None:
    key = FitKey(
        records=RECORDS,
        data="0",
        seed=0,
        space=PROBLEM.space,
        costing=PROBLEM.costing,
        policy=PROBLEM.policy,
        temperature=False,
        surrogate=fitted.predictor.kind,
        ladder=LADDER,
    )
    persistence.save(fitted, key, tmp_path)
    loaded = persistence.load(key, tmp_path)
    assert loaded is not None
    trainings = [p.training for p in FIRST[:5]]
    for ask in (lambda p: p.at(LADDER.rungs[1]), lambda p: p.of_trainings(trainings)):
        one, other = (accuracies(ask(f.predictor), slice(0, 5)) for f in (fitted, loaded))
        np.testing.assert_array_equal(one, other)
    assert repr(loaded.promotion) == repr(fitted.promotion)
    assert persistence.load(replace(key, ladder=Ladder((1000, 9000))), tmp_path) is None


def test_rungs_of_one_training_are_one_network() -> None:
    few = [trained(replace(p, passes=passes)) for p in FIRST[:3] for passes in LADDER.rungs]
    with pytest.raises(JobError, match="surrogates need at least 4 trained networks, the archive has 3"):
        require_enough(few)


def test_a_fit_without_a_network_at_the_top_is_unsure_of_it() -> None:
    records = [trained(p) for p in FIRST]
    fitted = fit_surrogate(design_of(records), [e for _, e in PROBLEM.views.trained(records)], "gp", 0)
    low, top = (accuracies(fitted.predictor.at(rung), slice(None)) for rung in (LADDER.rungs[0], LADDER.top))
    assert fitted.promotion is None
    assert np.mean(top[2] - top[1]) > np.mean(low[2] - low[1])


def test_networks_that_go_on_in_one_fold_alone_are_predicted_as_fresh_ones() -> None:
    """There are no others that their intervals could be judged by."""
    first = [trained(p) for p in FIRST]
    fold = folds(design_of(first).group, 0)
    on = [trained(replace(FIRST[i], passes=LADDER.rungs[1])) for i in np.flatnonzero(fold == fold[0])[:4]]
    design = design_of([*first, *on])
    rows, _ = design.going_on
    assert len(np.unique(folds(design.group, 0)[rows])) == 1
    fitted = fit_surrogate(design, [e for _, e in PROBLEM.views.trained([*first, *on])], "gp", 0)
    assert fitted.promotion is None
