"""An archive with damaged records gives an answer or one line, and `validate` names every damaged record."""

import io
import itertools
import json
import pickle
import shutil
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrogate_nas.api import Study
from surrogate_nas.archive.archive import Archive
from surrogate_nas.archive.header import Header
from surrogate_nas.foundation.arrays import Array
from surrogate_nas.foundation.errors import InputError, JobError
from surrogate_nas.study.paths import ARCHIVE
from tests.archive.test_archive import HEADER, failed_record, record
from tests.conftest import Command
from tests.helpers.reports import contents_of

pytestmark = pytest.mark.usefixtures("quick_fits")


def packed(array: Array, *, pickled: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=pickled)
    return zlib.compress(buffer.getvalue())


def unpacked(blob: bytes) -> Array:
    return np.asarray(np.load(io.BytesIO(zlib.decompress(blob))))


def remade(change: Callable[[Array], Array], name: str) -> Callable[[dict[str, bytes]], None]:
    """Damage that stores another array, whole."""

    def damage(blobs: dict[str, bytes]) -> None:
        blobs[name] = packed(change(unpacked(blobs[name])))

    return damage


def replaced(change: Callable[[bytes], object], name: str) -> Callable[[dict[str, bytes]], None]:
    """Damage of what is stored, as bytes."""

    def damage(blobs: dict[str, bytes]) -> None:
        blobs[name] = change(blobs[name])  # type: ignore[assignment]

    return damage


def with_nan(array: Array) -> Array:
    changed = array.astype(np.float32)
    changed[..., -1] = np.nan
    return changed


def a_label(value: int) -> Callable[[Array], Array]:
    return lambda labels: np.where(np.arange(len(labels)) == 3, value, labels)


def rename(blobs: dict[str, bytes]) -> None:
    blobs["tune/logitz"] = blobs.pop("tune/logits")


