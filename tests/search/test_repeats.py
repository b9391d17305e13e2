"""Front members that are trained again: when, how often, and that it is another training."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from surrogate_nas.archive.record import Record
from surrogate_nas.search.bayesian import curve_value, pool, repeats
from surrogate_nas.search.bayesian.curve_value import CurveValue, threshold_grid
from surrogate_nas.search.bayesian.repeats import MOST_TRAININGS, _Worth, worth_repeating
from surrogate_nas.search.bayesian.strategy import Bayesian, known_front
from surrogate_nas.search.loop import search, search_asynchronously
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.proposals import initial_proposals, make_proposal
from surrogate_nas.search.strategy import History
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.fit import FittedSurrogate, fit_surrogate
from surrogate_nas.surrogates.registry import BY_SIZE
from tests.helpers.outputs import problem, verify


def fit(of: Problem, records: Sequence[Record]) -> FittedSurrogate:
    views = of.views.trained(records)
    return fit_surrogate(DesignMatrix.build(views, of.space, of.costing), [e for _, e in views], BY_SIZE, 0)


def history(**settings: object) -> History:
    of = problem(**{"budget": 40, "initial": 12, "batch": 4, "limits": {"max_macs": 2e5}, **settings})
    start = initial_proposals(of, of.settings.initial, [], 0)
    return History(of, verify(start), start, 1)


def value_of(known: History) -> CurveValue:
    predictor = fit(known.problem, known.records).predictor
    front, grid = known_front(known).front, threshold_grid(predictor.design.basis)
    return CurveValue(predictor, front, known.problem.settings.limits, grid, known.seed)


def test_repeats_take_the_least_promising_places_and_at_most_half(monkeypatch: pytest.MonkeyPatch) -> None:
    known = history()
    picks, parents = known.sample(4, np.random.default_rng(0)), known_front(known).parents
    assert len(parents) >= 2
    monkeypatch.setattr(_Worth, "of_new", lambda self, picks: np.array([4.0, 1.0, 3.0, 2.0]))
    monkeypatch.setattr(_Worth, "of_repeats", lambda self, rows: 10.0 - np.arange(len(rows)))
    repeats = worth_repeating(known, value_of(known), parents, picks, 4)
    assert [place for place, _ in repeats] == [1, 3]
    assert [row.tolist() for _, row in repeats] == parents[:2].tolist()
    monkeypatch.setattr(_Worth, "of_repeats", lambda self, rows: 1.5 - np.arange(len(rows)))
    repeats = worth_repeating(known, value_of(known), parents, picks, 4)
    assert [place for place, _ in repeats] == [1]


def test_what_is_in_flight_or_was_trained_often_enough_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    known = history()
    monkeypatch.setattr(_Worth, "of_new", lambda self, picks: np.zeros(len(picks)))
    monkeypatch.setattr(_Worth, "of_repeats", lambda self, rows: np.ones(len(rows)))
    first, second, *_ = known_front(known).parents
    architectures = known.problem.space.architectures(np.stack([first, second]))
    flying = make_proposal(known.problem, architectures[0], 1, 0, "search")
    often = [make_proposal(known.problem, architectures[1], 1 + i, 1, "search") for i in range(MOST_TRAININGS - 1)]
    later = replace(known, records=[*known.records, *verify(often)], taken=[*known.taken, flying, *often])
    picks = later.sample(4, np.random.default_rng(0))
    repeats = worth_repeating(later, value_of(later), np.stack([first, second]), picks, 4)
    assert repeats == []


def test_no_repeats_where_they_are_not_wanted() -> None:
    known = history(repeats=False)
    picks = known.sample(4, np.random.default_rng(0))
    assert worth_repeating(known, value_of(known), known_front(known).parents, picks, 4) == []


def test_of_rounds_of_one_place_at_most_every_other_is_a_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds of a batch of one, and those where a free worker gets a proposal at once."""
    known, most = history(batch=1), 3
    for module, name in ((repeats, "CURVE_SAMPLES"), (curve_value, "CURVE_SAMPLES"), (pool, "POOL_SAMPLES")):
        monkeypatch.setattr(module, name, 8)
    monkeypatch.setattr(pool, "MOST_NEIGHBORS", 0)
    monkeypatch.setattr(_Worth, "of_new", lambda self, picks: np.zeros(len(picks)))
    monkeypatch.setattr(_Worth, "of_repeats", lambda self, rows: np.ones(len(rows)))
    strategy = Bayesian(lambda records: fit(known.problem, records))
    in_rounds = search(known.problem, known.records, known.taken, verify, strategy, rounds=most)
    at_once = search_asynchronously(
        known.problem,
        known.records,
        known.taken,
        lambda proposals: (verify([p])[0] for p in proposals),
        strategy,
        most=most,
    )
    for records in (in_rounds, at_once):
        architectures = [r.architecture for r in records]
        again = [a in architectures[:i] for i, a in enumerate(architectures)][len(known.records) :]
        assert again == [True, False, True]


@pytest.mark.parametrize(("initial", "unknown"), [(12, None), (30, 0)])
def test_more_knowledge_is_never_expected_to_do_harm(initial: int, unknown: int | None) -> None:
    """Also where no network has the first exit, of which nothing can be learned."""
    known = history(initial=initial)
    kept = [r for r in known.records if unknown not in r.architecture.exit_positions]
    known = replace(known, records=kept, taken=[r.proposal for r in kept])
    worth, parents = _Worth(known, value_of(known)), known_front(known).parents
    again, new = worth.of_repeats(parents), worth.of_new(known.sample(6, np.random.default_rng(0)))
    assert (new >= 0).all()
    assert again.max() > 0
    assert again.min() > -1e-3 * known_front(known).front.hypervolume  # 32 draws


def test_a_repeat_is_a_training_with_another_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    known = history()
    repeated = known_front(known).parents[0]
    monkeypatch.setattr(repeats, "CURVE_SAMPLES", 8)
    monkeypatch.setattr(_Worth, "of_new", lambda self, picks: np.zeros(len(picks)))
    monkeypatch.setattr(_Worth, "of_repeats", lambda self, rows: (rows == repeated).all(axis=1).astype(float))
    of = known.problem
    records = search(of, known.records, known.taken, verify, Bayesian(lambda records: fit(of, records)), rounds=1)
    (architecture,) = of.space.architectures(repeated[None])
    twice = [r.proposal for r in records if r.architecture == architecture]
    assert len(twice) == 2
    assert twice[0].seed != twice[1].seed
    assert len(records) == 16
