"""Workers that get a proposal as soon as they are free: what proposals know, and that nothing is lost."""

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from surrogate_nas import Study
from surrogate_nas.archive.record import Proposal, Record
from surrogate_nas.exits.front import Front
from surrogate_nas.search.bayesian.acquisition import greedily
from surrogate_nas.search.loop import search_asynchronously
from surrogate_nas.search.proposals import initial_proposals
from surrogate_nas.search.registry import at_random
from surrogate_nas.search.strategy import History, Suggestion
from tests.conftest import Command
from tests.helpers.outputs import problem, verify

pytestmark = pytest.mark.usefixtures("quick_fits")


def two_workers(proposals: Iterator[Proposal]) -> Iterator[Record]:
    """The second finishes before the first, and so on in turn."""
    busy = deque[Proposal]()
    while True:
        while len(busy) < 2 and (one := next(proposals, None)) is not None:
            busy.append(one)
        if not busy:
            return
        yield verify([busy.pop()])[0]


def test_a_proposal_knows_what_is_in_flight_and_the_budget_is_kept() -> None:
    of = problem(budget=20, initial=12, batch=4)
    start, histories = initial_proposals(of, 12, [], 0), list[History]()

    def strategy(history: History, q: int) -> Sequence[Suggestion]:
        histories.append(history)
        return at_random(history, q)

    records = search_asynchronously(of, verify(start), start, two_workers, strategy)
    assert len(records) == of.settings.budget
    assert len({r.architecture for r in records}) == len(records)
    assert [len(h.pending) for h in histories] == [0] + [1] * 7
    assert [h.round for h in histories] == list(range(1, 9))
    records = search_asynchronously(of, verify(start), start, two_workers, at_random, most=3)
    assert len(records) == 15


def test_what_is_in_flight_is_not_valued_again() -> None:
    front = Front.of(np.array([5.0]), np.array([0.5]), 6.0, 0.1)
    cost, accuracy = np.full((4, 3, 1), 5.0), np.array([0.8, 0.79, 0.5])[None, :, None].repeat(4, axis=0)
    cost[:, 2] = 4.5
    pending = np.full((4, 1, 1), 5.0), np.full((4, 1, 1), 0.8)
    assert greedily(front, cost, accuracy, 1) == [0]
    assert greedily(front, cost, accuracy, 1, pending) == [2]


def test_a_study_whose_workers_do_not_wait(tmp_path: Path) -> None:
    study = Study.create(
        tmp_path / "study",
        budget=12,
        initial=8,
        batch=2,
        workers=2,
        strategy="random",
        asynchronous=True,
        recipe={"epochs": 1, "batch_size": 256},
    )
    study.run()
    records = study.records()
    assert len(records) == len({r.architecture for r in records}) == 12
    assert sorted(r.proposal.round for r in records) == [0] * 8 + [1, 2, 3, 4]
    assert not study.archive.pending()


@pytest.mark.slow
def test_options_of_the_search_are_kept_and_bad_ones_change_nothing(command: Command, tmp_path: Path) -> None:
    path, fast = tmp_path / "study", ["--epochs", 1, "--budget", 8, "--initial", 8, "--workers", 2]
    code, _, _ = command("run", path, *fast, "--strategy", "nsga2", "--no-repeats", "--asynchronous", "--json")
    assert code == 0
    settings = Study.open(path).settings
    assert (settings.strategy, settings.repeats, settings.asynchronous) == ("nsga2", False, True)
    code, out, err = command("search", path, "--strategy", "aebnas", "--budget", 9)
    assert (code, out) == (2, "")
    assert "needs a target of expected MACs" in err
    assert Study.open(path).settings == settings
