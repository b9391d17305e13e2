"""Archives of every schema before: they open, migrate in place, and keep what was measured."""

import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from surrogate_nas.archive.archive import SCHEMA_VERSION, Archive
from surrogate_nas.archive.record import Record
from surrogate_nas.foundation.errors import JobError
from tests.archive.test_archive import HEADER, record

OLDER = range(1, SCHEMA_VERSION)


@pytest.fixture(params=OLDER)
def older(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An archive of an older schema with two records, which only looks older from version 6 on."""
    path = tmp_path / "archive.sqlite"
    with closing(Archive.create(path, HEADER)) as archive:
        for i in range(2):
            archive.add(record(i))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("ALTER TABLE proposals DROP COLUMN passes")
        connection.execute(f"PRAGMA user_version = {request.param}")
    return path


def identities(archive: Archive) -> list[tuple[str, int | None]]:
    return [(r.id, r.proposal.passes) for r in archive.records()]


EXPECTED = [(record(i).id, None) for i in range(2)]


def columns(path: Path) -> tuple[int, list[str]]:
    with closing(sqlite3.connect(path)) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        return version, [row[1] for row in connection.execute("PRAGMA table_info(proposals)")]


def test_an_older_archive_migrates_and_keeps_ids_and_outputs(older: Path) -> None:
    for _ in range(2):  # again, when it is up to date
        with closing(Archive.open(older)) as archive:
            assert identities(archive) == EXPECTED
            assert archive.header.ladder is None
            for id, _ in EXPECTED:
                own = next(record(i) for i in range(2) if record(i).id == id)
                assert own.outputs is not None
                np.testing.assert_equal(archive.outputs(id).tune.right, own.outputs.tune.right)
        version, names = columns(older)
        assert version == SCHEMA_VERSION
        assert names.count("passes") == 1
    with closing(Archive.open(older)) as archive:
        archive.add(record(5))
        assert archive.problems() == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_older_archive_that_cannot_be_written_is_read(older: Path) -> None:
    older.parent.chmod(0o500)
    try:
        with closing(Archive.open(older)) as archive:
            assert identities(archive) == EXPECTED
    finally:
        older.parent.chmod(0o700)


def test_an_older_archive_is_read_without_being_changed(older: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("surrogate_nas.archive.archive._writable", lambda path: False)
    before = older.read_bytes()
    with closing(Archive.open(older)) as archive:
        assert identities(archive) == EXPECTED
        assert [p.id for p in archive.proposals()] == [id for id, _ in EXPECTED]
        assert archive.find(EXPECTED[0][0]).proposal.passes is None
        assert archive.highest_rung() is None
        assert archive.problems() == []
    assert older.read_bytes() == before


def test_a_migration_that_fails_changes_nothing(older: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = columns(older)
    with monkeypatch.context() as patched:
        patched.setattr("surrogate_nas.archive.archive._ADD_RUNGS", "ALTER TABLE nowhere ADD COLUMN passes INTEGER")
        with pytest.raises(Exception, match="nowhere"):
            Archive.open(older)
    assert columns(older) == before
    with closing(Archive.open(older)) as archive:
        assert identities(archive) == EXPECTED


def test_a_rung_that_the_ladder_does_not_have_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "archive.sqlite"
    with closing(Archive.create(path, HEADER)) as archive:
        archive.add(record(0))
        assert archive.problems() == []
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE proposals SET passes = 5")
        (problem,) = archive.problems()
        assert "its architecture, seed, fidelity and passes have the id" in problem
        with pytest.raises(JobError):
            archive.records()


def test_records_of_one_training_stay_together() -> None:
    rungs = [Record(replace(record(0).proposal, passes=p), None, None, 0.0, {}) for p in (None, 100, 300)]
    assert len({r.id for r in rungs}) == 3
    assert len({r.proposal.training for r in rungs}) == 1
    assert rungs[0].id == rungs[0].proposal.training == record(0).id  # ids of older records stay
    assert record(1).proposal.training != record(0).proposal.training
