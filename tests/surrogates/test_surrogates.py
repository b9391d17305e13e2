"""One contract that every surrogate passes."""

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.architecture.costing import Costing
from surrogate_nas.archive.record import Proposal, Record
from surrogate_nas.archive.views import exits_of
from surrogate_nas.exits.limits import Limits
from surrogate_nas.foundation.errors import JobError
from surrogate_nas.space import moves
from surrogate_nas.space.candidates import Candidates
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.surrogates import persistence
from surrogate_nas.surrogates.curve_fit import fit_curves
from surrogate_nas.surrogates.curves import shared_thresholds
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.fit import FittedSurrogate, fit_surrogate
from surrogate_nas.surrogates.folds import folds
from surrogate_nas.surrogates.normal_model import marginals, moments, subset
from surrogate_nas.surrogates.persistence import FitKey
from surrogate_nas.surrogates.predictor import Predictor
from surrogate_nas.surrogates.registry import AUTO, SURROGATES, preferred
from tests.helpers.outputs import SHAPE, problem, records, tune_exits, verify

PROBLEM = problem()
RECORDS = records(PROBLEM, 41)
TRAINED = [r for r in RECORDS if r.outputs]


@pytest.fixture(scope="module")
def design() -> DesignMatrix:
    return DesignMatrix.build(PROBLEM.views.trained(RECORDS), PROBLEM.space, Costing(SHAPE))


OWN = "ridge_of_the_docs:fit"
KINDS = [pytest.param(kind, marks=pytest.mark.slow if kind == "switching" else ()) for kind in (*SURROGATES, OWN)]
"""`switching` is many models of scikit-learn, each chosen by folds of its own."""


