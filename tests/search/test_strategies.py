"""The contract that every strategy keeps, and the formulas of the published ones."""

import importlib.util
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from surrogate_nas.archive.record import Failure, Record
from surrogate_nas.exits.choosing import by_aebnas
from surrogate_nas.exits.limits import Limits
from surrogate_nas.foundation.errors import InputError, JobError
from surrogate_nas.search.evolutionary.individuals import GENES, Individuals, TrainedIndividuals, at_genes, genes_of
from surrogate_nas.search.evolutionary.nsga2 import Survivors
from surrogate_nas.search.evolutionary.published import Aebnas, at_nachos, even_subset, near_target, penalised
from surrogate_nas.search.loop import search
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.proposals import initial_proposals
from surrogate_nas.search.registry import STRATEGIES
from surrogate_nas.search.strategy import History, Strategy, Suggestion, propose
from surrogate_nas.settings import STRATEGY_NAMES, Settings
from surrogate_nas.space import moves
from surrogate_nas.space.candidates import keeps_exact_limits
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.study.creation import require_strategy
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.fit import FittedSurrogate, fit_surrogate
from surrogate_nas.surrogates.registry import BY_SIZE
from tests.helpers.outputs import SHAPE, problem, records, verify

pytestmark = pytest.mark.usefixtures("quick_fits", "quick_regressors")
LIMITS = {"max_macs": 6e4, "max_worst_macs": 2e5, "max_params": 12_000, "min_accuracy": 0.6}
EXAMPLE = Path(__file__).parents[2] / "docs/howto/example_strategy.py"
WITH_GENES = ("edanas", "aebnas", "nsga2")


def task(**settings: object) -> Problem:
    return problem(**{"budget": 24, "initial": 12, "batch": 4, "limits": LIMITS, **settings})


def fit(records: Sequence[Record], space: SearchSpace | None = None) -> FittedSurrogate:
    """By size, which is quick: how good a surrogate is does not matter here."""
    of = Problem(space or task().space, SHAPE, task().settings, 0)
    views = of.views.trained(records)
    return fit_surrogate(DesignMatrix.build(views, of.space, of.costing), [e for _, e in views], BY_SIZE, 0)


def example() -> Strategy:
    spec = importlib.util.spec_from_file_location("example_strategy", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    strategy: Strategy = module.mutants_of_the_front
    return strategy


def named(name: str, space: SearchSpace | None = None) -> Strategy:
    return example() if name == "example" else STRATEGIES[name](partial(fit, space=space))


@pytest.fixture(params=[*STRATEGIES, "example"])
def strategy(request: pytest.FixtureRequest) -> Strategy:
    return named(request.param)


@pytest.fixture(params=[*STRATEGIES, "example"])
def of_user_space(request: pytest.FixtureRequest, user_space: SearchSpace) -> Strategy:
    return named(request.param, user_space)


def history(of: Problem, n: int = 12, **changes: object) -> History:
    """n records, the last a failure, and two proposals in flight."""
    taken = initial_proposals(of, n + 2, [], 0)
    return replace(History(of, records(of, n), taken, 1), **changes)  # type: ignore[arg-type]


# ---------------------------------------------------------------------- the contract


def test_every_name_has_a_strategy() -> None:
    assert tuple(STRATEGIES) == STRATEGY_NAMES


def test_the_example_is_short() -> None:
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) <= 40


def test_suggestions_are_new_distinct_and_within_exact_limits(strategy: Strategy) -> None:
    known = history(task())
    suggestions = strategy(known, 4)
    new = known.candidates([s.architecture for s in suggestions if not s.again])
    assert len(suggestions) == 4
    assert not {row.tobytes() for row in new.indices} & known.closed
    assert len(np.unique(new.indices, axis=0)) == len(new)
    assert keeps_exact_limits(new.cost, new.present, known.problem.settings.limits).all()
    assert len(propose(strategy, known, 1)) == 1


def test_the_same_history_has_the_same_suggestions(strategy: Strategy) -> None:
    assert strategy(history(task()), 3) == strategy(history(task()), 3)


def test_only_what_is_listed_is_proposed(of_user_space: Strategy, user_space: SearchSpace) -> None:
    of = Problem(user_space, SHAPE, task(limits={"max_macs": 1e6}, repeats=False).settings, 0)
    rows = user_space.indices([p.architecture for p in initial_proposals(of, user_space.size, [], 0)])
    allowed = {row.tobytes() for row in rows[-20:]}
    known = history(of, listed=rows[-20:])
    proposals = propose(of_user_space, known, 4)
    assert len(proposals) == 4
    assert {row.tobytes() for row in user_space.indices([p.architecture for p in proposals])} <= allowed


