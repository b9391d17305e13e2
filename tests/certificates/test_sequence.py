"""Tests in a fixed order: never more false certificates than δ allows, whatever was chosen and however often."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mapie.risk_control.fwer_control import control_fwer

from surrogate_nas.certificates.candidates import candidates_of, in_order
from surrogate_nas.certificates.evidence import Evidence
from surrogate_nas.certificates.sequence import Strand, refuted, spent
from surrogate_nas.exits.exits import Exits
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.operating_point import OperatingPoint
from tests.helpers.exits import cost

DELTA, TRIALS = 0.2, 400
ERROR = 3 * np.sqrt(DELTA * (1 - DELTA) / TRIALS)
COST = cost([10, 30], [1, 0])


def test_all_openings_together_spend_delta() -> None:
    parts = [spent(0.1, k) for k in range(1, 100_000)]
    assert sum(parts) == pytest.approx(0.1, rel=1e-5)
    assert sum(parts) <= 0.1
    assert parts[0] == max(parts) == pytest.approx(0.075)


@given(p_values=st.lists(st.floats(0, 1), min_size=1, max_size=12), delta=st.floats(0.01, 1))
def test_one_strand_is_the_fixed_sequence_of_other_packages(p_values: list[float], delta: float) -> None:
    [count] = refuted([Strand(len(p_values), 1.0)], lambda _, i: p_values[i], delta)
    assert list(range(count)) == control_fwer(np.array(p_values), delta, "fixed_sequence").tolist()


@given(data=st.data())
def test_strands_pass_their_weight_on_only_where_they_end(data: st.DataObject) -> None:
    counts = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    strands = [Strand(count, 1 / len(counts)) for count in counts]
    p_values = [data.draw(st.lists(st.floats(0, 0.3), min_size=c, max_size=c)) for c in counts]
    asked = list[tuple[int, int]]()

    def p_value(s: int, i: int) -> float:
        asked.append((s, i))
        return p_values[s][i]

    counted = refuted(strands, p_value, 0.1)
    level = 0.0
    for s, (count, strand) in enumerate(zip(counted, strands, strict=True)):
        level += 0.1 * strand.weight
        assert all(p <= level + 1e-12 for p in p_values[s][:count])
        if count < strand.count:
            assert p_values[s][count] > level - 1e-12
            level = 0.0
    assert asked == sorted(set(asked))  # nothing is looked at twice, or beyond what decides


def drawn(networks: int, n: int, accuracy: float, rng: np.random.Generator, *, alike: bool) -> list[Exits]:
    """Networks whose true accuracy is the same at all thresholds, with scores that say nothing."""
    exits = []
    for _ in range(networks):
        last = rng.random(n) < accuracy
        early = last if alike else rng.random(n) < accuracy
        scores = rng.random((2, n)).astype(np.float32)
        exits.append(Exits("max_softmax", np.ones(2, dtype=bool), scores, np.stack([early, last]), COST))
    return exits


def part(exits: Exits, which: slice) -> Exits:
    return Exits(exits.policy, exits.present, exits.scores[:, which], exits.correct[:, which], exits.cost)


def certificates(all_exits: list[Exits], limits: Limits, half: int, delta: float) -> int:
    """Number of certificates that an opening gives."""
    candidates = [candidates_of(part(exits, slice(half, None)), limits, half) for exits in all_exits]
    order = in_order(candidates)

    def p_value(_: int, place: int) -> float:
        network, row = order[place]
        point = OperatingPoint.from_array(candidates[network].points.thresholds[row])
        return Evidence(part(all_exits[network], slice(half)), point).p_value(limits)

    return refuted([Strand(len(order), 1.0)], p_value, delta)[0]


@pytest.mark.parametrize(("networks", "half"), [(1, 5), (1, 100), (8, 100)])
def test_floors_at_the_truth_are_rarely_certified(networks: int, half: int) -> None:
    rng, limits = np.random.default_rng(0), Limits(min_accuracy=0.8)
    worlds = [drawn(networks, 2 * half, 0.8, rng, alike=True) for _ in range(TRIALS)]
    false = [certificates(world, limits, half, DELTA) > 0 for world in worlds]
    assert np.mean(false) <= DELTA + ERROR


def test_drops_at_the_truth_are_rarely_certified() -> None:
    rng, limits = np.random.default_rng(1), Limits(max_drop=0.02)
    false = 0
    for _ in range(TRIALS):
        n = 300
        last = rng.random(n) < 0.9
        early = last & (rng.random(n) > 0.02 / 0.9)  # at any thresholds that let all leave, 2 points are lost
        scores = np.stack([np.full(n, 0.5), rng.random(n)]).astype(np.float32)
        exits = Exits("max_softmax", np.ones(2, dtype=bool), scores, np.stack([early, last]), COST)
        false += certificates([exits], limits, n // 2, DELTA) > 0
    assert false / TRIALS <= DELTA + ERROR


def test_twelve_openings_of_one_seal_hold_together() -> None:
    rng, half = np.random.default_rng(2), 60
    false = 0
    for _ in range(TRIALS // 2):
        world = drawn(12, 2 * half, 0.8, rng, alike=True)
        openings = (
            certificates([exits], Limits(min_accuracy=0.8), half, spent(DELTA, k)) for k, exits in enumerate(world, 1)
        )
        false += any(openings)
    assert false / (TRIALS // 2) <= DELTA + 2 * ERROR


def test_what_is_far_above_a_floor_is_certified() -> None:
    world = drawn(3, 400, 0.95, np.random.default_rng(3), alike=True)
    assert certificates(world, Limits(min_accuracy=0.8), 200, 0.05) > 0
    assert certificates(world, Limits(min_accuracy=0.8, max_drop=0.05), 200, 0.05) > 0


def test_with_all_exits_off_no_drop_is_certified() -> None:
    [exits] = drawn(1, 400, 0.9, np.random.default_rng(4), alike=True)
    static = Exits("max_softmax", np.array([False, True]), exits.scores, exits.correct, cost([10, 30], [0, 0]))
    assert len(candidates_of(static, Limits(max_drop=0.1), 100)) == 0
    assert len(candidates_of(static, Limits(min_accuracy=0.5), 100)) == 1
    assert np.isfinite(candidates_of(exits, Limits(max_drop=0.1), 100).points.thresholds).any(axis=1).all()


def test_candidates_come_surest_first_and_each_is_better_than_the_surer_ones() -> None:
    rng = np.random.default_rng(5)
    all_candidates = [
        candidates_of(exits, Limits(min_accuracy=0.7), 100) for exits in drawn(4, 300, 0.8, rng, alike=False)
    ]
    order = in_order(all_candidates)
    assert order
    margins = [all_candidates[i].margin[t] for i, t in order]
    costs = [all_candidates[i].points.objective[t] for i, t in order]
    accuracies = [all_candidates[i].points.accuracy[t] for i, t in order]
    assert margins == sorted(margins, reverse=True)
    assert min(margins) > 0
    for k in range(1, len(order)):
        assert costs[k] < min(costs[:k]) or accuracies[k] > max(accuracies[:k])
