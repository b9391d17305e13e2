"""Goals: what improves a search, and that nothing changes where the whole front is asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from surrogate_nas.exits.front import Front
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.search.bayesian.strategy import Bayesian, known_front
from surrogate_nas.search.goals import toward
from surrogate_nas.search.proposals import initial_proposals
from surrogate_nas.search.strategy import History, propose
from surrogate_nas.settings import Settings
from surrogate_nas.surrogates.design import DesignMatrix
from surrogate_nas.surrogates.fit import FittedSurrogate, fit_surrogate
from tests.helpers.outputs import problem, tune_exits, verify

pytestmark = pytest.mark.usefixtures("quick_fits")
REFERENCE = (6.0, 0.1)
COSTS, ACCURACIES = arrays(float, 6, elements=st.floats(4, 7)), arrays(float, 6, elements=st.floats(0, 1))


def volume(goal: str, cost: np.ndarray, accuracy: np.ndarray) -> float:
    return Front.of(*toward(goal, cost, accuracy, REFERENCE), *REFERENCE).hypervolume  # type: ignore[arg-type]


@given(COSTS, ACCURACIES)
def test_each_goal_counts_the_best_point_of_its_own_coordinate(cost: np.ndarray, accuracy: np.ndarray) -> None:
    inside = (cost < REFERENCE[0]) & (accuracy > REFERENCE[1])
    highest = max(accuracy[inside], default=REFERENCE[1]) - REFERENCE[1]
    widest = REFERENCE[0] - min(cost[inside], default=REFERENCE[0])
    assert volume("accuracy", cost, accuracy) == pytest.approx(highest)
    assert volume("cost", cost, accuracy) == pytest.approx(widest)
    assert volume("front", cost, accuracy) == Front.of(cost, accuracy, *REFERENCE).hypervolume


@pytest.mark.parametrize("goal", ["front", "accuracy", "cost"])
def test_the_search_proposes_toward_its_goal(goal: str) -> None:
    of = problem(goal=goal, limits={"max_macs": 2e5, "min_accuracy": 0.3}, batch=4, repeats=False)
    start = initial_proposals(of, 12, [], 0)
    records = verify(start)

    def fit(_: object) -> FittedSurrogate:
        design = DesignMatrix.build(of.views.trained(records), of.space, of.costing)
        return fit_surrogate(design, tune_exits(records), "gp", 0)

    history = History(of, records, start, 1)
    front = known_front(history).front
    assert len(front.cost) == 1 or goal == "front"
    within = [exits.within(of.settings.limits) for _, exits in history.trained]
    if goal == "accuracy":
        assert front.accuracy[0] == max(m.accuracy.max(initial=0) for m in within)
    if goal == "cost":
        assert 10 ** front.cost[0] == pytest.approx(min(m.objective.min(initial=np.inf) for m in within))
    proposals = propose(Bayesian(fit), history, 4)
    assert len(proposals) == 4


def test_the_cheapest_needs_a_floor() -> None:
    with pytest.raises(InputError, match="goal cost needs a limit min_accuracy"):
        Settings().updated({"goal": "cost"})
    assert Settings().updated({"goal": "cost", "limits": {"min_accuracy": 0.5}}).goal == "cost"
