"""Laws of the search by time: what begins, what goes on, and that it ends in time. Training is replaced by draws."""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from surrogate_nas.archive.ladder import Ladder
from surrogate_nas.archive.record import COMPUTED, Failure, Proposal, Record
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.proposals import next_round, user_proposals
from surrogate_nas.search.registry import STRATEGIES, at_random, schedule_named
from surrogate_nas.search.strategy import History, sampled
from surrogate_nas.search.timed.clock import Clock
from surrogate_nas.search.timed.halving import (
    BEGINNING,
    FIRST,
    MARGIN,
    RATIO,
    RATIO_FOR_ONE,
    Halving,
    Schedule,
    planned,
)
from surrogate_nas.search.timed.loop import search_in_time, search_in_time_asynchronously
from surrogate_nas.search.timed.ranking import Curves
from surrogate_nas.search.timed.seconds import TrainingSeconds
from surrogate_nas.settings import FEWEST_NETWORKS, GoalName
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.fit import FittedSurrogate, fit_surrogate
from surrogate_nas.surrogates.registry import BY_SIZE
from tests.helpers.outputs import problem, verify

pytestmark = pytest.mark.usefixtures("quick_fits", "quick_regressors")
LADDER = Ladder((1_000, 3_000, 9_000))
SECONDS = TrainingSeconds(0.1, 1e-3, 0.0, 0.0, 0)
PATH = 0.3 + 9.0
"""Seconds of a network to the top."""


def task(**settings: object) -> Problem:
    return replace(problem(**{"limits": {"max_macs": 2e5}, "repeats": False, **settings}), ladder=LADDER)


@dataclass
class World:
    """Trainings that take what is predicted, on some workers."""

    total: float
    workers: int = 1
    used: float = 0.0
    fails: int = 0
    """Every so many trainings fail; 0 for none."""
    pace: Callable[[str], float] = lambda training: 1.0
    """How much longer than predicted a training takes."""
    rounds: list[list[Proposal]] = field(default_factory=list)

    def clock(self, history: History) -> Clock:
        return Clock(self.total - self.used, self.total, self.workers, SECONDS, len(LADDER.rungs))

    def seconds(self, proposal: Proposal) -> float:
        return (0.1 + 1e-3 * computed(proposal)) * self.pace(proposal.training)

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Record]:
        ends = [0.0] * self.workers
        for proposal in proposals:
            ends[ends.index(min(ends))] += self.seconds(proposal)
        self.used += max(ends)
        self.rounds.append(list(proposals))
        records = [
            replace(r, seconds=self.seconds(r.proposal), provenance={COMPUTED: computed(r.proposal)})
            for r in verify(proposals)
        ]
        count = sum(map(len, self.rounds))
        if self.fails and count % self.fails == 0:
            records[-1] = Record(records[-1].proposal, None, Failure("diverged", "loss nan"), 0.1, {})
        return records


def computed(proposal: Proposal) -> int:
    """Image passes of a training, from the rung before."""
    before = {b: a for a, b in zip((0, *LADDER.rungs), LADDER.rungs, strict=False)}[proposal.passes or 0]
    return (proposal.passes or 0) - (before if proposal.origin == "promoted" else 0)


def fit(records: Sequence[Record]) -> FittedSurrogate:
    """By size, which is quick."""
    of = task()
    views = of.views.trained([r for r in records if r.failure is None])
    design = DesignMatrix.build(views, of.space, of.costing, ladder=LADDER)
    return fit_surrogate(design, [exits for _, exits in views], BY_SIZE, 0)


def searched(schedule: Schedule, world: World, of: Problem | None = None) -> list[Record]:
    return search_in_time(of or task(), [], [], world.evaluate, schedule, world.clock)


def reached(records: Sequence[Record]) -> list[int]:
    counts = Counter(r.proposal.passes for r in records if r.failure is None)
    return [counts[passes] for passes in LADDER.rungs]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("paths", [0.5, 1.5, 6, 25])
