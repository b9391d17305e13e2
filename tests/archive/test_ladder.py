"""Ladders: rungs as people write them, and their names."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from surrogate_nas.archive.ladder import FURTHEST, FURTHEST_FOR_ONE, LEAST_STEPS, RATIOS, Ladder, passes_text, usual_top
from surrogate_nas.foundation.errors import InputError


@given(
    ratios=st.lists(st.integers(1, 100), min_size=2, max_size=5, unique=True).map(sorted),
    whole=st.integers(1_000, 10_000_000),
    step=st.integers(1, 512),
)
def test_ratios_end_at_a_whole_training_in_whole_steps(ratios: list[int], whole: int, step: int) -> None:
    steps = [round(whole * r / ratios[-1] / step) for r in ratios]
    assume(steps[0] >= LEAST_STEPS and len(set(steps)) == len(steps))
    ladder = Ladder.read(":".join(map(str, ratios)), whole, step)
    assert all(passes % step == 0 for passes in ladder.rungs)
    assert abs(ladder.top - whole) <= step / 2
    assert all(abs(p - whole * r / ratios[-1]) <= step / 2 for p, r in zip(ladder.rungs, ratios, strict=True))


def test_a_ladder_may_be_written_in_several_ways() -> None:
    same = ["1:3:9:27", "default", True, "10k,30k,90k,270k", "10000, 3e4, 90_000, 270k", [1e4, 3e4, 9e4, 2.7e5]]
    ladders = {Ladder.read(value, 270_000, 100) for value in same}
    assert ladders == {Ladder((10_000, 30_000, 90_000, 270_000))}
    assert RATIOS == (1, 3, 9, 27)


@given(st.lists(st.integers(1, 10**7), min_size=2, max_size=6, unique=True).map(sorted))
def test_rungs_are_numbered_from_the_first(rungs: list[int]) -> None:
    ladder = Ladder(tuple(rungs))
    assert [ladder.passes(ladder.number(p)) for p in rungs] == rungs
    assert ladder.name(ladder.top) == f"rung {len(rungs)} of {len(rungs)} ({passes_text(ladder.top)} passes)"
    for wrong in (0, len(rungs) + 1, True, 1.0):
        with pytest.raises(InputError, match=f"rung {wrong} is not on the ladder; allowed: 1 to {len(rungs)}"):
            ladder.passes(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("1:3:x", "ladder '1:3:x': 'x' is not a number"),
        ("", "ladder '': '' is not a number"),
        ("3", "has rungs of 3 image passes; allowed: at least two, ascending"),
        ("9:3:1", "allowed: at least two, ascending"),
        ("1:1", "allowed: at least two, ascending"),
        ("1:100000", "the first at least 5 steps of 100 images"),
        ("-1:3", "ladder '-1:3' is not a ladder; allowed: ratios such as 1:3:9:27"),
        ([], r"ladder \[\] is not a ladder"),
        ([None, 3], "is not a ladder"),
        ([True, 3], "is not a ladder"),
        (False, "ladder False is not a ladder"),
    ],
)
def test_what_is_no_ladder_is_refused_in_one_line(value: object, message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        Ladder.read(value, 270_000, 100)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("rungs", [(), (5,), (5, 5), (9, 3), (0, 3), (-3, 3)])
def test_rungs_ascend(rungs: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="not at least two ascending numbers of image passes"):
        Ladder(rungs)


@given(images=st.integers(200, 10**6), passes=st.floats(0, 1e9))
def test_a_whole_training_follows_the_images_and_the_time(images: int, passes: float) -> None:
    usual, top = usual_top(images), usual_top(images, passes)
    assert usual // 2 - 1 <= top <= 2 * usual + 1
    assert usual_top(images, usual) == usual
    assert usual_top(4 * images) == pytest.approx(2 * usual, abs=2)
    assert Ladder.auto(images, 64, passes).top == pytest.approx(top, abs=32)


@given(images=st.integers(200, 10**6), passes=st.floats(0, 1e9))
def test_a_ladder_for_one_network_may_end_further_and_begins_no_lower(images: int, passes: float) -> None:
    usual = usual_top(images)
    ladder, nearest = (Ladder.auto(images, 1, p, FURTHEST_FOR_ONE) for p in (passes, 0.0))
    assert usual // 2 - 1 <= ladder.top <= FURTHEST_FOR_ONE * usual + 2
    assert len(ladder.rungs) == (4 if ladder.top > FURTHEST * usual else 3)
    assert ladder.rungs[0] >= nearest.rungs[0]
    assert ladder == Ladder.auto(images, 1, passes) or ladder.top > FURTHEST * usual
