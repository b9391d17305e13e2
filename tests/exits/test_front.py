"""Laws of the front: Pareto order, hypervolume and its improvement."""

import numpy as np
import torch
from botorch.utils.multi_objective.hypervolume import Hypervolume
from hypothesis import given
from hypothesis import strategies as st

from surrogate_nas.exits.front import Front, pareto_order
from tests.helpers.exits import undominated

points = st.lists(st.tuples(st.floats(-1, 2), st.floats(-1, 2)), min_size=1, max_size=12)


def front_of(pairs: list[tuple[float, float]]) -> Front:
    cost, accuracy = np.array(pairs).T
    return Front.of(cost, accuracy, 1.0, 0.1)


@given(points)
def test_hypervolume_equals_botorchs(pairs: list[tuple[float, float]]) -> None:
    theirs = Hypervolume(torch.tensor([0.1, -1.0], dtype=torch.float64))
    front = front_of(pairs)
    hypervolumes = theirs.compute(torch.from_numpy(np.stack([front.accuracy, -front.cost], axis=1)))
    assert abs(front.hypervolume - hypervolumes) < 1e-9


@given(points, points)
def test_improvement_of_a_set_is_the_difference_of_hypervolumes(
    pairs: list[tuple[float, float]], more: list[tuple[float, float]]
) -> None:
    front, (cost, accuracy) = front_of(pairs), np.array(more).T
    assert (
        abs(front.improvement(cost, accuracy) - (front.with_points(cost, accuracy).hypervolume - front.hypervolume))
        < 1e-9
    )


@given(points, points)
def test_improvement_by_each_is_that_by_sets_of_one(
    pairs: list[tuple[float, float]], more: list[tuple[float, float]]
) -> None:
    front, (cost, accuracy) = front_of(pairs), np.array(more).T
    alone = front.improvement(cost[:, None], accuracy[:, None])
    assert np.array_equal(front.improvement_by_each(cost, accuracy), alone)


def test_improvement_is_vectorised_over_sets() -> None:
    rng = np.random.default_rng(0)
    front = front_of([(0.2, 0.3), (0.5, 0.6)])
    cost, accuracy = rng.uniform(0, 1, (2, 4, 5, 6))
    one_by_one = [[front.improvement(cost[i, j], accuracy[i, j]) for j in range(5)] for i in range(4)]
    assert np.allclose(front.improvement(cost, accuracy), one_by_one)


@given(points=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_pareto_order_keeps_one_of_each_undominated_point(points: list[tuple[int, int]]) -> None:
    cost, gain = np.array(points).T
    indices = pareto_order(gain, cost)
    assert [points[i] for i in indices] == undominated(set(points))