HUGE = b"\x93NUMPY\x01\x00\x76\x00" + b"{'descr': '<f2', 'fortran_order': False, 'shape': (9, 9999999, 9999999)}"
ARRAY_DAMAGES: dict[str, Callable[[dict[str, bytes]], None]] = {
    "nothing": replaced(lambda blob: b"", "tune/logits"),
    "a number": replaced(lambda blob: 3, "tune/logits"),
    "a text": replaced(lambda blob: "not bytes", "test/labels"),
    "truncated": replaced(lambda blob: blob[:-9], "test/logits"),
    "a flipped bit": replaced(lambda blob: blob[:40] + bytes([blob[40] ^ 8]) + blob[41:], "tune/answers"),
    "truncated before it was compressed": replaced(lambda b: zlib.compress(zlib.decompress(b)[:-7]), "tune/logits"),
    "another header": replaced(
        lambda b: zlib.compress(zlib.decompress(b).replace(b"descr", b"d\xffscr")), "tune/labels"
    ),
    "a huge shape": replaced(lambda blob: zlib.compress(HUGE.ljust(128) + b"\n"), "tune/logits"),
    "a pickle": replaced(lambda blob: zlib.compress(pickle.dumps([1])), "tune/logits"),
    "pickled objects": replaced(lambda blob: packed(np.array([{}], object), pickled=True), "tune/labels"),
    "missing labels": lambda blobs: blobs.pop("tune/labels") and None,
    "missing logits": lambda blobs: blobs.pop("test/logits") and None,
    "another name": rename,
    "no arrays": lambda blobs: blobs.clear(),
    "labels of floats": remade(lambda labels: labels.astype(np.float64), "tune/labels"),
    "labels that are NaN": remade(with_nan, "test/labels"),
    "labels of text": remade(lambda labels: labels.astype("U3"), "test/labels"),
    "a label below 0": remade(a_label(-1), "tune/labels"),
    "a label beyond the classes": remade(a_label(10), "test/labels"),
    "no labels": remade(lambda labels: labels[:0], "tune/labels"),
    "labels in two dimensions": remade(lambda labels: labels[:, None], "tune/labels"),
    "a label too few": remade(lambda labels: labels[1:], "tune/labels"),
    "an image too few": remade(lambda logits: logits[:, 1:], "test/logits"),
    "an exit too few": remade(lambda logits: logits[1:], "tune/logits"),
    "a class too few": remade(lambda logits: logits[..., 1:], "test/logits"),
    "no exits": remade(lambda logits: logits[:0], "test/logits"),
    "a logit alone": remade(lambda logits: np.float16(3), "tune/logits"),
    "logits that are NaN": remade(with_nan, "tune/logits"),
    "logits of integers": remade(lambda logits: logits.astype(np.int8), "tune/logits"),
    "complex logits": remade(lambda logits: logits.astype(np.complex64), "tune/logits"),
    "an answer beyond the classes": remade(lambda answers: answers + np.uint8(10), "test/answers"),
    "answers of one exit": remade(lambda answers: answers[0], "test/answers"),
    "groups of another length": lambda blobs: blobs.update({"tune/groups": packed(np.zeros(3, np.int64))}),
    "groups of floats": lambda blobs: blobs.update({"test/groups": packed(np.zeros(50, np.float32))}),
    "a group below 0": lambda blobs: blobs.update({"test/groups": packed(np.full(50, -1))}),
    "gates without exits": lambda blobs: blobs.update({"tune/gates": packed(np.zeros(3, np.float16))}),
}
"""Damages to the arrays of a record, by name."""
ROW_DAMAGES = {
    "origin": ["UPDATE proposals SET origin = 'alien'"],
    "an architecture that is none": ["UPDATE proposals SET architecture = 'stem'"],
    "an architecture of bytes": ["UPDATE proposals SET architecture = x'ff00'"],
    "an architecture that is no text": ["UPDATE proposals SET architecture = CAST(x'73ff' AS TEXT)"],
    "another architecture": ["UPDATE proposals SET architecture = replace(architecture, 'stem-w', 'stem-w1')"],
    "another seed": ["UPDATE proposals SET seed = seed + 1"],
    "a seed of text": ["UPDATE proposals SET seed = 'x'"],
    "a round of text": ["UPDATE proposals SET round = 'x'"],
    "another fidelity": ["UPDATE proposals SET fidelity = fidelity || ' '"],
    "a prediction that is no JSON": ["UPDATE proposals SET prediction = '{'"],
    "a prediction that is no object": ["UPDATE proposals SET prediction = '[1]'"],
    "provenance that is no JSON": ["UPDATE records SET provenance = 'torch 2'"],
    "provenance that is no object": ["UPDATE records SET provenance = 'null'"],
    "seconds below 0": ["UPDATE records SET seconds = -1"],
    "infinite seconds": ["UPDATE records SET seconds = 9e999"],
    "seconds of text": ["UPDATE records SET seconds = 'long'"],
    "an unknown failure": ["UPDATE records SET failure_kind = 'alien', failure_message = 'what?'"],
    "a failure without a message": ["UPDATE records SET failure_kind = 'error'"],
}
"""Statements that damage the rows of a record."""


def damage_arrays(path: Path, id: str, damage: Callable[[dict[str, bytes]], None]) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        blobs = dict(connection.execute("SELECT name, data FROM arrays WHERE id = ?", (id,)))
        damage(blobs)
        connection.execute("DELETE FROM arrays WHERE id = ?", (id,))
        rows = [(id, name, blob) for name, blob in blobs.items()]
        connection.executemany("INSERT INTO arrays VALUES (?, ?, ?)", rows)


def damage_row(path: Path, id: str, statements: list[str]) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            assert connection.execute(f"{statement} WHERE id = ?", (id,)).rowcount == 1


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    with closing(Archive.create(tmp_path / ARCHIVE, HEADER)) as created:
        for i in range(4):
            created.add(record(i))
        created.add(failed_record(4))
        yield created


# ---------------------------------------------------------------------- what the archive itself says


@pytest.mark.parametrize("damage", ARRAY_DAMAGES)
def test_damaged_outputs_are_an_error_of_one_line_and_all_of_them_are_named(archive: Archive, damage: str) -> None:
    ids = [record(1).id, record(3).id]
    for id in ids:
        damage_arrays(archive.path, id, ARRAY_DAMAGES[damage])
    for id in ids:
        with pytest.raises(JobError, match=f"record {id} (is damaged: .*|has no outputs)") as raised:
            archive.outputs(id)
        assert "\n" not in str(raised.value)
    assert archive.outputs(record(0).id)
    problems = archive.problems()
    assert sorted(line.split()[1] for line in problems) == sorted(ids)


