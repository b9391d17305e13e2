"""Tables of trainings at several rungs, which may grow from several studies."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from surrogate_nas.archive.archive import Archive
from surrogate_nas.archive.header import Header
from surrogate_nas.archive.ladder import Ladder
from surrogate_nas.archive.outputs import Outputs
from surrogate_nas.archive.record import Proposal, Record
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.proposals import promotions, user_proposals
from surrogate_nas.search.tabular import writing
from surrogate_nas.search.tabular.table import EennTable
from surrogate_nas.search.tabular.writing import export
from surrogate_nas.settings import Settings
from surrogate_nas.space.space import SearchSpace
from tests.helpers.outputs import SHAPE, outputs

LADDER, IMAGES, PIECE = Ladder((1000, 3000)), 500, 4


@pytest.fixture(autouse=True, scope="module")
def small_pieces() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "PIECE_SIZE", PIECE)
        yield


@pytest.fixture(scope="module")
def problem(user_space: SearchSpace) -> Problem:
    return Problem(user_space, SHAPE, Settings(), seed=0, ladder=LADDER)


@pytest.fixture(scope="module")
def proposals(problem: Problem) -> list[Proposal]:
    """Three blocks of two trainings at two rungs; the last block has the first two networks again."""
    networks = problem.space.sample(4, np.random.default_rng(0))
    blocks = [networks[:2], networks[2:], networks[:2]]
    order = list[Proposal]()
    for i, block in enumerate(blocks):
        first = user_proposals(problem, block, 2 * i)
        order += [*first, *promotions(first, LADDER.top, 2 * i + 1)]
    return order


def trained(proposal: Proposal) -> Record:
    passes = proposal.passes or 0
    both = (outputs(replace(proposal, seed=proposal.seed + k + passes)) for k in range(2))
    return Record(proposal, Outputs(*both), None, 1.0, {"image_passes": passes})


def archive_of(proposals: Sequence[Proposal], records: Sequence[Record], problem: Problem, folder: Path) -> Archive:
    header = Header(
        space=problem.space.spec,
        data="digits",
        fingerprint="0" * 8,
        shape=SHAPE,
        seed=0,
        tune_share=0.1,
        test_share=0.2,
        ladder=LADDER,
    )
    folder.mkdir()
    archive = Archive.create(folder / "archive.sqlite", header)
    archive.propose(proposals)
    for record in records:
        archive.add(record)
    return archive


def written(
    proposals: Sequence[Proposal], own: Sequence[Proposal], problem: Problem, study: Path, folder: Path, **how: bool
) -> Path:
    with closing(archive_of(proposals, [trained(p) for p in own], problem, study)) as archive:
        export(archive, folder, IMAGES, **how)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_rung_comes_back_as_itself(proposals: list[Proposal], problem: Problem, tmp_path: Path) -> None:
    table = EennTable.load(written(proposals, proposals, problem, tmp_path / "s", tmp_path / "t", complete=True))
    assert table.ladder == LADDER
    assert [replace(r.proposal, prediction=None) for r in table.records()] == proposals
    assert table.seeds.tolist() == [2, 2, 1, 1]
    assert len(table.trained) == 4
    own = table.problem(Settings(), 0)
    assert own.ladder == LADDER
    assert own.fidelity == problem.fidelity


def test_a_network_is_looked_up_at_the_rung_that_is_asked_for(
    proposals: list[Proposal], problem: Problem, tmp_path: Path
) -> None:
    table = EennTable.load(written(proposals, proposals, problem, tmp_path / "s", tmp_path / "t", complete=True))
    for seed in range(3):
        asked = [replace(proposals[0], seed=seed, passes=passes) for passes in LADDER.rungs]
        low, high = table.evaluate(asked)
        training = {t.id: t.proposal.training for t in table.trainings}
        assert training[low.provenance["training"]] == training[high.provenance["training"]]
        assert low.provenance["training"] != high.provenance["training"]
    with pytest.raises(InputError, match="is not in the table at 2000 image passes"):
        table.evaluate([replace(proposals[0], passes=2000)])


def test_a_table_grows_from_a_study_that_has_only_the_rest(
    proposals: list[Proposal], problem: Problem, tmp_path: Path
) -> None:
    whole = written(proposals, proposals, problem, tmp_path / "s", tmp_path / "whole", complete=True)
    parts = tmp_path / "parts"
    written(proposals, proposals[:6], problem, tmp_path / "first", parts)
    assert len(EennTable.load(parts).trainings) == PIECE
    written(proposals, proposals[4:9], problem, tmp_path / "second", parts)
    assert len(EennTable.load(parts).trainings) == 2 * PIECE
    third = written(proposals, proposals[8:], problem, tmp_path / "third", parts, complete=True)
    assert len(EennTable.load(third).trainings) == len(proposals)
    different = {name for name, content in contents(whole).items() if contents(third)[name] != content}
    assert different <= {"networks.csv", "SHA256SUMS"}  # which name the studies


def test_a_table_with_a_gap_does_not_grow(proposals: list[Proposal], problem: Problem, tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    written(proposals, proposals[:4], problem, tmp_path / "first", parts)
    with pytest.raises(InputError, match="has 3 pending trainings, so its table cannot be complete"):
        written(proposals, proposals[7:], problem, tmp_path / "second", parts, complete=True)
    assert len(EennTable.load(parts).trainings) == PIECE
