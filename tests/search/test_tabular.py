"""Tables of trained networks: what comes back is what was trained, within what coding a score in a byte may change."""

import csv
import hashlib
import io
import json
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.architecture.costing import Costing
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.archive.archive import Archive
from surrogate_nas.archive.header import Header
from surrogate_nas.archive.outputs import SPLITS, Outputs, same
from surrogate_nas.archive.record import Failure, Proposal, Record
from surrogate_nas.archive.views import exits_of
from surrogate_nas.datasets import load
from surrogate_nas.exits.policies import PolicyName
from surrogate_nas.foundation.arrays import Floats32
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.search.bayesian.strategy import known_front
from surrogate_nas.search.problem import Problem
from surrogate_nas.search.proposals import user_proposals
from surrogate_nas.search.strategy import History
from surrogate_nas.search.tabular import writing
from surrogate_nas.search.tabular.codes import LEVELS, decode_scores, encode_scores
from surrogate_nas.search.tabular.layout import (
    CHECKSUMS,
    DESCRIPTION,
    LABELS,
    NETWORKS,
    OLDER,
    PIECE,
    PLACE,
    POLICIES,
    PROVENANCE,
    SPACE,
    fidelity_name,
)
from surrogate_nas.search.tabular.table import EennTable
from surrogate_nas.search.tabular.writing import export
from surrogate_nas.settings import Settings
from surrogate_nas.space.candidates import Candidates
from surrogate_nas.space.costs import costing_for
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.spec import preset
from surrogate_nas.study.paths import ARCHIVE, SETTINGS
from surrogate_nas.training.recipe import Recipe
from tests.helpers.eenn_table import EENN_TABLE, TABLES, needs_eenn_table
from tests.helpers.outputs import SAMPLES, SHAPE, outputs

PIECE_SIZE = 3
IMAGES = 1293
"""Images of the digits that train."""
ROOT = Path(__file__).parents[2]
SCRIPT = str(ROOT / "scripts/studies/eenn_table.py")
CONDITIONS_BUT_VERSION = {"python": "3.11.7", "torch": "2.14", "machine": "x86_64", "device": "cpu"}
CONDITIONS = {"surrogate-nas": "0.5.0", **CONDITIONS_BUT_VERSION}
MOST = 2 * SAMPLES / LEVELS
"""Samples of both splits together that may change sides of a threshold; fewer than this."""


@pytest.fixture(autouse=True, scope="module")
def small_pieces() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "PIECE_SIZE", PIECE_SIZE)
        yield


@pytest.fixture(scope="module")
def problem(user_space: SearchSpace) -> Problem:
    return Problem(user_space, SHAPE, Settings().updated({"recipe": {"epochs": 3}}), seed=0)


@pytest.fixture(scope="module")
def records(problem: Problem) -> list[Record]:
    """Seven networks, and the first two again with another seed."""
    networks = problem.space.sample(7, np.random.default_rng(0))
    proposals = [*user_proposals(problem, networks, 0), *user_proposals(problem, networks[:2], 1)]
    return [trained(proposal) for proposal in proposals]


def trained(proposal: Proposal) -> Record:
    record_outputs = Outputs(outputs(proposal), outputs(replace(proposal, seed=proposal.seed + 1)))
    return Record(proposal, record_outputs, None, 1.5 + proposal.rank, CONDITIONS)


def study_of(records: Sequence[Record], problem: Problem, folder: Path, pending: Sequence[Proposal] = ()) -> Path:
    """A study that has these records."""
    header = Header(
        space=problem.space.spec,
        data="digits",
        fingerprint=load("digits").fingerprint(),
        shape=SHAPE,
        seed=0,
        tune_share=0.1,
        test_share=0.2,
    )
    study = folder / f"with-{len(records)}" / "study"
    study.mkdir(parents=True)
    problem.settings.save(study / SETTINGS)
    with closing(Archive.create(study / ARCHIVE, header)) as archive:
        archive.propose(pending)
        for record in records:
            archive.add(record)
    return study


