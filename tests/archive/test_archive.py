"""The archive: never a lost record, never half of one, readable while it is written."""

import json
import multiprocessing
import os
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.archive.archive import SCHEMA_VERSION, Archive
from surrogate_nas.archive.header import Header
from surrogate_nas.archive.outputs import Outputs, SplitOutputs
from surrogate_nas.archive.record import Failure, Proposal, Record
from surrogate_nas.exits.policies import POLICY_NAMES
from surrogate_nas.foundation.errors import InputError, JobError
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.spec import preset

SPACE = SearchSpace(preset("tiny"))
HEADER = Header(
    space=SPACE.spec,
    data="digits",
    fingerprint="0123",
    shape=ImageShape(1, 8, 10),
    seed=1,
    tune_share=0.1,
    test_share=0.2,
)


def proposal(i: int) -> Proposal:
    architecture = SPACE.sample(1, np.random.default_rng(i))[0]
    return Proposal(
        round=i // 4,
        rank=i % 4,
        origin="search",
        architecture=architecture,
        seed=i,
        fidelity="{}",
        prediction={"accuracy": [0.9, i]},
    )


def record(i: int, classes: int = 10, samples: int = 50) -> Record:
    """A record that i alone decides."""
    rng = np.random.default_rng(i)
    decision = proposal(i)

    def split_outputs() -> SplitOutputs:
        logits = rng.normal(size=(len(decision.architecture.exit_positions), samples, classes))
        return SplitOutputs.of(logits, rng.integers(classes, size=samples))

    return Record(
        decision, Outputs(split_outputs(), split_outputs()), None, seconds=1.5, provenance={"torch": "2", "i": i}
    )


def failed_record(i: int) -> Record:
    return Record(proposal(i), None, Failure("diverged", "loss nan in epoch 3"), 0.5, {})


@pytest.fixture
def classes() -> int:
    return HEADER.shape.classes


@pytest.fixture
def archive(tmp_path: Path, classes: int) -> Iterator[Archive]:
    header = replace(HEADER, shape=replace(HEADER.shape, classes=classes))
    with closing(Archive.create(tmp_path / "archive.sqlite", header)) as created:
        yield created


def spoil(archive: Archive, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(archive.path)) as connection, connection:
        connection.execute(statement, values)


# ---------------------------------------------------------------------- round trips


@pytest.mark.parametrize("classes", [2, 20, 21, 100])
def test_a_record_comes_back_as_it_was_added(archive: Archive, classes: int) -> None:
    archive.add(record(3, classes))
    (back,) = archive.records(outputs=True)
    np.testing.assert_equal(asdict(back), asdict(record(3, classes)))
    assert back.architecture == record(3).architecture


@pytest.mark.parametrize("classes", [20, 21])
def test_outputs_keep_their_types(archive: Archive, classes: int) -> None:
    archive.add(record(0, classes))
    tune = archive.outputs(record(0).id).tune
    assert tune.labels.dtype == np.int64
    for policy in POLICY_NAMES:
        score, correct = tune.view(policy)
        assert [score.dtype, correct.dtype] == [np.dtype(np.float32), np.dtype(np.bool_)]
    assert (tune.logits is None) == (classes > 20)
    assert tune.logits is None or tune.logits.dtype == np.float16


def test_a_failure_is_a_record_without_outputs(archive: Archive) -> None:
    archive.add(failed_record(0))
    assert archive.records(outputs=True) == [failed_record(0)]
    with pytest.raises(JobError, match=f"record {failed_record(0).id} has no outputs"):
        archive.outputs(failed_record(0).id)


def test_the_header_comes_back_as_it_was_written(archive: Archive) -> None:
    with closing(Archive.open(archive.path)) as opened:
        assert opened.header == HEADER
        assert opened.space == SPACE


def test_an_id_follows_from_what_is_trained_and_not_from_when() -> None:
    assert replace(proposal(0), round=9, rank=9, origin="user", prediction=None).id == proposal(0).id
    changes = [{"seed": 1}, {"fidelity": "{'epochs': 1}"}, {"architecture": proposal(1).architecture}]
    assert len({proposal(0).id, *(replace(proposal(0), **change).id for change in changes)}) == 4  # type: ignore[arg-type]