def test_what_is_left_of_a_space_is_proposed_and_then_the_search_ends(
    of_user_space: Strategy, user_space: SearchSpace
) -> None:
    settings = task(budget=user_space.size + 1, repeats=False, limits={"max_macs": 1e6}).settings
    of = Problem(user_space, SHAPE, settings, 0)
    taken = initial_proposals(of, user_space.size - 2, [], 0)
    records = search(of, verify(taken[:12]), taken, verify, of_user_space)
    assert len(records) == 14


def test_a_resumed_search_is_the_uninterrupted_one(strategy: Strategy) -> None:
    of = task(budget=18, batch=3)
    start = initial_proposals(of, 12, [], 0)
    whole = search(of, verify(start), start, verify, strategy)
    half = whole[:15]
    resumed = search(of, half, [r.proposal for r in half], verify, strategy)
    assert len(whole) == 18
    assert [r.proposal for r in resumed] == [r.proposal for r in whole]


@pytest.mark.parametrize("name", ["nsga2", "random", "example"])
def test_strategies_without_surrogates_go_on_where_every_training_failed(name: str) -> None:
    of = task()
    taken = initial_proposals(of, 8, [], 0)
    failed = [Record(p, None, Failure("diverged", "loss nan"), 0.0, {}) for p in taken]
    assert len(propose(named(name), History(of, failed, taken, 1), 4)) == 4


@pytest.mark.parametrize("name", ["edanas", "nachos", "aebnas"])
def test_surrogates_need_four_networks(name: str) -> None:
    with pytest.raises(JobError, match=rf"strategy {name} needs at least 4 trained networks, got 3"):
        named(name)(history(task(), 4), 2)


# ---------------------------------------------------------------------- bad strategies


def of_another(suggest: Callable[[History], list[Suggestion]]) -> Strategy:
    return lambda history, q: suggest(history)


def fresh(history: History, n: int) -> list[Suggestion]:
    rows = history.sample(n, np.random.default_rng(0)).indices
    return [Suggestion(a) for a in history.problem.space.architectures(rows)]


def too_large(history: History) -> list[Suggestion]:
    free = replace(history, problem=task(limits={"max_params": None, "max_macs": None, "max_worst_macs": None}))
    some = [s for s in fresh(free, 200) if free.candidates([s.architecture]).cost.parameters[0] > 12_000]
    return some[:1]


@pytest.mark.parametrize(
    ("suggest", "message"),
    [
        (lambda h: fresh(h, 3), "proposed 3 architectures, but at most 2"),
        (lambda h: [Suggestion(h.taken[0].architecture)], "proposed an architecture that was proposed before"),
        (lambda h: [Suggestion(h.taken[-1].architecture)], "proposed an architecture that was proposed before"),
        (lambda h: fresh(h, 1) * 2, "proposed an architecture twice"),
        (too_large, "outside the limits"),
        (lambda h: [replace(fresh(h, 1)[0], again=True)], "repeat an untrained architecture"),
    ],
)
def test_what_breaks_the_promises_is_refused(suggest: Callable[[History], list[Suggestion]], message: str) -> None:
    with pytest.raises(JobError, match=message) as error:
        propose(of_another(suggest), history(task()), 2)
    assert "\n" not in str(error.value)


# ---------------------------------------------------------------------- individuals


def test_genes_are_those_proposed_else_drawn_by_the_seed() -> None:
    proposal = initial_proposals(task(), 1, [], 0)[0]
    assert genes_of(replace(proposal, prediction={"thresholds": [0.1, None]})).tolist() == [0.1, np.inf]
    genes = genes_of(proposal)
    assert np.isin(genes, GENES).all()
    for prediction in ({}, {"thresholds": "off"}, {"thresholds": [0.1]}):
        assert genes_of(replace(proposal, prediction=prediction)).tolist() == genes.tolist()


def test_children_keep_their_genes_among_the_choices_and_off_where_there_is_no_exit() -> None:
    space, rng = task().space, np.random.default_rng(0)
    parents = Individuals.random(space, moves.sample(space.genes, 50, rng), 2, rng)
    children = parents.children(space, np.arange(50), np.arange(50)[::-1], rng)
    present = space.genes.present(children.rows)[:, :2]
    assert np.isin(children.thresholds, GENES).all()
    assert np.isinf(children.thresholds[~present]).all()
    assert np.isfinite(children.thresholds[present]).any()
    features = children.features(space)
    assert features.shape == (50, space.dimension + 2)
    assert set(np.unique(features[:, -2:])) <= {0.0, 0.5, 1.0}


@pytest.mark.parametrize("name", WITH_GENES)
def test_proposals_keep_their_genes(name: str) -> None:
    for suggestion in named(name)(history(task()), 4):
        assert suggestion.prediction is not None
        assert suggestion.prediction["strategy"] == name
        assert set(suggestion.prediction["thresholds"]) <= {0.1, 0.2, None}