def export_study(study: Path, folder: Path, *, complete: bool = True) -> Path:
    with closing(Archive.open(study / ARCHIVE)) as archive:
        export(archive, folder, IMAGES, complete=complete)
    return folder


def written(records: Sequence[Record], problem: Problem, folder: Path) -> Path:
    """The complete table of these records, with the study that it is of beside it."""
    return export_study(study_of(records, problem, folder), folder / "table")


@pytest.fixture(scope="module")
def original(records: list[Record], problem: Problem, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a table and its study."""
    return written(records, problem, tmp_path_factory.mktemp("table")).parent


@pytest.fixture
def path(original: Path, tmp_path: Path) -> Path:
    """A table that may be changed."""
    return shutil.copytree(original, tmp_path, dirs_exist_ok=True) / "table"


@pytest.fixture(scope="module")
def table(original: Path) -> EennTable:
    return EennTable.load(original / "table")


# ---------------------------------------------------------------------- a score in a byte

Scores = Floats32
some_scores = arrays(np.float32, st.tuples(st.just(1), st.integers(1, 2000)), elements=st.floats(0, 1, width=16))


@given(some_scores, st.integers(1, 2000))
def test_codes_keep_the_order_and_move_few_samples_across_any_threshold(repeated: Scores, n: int) -> None:
    distinct = np.random.default_rng(n).permutation(np.linspace(0, 1, n, dtype=np.float32))
    for scores in (repeated[0], distinct, np.append(repeated[0], distinct)):
        codes, levels = encode_scores(scores[None])
        back = decode_scores(codes, levels)[0]
        order = np.argsort(scores)
        assert (np.diff(back[order]) >= 0).all()
        assert (np.diff(levels) >= 0).all()
        thresholds = np.unique(np.concatenate([scores, back, np.nextafter(scores, 2), np.nextafter(back, 2)]))
        moved = np.searchsorted(np.sort(scores), thresholds) - np.searchsorted(np.sort(back), thresholds)
        assert np.abs(moved).max() < max(len(scores) / LEVELS, 1)
        if len(np.unique(scores)) <= LEVELS:
            np.testing.assert_array_equal(back, scores)


# ---------------------------------------------------------------------- there and back


@pytest.mark.parametrize("policy", POLICIES)
def test_networks_come_back_as_they_were_trained(
    table: EennTable, records: list[Record], problem: Problem, policy: PolicyName
) -> None:
    once = records[2:7]  # the others have two trainings
    rng = np.random.default_rng(0)
    for record, back in zip(once, table.evaluate([r.proposal for r in once]), strict=True):
        assert (back.proposal, back.seconds, back.failure) == (record.proposal, record.seconds, None)
        assert record.outputs is not None
        assert back.outputs is not None
        for split, again in ((record.outputs.tune, back.outputs.tune), (record.outputs.test, back.outputs.test)):
            was = exits_of(record.architecture, split, problem.costing, policy)
            now = exits_of(back.architecture, again, table.problem(Settings(), 0).costing, policy)
            np.testing.assert_array_equal(again.labels, split.labels)
            np.testing.assert_array_equal(now.correct, was.correct)
            np.testing.assert_array_equal(now.cost.macs(), was.cost.macs())
            thresholds = rng.random((50, was.positions - 1))
            leaving = now.measure(thresholds).leaving - was.measure(thresholds).leaving
            assert np.abs(leaving).max() <= len(was.early) * MOST
            best = [e.curve.accuracy.max() for e in (now, was)]
            assert abs(best[0] - best[1]) <= len(was.early) * MOST / SAMPLES


def test_a_table_knows_what_it_has(table: EennTable, records: list[Record]) -> None:
    assert table.space.architectures(table.trained) == [r.architecture for r in records[:7]]
    assert table.seeds.tolist() == [2, 2, 1, 1, 1, 1, 1]
    assert table.complete == 7 / table.space.size


def test_a_seed_decides_between_trainings_of_a_network(table: EennTable, records: list[Record]) -> None:
    for seed in range(4):
        (back,) = table.evaluate([replace(records[0].proposal, seed=seed)])
        assert back.provenance["training"] == records[[0, 7][seed % 2]].id
        assert back.proposal.seed == seed


def test_every_training_comes_back_as_itself(table: EennTable, records: list[Record]) -> None:
    for record, back in zip(records, table.records(), strict=True):
        assert (back.id, back.proposal, back.seconds) == (record.id, record.proposal, record.seconds)
        assert back.provenance == {"data": "digits", "study": "study", "version": "0.5.0", **CONDITIONS_BUT_VERSION}
        assert back.outputs is not None
        assert record.outputs is not None
        for split in SPLITS:
            np.testing.assert_array_equal(back.outputs[split].right, record.outputs[split].right)


def test_a_table_stands_in_for_training(table: EennTable) -> None:
    problem = table.problem(Settings().updated({"policy": "margin", "recipe": {"epochs": 50}}), seed=5)
    records = table.evaluate(user_proposals(problem, problem.space.architectures(table.trained), 0))
    assert {r.proposal.fidelity for r in records} == {table.fidelity}
    assert len(known_front(History(problem, records, [r.proposal for r in records], 1)).front.cost)


def test_networks_are_listed_for_people(path: Path, records: list[Record], problem: Problem) -> None:
    rows = list(csv.DictReader((path / NETWORKS).read_text().splitlines()))
    assert [row["id"] for row in rows] == [r.id for r in records]
    assert [(row["piece"], row["place"]) for row in rows][2:5] == [("0", "2"), ("1", "0"), ("1", "1")]
    assert [tuple(row[name] for name in PLACE) for row in rows] == [
        (p.origin, str(p.round), str(p.rank)) for p in (r.proposal for r in records)
    ]
    fidelity, epochs = problem.settings.recipe.fidelity, problem.settings.recipe.epochs
    assert {(row["fidelity"], row["epochs"], row["image_passes"]) for row in rows} == {
        (fidelity_name(fidelity), str(epochs), str(epochs * IMAGES))
    }
    assert json.loads((path / DESCRIPTION).read_text())["fidelities"] == {fidelity_name(fidelity): fidelity}
    check_costs(rows, problem.space, problem.costing)
    assert records[0].outputs is not None
    last = records[0].outputs.test.right[-1].mean()
    assert float(rows[0][f"test_accuracy_{problem.space.positions}"]) == pytest.approx(last, abs=1e-4)


def check_costs(rows: Sequence[dict[str, Any]], space: SearchSpace, costing: Costing) -> None:
    """Raise if costs are not those that are counted."""
    candidates = Candidates.of(space, [Architecture.parse(row["architecture"]) for row in rows], costing)
    for i, row in enumerate(rows):
        macs = [row[f"macs_{e + 1}"] for e in range(space.positions)]
        assert macs == [
            str(m) if there else "" for m, there in zip(candidates.cost.macs()[i], candidates.present[i], strict=True)
        ]
        sizes = [candidates.cost.parameters, candidates.cost.weight_bytes, candidates.cost.memory()]
        assert [int(row[n]) for n in ("parameters", "weight_bytes", "activation_bytes")] == [s[i] for s in sizes]


# ---------------------------------------------------------------------- files


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_the_same_trainings_give_the_same_bytes(
    path: Path, records: list[Record], problem: Problem, tmp_path: Path
) -> None:
    again = written(records, problem, tmp_path / "again")
    assert contents(again) == contents(path)


def test_pieces_stay_as_they_are_while_a_table_grows(records: list[Record], problem: Problem, tmp_path: Path) -> None:
    folder, before = tmp_path / "table", dict[str, bytes]()
    for n, pieces in ((3, 1), (7, 2), (9, 3)):
        study = study_of(records[:n], problem, tmp_path)
        after = contents(export_study(study, folder, complete=False))
        names = {PIECE.format(piece) for piece in range(pieces)}
        assert set(after) == {SPACE, NETWORKS, DESCRIPTION, LABELS, CHECKSUMS, *names}
        kept = before.keys() - {NETWORKS, DESCRIPTION, CHECKSUMS}
        assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
        assert after[NETWORKS].startswith(before.get(NETWORKS, b""))
        assert [t.id for t in EennTable.load(folder).trainings] == [r.id for r in records[: pieces * PIECE_SIZE]]
        before = after
    assert contents(export_study(study, tmp_path / "whole", complete=True)) == before


def test_a_complete_table_has_what_fills_no_piece(records: list[Record], problem: Problem, tmp_path: Path) -> None:
    for n in (2, 7):
        study, folder = study_of(records[:n], problem, tmp_path), tmp_path / f"table-{n}"
        whole = contents(export_study(study, folder))
        assert [t.id for t in EennTable.load(folder).trainings] == [r.id for r in records[:n]]
        assert contents(export_study(study, folder)) == whole


def test_a_piece_that_would_change_is_refused(records: list[Record], problem: Problem, tmp_path: Path) -> None:
    """Also one that would be longer, or that would not be there."""
    studies = {n: study_of(records[:n], problem, tmp_path) for n in (7, 9)}
    whole = contents(folder := export_study(studies[7], tmp_path / "table"))
    with pytest.raises(InputError, match=r"outputs-002.safetensors would change, but pieces of a table never do"):
        export_study(studies[9], folder)
    with pytest.raises(InputError, match=r"outputs-002.safetensors would vanish, but pieces of a table never do"):
        export_study(studies[7], folder, complete=False)
    assert contents(folder) == whole


def test_a_table_that_grows_waits_for_its_first_piece(records: list[Record], problem: Problem, tmp_path: Path) -> None:
    study = study_of(records[:2], problem, tmp_path)
    with pytest.raises(InputError, match="has 2 finished trainings, but a table that still grows has pieces of 3"):
        export_study(study, tmp_path / "table", complete=False)
    assert not (tmp_path / "table").exists()


def test_trainings_after_one_that_is_not_done_wait(records: list[Record], problem: Problem, tmp_path: Path) -> None:
    failed = Record(records[1].proposal, None, Failure("diverged", "loss nan"), 0.5, {})
    done = [records[0], failed, *records[2:4], *records[5:]]
    study = study_of(done, problem, tmp_path, [r.proposal for r in records])
    table = EennTable.load(export_study(study, tmp_path / "table", complete=False))
    assert [t.id for t in table.trainings] == [records[i].id for i in (0, 2, 3)]
    with pytest.raises(InputError, match="has 1 pending trainings, so its table cannot be complete yet"):
        export_study(study, tmp_path / "other")


def test_a_folder_has_one_space(path: Path, problem: Problem, tmp_path: Path) -> None:
    spec = problem.space.spec.model_copy(update={"name": "another"})
    other = Problem(SearchSpace(spec), SHAPE, problem.settings, seed=0)
    networks = user_proposals(other, problem.space.sample(2, np.random.default_rng(1)), 0)
    with pytest.raises(InputError, match=r"space.yaml differs from the archive's space 'another'"):
        written([trained(p) for p in networks], other, tmp_path)
    assert EennTable.load(path).space == problem.space


def test_an_archive_without_trainings_makes_no_table(problem: Problem, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no finished trainings to write as a table"):
        written([], problem, tmp_path)
    assert not (tmp_path / "table").exists()


# ---------------------------------------------------------------------- what cannot be used


def one_line(path: Path) -> str:
    with pytest.raises(InputError) as error:
        EennTable.load(path)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", [SPACE, NETWORKS, DESCRIPTION, LABELS, PIECE.format(1)])
def test_a_spoilt_file_is_named(path: Path, name: str) -> None:
    whole = (path / name).read_bytes()
    for spoilt in (whole[:-7], whole[:40] + bytes([whole[40] ^ 1]) + whole[41:], b""):
        (path / name).write_bytes(spoilt)
        assert f"{name} is damaged" in one_line(path)
    (path / name).unlink()
    assert f"it has no {name}" in one_line(path)


def test_what_is_no_table_is_said(path: Path, tmp_path: Path) -> None:
    assert "it is not a folder" in one_line(tmp_path / "nowhere")
    checksums = (path / CHECKSUMS).read_text()
    (path / CHECKSUMS).write_text("".join(line for line in checksums.splitlines(True) if NETWORKS not in line))
    assert f"does not list {NETWORKS}" in one_line(path)
    (path / CHECKSUMS).write_text(checksums.replace(f"  {NETWORKS}", f"  ../{NETWORKS}"))
    assert f"{CHECKSUMS} is damaged: " in one_line(path)
    (path / CHECKSUMS).unlink()
    assert f"it has no {CHECKSUMS}" in one_line(path)


def rewrite(path: Path, name: str, content: bytes) -> None:
    """With the checksum that belongs to it."""
    old, new = (f"{hashlib.sha256(c).hexdigest()}  {name}" for c in ((path / name).read_bytes(), content))
    (path / name).write_bytes(content)
    (path / CHECKSUMS).write_text((path / CHECKSUMS).read_text().replace(old, new))


def test_files_of_others_are_refused(path: Path) -> None:
    first, other = (path / PIECE.format(0)).read_bytes(), (path / PIECE.format(1)).read_bytes()
    assert len(first) != len(other)
    rewrite(path, PIECE.format(0), other)
    assert "is not a table: max_softmax.codes is uint8(" in one_line(path)
    rewrite(path, PIECE.format(0), b"not safetensors")
    assert "is not a table" in one_line(path)


@pytest.mark.parametrize("format", [0, 3, 1.5, "2", None, [2]])
def test_a_table_of_another_format_is_refused(path: Path, format: object) -> None:
    describe(path, format=format)
    assert f"is a table of format {format}; this package reads 1 and 2" in one_line(path)


def describe(path: Path, **changes: object) -> None:
    """Change values of `table.json`."""
    described = json.loads((path / DESCRIPTION).read_text())
    rewrite(path, DESCRIPTION, json.dumps({**described, **changes}).encode())


def read_rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((path / NETWORKS).read_text().splitlines()))


def rewrite_rows(path: Path, rows: Sequence[dict[str, str]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    rewrite(path, NETWORKS, text.getvalue().encode())


def test_a_table_of_several_fidelities_is_refused(path: Path, problem: Problem) -> None:
    other = Recipe(epochs=9).fidelity
    recipes = {fidelity_name(f): f for f in (problem.settings.recipe.fidelity, other)}
    describe(path, fidelities=recipes)
    assert "has trainings of 2 fidelities; this package reads tables of one" in one_line(path)
    describe(path, fidelities={fidelity_name(other): other})
    assert "has fidelity" in one_line(path)
    assert f"which {DESCRIPTION} does not have" in one_line(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": "1"}, "its architecture, seed, fidelity and passes have the id "),
        ({"origin": "nobody"}, "origin 'nobody'"),
        ({"round": "first"}, "invalid literal"),
    ],
)
def test_a_row_that_cannot_be_is_named(path: Path, changes: dict[str, str], message: str) -> None:
    first, *others = read_rows(path)
    rewrite_rows(path, [{**first, **changes}, *others])
    assert message in one_line(path)


@pytest.mark.parametrize("column", ["id", "seconds", "fidelity", *PLACE, *PROVENANCE])
def test_a_column_that_is_missing_is_named(path: Path, column: str) -> None:
    rewrite_rows(path, [{name: value for name, value in row.items() if name != column} for row in read_rows(path)])
    assert f"{NETWORKS} has no column {column}" in one_line(path)


def make_format_1(path: Path) -> None:
    """Rewrite a table as the package wrote it before it knew of several fidelities in a table."""
    newer = {"fidelity", "epochs", "image_passes", *PLACE, *PROVENANCE}
    rewrite_rows(path, [{name: value for name, value in row.items() if name not in newer} for row in read_rows(path)])
    described = json.loads((path / DESCRIPTION).read_text())
    (fidelity,) = described.pop("fidelities").values()
    described["samples"].pop("train")
    del described["splits"]
    rewrite(path, DESCRIPTION, json.dumps({**described, "format": 1, "fidelity": fidelity}).encode())


def test_a_table_of_format_1_loads_as_the_newer_one(path: Path, table: EennTable) -> None:
    make_format_1(path)
    older = EennTable.load(path)
    for name in ("space", "shape", "fidelity", "data"):
        assert getattr(older, name) == getattr(table, name)
    np.testing.assert_array_equal(older.trained, table.trained)
    assert [t.id for t in older.trainings] == [t.id for t in table.trainings]
    proposals = user_proposals(table.problem(Settings(), 0), table.space.architectures(table.trained), 0)
    for one, other in ((older.evaluate(proposals), table.evaluate(proposals)), (older.records(), table.records())):
        for a, b in zip(one, other, strict=True):
            assert (a.id, a.seconds) == (b.id, b.seconds)
            assert a.outputs is not None
            assert b.outputs is not None
            assert same(a.outputs, b.outputs)


def test_the_version_of_older_records_is_not_known(records: list[Record], problem: Problem, tmp_path: Path) -> None:
    older = [replace(r, provenance={"torch": "2.14"}) for r in records]
    [provenance] = {tuple(r.provenance.items()) for r in EennTable.load(written(older, problem, tmp_path)).records()}
    assert dict(provenance) == {
        **dict.fromkeys(PROVENANCE, ""),
        "data": "digits",
        "study": "study",
        "version": OLDER,
        "torch": "2.14",
    }


def test_a_table_of_a_space_that_cannot_be_enumerated(tmp_path: Path) -> None:
    space = SearchSpace(preset("compact"))
    problem = Problem(space, SHAPE, Settings(), seed=0)
    networks = space.sample(3, np.random.default_rng(0))
    table = EennTable.load(written([trained(p) for p in user_proposals(problem, networks, 0)], problem, tmp_path))
    assert space.architectures(table.trained) == networks
    assert [r.architecture for r in table.records()] == networks
    assert table.complete == 3 / space.size
    unknown = user_proposals(problem, space.sample(1, np.random.default_rng(1)), 0)
    with pytest.raises(InputError, match=f"is not in table 'compact', which has 3 of {space.size} networks"):
        table.evaluate(unknown)


def test_a_network_that_is_not_there_is_named(table: EennTable, architecture: Architecture) -> None:
    problem = table.problem(Settings(), 0)
    everything = table.space.genes.everything
    assert everything is not None
    there = {row.tobytes() for row in table.trained}
    others = np.array([row for row in everything if row.tobytes() not in there])
    (missing,) = user_proposals(problem, table.space.architectures(others[:1]), 0)
    with pytest.raises(InputError, match=f"{missing.architecture} is not in table 'user', which has 7 of 192 networks"):
        table.evaluate([missing])
    with pytest.raises(InputError, match=f"{architecture} is not in table"):
        table.evaluate(user_proposals(problem, [architecture], 0))


def test_what_a_table_cannot_tell_is_refused(table: EennTable, records: list[Record]) -> None:
    with pytest.raises(InputError, match="no scores of policy entropy; allowed: max_softmax, margin"):
        table.problem(Settings(policy="entropy"), 0)
    with pytest.raises(InputError, match="temperatures need logits, which a table does not have"):
        table.problem(Settings(temperature=True), 0)
    with pytest.raises(InputError, match=r"networks have fidelity .*, got \{\}"):
        table.evaluate([replace(records[0].proposal, fidelity="{}")])


# ---------------------------------------------------------------------- around it


def test_a_table_needs_no_torch(path: Path) -> None:
    program = f"import sys\nfrom surrogate_nas.search.tabular.table import EennTable\nEennTable.load({str(path)!r})\n"
    subprocess.run([sys.executable, "-c", program + "sys.exit('torch' in sys.modules)"], check=True, cwd=ROOT)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "error: the following arguments are required: study"),
        (["nowhere", "--table", "mnist"], "error: argument --table: invalid choice: 'mnist'"),
        (["nowhere"], "error: no study at nowhere; --data-root, "),
        (["nowhere", "--export", "table"], "error: no study at nowhere"),
        (["nowhere", "--export", "table", "--data-root", "."], "error: argument --data-root: not allowed with"),
    ],
)
def test_the_script_says_what_is_wrong(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        script(monkeypatch, *arguments)
    output = capsys.readouterr()
    assert ended.value.code == 2
    assert output.err.startswith(message)
    assert (output.err.count("\n"), output.out, list(tmp_path.iterdir())) == (1, "", [])


def test_the_script_exports_what_has_been_trained(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    study, other = str(tmp_path / "with-9" / "study"), tmp_path / "other"
    script(monkeypatch, study, "--export", str(other), "--complete")
    assert "7 of 192 networks, 9 trainings" in capsys.readouterr().err
    assert contents(other) == contents(path)


@needs_eenn_table
def test_the_script_trains_the_networks_of_the_shipped_table() -> None:
    table = EennTable.load(EENN_TABLE)
    plan = runpy.run_path(SCRIPT)["cifar10_trainings"](table.problem(Settings(), 0))
    assert [proposal.id for proposal in plan] == [training.id for training in table.trainings]


def test_the_script_trains_some_networks_of_a_large_space_three_times() -> None:
    made = runpy.run_path(SCRIPT)
    settings = Settings().updated({**made["FASHION_MNIST"], "sampling": "uniform"})
    plan = made["fashion_mnist_trainings"](Problem(SearchSpace(preset("compact")), ImageShape(1, 28, 10), settings, 0))
    trainings = [sum(p.architecture == one.architecture for p in plan) for one in plan[:60]]
    assert trainings == [3, 1, 1, 1, 1] * 12
    assert len({p.id for p in plan}) == len(plan) == 84


def test_scripts_read_a_table_as_the_study_that_it_was_made_of(
    original: Path, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts/bench/surrogates"))
    read = runpy.run_path(str(ROOT / "scripts/bench/surrogates/networks.py"))["trained_networks"]
    (one, of_study), (other, of_table) = read(original / "with-9" / "study"), read(original / "table")
    assert (one.space, one.shape, one.policy) == (other.space, other.shape, other.policy)
    thresholds = np.random.default_rng(0).random((50, problem.space.positions - 1))
    assert len(of_study) == len(of_table) == 9
    for (record, was), (back, now) in zip(of_study, of_table, strict=True):
        assert (back.id, back.proposal) == (record.id, record.proposal)
        assert np.abs(now.measure(thresholds).leaving - was.measure(thresholds).leaving).max() <= len(was.early) * MOST


def script(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", [SCRIPT, *arguments])
    runpy.run_path(SCRIPT, run_name="__main__")


@pytest.mark.parametrize("folder", TABLES, ids=lambda folder: folder.name)
def test_a_shipped_table_is_sound(folder: Path) -> None:
    table = EennTable.load(folder)
    assert len(np.unique(table.trained, axis=0)) == len(table.trained)
    assert len({t.id for t in table.trainings}) == len(table.trainings)
    rows = read_rows(folder)
    check_costs(rows, table.space, costing_for(table.space, table.shape, "all"))
    for row, record in zip(rows, table.records(), strict=True):
        assert (row["id"], int(row["seed"])) == (record.id, record.proposal.seed)
        assert record.outputs is not None
        for split in SPLITS:
            measured = [row[f"{split}_accuracy_{e + 1}"] for e in record.architecture.exit_positions]
            assert measured == [f"{share:.4f}" for share in record.outputs[split].right.mean(axis=1)]