def test_it_ends_in_time_and_each_network_goes_up_rung_by_rung(paths: float, workers: int) -> None:
    world = World(paths * PATH, workers)
    records = searched(Halving(at_random), world)
    assert world.used <= max(world.total, FEWEST_NETWORKS * 1.1) + 1e-6  # so many are sampled in any case
    for training in {r.proposal.training for r in records}:
        rungs = [r.proposal.passes for r in records if r.proposal.training == training]
        assert rungs == list(LADDER.rungs[: len(rungs)])
    if paths > 2:
        assert world.used > world.total - PATH - 2  # nor is time wasted
        assert reached(records)[-1] > 0


@given(paths=st.floats(2, 12))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_networks_go_on_only_with_a_margin_of_seconds_to_reach_the_top(paths: float) -> None:
    world, used = World(paths * PATH), 0.0
    searched(Halving(at_random), world)
    for proposals in world.rounds:
        for proposal in (p for p in proposals if p.origin == "promoted"):
            before = LADDER.rungs[LADDER.rungs.index(proposal.passes or 0) - 1]
            assert MARGIN * 1e-3 * (LADDER.top - before) <= world.total - used
        used += sum(map(world.seconds, proposals))


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(("paths", "fails"), [(0.8, 0), (0.9, 0), (0.9, 3)])
def test_where_no_network_can_reach_the_top_the_time_goes_to_the_rung_below(
    paths: float, fails: int, workers: int
) -> None:
    world = World(paths * PATH, workers, fails=fails)
    records = searched(Halving(at_random), world)
    assert reached(records)[1] > 0
    assert reached(records)[2] == 0
    assert world.used > world.total - MARGIN * 2.1  # what a network of the first rung takes to the second


def test_trainings_that_failed_have_reached_nothing_and_those_in_flight_have() -> None:
    of = task()
    first = sampled(History(of, (), (), 0), 3)
    higher = [replace(p, passes=passes, origin="promoted") for p, passes in zip(first, LADDER.rungs, strict=True)]
    failed = Record(higher[2], None, Failure("diverged", "loss nan"), 0.1, {})
    assert History(of, (), (), 0).reached == 0
    assert History(of, (failed,), higher[2:], 1).reached == 0
    assert History(of, (failed,), higher, 1).reached == LADDER.rungs[1]
    assert History(of, (), higher, 1).reached == LADDER.top