# ---------------------------------------------------------------------- adding and listing


def test_adding_a_record_twice_keeps_the_first(archive: Archive) -> None:
    archive.add(record(0))
    archive.add(record(0))
    archive.add(replace(failed_record(0), seconds=99.0))
    (back,) = archive.records(outputs=True)
    np.testing.assert_equal(asdict(back), asdict(record(0)))


def test_records_and_proposals_are_listed_by_round_and_rank(archive: Archive) -> None:
    for i in (5, 0, 3, 4):
        archive.add(failed_record(i) if i == 3 else record(i))
    assert [r.proposal for r in archive.records()] == [proposal(i) for i in (0, 3, 4, 5)]
    assert archive.proposals() == [proposal(i) for i in (0, 3, 4, 5)]


def test_proposals_are_pending_until_they_have_a_record(archive: Archive) -> None:
    archive.propose([proposal(i) for i in range(4)])
    archive.propose([proposal(2)])
    archive.add(record(1))
    archive.add(failed_record(2))
    assert archive.pending() == [proposal(0), proposal(3)]


def test_listing_does_not_read_arrays(archive: Archive) -> None:
    archive.add(record(0))
    spoil(archive, "DROP TABLE arrays")
    (row,) = archive.records()
    assert row.outputs is None
    assert archive.find(row.id) == row


def test_a_record_is_found_by_the_start_of_its_id(archive: Archive) -> None:
    for i in range(20):
        archive.add(failed_record(i))
    for i in range(20):
        assert archive.find(failed_record(i).id) == failed_record(i)
        unique = [f for f in range(20) if failed_record(f).id.startswith(failed_record(i).id[:3])] == [i]
        assert not unique or archive.find(failed_record(i).id[:3]) == failed_record(i)


@pytest.mark.parametrize("id", ["", "x", "%"])
def test_a_start_that_fits_no_record_names_ids_there_are(archive: Archive, id: str) -> None:
    archive.add(failed_record(0))
    with pytest.raises(
        InputError, match=f"0 records have an id that starts with '{id}'; ids here: {failed_record(0).id}"
    ):
        archive.find(id)


def test_a_start_that_fits_several_records_is_refused(archive: Archive) -> None:
    for i in range(20):
        archive.add(failed_record(i))
    ((digit, n),) = Counter(failed_record(i).id[0] for i in range(20)).most_common(1)
    with pytest.raises(InputError, match=f"{n} records have an id that starts with '{digit}'"):
        archive.find(digit)


# ---------------------------------------------------------------------- several at a time, and being killed


def write_without_end(path: Path) -> None:
    archive = Archive.open(path)
    for i in count():
        archive.add(failed_record(i) if i % 5 == 4 else record(i, samples=2000))


def wait_for_records(archive: Archive, n: int) -> list[Record]:
    deadline = time.monotonic() + 60
    while len(records := archive.records()) < n:
        assert time.monotonic() < deadline, f"{len(records)} of {n} records after a minute"
        time.sleep(0.005)
    return records


@pytest.mark.parametrize("when", [3, 4, 6])
def test_a_writer_that_is_killed_leaves_whole_records_and_a_reader_never_sees_less(archive: Archive, when: int) -> None:
    writer = multiprocessing.get_context("spawn").Process(target=write_without_end, args=(archive.path,))
    writer.start()
    try:
        first = wait_for_records(archive, when)
    finally:
        writer.kill()
        writer.join()
    assert writer.exitcode == -9
    stored = archive.records(outputs=True)
    assert [r.id for r in stored[: len(first)]] == [r.id for r in first]
    assert archive.problems() == []
    for i, back in enumerate(stored):
        np.testing.assert_equal(asdict(back), asdict(failed_record(i) if i % 5 == 4 else record(i, samples=2000)))
    assert [p.id for p in archive.pending()] in ([], [proposal(len(stored)).id])