@pytest.mark.parametrize("damage", ROW_DAMAGES)
def test_a_damaged_row_is_an_error_of_one_line_and_all_of_them_are_named(archive: Archive, damage: str) -> None:
    ids = [record(1).id, record(3).id]
    for id in ids:
        damage_row(archive.path, id, ROW_DAMAGES[damage])
    with pytest.raises(
        JobError, match=f"record ({'|'.join(ids)}) is damaged: .*; surrogate-nas archive validate"
    ) as raised:
        archive.records()
    assert "\n" not in str(raised.value)
    assert {line.split()[1] for line in archive.problems()} == set(ids)


def test_a_damaged_proposal_that_waits_is_named(archive: Archive) -> None:
    waiting = record(9).proposal
    archive.propose([waiting])
    assert archive.problems() == []
    damage_row(archive.path, waiting.id, ["UPDATE proposals SET origin = 'alien'"])
    (problem,) = archive.problems()
    assert waiting.id in problem
    with pytest.raises(JobError, match=waiting.id):
        archive.pending()


def test_what_belongs_to_no_record_is_named(archive: Archive) -> None:
    with closing(sqlite3.connect(archive.path)) as connection, connection:
        connection.execute("INSERT INTO arrays SELECT 'nobody', name, data FROM arrays WHERE id = ?", (record(1).id,))
        connection.execute("DELETE FROM proposals WHERE id = ?", (record(0).id,))
    lone, nobody = archive.problems()
    assert record(0).id in lone
    assert "nobody" in nobody


OPTIONAL = {"source_stamp", "splits", "resize", "ladder", "confidence", "sealed_share", "sealed_draws"}
"""Fields that a header may lack."""


def damaged_headers() -> Iterator[str]:
    header = json.loads(HEADER.to_json())
    values = (None, "x", -1, 1.5, [], {}, [1], "9" * 30)
    yield from ("not JSON", "null", "[]", "{}")
    for name in header.keys() - OPTIONAL:
        yield json.dumps({other: value for other, value in header.items() if other != name})
    for name, value in itertools.product(header.keys() - {"data", "fingerprint", "tune_share", *OPTIONAL}, values):
        yield json.dumps({**header, name: value})
    for name, value in itertools.product(header["shape"], values):
        yield json.dumps({**header, "shape": {**header["shape"], name: value}})
    for name, value in itertools.product(("data", "fingerprint"), (None, 3, [])):
        yield json.dumps({**header, name: value})
    for value in (3, [], {}):
        yield json.dumps({**header, "splits": value})
    sealed = {**header, "confidence": 0.9, "sealed_share": 0.5, "sealed_draws": 100}
    assert Header.from_json(json.dumps(sealed)).seal is not None
    for name, value in itertools.product(
        ("confidence", "sealed_share", "sealed_draws"), ("x", -1, 0, 1, 1.5, None, [], {})
    ):
        if (name, value) != ("sealed_draws", 1):
            yield json.dumps({**sealed, name: value})
    for value in ("x", 5, {}, [], [5], [5, 5], [9, 3], [0, 3], [1, "3"], [1.5, 3], [None, 1], True):
        yield json.dumps({**header, "ladder": value})


def test_a_header_of_an_older_version_has_no_file_of_splits() -> None:
    header = json.loads(HEADER.to_json())
    assert header.pop("splits") is None
    assert Header.from_json(json.dumps(header)) == HEADER


def test_an_archive_with_a_damaged_header_is_refused(archive: Archive) -> None:
    for text in damaged_headers():
        with closing(sqlite3.connect(archive.path)) as connection, connection:
            connection.execute("UPDATE meta SET value = ?", (text,))
        with pytest.raises(InputError, match=f"^{archive.path} is not a readable archive: ") as raised:
            Archive.open(archive.path)
        assert "\n" not in str(raised.value), text