def own_surrogate() -> ModuleType:
    """The surrogate of the documentation, as a module."""
    text = (Path(__file__).parents[2] / "docs/howto/surrogate.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(code.splitlines()) <= 40
    module = ModuleType(OWN.partition(":")[0])
    exec(code, module.__dict__)
    return module


sys.modules[OWN.partition(":")[0]] = own_surrogate()


@pytest.fixture(scope="module", params=KINDS)
def fitted(request: pytest.FixtureRequest, design: DesignMatrix) -> FittedSurrogate:
    return fit_surrogate(design, tune_exits(RECORDS), request.param, seed=0)


@pytest.fixture
def predictor(fitted: FittedSurrogate) -> Predictor:
    return fitted.predictor


@pytest.fixture(scope="module")
def unseen() -> Candidates:
    rows = moves.sample(PROBLEM.space.genes, 60, np.random.default_rng(9))
    return Candidates.of_indices(PROBLEM.space, rows, Costing(SHAPE))


def test_a_design_matrix_leaves_failures_out_and_scales_its_targets(design: DesignMatrix) -> None:
    assert len(design) == len(RECORDS) - 1
    training = design.training
    assert (training.Y[~training.defined] == 0).all()
    assert ((training.X >= 0) & (training.X <= 1)).all()
    size = [np.sqrt(np.mean(training.Y[defined, j] ** 2)) for j, defined in enumerate(training.defined.T)]
    assert np.allclose(size, 1, atol=1e-6)


def test_targets_keep_what_the_coefficients_say_of_accuracy(design: DesignMatrix) -> None:
    values = fit_curves(design.basis, tune_exits(RECORDS), shared_thresholds(3, 64)).values
    grid, present = (
        torch.from_numpy(shared_thresholds(3, 50, seed=1))[None],
        torch.from_numpy(design.candidates.present),
    )
    from_coefficients, from_targets = (
        design.basis.compose(torch.from_numpy(c)[:, None], grid, present[:, None]).accuracy.numpy()
        for c in (values, design.coefficients(design.targets.Y))
    )
    assert np.sqrt(np.mean((from_coefficients - from_targets) ** 2)) < 0.01


def test_too_few_networks_are_refused_with_their_number() -> None:
    with pytest.raises(JobError, match="at least 4 trained networks, the archive has 3"):
        DesignMatrix.build(PROBLEM.views.trained(RECORDS[:3]), PROBLEM.space, Costing(SHAPE))


def test_folds_never_part_trainings_of_one_architecture(design: DesignMatrix) -> None:
    fold = folds(np.repeat(design.group, 3), seed=5).reshape(-1, 3)
    assert (fold == fold[:, :1]).all()
    assert set(fold[:, 0]) == {0, 1, 2, 3, 4}


def test_a_posterior_has_one_finite_mean_and_variance_per_target(predictor: Predictor, unseen: Candidates) -> None:
    mean, variance = predictor.posterior(unseen)
    assert mean.shape == variance.shape == (len(unseen), predictor.design.targets.Y.shape[1])
    assert np.isfinite(mean).all()
    assert (variance >= 0).all()


def test_a_model_is_a_botorch_model_with_joint_posteriors(predictor: Predictor, unseen: Candidates) -> None:
    X = torch.from_numpy(predictor.design.inputs(unseen))[:6].reshape(3, 2, -1)
    posterior = predictor.model.posterior(X)
    assert posterior.rsample(torch.Size([5])).shape == (5, 3, 2, predictor.design.targets.Y.shape[1])


def test_a_network_is_predicted_as_it_is_among_others(predictor: Predictor, unseen: Candidates) -> None:
    without_early = np.flatnonzero(~unseen.present[:, :-1].any(axis=1))
    for some in (without_early[:1], np.arange(1)):
        for alone, among in zip(predictor.posterior(unseen[some]), predictor.posterior(unseen), strict=True):
            np.testing.assert_allclose(alone, among[some], atol=1e-4)


def test_a_part_of_the_targets_is_predicted_as_it_is_among_all(predictor: Predictor, unseen: Candidates) -> None:
    exits = predictor.model.model
    X = torch.from_numpy(predictor.design.inputs(unseen)).reshape(-1, len(predictor.design.places.kinds))
    for targets in ([0], [exits.num_outputs - 1, 1]):
        part = subset(exits, targets)
        assert part.num_outputs == len(targets)
        for of_part, of_all in zip(marginals(part, X), marginals(exits, X), strict=True):
            torch.testing.assert_close(of_part, of_all[:, targets])
        pairs = X[:12].reshape(6, 2, -1)
        (mean, covariance), (mean_of_all, covariance_of_all) = moments(part, pairs), moments(exits, pairs)
        torch.testing.assert_close(mean, mean_of_all[..., targets])
        torch.testing.assert_close(covariance, covariance_of_all[..., targets, :, :])


def test_unseen_networks_are_ranked_better_than_by_chance(predictor: Predictor, unseen: Candidates) -> None:
    thresholds = np.where(unseen.present[:, :-1], 0.8, np.inf)
    predicted = predictor.predict(unseen, thresholds, Limits())
    architectures = PROBLEM.space.architectures(unseen.indices)
    trained = verify(
        [
            Proposal(round=1, rank=i, origin="user", architecture=a, seed=i, fidelity="f")
            for i, a in enumerate(architectures)
        ]
    )
    measured = [
        exits_of(r.architecture, r.outputs.tune, Costing(SHAPE)).measure(thresholds[i : i + 1])
        for i, r in enumerate(trained)
        if r.outputs
    ]
    assert kendalltau(predicted.accuracy.mean, [m.accuracy[0] for m in measured]).statistic > 0.5
    assert kendalltau(predicted.expected_macs.mean, [m.expected_macs[0] for m in measured]).statistic > 0.8
    accuracy = np.array([m.accuracy[0] for m in measured])
    assert np.mean((accuracy >= predicted.accuracy.low) & (accuracy <= predicted.accuracy.high)) > 0.7


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gp", "xgb", "stack", "size"])
def test_accuracy_goes_on_falling_below_the_cheapest_network_that_was_trained(kind: str) -> None:
    costing = Costing(SHAPE)
    by_cost = sorted((r for r in RECORDS if r.outputs), key=lambda r: costing.of(r.architecture).macs()[0, -1])
    cheap, views = by_cost[:10], PROBLEM.views.trained(by_cost[10:])
    design = DesignMatrix.build(views, PROBLEM.space, costing)
    predictor = fit_surrogate(design, [e for _, e in views], kind, seed=0).predictor
    candidates = Candidates.of(PROBLEM.space, [r.architecture for r in cheap], costing)
    predicted = predictor.predict(candidates, np.full((10, 2), np.inf), Limits()).accuracy.mean
    again = [[verify([replace(r.proposal, seed=seed)])[0] for r in cheap] for seed in range(5)]
    measured = np.mean([[e.correct[-1].mean() for _, e in PROBLEM.views.trained(r)] for r in again], axis=0)
    assert abs(predicted.mean() - measured.mean()) < 0.05
    assert kendalltau(predicted, measured).statistic > 0.7


def test_intervals_are_ordered_and_absent_exits_take_nobody(predictor: Predictor, unseen: Candidates) -> None:
    prediction = predictor.predict(unseen, np.where(unseen.present[:, :-1], 0.7, np.inf), Limits())
    for estimate in (prediction.accuracy, prediction.expected_macs, prediction.rates, prediction.exit_accuracy):
        assert (estimate.low <= estimate.high).all()
    assert (prediction.rates.high[~unseen.present] == 0).all()
    assert np.allclose(prediction.rates.mean.sum(axis=1), 1, atol=1e-12)
    assert (prediction.macs == unseen.cost.macs()).all()


def test_exact_limits_are_certain(predictor: Predictor, unseen: Candidates) -> None:
    thresholds = np.where(unseen.present[:, :-1], 0.7, np.inf)
    median = float(np.median(unseen.cost.parameters))
    prediction = predictor.predict(unseen, thresholds, Limits(max_params=median))
    assert (prediction.feasible == (unseen.cost.parameters <= median)).all()


def test_thresholds_for_a_budget_are_predicted_to_keep_it_where_any_do(
    predictor: Predictor, unseen: Candidates
) -> None:
    cheapest = np.where(unseen.present, unseen.cost.backbone + unseen.cost.branch, np.iinfo(np.int64).max).min(axis=1)
    cap = float(np.quantile(unseen.cost.macs()[:, -1], 0.3))
    grid = np.concatenate([shared_thresholds(3, 40), [[0.0, 0.0], [np.inf, 0.0], [np.inf, np.inf]]])
    prediction = predictor.predict(unseen, predictor.best_thresholds(unseen, Limits(max_macs=cap), grid), Limits())
    within = prediction.expected_macs.mean <= 1.1 * cap
    assert within[cheapest <= 0.8 * cap].mean() > 0.9


@pytest.mark.slow
def test_fitting_again_predicts_the_same(fitted: FittedSurrogate, design: DesignMatrix, unseen: Candidates) -> None:
    again = fit_surrogate(design, tune_exits(RECORDS), fitted.predictor.kind, seed=0).predictor
    assert (again.posterior(unseen)[0] == fitted.predictor.posterior(unseen)[0]).all()


def key_of(kind: str, trained: Sequence[Record] = TRAINED) -> FitKey:
    """Key of a fit of these networks."""
    settings = {"data": "", "seed": 0, "policy": PROBLEM.policy, "temperature": False, "surrogate": kind}
    return FitKey(records=trained, space=PROBLEM.space, costing=Costing(SHAPE), **settings)


def test_a_stored_surrogate_predicts_the_same(fitted: FittedSurrogate, unseen: Candidates, tmp_path: Path) -> None:
    """To the last bit where its state is stored; nothing but the listing of the archive is needed."""
    key = key_of(fitted.predictor.kind, [replace(r, outputs=None) for r in TRAINED])
    persistence.save(fitted, key, tmp_path / "surrogate")
    loaded = persistence.load(key, tmp_path / "surrogate")
    assert loaded is not None
    assert loaded.validations[0].scores == fitted.validations[0].scores
    thresholds = np.where(unseen.present[:, :-1], 0.7, np.inf)
    before, after = (f.predictor.predict(unseen, thresholds, Limits()) for f in (fitted, loaded))
    np.testing.assert_array_equal(before.accuracy.low, after.accuracy.low)


def test_a_loaded_design_matrix_is_the_one_that_was_stored(fitted: FittedSurrogate, tmp_path: Path) -> None:
    key = key_of(fitted.predictor.kind)
    persistence.save(fitted, key, tmp_path / "surrogate")
    loaded = persistence.load(key, tmp_path / "surrogate")
    assert loaded is not None
    after, before = loaded.predictor.design, fitted.predictor.design
    assert (after.basis, after.records, after.architectures) == (before.basis, before.records, before.architectures)
    assert (after.samples, after.training.kinds) == (before.samples, before.training.kinds)
    for name in ("X", "Y", "Yvar", "group"):
        np.testing.assert_array_equal(getattr(after.training, name), getattr(before.training, name))
    for name in ("Y", "Yvar", "center", "rotation", "unknown", "learned"):
        np.testing.assert_array_equal(getattr(after.targets, name), getattr(before.targets, name))
    np.testing.assert_array_equal(after.span, before.span)


def test_a_stale_or_damaged_surrogate_is_not_loaded(fitted: FittedSurrogate, tmp_path: Path) -> None:
    key, folder = key_of(fitted.predictor.kind), tmp_path / "surrogate"
    assert persistence.load(key, folder) is None
    persistence.save(fitted, key, folder)
    assert persistence.load(key_of(key.surrogate, TRAINED[:20]), folder) is None
    next(folder.glob("*/tensors.safetensors")).write_bytes(b"nonsense")
    assert persistence.load(key, folder) is None
    persistence.save(fitted, key, folder)
    assert persistence.load(key, folder) is not None


def test_earlier_fits_are_removed_and_folders_of_the_user_are_not(fitted: FittedSurrogate, tmp_path: Path) -> None:
    earlier, users = ("0123456789abcdef", "0123456789abcdef.77.partial"), ("mine", "mine.partial", "0123.partial")
    for name in (*earlier, *users):
        (tmp_path / name).mkdir()
    persistence.save(fitted, key_of(fitted.predictor.kind), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} >= {*users}
    assert len(list(tmp_path.iterdir())) == len(users) + 1


@pytest.mark.slow
def test_auto_takes_the_stack_unless_another_is_clearly_ahead(design: DesignMatrix) -> None:
    chosen = fit_surrogate(design, tune_exits(RECORDS), "auto", seed=0)
    tau = {v.kind: v.accuracy.tau for v in chosen.validations}
    assert set(tau) == {*AUTO, "size"}
    assert chosen.predictor.kind == preferred({kind: tau[kind] for kind in AUTO})
    assert preferred({"gp": 0.79, "stack": 0.70, "xgb": 0.5}) == "stack"
    assert preferred({"gp": 0.81, "stack": 0.70, "xgb": 0.5}) == "gp"


def test_scores_count_the_networks_they_were_judged_on(fitted: FittedSurrogate, design: DesignMatrix) -> None:
    scores = {s.target: s for s in fitted.validations[0].scores}
    assert scores["accuracy"].n == len(design)
    assert scores["exit probability 1"].n == design.candidates.present[:, 0].sum()
    assert 0.75 < scores["accuracy"].coverage <= 1


def parts_of(value: object) -> Iterator[object]:
    """A result of this package and every such value within it."""
    if isinstance(value, Architecture | SearchSpace):
        return
    if type(value).__module__.startswith("surrogate_nas."):
        yield value
    if is_dataclass(value):
        for part in fields(value):
            yield from parts_of(getattr(value, part.name))
    elif isinstance(value, tuple):
        for part in value:
            yield from parts_of(part)


def test_what_a_fit_gives_prints_in_a_line(fitted: FittedSurrogate) -> None:
    for part in parts_of(fitted):
        assert len(str(part)) < 200, type(part)
        assert "\n" not in str(part)