def test_a_reader_and_a_writer_do_not_keep_each_other_waiting(archive: Archive) -> None:
    archive.add(record(0))
    start = time.monotonic()
    with closing(sqlite3.connect(archive.path, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        writer.execute("DELETE FROM arrays")
        (back,) = archive.records(outputs=True)
        np.testing.assert_equal(asdict(back), asdict(record(0)))
    with closing(sqlite3.connect(archive.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM records").fetchone() == (1,)
        archive.add(record(1))
        assert reader.execute("SELECT count(*) FROM records").fetchone() == (1,)
    assert len(archive.records()) == 2
    assert time.monotonic() - start < 30


def test_writers_at_the_same_time_lose_nothing_and_double_nothing(archive: Archive) -> None:
    def write(start: int) -> None:
        with closing(Archive.open(archive.path)) as own:
            for i in range(start, start + 10):
                own.add(record(i))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, [0, 0, 5, 10]))
    assert [r.id for r in archive.records()] == [record(i).id for i in range(20)]
    assert archive.problems() == []


def test_two_commands_that_number_their_rounds_alike_both_keep_their_records(archive: Archive) -> None:
    with closing(Archive.open(archive.path)) as other:
        archive.propose([proposal(0)])
        alike = replace(record(1), proposal=replace(proposal(1), round=0, rank=0))
        other.propose([alike.proposal])
        other.add(alike)
        archive.add(record(0))
    assert {r.id for r in archive.records()} == {record(0).id, alike.id}


# ---------------------------------------------------------------------- what is not an archive, or not sound


def test_a_missing_archive_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"no archive at {tmp_path}"):
        Archive.open(tmp_path / "archive.sqlite")


@pytest.mark.parametrize("content", [b"", b"budget: 32\n", b"SQLite format 3\x00" + b"\xff" * 4096])
def test_a_file_that_is_no_archive_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "archive.sqlite"
    path.write_bytes(content)
    with pytest.raises(InputError, match=str(path)):
        Archive.open(path)


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "archive.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"CREATE TABLE meta (name, value); PRAGMA user_version = {SCHEMA_VERSION}")
    with pytest.raises(InputError, match="is not a readable archive"):
        Archive.open(path)


def test_an_archive_of_a_newer_schema_is_refused(archive: Archive) -> None:
    spoil(archive, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(
        InputError, match=f"schema version {SCHEMA_VERSION + 1}; this package reads up to {SCHEMA_VERSION}"
    ):
        Archive.open(archive.path)


def test_an_archive_is_never_written_over(archive: Archive) -> None:
    archive.add(record(0))
    with pytest.raises(InputError, match="already exists"):
        Archive.create(archive.path, HEADER)
    assert len(archive.records()) == 1


def test_a_creation_that_fails_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        Archive.create(tmp_path / "archive.sqlite", replace(HEADER, data=object()))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("classes", [2, 10, 20, 30])
def test_a_sound_archive_has_no_problems(archive: Archive, classes: int) -> None:
    for i in range(3):
        archive.add(record(i, classes))
    archive.add(failed_record(3))
    archive.propose([proposal(4)])
    assert archive.problems() == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE arrays SET data = substr(data, 1, length(data) - 9) WHERE id = ? AND name = 'tune/logits'",
        "UPDATE arrays SET data = x'00' WHERE id = ? AND name = 'test/logits'",
        "UPDATE arrays SET data = x'' WHERE id = ? AND name = 'tune/labels'",
        "UPDATE arrays SET data = x'789c030000000001' WHERE id = ? AND name = 'tune/labels'",  # nothing, compressed
        "REPLACE INTO arrays SELECT id, 'tune/logits', data FROM arrays WHERE id = ? AND name = 'tune/labels'",
        "DELETE FROM arrays WHERE id = ? AND name = 'tune/logits'",
        "DELETE FROM arrays WHERE id = ? AND name = 'test/labels'",
        "DELETE FROM arrays WHERE id = ?",
        "UPDATE proposals SET architecture = 'stem-w8-s1/res-d1-w8-k3-s1' WHERE id = ?",
        "UPDATE proposals SET architecture = 'stem' WHERE id = ?",
    ],
)
def test_a_spoilt_record_is_named(archive: Archive, statement: str) -> None:
    for i in range(3):
        archive.add(record(i))
    spoil(archive, statement, record(1).id)
    (problem,) = archive.problems()
    assert record(1).id in problem


