"""Networks of the front, trained again: what is trained, what is compared, and what is refused."""

import json
import shutil
from collections import Counter
from pathlib import Path
from statistics import mean

import pytest

from surrogate_nas import InputError, Study
from surrogate_nas.study.verification import Verification
from tests.conftest import Command

pytestmark = pytest.mark.usefixtures("quick_fits")


@pytest.fixture(scope="module")
def before(study_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    return Study.open(shutil.copytree(study_path, tmp_path_factory.mktemp("verified") / "study"))


@pytest.fixture(scope="module")
def chosen(before: Study) -> str:
    return before.front()[-1].record.id


@pytest.fixture(scope="module")
def verified(before: Study, chosen: str) -> list[Verification]:
    """One network of the front, with two further seeds."""
    return before.verify([chosen], seeds=3)


def test_each_network_is_trained_until_it_has_so_many_seeds(before: Study, verified: list[Verification]) -> None:
    (one,) = verified
    assert one.trainings == 3
    seeds = [r.proposal.seed for r in before.records() if r.architecture == one.architecture]
    assert len(set(seeds)) == len(seeds) == 3
    assert Counter(r.proposal.origin for r in before.records())["user"] == 2


def test_claims_are_held_against_other_seeds_at_no_more_cost(
    study_path: Path, chosen: str, verified: list[Verification]
) -> None:
    (one,) = verified
    front = [s for s in Study.open(study_path).front() if s.record.id == chosen]
    assert [c.solution.operating_point for c in one.claims] == [s.operating_point for s in front]
    for claim in one.claims:
        assert claim.solution.record.id == chosen
        assert chosen not in {s.record.id for s in claim.again}
        assert all(s.tune.expected_macs <= claim.solution.tune.expected_macs for s in claim.again)
    repeated_claims = [c for c in one.claims if c.again]
    assert one.claimed("tune") == mean(c.solution.tune.accuracy for c in repeated_claims)
    assert one.again("tune") == mean(mean(s.tune.accuracy for s in c.again) for c in repeated_claims)


def test_what_was_verified_is_not_trained_again(before: Study, verified: list[Verification], chosen: str) -> None:
    assert verified
    trained = len(before.records())
    record = before.archive.find(chosen)
    if any(s.record.architecture == record.architecture for s in before.front()):
        on_front = next(s.record.id for s in before.front() if s.record.architecture == record.architecture)
        before.verify([on_front], seeds=3)
    assert len(before.records()) == trained


def test_the_command_answers_in_json(command: Command, before: Study, verified: list[Verification]) -> None:
    on_front = next(s.record.id for s in before.front() if s.record.architecture == verified[0].architecture)
    code, out, _ = command("verify", before.path, on_front, "--seeds", 3, "--json")
    assert code == 0
    (document,) = json.loads(out)
    assert document["trainings"] == 3
    assert {"tune_accuracy_claimed", "tune_accuracy_again", "test_accuracy_again"} <= document.keys()
    _, table, _ = command("verify", before.path, on_front)
    assert "Networks of the front, trained again" in table
    assert "mean change on tune" in table


def test_what_cannot_be_verified_is_refused_before_anything_is_trained(before: Study) -> None:
    trained = len(before.records())
    with pytest.raises(InputError, match="0 records have an id that starts with 'nowhere'"):
        before.verify(["nowhere"])
    front = {s.id for s in before.front()}
    other = next(r.id for r in before.records() if r.id not in front)
    with pytest.raises(InputError, match=f"network {other} is not on the front; allowed: "):
        before.verify([other])
    with pytest.raises(InputError, match="seeds 1 is too few: at least 2"):
        before.verify(seeds=1)
    assert len(before.records()) == trained
