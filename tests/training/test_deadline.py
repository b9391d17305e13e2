"""The time limit of a command, and that of one training."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.record import Proposal
from surrogate_nas.training.executors.deadline import BEGIN, TIME_TO_STOP, Deadline, Progress
from surrogate_nas.training.executors.jobs import DataSource, Job
from surrogate_nas.training.executors.watch import Watch
from surrogate_nas.training.recipe import Recipe


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@given(
    end=st.floats(0, 100),
    epochs=st.integers(1, 40),
    durations=st.lists(st.floats(0.1, 10), min_size=1, max_size=40),
)
def test_the_end_is_late_by_less_than_the_longest_epoch(end: float, epochs: int, durations: list[float]) -> None:
    clock = Clock()
    deadline, number = Deadline(end, clock), 0
    while deadline.may_start():
        progress = BEGIN
        while deadline.may_go_on(progress) and not (progress.done and progress.ended):
            seconds = durations[number % len(durations)]
            clock.now, number = clock.now + seconds, number + 1
            progress = Progress(progress.done + 1, epochs, seconds)
    assert clock.now <= end + max(durations) + 1e-6


def test_an_epoch_begins_only_if_it_can_end_in_time() -> None:
    clock = Clock()
    deadline = Deadline(10.0, clock)
    clock.now = 4.0
    assert deadline.may_go_on(Progress(1, 3, 4.0))
    clock.now = 8.0
    assert not deadline.may_go_on(Progress(2, 3, 4.0))
    assert deadline.may_go_on(Progress(3, 3, 4.0))  # it is measured
    assert not deadline.may_start()  # not even the shortest epoch would end in time
    clock.now = 5.9
    assert deadline.may_start()


def test_without_a_limit_everything_goes_on() -> None:
    deadline = Deadline.in_hours(None)
    assert deadline.may_start()
    assert deadline.may_go_on(Progress(1, 2, 1e9))
    assert not deadline.is_overdue(None)


def test_a_training_that_has_not_begun_is_ended_at_once_and_another_has_the_time_of_an_epoch() -> None:
    clock = Clock()
    deadline = Deadline(10.0, clock)
    clock.now = 10.0
    assert deadline.is_overdue(None)
    assert not deadline.is_overdue(BEGIN)
    clock.now = 10.0 + TIME_TO_STOP
    assert deadline.is_overdue(BEGIN)
    assert not deadline.is_overdue(Progress(1, 2, 2 * TIME_TO_STOP))


@pytest.fixture
def watch(architecture: Architecture, tmp_path: Path) -> Watch:
    recipe = Recipe(epochs=2, max_seconds=1.0)
    proposal = Proposal(round=0, rank=0, origin="initial", architecture=architecture, seed=0, fidelity=recipe.fidelity)
    job = Job(
        proposal=proposal,
        source=DataSource(tmp_path, 0, 0.1),
        recipe=recipe,
        device="cpu",
        checkpoint=tmp_path / "weights",
        unfinished=tmp_path / "state",
    )
    return Watch(job)


def test_the_limit_of_a_training_covers_training_alone(watch: Watch) -> None:
    """Neither waiting for a worker, nor starting and reading the data, nor measuring."""
    never, long_ago = Deadline(), time.monotonic() - 1000.0
    for watch.start in (None, long_ago):
        assert watch.end_at_once(never) is None
    for progress, late in ((BEGIN, True), (Progress(1, 2, 0.5), True), (Progress(2, 2, 0.5), False)):
        watch.advance(progress, lambda proposal, share: None)
        if progress is BEGIN:
            assert watch.end_at_once(never) is None
        watch.begun = long_ago
        assert (watch.end_at_once(never) is not None) == late


def test_the_clock_of_a_deadline_is_monotonic() -> None:
    assert 0 < Deadline.in_hours(1).end - time.monotonic() <= 3600