@given(data=st.data())
def test_whatever_bytes_become_of_an_array_it_is_read_or_named(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path, sound = tmp_path_factory.mktemp("fuzz") / ARCHIVE, record(0)
    assert sound.outputs is not None
    arrays = sound.outputs.arrays()
    name = data.draw(st.sampled_from(sorted(arrays)))
    raw = bytearray(zlib.decompress(packed(arrays[name])))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1) | st.integers(0, 127))] = data.draw(st.integers(0, 255))
    kept = bytes(raw[: data.draw(st.integers(0, len(raw)) | st.just(len(raw)))])
    with closing(Archive.create(path, HEADER)) as archive:
        archive.add(sound)
        damage_arrays(path, sound.id, replaced(lambda _: zlib.compress(kept), name))
        problems = archive.problems()
        if problems:
            with pytest.raises(JobError, match=f"^record {sound.id} is damaged: [^\n]*$"):
                archive.outputs(sound.id)
            return
        back = archive.outputs(sound.id)
        for split in (back.tune, back.test):
            score, right = split.view("max_softmax")
            assert score.shape == right.shape
            assert np.isfinite(score).all()


# ---------------------------------------------------------------------- what commands say

COMMANDS = ("archive list", "archive dump", "archive show", "query --sample 2", "tune", "report")


@pytest.fixture
def copied(study_path: Path, tmp_path: Path) -> Path:
    """A copy of the real study, to be damaged."""
    return Path(shutil.copytree(study_path, tmp_path / "study"))


def trained_ids(path: Path) -> list[str]:
    with closing(Archive.open(path / ARCHIVE)) as archive:
        return [r.id for r in archive.records() if r.failure is None]


def require_an_answer_or_one_line(command: Command, path: Path, words: str, network: str) -> tuple[int, str]:
    """Run a command, which may fail, but only with one line on stderr; returns its exit code and that line."""
    named = [network] if words.split()[-1] in ("show", "tune") else []
    first, *options = words.split(" --")
    code, _, err = command(*first.split(), path, *named, *(word for o in options for word in f"--{o}".split()))
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert code in (0, 1, 2)
    assert len(errors) == (code != 0), err
    return code, err


def inflict(name: str, path: Path, id: str) -> None:
    if name in ROW_DAMAGES:
        damage_row(path, id, ROW_DAMAGES[name])
    else:
        damage_arrays(path, id, ARRAY_DAMAGES[name])


QUICK = (
    "truncated",
    "no arrays",
    "labels that are NaN",
    "an exit too few",
    "origin",
    "another seed",
    "a round of text",
)
every_damage = pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in (*ARRAY_DAMAGES, *ROW_DAMAGES)]
)


@every_damage
def test_commands_give_an_answer_or_one_line_and_validate_names_all(name: str, copied: Path, command: Command) -> None:
    first, second, *_ = trained_ids(copied)
    for id in (first, second):
        inflict(name, copied / ARCHIVE, id)
    for words in COMMANDS:
        require_an_answer_or_one_line(command, copied, words, first)
    code, out, err = command("archive", "validate", copied)
    assert (code, err.count("\n")) == (1, 1)
    assert {line.split()[1] for line in out.splitlines()} == {first, second}
    code, out, _ = command("archive", "validate", copied, "--json")
    assert code == 1
    assert {problem.split()[1] for problem in json.loads(out)["problems"]} == {first, second}


SOUND_PREDICTION = {"thresholds": [None, 0.5], "accuracy": [0.5, 0.4, 0.6], "expected_macs": [1e5, 9e4, 2e5]}
"""A stored prediction in a space with three exits."""
OTHER_PREDICTIONS = [
    {"thresholds": 3},
    {"thresholds": [7, 0.5]},
    {"thresholds": ["off", 0.5]},
    {"thresholds": [0.5]},
    {"policy": "alien"},
    {"policy": [1]},
    {"accuracy": 0.5},
    {"accuracy": [0.5, "x", 0.6]},
    {"expected_macs": None},
    {"expected_macs": [1e5]},
]


def test_predictions_of_another_form_are_no_predictions(copied: Path, command: Command) -> None:
    first, *others = trained_ids(copied)
    predictions = [SOUND_PREDICTION, *({**SOUND_PREDICTION, **change} for change in OTHER_PREDICTIONS)]
    with closing(sqlite3.connect(copied / ARCHIVE)) as connection, connection:
        connection.execute("UPDATE proposals SET prediction = NULL")
        for id, prediction in zip([first, *others], predictions, strict=False):
            connection.execute("UPDATE proposals SET prediction = ? WHERE id = ?", (json.dumps(prediction), id))
    assert len(others) >= len(OTHER_PREDICTIONS)
    assert [check.record.id for check in contents_of(Study.open(copied)).predictions] == [first]
    for words in ("archive dump", "archive validate"):
        assert command(*words.split(), copied)[0] == 0
