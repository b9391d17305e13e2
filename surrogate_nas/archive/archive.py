"""The training archive: one SQLite file that survives being killed, and can be read while it is written.

A listing never reads arrays; they have their own table, as compressed `.npy` bytes. Nothing is ever unpickled.
"""

import io
import json
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.header import Header
from surrogate_nas.archive.ladder import Ladder
from surrogate_nas.archive.openings import Opening
from surrogate_nas.archive.outputs import ANSWERS, Outputs
from surrogate_nas.archive.record import GROUPS, STUDIED, Failure, Group, Proposal, Record
from surrogate_nas.archive.soundness import require_sound_outputs, require_sound_proposal, require_sound_record
from surrogate_nas.foundation.arrays import Array
from surrogate_nas.foundation.errors import InputError, JobError, one_line
from surrogate_nas.foundation.files import replaced
from surrogate_nas.space.space import SearchSpace

SCHEMA_VERSION = 8
"""Version of the schema, and its changes.
2: records may be baselines, which readers of version 1 would count as part of the search.
3: spaces have kinds of stages, branches and accounting that readers of version 2 do not know.
4: records may be finals.
5: outputs contain each exit's predicted class; before, it was derived from logits in half precision.
6: splits may come from a file, and outputs may have groups of samples, which intervals draw as a whole.
7: a study may have a ladder, and proposals of it have a rung.
8: part of tune may be sealed, and each opening of it is stored."""
_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE proposals (
    id TEXT PRIMARY KEY, round INTEGER NOT NULL, rank INTEGER NOT NULL, origin TEXT NOT NULL,
    architecture TEXT NOT NULL, seed INTEGER NOT NULL, fidelity TEXT NOT NULL, prediction TEXT, passes INTEGER
);
CREATE TABLE records (
    id TEXT PRIMARY KEY REFERENCES proposals, failure_kind TEXT, failure_message TEXT,
    seconds REAL NOT NULL, provenance TEXT NOT NULL
);
CREATE TABLE arrays (
    id TEXT NOT NULL REFERENCES records, name TEXT NOT NULL, data BLOB NOT NULL, PRIMARY KEY (id, name)
);
"""
_OPENINGS = "CREATE TABLE IF NOT EXISTS openings (number INTEGER PRIMARY KEY, value TEXT NOT NULL)"
_NO_OPENINGS = "CREATE TEMP TABLE IF NOT EXISTS openings (number INTEGER PRIMARY KEY, value TEXT NOT NULL)"
_ROUNDED = f"""SELECT COUNT(*) FROM arrays WHERE name = 'tune/logits'
    AND id NOT IN (SELECT id FROM arrays WHERE name = 'tune/{ANSWERS}')"""
_HAS_RUNGS = "SELECT COUNT(*) FROM pragma_table_info('proposals') WHERE name = 'passes'"
"""Whether proposals have a column of their rung, as they do from version 7 on."""
_ADD_RUNGS = "ALTER TABLE proposals ADD COLUMN passes INTEGER"
_SHOW_RUNGS = "CREATE TEMP VIEW proposals AS SELECT *, NULL AS passes FROM main.proposals"
_PROPOSAL = "id, round, rank, origin, architecture, seed, fidelity, prediction, passes"
_COLUMNS = 9
"""Number of columns of a proposal."""
_RECORD = f"{_PROPOSAL}, failure_kind, failure_message, seconds, provenance"
_RECORDS = f"{_RECORD} FROM records JOIN proposals USING (id)"
_ALL = f"{_RECORD}, records.id IS NOT NULL FROM proposals LEFT JOIN records USING (id)"
_STRAYS = {
    "record {} has no proposal": "SELECT id FROM records WHERE id NOT IN (SELECT id FROM proposals)",
    "record {} has outputs but is not a successful training": """SELECT DISTINCT id FROM arrays
        WHERE id NOT IN (SELECT id FROM records WHERE failure_kind IS NULL)""",
}
_IN_ORDER = "ORDER BY round, rank, id"
_IN: dict[Group, str] = {
    "search": "origin NOT IN ('promoted', 'baseline', 'final')",
    "promoted": "origin = 'promoted'",
    "baseline": "origin = 'baseline'",
    "final": "origin = 'final'",
}


class Archive:
    """A study's proposals and records.

    Open one with `Archive.create` or `Archive.open`, and `close` it when done.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, header: Header) -> None:
        self.path = path
        self.header = header
        self.space = SearchSpace(header.space)
        self._connection = connection

    @classmethod
    def create(cls, path: Path, header: Header) -> "Archive":
        """Create an empty archive at `path`, atomically; raises `InputError` if the path exists."""
        if path.exists():
            raise InputError(f"{path} already exists")
        with replaced(path) as partial, closing(sqlite3.connect(":memory:", isolation_level=None)) as empty:
            empty.executescript(f"{_SCHEMA} {_OPENINGS}; PRAGMA user_version = {SCHEMA_VERSION}")
            empty.execute("INSERT INTO meta VALUES ('header', ?)", (header.to_json(),))
            partial.write_bytes(empty.serialize())
        archive = cls.open(path)
        archive._connection.execute("PRAGMA journal_mode = WAL")
        return archive

    @classmethod
    def open(cls, path: Path) -> "Archive":
        """Open the archive at `path`.

        An older schema is upgraded in place. Without write permission, the archive is opened for reading only.

        Raises:
            InputError: if the file is missing, is not an archive, or was written by a newer version of this package.
        """
        if not path.is_file():
            raise InputError(f"no archive at {path}")
        connection = _connect(path)
        try:
            return cls(path, connection, _header(path, connection))
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    # ------------------------------------------------------------------ writing

    def give_ladder(self, ladder: Ladder) -> None:
        """Store the ladder of a study that has none, and no proposals yet.

        Raises:
            InputError: if there are proposals, or another ladder.
        """
        with _transaction(self._connection):
            if self._connection.execute("SELECT COUNT(*) FROM proposals").fetchone()[0] or self.header.ladder:
                raise InputError(f"{self.path} has trainings, or a ladder, already; another ladder needs a new study")
            header = replace(self.header, ladder=ladder)
            self._connection.execute("UPDATE meta SET value = ? WHERE name = 'header'", (header.to_json(),))
        self.header = header

    def propose(self, proposals: Iterable[Proposal]) -> None:
        """Store proposals before they are trained; those already stored are left unchanged."""
        with _transaction(self._connection):
            self._insert_proposals(proposals)

    def add(self, record: Record) -> None:
        """Store a record with its outputs in one transaction. An existing record is left unchanged."""
        with _transaction(self._connection):
            self._insert(record)

    def merge(self, records: Iterable[Record]) -> None:
        """Store records of another archive, with their outputs, in one transaction.

        A successful training replaces a failure with the same id. Other existing records are left unchanged, and so are
        existing proposals, whose round and rank the record then has.
        """
        with _transaction(self._connection):
            for record in records:
                if record.failure is None:
                    self._forget_failures([record.id])
                self._insert(record)

    def _insert_proposals(self, proposals: Iterable[Proposal]) -> None:
        rows = [
            (
                p.id,
                p.round,
                p.rank,
                p.origin,
                str(p.architecture),
                p.seed,
                p.fidelity,
                None if p.prediction is None else json.dumps(p.prediction),
                p.passes,
            )
            for p in proposals
        ]
        self._connection.executemany(f"INSERT OR IGNORE INTO proposals ({_PROPOSAL}) VALUES (?,?,?,?,?,?,?,?,?)", rows)

    def _insert(self, record: Record) -> None:
        failure = record.failure
        row = (
            record.id,
            failure and failure.kind,
            failure and failure.message,
            record.seconds,
            json.dumps(dict(record.provenance)),
        )
        self._insert_proposals([record.proposal])
        if self._connection.execute("INSERT OR IGNORE INTO records VALUES (?,?,?,?,?)", row).rowcount:
            arrays = record.outputs.arrays() if record.outputs else {}
            blobs = [(record.id, name, _pack(array)) for name, array in arrays.items()]
            self._connection.executemany("INSERT INTO arrays VALUES (?,?,?)", blobs)

    def store_opening(self, opening: Opening) -> None:
        """Store an opening of the sealed images, in place of the one with its number, if there is one.

        Raises:
            InputError: if that one has results, which no later look may change.
        """
        with _transaction(self._connection):
            before = [o for o in self.openings() if o.number == opening.number]
            if before and before[0].results is not None:
                raise InputError(f"opening {opening.number} of the sealed images has its results already")
            row = opening.number, opening.to_json()
            self._connection.execute("INSERT OR REPLACE INTO openings VALUES (?,?)", row)

    def retry(self, ids: Iterable[str]) -> None:
        """Delete the failures among these trainings, which are then pending again. Others are left unchanged."""
        with _transaction(self._connection):
            self._forget_failures(ids)

    def drop(self, ids: Iterable[str]) -> None:
        """Delete the failures among these trainings, with their proposals. Others are left unchanged."""
        with _transaction(self._connection):
            failed = self._forget_failures(ids)
            self._connection.executemany("DELETE FROM proposals WHERE id = ?", [(id,) for id in failed])

    def _forget_failures(self, ids: Iterable[str]) -> list[str]:
        """Delete the failures among these ids, and return their ids."""
        statement = "DELETE FROM records WHERE id = ? AND failure_kind IS NOT NULL"
        return [id for id in ids if self._connection.execute(statement, (id,)).rowcount]

    # ------------------------------------------------------------------ reading

    def openings(self) -> list[Opening]:
        """Openings of the sealed images, in order; raises `JobError` for a damaged one."""
        rows = self._connection.execute("SELECT value FROM openings ORDER BY number")
        return [Opening.from_json(row[0]) for row in rows]

    def count(self, group: Group = "search") -> int:
        """Number of records in a group, failures included."""
        return int(
            self._connection.execute(f"SELECT COUNT(*) FROM (SELECT {_RECORDS} WHERE {_IN[group]})").fetchone()[0]
        )

    def studied(self, *, outputs: bool = False) -> list[Record]:
        """Records that surrogates learn from, and that form fronts, at all rungs, in (round, rank) order."""
        records = [r for group in STUDIED for r in self.records(group, outputs=outputs)]
        return sorted(records, key=lambda r: (r.proposal.round, r.proposal.rank, r.id))

    def highest_rung(self) -> int | None:
        """Image passes of the highest rung that a network was trained to, baselines left out; `None` if there is
        none."""
        where = " OR ".join(_IN[group] for group in STUDIED)
        row = self._connection.execute(
            f"SELECT MAX(passes) FROM (SELECT {_RECORDS} WHERE ({where}) AND failure_kind IS NULL)"
        ).fetchone()
        return None if row[0] is None else int(row[0])

    def fidelities(self) -> set[str]:
        """Fidelities of the search's proposals."""
        return {row[0] for row in self._connection.execute(f"SELECT fidelity FROM proposals WHERE {_IN['search']}")}

    def proposals(self, group: Group = "search") -> list[Proposal]:
        """All proposals of a group, in (round, rank) order; raises `JobError` for a damaged one."""
        rows = self._connection.execute(f"SELECT {_PROPOSAL} FROM proposals WHERE {_IN[group]} {_IN_ORDER}")
        return [_proposal(row) for row in rows]

    def pending(self, group: Group = "search") -> list[Proposal]:
        """Proposals of a group without a record, in (round, rank) order."""
        rows = self._connection.execute(
            f"SELECT {_PROPOSAL} FROM proposals WHERE {_IN[group]} AND id NOT IN (SELECT id FROM records) {_IN_ORDER}"
        )
        return [_proposal(row) for row in rows]

    def records(self, group: Group = "search", *, outputs: bool = False) -> list[Record]:
        """Records of a group in (round, rank) order, failures included.

        Args:
            group: `search`, `promoted`, `baseline` or `final`.
            outputs: whether arrays are read, too.

        Raises:
            JobError: for a damaged record.
        """
        rows = self._connection.execute(f"SELECT {_RECORDS} WHERE {_IN[group]} {_IN_ORDER}")
        records = [_record(row) for row in rows]
        if not outputs:
            return records
        return [
            r if r.failure else Record(r.proposal, self.outputs(r.id), None, r.seconds, r.provenance) for r in records
        ]

    def find(self, id: str) -> Record:
        """The record of any group whose id starts with `id`, without outputs.

        Raises:
            InputError: if no record matches, or more than one.
            JobError: for a damaged record.
        """
        everything = [r for group in GROUPS for r in self.records(group)]
        matches = [r for r in everything if r.id.startswith(id)] if id else []
        if len(matches) != 1:
            ids = ", ".join(r.id for r in everything[:6]) + ", …" * (len(everything) > 6)
            raise InputError(f"{len(matches)} records have an id that starts with {id!r}; ids here: {ids or 'none'}")
        return matches[0]

    def outputs(self, id: str) -> Outputs:
        """Held-out outputs of the record with an id.

        Raises:
            JobError: if the record is a failure, which has no outputs, or is damaged.
        """
        arrays = self._connection.execute("SELECT name, data FROM arrays WHERE id = ?", (id,)).fetchall()
        if not arrays:
            raise JobError(f"record {id} has no outputs")
        with _naming(id):
            exits = len(self._architecture(id).exit_positions)
            by_name = {name: _unpack(name, data) for name, data in arrays}
            require_sound_outputs(by_name, exits, self.header.shape.classes)
            return Outputs.from_arrays(by_name)

    def _architecture(self, id: str) -> Architecture:
        row = self._connection.execute("SELECT architecture FROM proposals WHERE id = ?", (id,)).fetchone()
        return Architecture.parse(row[0])

    def remarks(self) -> list[str]:
        """Caveats about the stored measurements; empty if there are none."""
        rounded = self._connection.execute(_ROUNDED).fetchone()[0]
        if not rounded:
            return []
        networks = "1 network was" if rounded == 1 else f"{rounded} networks were"
        return [
            f"{networks} measured by an older version that did not store predicted classes: "
            "they are derived from logits in half precision, where the first of tied classes wins"
        ]

    def problems(self) -> list[str]:
        """Defects of the file, one line each; empty if there are none."""
        problems = []
        try:
            problems += [f"sqlite: {text}" for text in self._texts("PRAGMA integrity_check") if text != "ok"]
            problems += [text.format(id) for text, query in _STRAYS.items() for id in self._texts(query)]
            for *row, has_record in self._connection.execute(f"SELECT {_ALL} {_IN_ORDER}").fetchall():
                try:
                    self._check(_record(row) if has_record else _proposal(row[:_COLUMNS]))
                except (InputError, JobError) as error:
                    problems.append(str(error).removesuffix(ADVICE))
            problems += self._damaged_openings()
        except sqlite3.DatabaseError as error:
            problems.append(f"sqlite: {error}")
        return problems

    def _damaged_openings(self) -> list[str]:
        try:
            self.openings()
        except JobError as error:
            return [str(error)]
        return []

    def _texts(self, query: str) -> list[str]:
        """First column of the rows of a query, each value on one line."""
        return [" ".join(str(row[0]).split()) for row in self._connection.execute(query)]

    def _check(self, stored: Record | Proposal) -> None:
        """Raise if the architecture is not in the space, or outputs are missing or unsound."""
        proposal = stored.proposal if isinstance(stored, Record) else stored
        if proposal.group != "baseline":  # baselines may lie outside the space
            with _naming(proposal.id):
                self.space.indices([proposal.architecture])
        with _naming(proposal.id):
            self._require_rung(proposal.passes)
        if isinstance(stored, Record) and stored.failure is None:
            self.outputs(stored.id)

    def _require_rung(self, passes: int | None) -> None:
        ladder = self.header.ladder
        if passes not in ((None,) if ladder is None else ladder.rungs):
            raise JobError(f"passes {passes!r} is not a rung of the ladder {ladder or 'that the study has not'}")


