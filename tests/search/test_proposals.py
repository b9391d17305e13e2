"""Proposals that need no surrogate."""

from surrogate_nas.search.proposals import initial_proposals
from tests.helpers.outputs import problem


def test_a_longer_initial_sample_begins_with_the_shorter_one() -> None:
    assert initial_proposals(problem(), 30, [], 0)[:12] == initial_proposals(problem(), 12, [], 0)