def test_a_third_of_the_networks_goes_on_until_no_more_begin() -> None:
    world = World(40 * PATH)
    searched(Halving(at_random), world)
    records: list[Record] = []
    used = 0.0
    for proposals in world.rounds:
        if used > BEGINNING * world.total:
            break
        for proposal in proposals:
            if proposal.origin == "promoted":
                below = LADDER.rungs[LADDER.rungs.index(proposal.passes or 0) - 1]
                at = sum(r.proposal.passes == below for r in records)
                gone = sum(p.passes == proposal.passes for one in world.rounds for p in one if p in proposals)
                assert gone <= at / RATIO
        records += verify(proposals)
        used += sum(map(world.seconds, proposals))
    begun_late = [p for one in world.rounds[len(world.rounds) * 9 // 10 :] for p in one if p.origin != "promoted"]
    assert not begun_late


def test_the_same_history_and_time_decide_the_same_wherever_it_was_stopped() -> None:
    whole = World(12 * PATH)
    records = searched(schedule_named("bayesian", fit), whole)
    for stop in (1, 3, len(whole.rounds) - 1):
        again = World(12 * PATH)
        before: list[Record] = []
        for proposals in whole.rounds[:stop]:
            before += again.evaluate(proposals)
        again.rounds.clear()
        search_in_time(
            task(), before, [r.proposal for r in before], again.evaluate, schedule_named("bayesian", fit), again.clock
        )
        assert [[p.id for p in one] for one in again.rounds] == [[p.id for p in one] for one in whole.rounds[stop:]]
    assert len(records) == len({r.id for r in records})


def test_decisions_keep_the_seconds_that_they_were_made_by() -> None:
    world = World(8 * PATH)
    records = searched(Halving(at_random), world)
    for record in records:
        told = record.proposal.prediction
        assert told is not None
        assert told["seconds"] == pytest.approx(world.seconds(record.proposal))
        assert 0 < told["seconds_left"] <= world.total


def test_a_network_that_took_longer_than_predicted_is_expected_to_again() -> None:
    def is_slow(training: str) -> bool:
        return int(training, 16) % 2 == 0

    world = World(12 * PATH, pace=lambda training: 4.0 if is_slow(training) else 1.0)
    records = searched(Halving(at_random), world)
    promoted = [r.proposal for r in records if r.proposal.passes == LADDER.rungs[1]]
    seconds = {(is_slow(p.training), round(p.prediction["seconds"], 6)) for p in promoted if p.prediction}
    assert seconds == {(True, 4.2), (False, 2.1)}


@pytest.mark.parametrize("name", [*STRATEGIES])
def test_every_strategy_searches_by_time(name: str) -> None:
    records = searched(schedule_named(name, fit), World(6 * PATH))
    assert reached(records)[-1] > 0
    if name == "random":
        rungs = [r.proposal.passes for r in records[FIRST:]]
        assert reached(records)[0] - reached(records)[-1] <= FIRST
        assert rungs


def test_networks_that_failed_or_are_in_flight_do_not_go_on_again() -> None:
    world = World(15 * PATH, fails=3)
    records = searched(Halving(at_random), world)
    failed = {(r.proposal.training, r.proposal.passes) for r in records if r.failure is not None}
    tried = Counter((p.training, p.passes) for one in world.rounds for p in one)
    assert failed
    assert max(tried.values()) == 1


def two_workers(world: World) -> object:
    def train(proposals: Iterator[Proposal]) -> Iterator[Record]:
        busy = deque[Proposal]()
        while True:
            while len(busy) < 2 and (one := next(proposals, None)) is not None:
                busy.append(one)
            if not busy:
                return
            yield world.evaluate([busy.popleft()])[0]

    return train


def test_free_workers_get_the_next_training_beside_those_in_flight() -> None:
    world = World(10 * PATH)
    records = search_in_time_asynchronously(
        task(),
        [],
        [],
        two_workers(world),
        Halving(at_random),
        world.clock,  # type: ignore[arg-type]
    )
    assert len({r.id for r in records}) == len(records)
    assert reached(records)[-1] > 0
    assert world.used <= world.total + PATH


@given(seed=st.integers(0, 50))
def test_the_best_first_improve_most_and_the_goal_decides_what_counts(seed: int) -> None:
    for goal in ("front", "accuracy", "cost"):
        of = task(goal=goal, limits={"max_macs": 2e5, "min_accuracy": 0.2}, stream=seed)
        architectures = of.space.sample(6, np.random.default_rng(seed))
        records = verify([replace(p, passes=1_000) for p in user_proposals(of, architectures, 0)])
        networks = of.views.trained(records)
        curves = Curves(of, networks, of.reference(records))
        order = curves.best_first()
        assert sorted(order) == list(range(len(networks)))
        within = [exits.within(of.settings.limits) for _, exits in networks]
        if goal == "accuracy":
            best = [m.accuracy.max(initial=-1) for m in within]
            assert best[order[0]] == max(best)
        if goal == "cost":
            least = [m.objective.min(initial=np.inf) for m in within]
            assert least[order[0]] == min(least)
        if goal == "front":
            volumes = curves.hypervolumes
            assert volumes[order[0]] == volumes.max()


def test_pasha_climbs_only_while_orders_differ() -> None:
    def first_to_the_top(schedule: Schedule, world: World) -> float:
        """Share of the trainings before the first to the top; measurements are the same at all rungs here."""
        passes = [r.proposal.passes for r in searched(schedule, world)]
        return passes.index(LADDER.top) / len(passes)

    whole, growing = (first_to_the_top(Halving(at_random, growing=g), World(30 * PATH)) for g in (False, True))
    assert whole < 0.5 < growing


def test_where_all_networks_have_begun_all_are_trained_to_the_top(user_space: SearchSpace) -> None:
    of = replace(task(), space=user_space)
    few = user_space.indices(user_space.sample(30, np.random.default_rng(0)))
    world = World(1000 * PATH)
    for schedule in (Halving(at_random), Halving(at_random, growing=True)):
        records = search_in_time(of, [], [], world.evaluate, schedule, world.clock, listed=few)
        assert reached(records) == [30, 30, 30]


def test_plans_spend_what_is_left() -> None:
    clock = Clock(100.0, 200.0, 2, SECONDS, 3)
    steps = np.array([1.0, 3.0, 9.0])
    counts = planned(clock, steps, [5, 1, 0], RATIO)
    more = np.array(counts) - [5, 1, 0]
    assert float(more @ steps) == pytest.approx(200.0)
    late = planned(replace(clock, left=10.0), steps, [5, 1, 0], RATIO)  # no network begins any more
    assert late == pytest.approx([5, 1, 20 / 9])
    assert planned(replace(clock, left=0.0), steps, [5, 1, 0], RATIO) == [5, 1, 0]
    assert planned(replace(clock, top=2), steps, [5, 1, 0], RATIO)[2] == 0


def test_a_search_whose_trainings_all_fail_ends() -> None:
    world = World(50 * PATH)

    def fail(proposals: Sequence[Proposal]) -> list[Record]:
        return [Record(p, None, Failure("error", "?"), 0.1, {}) for p in proposals]

    assert len(search_in_time(task(), [], [], fail, Halving(at_random), world.clock)) == FIRST


def test_rounds_follow_each_other() -> None:
    world = World(8 * PATH)
    searched(Halving(at_random), world)
    assert [{p.round for p in one} for one in world.rounds] == [{k} for k in range(len(world.rounds))]
    assert next_round([p for one in world.rounds for p in one]) == len(world.rounds)


@pytest.mark.parametrize(
    ("name", "goal", "ratio"),
    [
        ("bayesian", "front", RATIO),
        ("bayesian", "accuracy", RATIO_FOR_ONE),
        ("bayesian", "cost", RATIO_FOR_ONE),
        ("asha", "accuracy", RATIO),
        ("pasha", "cost", RATIO),
        ("random", "accuracy", 1),
    ],
)
def test_fewer_go_on_where_a_single_network_is_looked_for(name: str, goal: GoalName, ratio: int) -> None:
    steps = np.diff([0.0, *LADDER.rungs])
    clock = Clock(100 * steps.sum(), 100 * steps.sum(), 1, SECONDS, len(LADDER.rungs))
    assert schedule_named(name, fit, goal).ratio_in(clock, steps) == ratio


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("networks", "ratio"), [(1, 3), (6, 3), (9, 4.5), (12, 6), (20, 6)])
def test_of_few_that_there_is_time_for_more_go_on(networks: int, ratio: float, workers: int) -> None:
    steps = np.diff([0.0, *LADDER.rungs])
    seconds = networks * steps.sum() / workers
    clock = Clock(seconds, seconds, workers, SECONDS, len(LADDER.rungs))
    assert schedule_named("bayesian", fit, "accuracy").ratio_in(clock, steps) == pytest.approx(ratio)


def test_a_ratio_that_grows_with_the_time_trains_more_to_the_top_in_a_short_one() -> None:
    growing, fixed = (Halving(at_random, (least, RATIO_FOR_ONE)) for least in (RATIO, RATIO_FOR_ONE))
    short, long = ([reached(searched(h, World(paths * PATH))) for h in (growing, fixed)] for paths in (4, 20))
    assert short[0][-1] > short[1][-1] > 0
    assert long[0] == long[1]