def test_the_archive_needs_no_torch() -> None:
    program = "import sys, surrogate_nas.archive.archive; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


# ---------------------------------------------------------------------- failures, baselines, older and unwritable files


def test_a_failed_training_that_is_retried_is_pending_again_and_the_others_stay(archive: Archive) -> None:
    for each in (record(0), failed_record(1), failed_record(2)):
        archive.add(each)
    archive.retry([record(0).id, failed_record(1).id])
    assert archive.pending() == [proposal(1)]
    assert [r.id for r in archive.records()] == [record(0).id, failed_record(2).id]
    assert archive.outputs(record(0).id)


def test_a_failed_training_that_is_dropped_was_never_proposed_and_the_others_stay(archive: Archive) -> None:
    for each in (record(0), failed_record(1), failed_record(2)):
        archive.add(each)
    archive.propose([proposal(3)])
    archive.drop([record(0).id, failed_record(1).id, proposal(3).id])
    assert sorted(p.id for p in archive.proposals()) == sorted([record(0).id, failed_record(2).id, proposal(3).id])
    assert archive.problems() == []


def baseline(i: int) -> Record:
    """A network that is not of the space."""
    original = record(i)
    architecture = Architecture.parse("stem-w6-s1/res-d1-w6-k3-s1")
    outputs = SplitOutputs.of(np.zeros((1, 50, 10)), np.zeros(50, dtype=np.int64))
    proposal = replace(original.proposal, origin="baseline", architecture=architecture, round=1_000_000)
    return replace(original, proposal=proposal, outputs=Outputs(outputs, outputs))


def test_baselines_are_no_part_of_the_search(archive: Archive) -> None:
    archive.add(record(0))
    archive.add(baseline(1))
    archive.propose([baseline(2).proposal])
    assert [p.id for p in archive.proposals()] == [r.id for r in archive.records()] == [record(0).id]
    assert archive.pending() == []
    assert [r.id for r in archive.records("baseline")] == [baseline(1).id]
    assert archive.pending("baseline") == [baseline(2).proposal]
    assert archive.find(baseline(1).id).proposal.origin == "baseline"
    assert archive.problems() == []


def test_an_older_archive_is_read_and_brought_up_to_date(archive: Archive) -> None:
    archive.add(record(0))
    header = json.loads(archive.header.to_json())
    del header["source_stamp"]  # version 1 had none
    spoil(archive, "UPDATE meta SET value = ?", json.dumps(header))
    spoil(archive, "PRAGMA user_version = 1")
    with closing(Archive.open(archive.path)) as opened:
        assert [r.id for r in opened.records()] == [record(0).id]
        assert opened.header == HEADER
    with closing(sqlite3.connect(archive.path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION


def test_an_archive_without_answers_says_so(archive: Archive) -> None:
    archive.add(record(0))
    archive.add(record(1))
    assert archive.remarks() == []
    spoil(archive, "DELETE FROM arrays WHERE name LIKE '%answers' AND id = ?", record(0).id)
    (remark,) = archive.remarks()
    assert remark.startswith("1 network was measured by an older version")
    assert archive.problems() == []


def test_an_archive_where_nothing_can_be_written_can_be_read(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.add(record(0))
    archive.close()
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # as on a read-only mount, which needs root to make
    before = set(archive.path.parent.iterdir())
    assert archive.path in before
    with closing(Archive.open(archive.path)) as opened:
        assert [r.id for r in opened.records()] == [record(0).id]
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            opened.add(record(1))
    assert set(archive.path.parent.iterdir()) == before
