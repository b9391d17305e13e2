"""A study with a ladder: rungs are reached one after the other, and compared with their own kind."""

import csv
import json
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from surrogate_nas.api import Study
from surrogate_nas.archive.ladder import Ladder
from surrogate_nas.archive.record import Record
from surrogate_nas.exits.limits import Limits
from surrogate_nas.foundation.errors import InputError, JobError
from surrogate_nas.serve.pages import networks_page, what_if_page
from surrogate_nas.serve.snapshot import Snapshot
from surrogate_nas.study.paths import CHECKPOINTS, TRUNK
from tests.conftest import Command

pytestmark = pytest.mark.usefixtures("quick_fits")

FIELDS: dict[str, Any] = {
    "data": "digits",
    "space": "tiny",
    "ladder": "1:3:9",
    "recipe": {"epochs": 3, "batch_size": 32},
    "budget": 12,
    "initial": 6,
    "surrogate": "gp",
    "workers": 0,
    "keep": "all",
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six networks at the first rung, of which five are at the second and two at the top."""
    with Study.create(tmp_path_factory.mktemp("rungs") / "study", **FIELDS) as study:
        first = study.collect(6)
        second = study.promote(first[:5])
        study.promote(second[1:3])
        study.fit()
        return study.path


@pytest.fixture
def study(original: Path, tmp_path: Path) -> Study:
    return Study.open(shutil.copytree(original, tmp_path / "study"))


def ladder_of(study: Study) -> Ladder:
    ladder = study.archive.header.ladder
    assert ladder is not None
    return ladder


def at(study: Study, rung: int) -> list[Record]:
    passes = ladder_of(study).passes(rung)
    return [r for r in study.archive.studied() if r.proposal.passes == passes]


def figures(study: Study) -> list[tuple[str, bytes]]:
    """All that was measured, whatever it was measured after."""
    views = study.solutions.views
    records = sorted(study.archive.studied(), key=lambda r: r.id)
    return [(r.id, np.asarray(views.outputs(r).tune.logits).tobytes()) for r in records]


def test_networks_of_a_rung_are_compared_with_each_other(study: Study) -> None:
    assert [len(at(study, rung)) for rung in (1, 2, 3)] == [6, 5, 2]
    passes = ladder_of(study).rungs
    for rung in (1, 2, 3):
        assert {s.record.proposal.passes for s in study.front(rung=rung)} == {passes[rung - 1]}
    assert study.front() == study.front(rung=3)  # the highest that a network was trained to
    assert {r.id for r in study.records()} == {r.id for r in at(study, 3)}
    assert len(study.hypervolume()) == 2
    assert study.status().rungs == {ladder_of(study).name(p): n for p, n in zip(passes, (6, 5, 2), strict=True)}
    assert study.status().trainings == 6  # what is promoted does not count against the budget


def test_rungs_of_a_training_have_its_seed_and_its_name(study: Study) -> None:
    trainings = {r.proposal.training: r for r in at(study, 1)}
    for rung in (2, 3):
        for record in at(study, rung):
            first = trainings[record.proposal.training]
            assert (first.architecture, first.proposal.seed) == (record.architecture, record.proposal.seed)
            assert record.proposal.origin == "promoted"
            assert record.provenance["image_passes"] < record.proposal.passes  # type: ignore[operator]


def test_a_rung_is_as_if_it_had_been_trained_alone(study: Study, tmp_path: Path) -> None:
    with Study.create(tmp_path / "top", **FIELDS, rung=3) as other:
        direct = {r.id: r for r in other.collect(6)}
        for record in at(study, 3):
            own, its = study.solutions.views.outputs(record), other.solutions.views.outputs(direct[record.id])
            assert own.tune.logits is not None
            assert its.tune.logits is not None
            np.testing.assert_array_equal(own.tune.logits, its.tune.logits)


def test_a_study_that_was_interrupted_ends_with_the_same_figures(
    original: Path, study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Study.create(tmp_path / "broken", **FIELDS) as other:
        first = other.collect(6)
        monkeypatch.setattr(other.trainer, "on_record", lambda record: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            other.promote(first[:5])
        monkeypatch.undo()
        assert len(other.archive.pending("promoted")) == 4
    with Study.open(tmp_path / "broken") as other:
        other.trainer.finish_pending()
        other.promote(at(other, 2)[1:3])
        assert figures(other) == figures(study)


def test_what_trainings_go_on_from_is_kept_until_the_top(study: Study) -> None:
    trunks = {path.stem for path in (study.path / CHECKPOINTS).glob(f"*{TRUNK}")}
    ended = {r.proposal.training for r in at(study, 3)}
    assert trunks == {r.proposal.training for r in at(study, 1)} - ended
    study.update(keep="none")
    assert {path.stem for path in (study.path / CHECKPOINTS).glob(f"*{TRUNK}")} == trunks


def test_without_what_it_goes_on_from_a_training_has_the_same_outputs(study: Study, original: Path) -> None:
    for path in (study.path / CHECKPOINTS).glob(f"*{TRUNK}"):
        path.unlink()
    record = at(study, 2)[0]
    expected = shutil.copytree(original, study.path.parent / "again")
    (lost,) = study.promote(record)
    with Study.open(expected) as other:
        (kept,) = other.promote(record)
    assert lost.outputs is not None
    assert kept.outputs is not None
    np.testing.assert_array_equal(lost.outputs.test.right, kept.outputs.test.right)
    assert lost.provenance["image_passes"] > kept.provenance["image_passes"]


def test_finalize_goes_on_to_the_top_with_the_trainings_that_there_are(study: Study) -> None:
    before = {r.id for r in study.archive.studied()}
    (network,) = {at(study, 2)[3].id}
    finals = study.finalize(network, seeds=2)
    (final,) = finals
    assert len(final.solutions) == 2
    top = ladder_of(study).top
    assert {s.record.proposal.passes for s in final.solutions} == {top}
    trainings = {s.record.proposal.training for s in final.solutions}
    assert at(study, 2)[3].proposal.training in trainings
    assert final.low is not None
    assert final.low.record.proposal.passes == ladder_of(study).rungs[0]
    assert study.archive.records("final") == []
    assert len({r.id for r in study.archive.studied()} - before) == 2
    ids = {r.id for r in study.archive.studied()}
    study.finalize(network, seeds=2)  # again: nothing is repeated
    assert {r.id for r in study.archive.studied()} == ids
    with pytest.raises(InputError, match="finalize trains to the top rung of the ladder"):
        study.finalize(network, recipe=study.settings.recipe)


def test_merged_studies_have_the_figures_of_one(study: Study, tmp_path: Path) -> None:
    with Study.create(tmp_path / "a", **FIELDS) as one:
        first = one.collect(6)
        one.promote(first[:2])
    with Study.create(tmp_path / "b", **FIELDS, stream=0) as other:
        others = other.collect(6)
        other.promote(other.promote(others[1:5])[:2])
        other.merge(one.path)
        assert figures(other) == figures(study)
        trunks = {path.stem for path in (other.path / CHECKPOINTS).glob(f"*{TRUNK}")}
        ended = {r.proposal.training for r in at(other, 3)}
        assert trunks == {r.proposal.training for r in at(other, 1)} - ended


def test_studies_of_other_ladders_are_not_merged(study: Study, tmp_path: Path) -> None:
    for name, ladder in (("other", "1:9"), ("none", None)):
        Study.create(tmp_path / name, **{**FIELDS, "ladder": ladder}).close()
        with pytest.raises(InputError, match="differ in ladder"):
            study.merge(tmp_path / name)


def test_predictions_are_of_the_rung_that_is_named(study: Study) -> None:
    ladder = ladder_of(study)
    assert ladder is not None
    networks = [r.architecture for r in at(study, 1)]
    for rung, trained in ((1, 6), (2, 5), (3, 2)):
        answers = study.query(networks, rung=rung)
        assert {a.passes for a in answers} == {ladder.passes(rung)}
        assert sum(len(a.trained) for a in answers) == trained
        assert sum(len(a.going_on or ()) for a in answers) == 6 - trained
    assert {a.passes for a in study.query(networks)} == {ladder.top}
    assert {a.passes for a in study.best(2, rung=2)} == {ladder.rungs[1]}


def test_a_rung_that_nobody_was_trained_to_is_a_caution(tmp_path: Path) -> None:
    with Study.create(tmp_path / "low", **FIELDS) as study:
        first = study.collect(6)
        (answer,) = study.query(first[0])
        assert "no network was trained to rung 3 of 3" in answer.cautions[-1]
        (answer,) = study.query(first[0], rung=1)
        assert answer.cautions == []


def test_the_search_is_at_the_rung_of_new_networks(study: Study) -> None:
    study.update(budget=8, batch=1)
    study.search()
    assert [r.proposal.origin for r in at(study, 1)] == ["initial"] * 6 + ["search"] * 2
    study.update(rung=2, budget=9)
    study.search()
    assert [r.proposal.origin for r in at(study, 2)].count("search") == 1


def test_verification_and_baselines_are_at_the_rung_of_the_front(study: Study) -> None:
    (v, *_) = study.verify(study.front()[-1], seeds=2)
    assert {c.solution.record.proposal.passes for c in v.claims} == {ladder_of(study).top}
    assert {s.record.proposal.passes for c in v.claims for s in c.again} == {ladder_of(study).top}
    baselines = study.baselines()
    assert {r.proposal.passes for r in baselines} == {ladder_of(study).top}
    page = study.report().read_text(encoding="utf-8")
    assert "The front at rung 3 of 3" in page


BAD: dict[str, str] = {
    "run NEW --ladder 1:3:x": "--ladder 1:3:x: 'x' is not a number",
    "run NEW --ladder 5,6": "allowed: at least two, ascending, the first at least 5 steps of 64 images",
    "run NEW --rung 2": "--rung 2 needs a study with a ladder, which is created with --ladder",
    "run NEW --ladder 1:3 --rung 3": "--rung 3 is not on the ladder; allowed: 1 to 2",
    "run STUDY --ladder 1:9": "got --ladder 1:9; another ladder needs a new study",
    "run STUDY --epochs 5": "--epochs 5 has no effect on a ladder",
    "promote STUDY TOP": "was trained to rung 3 of 3 (3.01k passes); allowed: a rung above it",
    "promote STUDY TOP --rung 4": "--rung 4 is not on the ladder; allowed: 1 to 3",
    "promote STUDY nobody": "0 records have an id that starts with 'nobody'",
    "query STUDY --sample 2 --rung 9": "--rung 9 is not on the ladder; allowed: 1 to 3",
    "finalize STUDY --epochs 3": "it takes no other recipe",
    "collect PLAIN --n 1 --rung 2": "--rung 2 needs a study with a ladder",
    "promote PLAIN FIRST": "has no ladder, so that no network can be promoted",
    "collect PLAIN --n 1 --ladder 1:3": "has no ladder, got --ladder 1:3; a ladder needs a new study",
}


@pytest.mark.parametrize("words", BAD)
def test_bad_input_is_one_line_that_names_it(
    words: str, study: Study, study_path: Path, tmp_path: Path, command: Command
) -> None:
    with Study.open(study_path) as plain:
        first = plain.archive.records()[0].id
    names = {
        "NEW": tmp_path / "new",
        "STUDY": study.path,
        "PLAIN": study_path,
        "TOP": at(study, 3)[0].id,
        "FIRST": first,
    }
    code, out, err = command(*[names.get(word, word) for word in words.split()])
    assert (code, out) == (2, "")
    (line,) = [text for text in err.splitlines() if text.startswith("error: ")]
    assert BAD[words] in line
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"recipe": {"schedule": "cosine"}}, "schedule cosine cannot be used on a ladder"),
        ({"recipe": {"optimizer": "adamw"}}, "a ladder needs optimizer sgd"),
        ({"recipe": {"momentum": 0.5}}, "momentum 0.5 cannot be used on a ladder"),
        ({"recipe": {"ema": 0.9}}, "ema 0.9 cannot be used on a ladder"),
        ({"final": {"epochs": 9}}, "a final recipe cannot be used on a ladder"),
        ({"recipe": {"loss": {"kind": "nachos", "max_macs": 1e5}}}, "loss nachos has phases"),
    ],
)
def test_what_a_ladder_does_not_go_with_is_said_before_anything_is_written(
    fields: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises((InputError, JobError), match=message):
        Study.create(tmp_path / "new", **{**FIELDS, **fields})
    assert not (tmp_path / "new").exists()


def test_commands_name_the_rung(study: Study, command: Command) -> None:
    id = at(study, 2)[0].id
    rows = json.loads(command("archive", "list", study.path, "--json")[1])
    assert sorted(row["passes"] for row in rows) == sorted(r.proposal.passes or 0 for r in study.archive.studied())
    assert "at 992 image passes" in command("tune", study.path, id)[1]
    document = json.loads(command("archive", "show", study.path, id, "--json")[1])
    assert document["passes"] == 992
    assert document["training"] == at(study, 2)[0].proposal.training
    answers = json.loads(command("query", study.path, "--sample", 2, "--json")[1])
    assert {answer["passes"] for answer in answers} == {ladder_of(study).top}
    assert re.search(r"rung 1 of 3 \(320 passes\) +6 ", command("status", study.path)[1])
    alone = at(study, 1)[5].id
    preview = json.loads(command("promote", study.path, alone, "--dry-run", "--json")[1])
    assert (preview["trainings"], preview["passes"]) == (1, 992)
    assert len(at(study, 2)) == 5
    code, out, _ = command("promote", study.path, alone, "--json")
    assert code == 0
    assert [row["passes"] for row in json.loads(out)] == [992]


def test_the_archive_of_a_ladder_is_refused_by_older_versions(study: Study) -> None:
    with closing(sqlite3.connect(study.path / "archive.sqlite")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] >= 7


def test_limits_hold_at_every_rung(study: Study) -> None:
    study.update(limits=Limits(max_macs=4e4))
    for rung in (1, 2, 3):
        assert all(s.tune.expected_macs <= 4e4 for s in study.front(rung=rung))


def test_a_page_a_table_and_an_export_say_how_far_networks_were_trained(study: Study) -> None:
    page = study.report().read_text(encoding="utf-8")
    top = ladder_of(study).top
    assert "The front at rung 3 of 3" in page
    rows = list(csv.DictReader((study.path / "front.csv").read_text(encoding="utf-8").splitlines()))
    assert {row["passes"] for row in rows} == {str(top)}
    pytest.importorskip("onnxruntime")
    export = study.export(study.front()[-1], limits=Limits())
    manifest = json.loads((export.folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["training"]["passes"] == top
    assert f", {top:,} image passes." in (export.folder / "README.md").read_text(encoding="utf-8")


def test_the_server_shows_one_rung(study: Study) -> None:
    top = ladder_of(study).top
    snapshot = Snapshot.of(study.path)
    assert {r.proposal.passes for r in snapshot.records} == {top}
    (answer,) = snapshot.query([str(at(study, 1)[0].architecture)], None, None)
    assert answer["passes"] == top
    for page in (networks_page(snapshot), what_if_page(snapshot)):
        assert "All figures are of rung 3 of 3" in page