@pytest.mark.parametrize("name", ["edanas", "nachos", "aebnas"])
def test_proposals_keep_what_surrogates_said(name: str) -> None:
    for suggestion in named(name)(history(task()), 4):
        assert suggestion.prediction is not None
        mean, low, high = suggestion.prediction["accuracy"]
        assert 0 <= low == mean == high <= 1
        assert suggestion.prediction["expected_macs"][0] > 0


def test_failures_are_left_out_and_the_rest_is_measured_at_its_genes() -> None:
    known = history(task())
    trained = TrainedIndividuals.of(known, at_genes)
    assert len(trained) == 11
    for i, (_, exits) in enumerate(known.trained):
        measurements = exits.measure(trained.individuals.thresholds[i : i + 1])
        assert trained.error[i] == 1 - measurements.accuracy[0]
        assert trained.log_cost[i] == np.log10(measurements.objective[0])


def test_tuned_thresholds_are_written_back() -> None:
    known, limits = history(task()), Limits(max_macs=6e4)
    trained = TrainedIndividuals.of(known, lambda exits, _: by_aebnas(exits, limits))
    for genes, (_, exits) in zip(trained.individuals.thresholds, known.trained, strict=True):
        assert genes.tolist() == by_aebnas(exits, limits).thresholds[0].tolist()


def test_nachos_values_a_network_that_cannot_be_repaired_before_its_repair() -> None:
    _, exits = history(task()).trained[0]
    impossible = Limits(max_macs=1.0)
    assert at_nachos(exits, impossible).accuracy == at_nachos(exits, Limits()).accuracy


# ---------------------------------------------------------------------- formulas


def test_the_penalty_of_nachos() -> None:
    value = np.array([1.0, 3.0])
    assert np.allclose(penalised(value, 2.0, 0.25), [0.25, 0.75 + 0.75 * 1e10])
    assert np.allclose(penalised(value, 2.0, 1.0), value)
    assert penalised(value, None, 0.25) is value


def test_the_objectives_of_aebnas() -> None:
    values = near_target(np.array([0.2, 0.1]), np.log10([100.0, 150.0]), 100.0)
    assert np.allclose(values, [[20, 0], [15, 50]])


def test_aebnas_may_be_given_a_target() -> None:
    of = task(limits={"max_macs": None})
    assert len(Aebnas(5e4)(history(of), 2)) == 2
    with pytest.raises(InputError, match="needs a target of expected MACs"):
        Aebnas()(history(of), 2)


def test_a_target_and_what_can_be_imported_are_required_beforehand() -> None:
    require_strategy(Settings(strategy="aebnas", limits=Limits(max_macs=1e5)))
    with pytest.raises(InputError, match="strategy aebnas needs a target of expected MACs, got no max_macs"):
        require_strategy(Settings(strategy="aebnas"))
    with pytest.raises(InputError, match="strategy 'no_such_module:it'"):
        require_strategy(Settings(strategy="no_such_module:it"))


def test_survivors_are_the_first_fronts_and_their_best_win_tournaments() -> None:
    rng = np.random.default_rng(0)
    values = np.array([[3.0, 3.0], [1.0, 2.0], [2.0, 1.0], [4.0, 4.0]])
    standing = Survivors.of(values, rng)
    ranks = dict(zip(standing.index.tolist(), standing.rank.tolist(), strict=True))
    assert ranks == {1: 0, 2: 0, 0: 1, 3: 2}
    won = np.bincount(standing.index[standing.parents(1000, rng)], minlength=4)
    assert min(won[1], won[2]) > won[0] > won[3]
    assert len(Survivors.of(rng.random((100, 2)), rng).index) == 40


def test_the_subset_is_as_even_as_any() -> None:
    greedy, optimal = [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        known, costs = rng.uniform(0, 1, 4), rng.uniform(0, 1, 9)

        def unevenness(subset: Sequence[int], known: np.ndarray = known, costs: np.ndarray = costs) -> float:
            return float(np.diff(np.sort(np.append(known, costs[list(subset)]))).std())

        chosen = even_subset(known, costs, 3)
        assert len(set(chosen.tolist())) == 3
        greedy.append(unevenness(chosen.tolist()))
        optimal.append(min(unevenness(subset) for subset in itertools.combinations(range(9), 3)))
    assert np.mean(np.isclose(greedy, optimal)) >= 0.8
    assert max(np.array(greedy) / np.array(optimal)) < 1.2


def test_the_subset_fills_the_gaps() -> None:
    assert sorted(even_subset(np.array([0.0, 1.0]), np.array([0.9, 0.25, 0.1, 0.75, 0.5]), 3).tolist()) == [1, 3, 4]
    assert sorted(even_subset(np.zeros(0), np.array([2.0, 1.0]), 8).tolist()) == [0, 1]