ADVICE = "; surrogate-nas archive validate lists all damaged records"


@contextmanager
def _naming(id: str) -> Iterator[None]:
    """Convert exceptions of any type to a `JobError` that names the record and the defect, in one line."""
    try:
        yield
    except Exception as error:  # parsers of damaged values raise exceptions of many types
        raise JobError(f"record {id} is damaged: {one_line(error)}{ADVICE}") from None


def copy_archive(path: Path, to: Path) -> None:
    """Copy an archive to a new file, as of its last transaction, even while another process writes to it.

    The archive is opened read-only: writers do not wait, and it is not changed.
    """
    while True:
        before = path.stat().st_mtime_ns, _has_wal(path)
        with closing(_connect(path, read_only=True)) as source, closing(sqlite3.connect(to)) as target:
            source.backup(target)
        had_wal = before[1]
        if had_wal or before == (path.stat().st_mtime_ns, _has_wal(path)):  # else a writer started during the copy
            return


def _connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    writable = _writable(path) and not read_only
    uri = f"{path.absolute().as_uri()}?mode={'rw' if writable else 'ro'}"
    if not writable and not _has_wal(path):
        uri += "&immutable=1"  # else SQLite creates files beside it, which needs write permission
    connection = sqlite3.connect(uri, uri=True, timeout=60, isolation_level=None)
    connection.text_factory = lambda text: text.decode(errors="replace")  # damaged text fails one record, not all
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _writable(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def _has_wal(path: Path) -> bool:
    wal = path.with_name(path.name + "-wal")
    return wal.is_file() and wal.stat().st_size > 0


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _header(path: Path, connection: sqlite3.Connection) -> Header:
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version <= SCHEMA_VERSION:
            header = _read_header(connection)
            if version < SCHEMA_VERSION:
                _upgrade(connection, in_place=_writable(path))
            return header
    except (sqlite3.DatabaseError, ValueError, TypeError, KeyError) as error:
        if "locked" in str(error):
            raise
        raise InputError(f"{path} is not a readable archive: {one_line(error)}") from None
    raise InputError(
        f"{path} has schema version {version}; this package reads up to {SCHEMA_VERSION}: "
        "the archive was written by a newer surrogate-nas; upgrade to read it"
    )


def _upgrade(connection: sqlite3.Connection, *, in_place: bool) -> None:
    """Bring an older schema to the newest, in one transaction, or for this connection alone."""
    if not in_place:
        if not connection.execute(_HAS_RUNGS).fetchone()[0]:
            connection.execute(_SHOW_RUNGS)
        connection.execute(_NO_OPENINGS)
        return
    with _transaction(connection):
        if not connection.execute(_HAS_RUNGS).fetchone()[0]:  # another process may have added it by now
            connection.execute(_ADD_RUNGS)
        connection.execute(_OPENINGS)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _read_header(connection: sqlite3.Connection) -> Header:
    row = connection.execute("SELECT value FROM meta WHERE name = 'header'").fetchone()
    if row is None:
        raise InputError("the header is missing")
    return Header.from_json(row[0])


def _proposal(row: Sequence[Any]) -> Proposal:
    id, round, rank, origin, architecture, seed, fidelity, prediction, passes = row
    with _naming(id):
        proposal = Proposal(
            round=round,
            rank=rank,
            origin=origin,
            architecture=Architecture.parse(architecture),
            seed=seed,
            fidelity=fidelity,
            passes=passes,
            prediction=None if prediction is None else _json("prediction", prediction),
        )
        require_sound_proposal(proposal, id)
        return proposal


def _record(row: Sequence[Any]) -> Record:
    proposal, (kind, message, seconds, provenance) = _proposal(row[:_COLUMNS]), row[_COLUMNS:]
    with _naming(proposal.id):
        failure = None if kind is None else Failure(kind, message)
        record = Record(proposal, None, failure, seconds, _json("provenance", provenance))
        require_sound_record(record)
        return record


def _json(what: str, text: Any) -> Any:
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise JobError(f"{what} is not JSON: {one_line(error)}") from None


def _pack(array: Array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return zlib.compress(buffer.getvalue(), level=6)


def _unpack(name: str, data: bytes) -> Array:
    try:
        array: Array = np.lib.format.read_array(io.BytesIO(zlib.decompress(data)), allow_pickle=False)
    except Exception as error:  # as in `_naming`
        raise JobError(f"{name} cannot be read: {one_line(error)}") from None
    return array
