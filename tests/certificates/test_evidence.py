"""Evidence of images about each limit: bounds are the limits that are just refuted to be broken."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrogate_nas.certificates import needed
from surrogate_nas.certificates.evidence import Evidence, exact_part, implies, learned
from surrogate_nas.certificates.passing import to_pass
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.limit_table import LIMITS, Limit, limit_on
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.operating_point import OperatingPoint
from tests.helpers.exits import cost

POINT = OperatingPoint((0.5,))
LEARNED: list[Limit] = [limit for limit in LIMITS if not limit.exact and not limit.needs_cost_table]


def exits_of(n: int, seed: int = 0, groups: int | None = None) -> Exits:
    """Nine in ten right at the last exit, eight in ten at the first, at which half of the images leave."""
    rng = np.random.default_rng(seed)
    last = rng.random(n) < 0.9
    early = np.where(rng.random(n) < 0.9, last, ~last)
    scores = rng.random((2, n)).astype(np.float32)
    of = None if groups is None else rng.integers(0, groups, n)
    return Exits("max_softmax", np.ones(2, dtype=bool), scores, np.stack([early, last]), cost([100, 300], [7, 0]), of)


@pytest.mark.parametrize("groups", [None, 40])
@pytest.mark.parametrize("limit", LEARNED, ids=lambda limit: limit.name)
def test_a_bound_is_the_tightest_limit_that_is_refuted_to_be_broken(limit: Limit, groups: int | None) -> None:
    evidence, delta = Evidence(exits_of(400, groups=groups), POINT), 0.1
    bound = evidence.bound(limit, delta)
    assert evidence.p_of(limit, bound) <= delta
    if limit.statistic == "p95":
        assert bound in evidence.costs(limit)[1]
        return
    tighter = bound * (1 + 1e-4) if limit.floor else bound * (1 - 1e-4)
    assert evidence.p_of(limit, tighter) > delta
    measured = {"accuracy": evidence.right.mean(), "drop": evidence.last_right.mean() - evidence.right.mean()}
    if limit.quantity in measured:
        value = measured[limit.quantity]
        assert bound < value if limit.floor else bound > value
    else:
        assert bound > evidence.costs(limit)[0].mean()


@pytest.mark.parametrize("limit", LEARNED, ids=lambda limit: limit.name)
def test_limits_that_every_image_keeps_or_none_can_need_no_images(limit: Limit) -> None:
    evidence = Evidence(exits_of(20), POINT)
    if limit.unit == "MACs":
        assert evidence.p_of(limit, 307.0) == 0
        assert evidence.p_of(limit, 106.0) == 1
    else:
        assert evidence.p_of(limit, 1e-6 if limit.floor else 1 - 1e-6) < 0.1
        assert evidence.p_of(limit, 1 - 1e-6 if limit.floor else 1e-6) == pytest.approx(1)


def test_several_limits_are_as_sure_as_the_least_sure() -> None:
    evidence = Evidence(exits_of(300), POINT)
    limits = Limits(min_accuracy=0.8, max_drop=0.2, max_macs=250, max_params=5)
    each = [evidence.p_of(limit, cap) for limit, cap in learned(limits)]
    assert len(each) == 3
    assert evidence.p_value(limits) == max(each)
    assert evidence.p_value(Limits(max_params=5)) == 0
    assert exact_part(limits) == Limits(max_params=5)


def test_a_group_is_one_draw() -> None:
    exits = exits_of(400)
    of_pairs = Exits(exits.policy, exits.present, exits.scores, exits.correct, exits.cost, np.arange(400) // 2)
    one, grouped = Evidence(exits, POINT), Evidence(of_pairs, POINT)
    accuracy = limit_on("accuracy")
    assert grouped.bound(accuracy, 0.1) < one.bound(accuracy, 0.1)
    alone = Evidence(Exits(exits.policy, exits.present, exits.scores, exits.correct, exits.cost, np.zeros(400)), POINT)
    assert alone.bound(accuracy, 0.1) < 0.5  # one draw says hardly anything


@pytest.mark.parametrize("groups", [30, 100])
def test_bounds_of_groups_hold(groups: int) -> None:
    rng, below = np.random.default_rng(0), 0
    for _ in range(400):
        of_group = rng.choice([0.6, 0.95], groups)  # groups are alike inside
        of = np.repeat(np.arange(groups), 5)
        right = rng.random(5 * groups) < of_group[of]
        exits = Exits(
            "max_softmax", np.array([False, True]), np.zeros((2, len(of)), np.float32), np.stack([right] * 2),
            cost([1, 2], [0, 0]), of,
        )  # fmt: skip
        below += Evidence(exits, OperatingPoint((None,))).bound(limit_on("accuracy"), 0.1) > 0.775
    assert below / 400 <= 0.1 + 3 * np.sqrt(0.09 / 400)


def test_certified_limits_imply_looser_ones() -> None:
    certified = Limits(min_accuracy=0.9, max_drop=0.01)
    assert implies(certified, certified)
    assert implies(certified, Limits(min_accuracy=0.85, max_params=3))
    assert not implies(certified, Limits(min_accuracy=0.91))
    assert not implies(certified, Limits(min_accuracy=0.9, max_macs=5))
    assert implies(Limits(max_macs=4), Limits(max_macs=5))


@given(n=st.integers(20, 5000), floor=st.floats(0.3, 0.95), drop=st.floats(0.005, 0.2))
def test_what_must_be_measured_passes(n: int, floor: float, drop: float) -> None:
    wanted = to_pass(Limits(min_accuracy=floor, max_drop=drop, max_macs=9), n, 0.1)
    assert wanted.max_macs == 9
    assert wanted.min_accuracy is not None
    assert wanted.min_accuracy >= floor
    assert wanted.max_drop is not None
    assert wanted.max_drop <= drop
    if wanted.min_accuracy > floor:
        right = round(wanted.min_accuracy * n)
        exits = Exits(
            "max_softmax", np.array([False, True]), np.zeros((2, n), np.float32), np.stack([np.arange(n) < right] * 2),
            cost([1, 2], [0, 0]),
        )  # fmt: skip
        assert Evidence(exits, OperatingPoint((None,))).p_of(limit_on("accuracy"), floor) <= 0.1


@pytest.mark.parametrize(("accuracy", "floor"), [(0.95, 0.9), (0.92, 0.9), (0.6, 0.5)])
def test_so_many_images_do(accuracy: float, floor: float) -> None:
    n = needed.for_floor(accuracy, floor, 0.1)
    assert n is not None
    rng = np.random.default_rng(0)
    right = rng.binomial(n, accuracy, 2000)
    fewest = round((to_pass(Limits(min_accuracy=floor), n, 0.1).min_accuracy or 0) * n)
    assert (right >= fewest).mean() == pytest.approx(0.8, abs=0.04)


def test_drops_need_more_images_the_nearer_they_are() -> None:
    counts = [needed.for_drop(drop, 0.03, 0.01, 0.1) for drop in (0.0, 0.005, 0.009)]
    assert counts == sorted(counts, key=lambda n: n or 0)
    assert needed.for_drop(0.01, 0.03, 0.01, 0.1) is None
