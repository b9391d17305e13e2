"""Archives of several machines in one: nothing is lost, nothing twice, and what does not compare is refused."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from surrogate_nas import InputError, JobError, Settings, Study
from surrogate_nas.archive.archive import SCHEMA_VERSION, Archive
from surrogate_nas.archive.outputs import same
from surrogate_nas.archive.record import GROUPS, Record
from surrogate_nas.foundation.lock import StudyLock
from surrogate_nas.search.proposals import initial_proposals
from surrogate_nas.study.merge import MERGED, Conflict, merge
from surrogate_nas.study.paths import ARCHIVE, CHECKPOINTS, SETTINGS
from surrogate_nas.study.warm_start import WARM_START, warm_start
from tests.conftest import USER_SPACE, Command
from tests.helpers import outputs as synthetic
from tests.helpers.outputs import SMALL_STUDY

pytestmark = pytest.mark.usefixtures("quick_fits")

HERE: dict[str, Any] = {**SMALL_STUDY, "workers": 0}
Copy = Callable[[Path], Study]


@pytest.fixture(scope="module")
def second_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another machine's study of the same seed: three networks of another stream, and a baseline."""
    study = Study.create(tmp_path_factory.mktemp("second") / "study", seed=3, stream=1, **HERE)
    study.collect(3)
    study.trainer.collect_baselines([study.records()[0].architecture])
    study.archive.close()
    return study.path


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """A study of one's own to change."""
    return lambda path: Study.open(shutil.copytree(path, tmp_path / f"copy{len(list(tmp_path.iterdir()))}"))


def everything(study: Study) -> dict[str, Record]:
    """All records with outputs, by id; where they came from left out."""
    records = [r for group in GROUPS for r in study.archive.records(group, outputs=True)]
    return {r.id: replace(r, provenance={k: v for k, v in r.provenance.items() if k != MERGED}) for r in records}


def assert_same(one: dict[str, Record], other: dict[str, Record]) -> None:
    np.testing.assert_equal({k: asdict(v) for k, v in one.items()}, {k: asdict(v) for k, v in other.items()})


def weights(study: Study) -> set[str]:
    return {path.name for path in (study.path / CHECKPOINTS).iterdir()}


def spoil(study: Study, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(study.path / ARCHIVE)) as connection, connection:
        connection.execute(statement, values)


def fail(study: Study, id: str) -> None:
    """Turn a training into one that crashed."""
    spoil(study, "DELETE FROM arrays WHERE id = ?", id)
    spoil(study, "UPDATE records SET failure_kind = 'crashed', failure_message = 'gone' WHERE id = ?", id)


def add_again(study: Study, record: Record) -> None:
    """In place of what is there."""
    for table in ("arrays", "records"):
        spoil(study, f"DELETE FROM {table} WHERE id = ?", record.id)
    study.archive.add(record)


# ---------------------------------------------------------------------- streams


def test_streams_of_one_seed_train_other_networks_on_the_same_splits(study_path: Path, second_path: Path) -> None:
    one, other = Study.open(study_path), Study.open(second_path)
    assert not {r.id for r in one.records()} & {r.id for r in other.records()}
    assert not {r.proposal.seed for r in one.records()} & {r.proposal.seed for r in other.records()}
    np.testing.assert_equal(asdict(one.splits()), asdict(other.splits()))


def test_the_first_stream_is_that_of_studies_without_one() -> None:
    plain, first, second = (synthetic.problem(7, **settings) for settings in ({}, {"stream": 0}, {"stream": 1}))
    seeds = [[p.seed_of(round, rank) for round in range(3) for rank in (None, 0, 1)] for p in (plain, first, second)]
    assert seeds[0] == seeds[1]
    assert not set(seeds[0]) & set(seeds[2])
    assert seeds[0][:2] == [int(np.random.SeedSequence([7, 0, k]).generate_state(1)[0] >> 1) for k in (0, 1)]


def test_the_command_keeps_the_stream(second_path: Path, tmp_path: Path, command: Command) -> None:
    path = tmp_path / "study"
    limits = ("--max-macs", "2e5", "--min-accuracy", "0.3")
    options = ("--epochs", 2, "--workers", 0, *limits, "--seed", 3, "--stream", 1)
    code, out, _ = command("collect", path, "--n", 1, *options, "--json")
    assert code == 0
    first = Study.open(second_path).records()[0].id
    assert [row["id"] for row in json.loads(out)] == [first]
    assert Study.open(path).settings.stream == 1


# ---------------------------------------------------------------------- laws


def test_the_archive_has_what_both_had_to_the_bit(copy: Copy, study_path: Path, second_path: Path) -> None:
    study, other = copy(study_path), Study.open(second_path)
    expected = {**everything(study), **everything(other)}
    (merged,) = merge(study.home, [second_path])
    assert_same(everything(study), expected)
    assert set(merged.added) == everything(other).keys()
    assert (merged.trained, merged.duplicates, merged.conflicts) == ((), (), ())
    assert study.archive.problems() == []
    assert weights(study) >= weights(other)
    for record in other.records():
        theirs, ours = other.network(record.id).state_dict(), study.network(record.id).state_dict()
        assert all(theirs[name].equal(ours[name]) for name in theirs)


def test_merging_again_or_a_study_into_itself_changes_nothing(copy: Copy, study_path: Path, second_path: Path) -> None:
    study = copy(study_path)
    merge(study.home, [second_path])
    before, files = everything(study), weights(study)
    for other in (second_path, study.path, study_path):
        (again,) = merge(study.home, [other])
        assert (again.added, again.trained, again.conflicts, again.weights) == ((), (), (), 0)
        assert set(again.duplicates) == everything(Study.open(other)).keys()
    assert_same(everything(study), before)
    assert weights(study) == files


def test_the_order_of_merging_does_not_matter(copy: Copy, study_path: Path, second_path: Path) -> None:
    third = copy(second_path)
    third.home.update({"stream": 2})
    third.trainer.collect_architectures([third.records()[0].architecture])
    one, other, reverse = copy(study_path), copy(study_path), copy(third.path)
    merge(one.home, [second_path, third.path])
    merge(other.home, [third.path])
    merge(other.home, [second_path])
    merge(reverse.home, [study_path])
    for study in (other, reverse):
        assert_same(everything(study), everything(one))
        assert [r.id for r in study.records()] == [r.id for r in one.records()]


@pytest.mark.parametrize("strategy", ["random", pytest.param("bayesian", marks=pytest.mark.slow)])
def test_a_search_goes_on_from_the_union_wherever_it_was_made(
    copy: Copy, study_path: Path, second_path: Path, strategy: str
) -> None:
    studies = [copy(study_path), copy(second_path)]
    merge(studies[0].home, [second_path])
    merge(studies[1].home, [study_path])
    new_records = []
    for study in studies:
        known, rounds = set(everything(study)), {r.proposal.round for r in study.records()}
        study.home.update({"strategy": strategy, "budget": 17, "stream": 0, "workers": 0})
        study.search(1)
        new = [r for r in study.records() if r.id not in known]
        assert [(r.proposal.round, r.proposal.origin) for r in new] == [(max(rounds) + 1, "search")] * 2
        assert not {str(r.architecture) for r in new} & {str(r.architecture) for r in study.records() if r.id in known}
        new_records.append({r.id: r for r in new})
    provenance = [{id: replace(r, seconds=0.0) for id, r in records.items()} for records in new_records]
    assert_same(*provenance)


def test_what_is_merged_counts_against_the_budget(copy: Copy, study_path: Path, second_path: Path) -> None:
    study = copy(study_path)
    study.home.update({"budget": 14})
    merge(study.home, [second_path])
    before = everything(study)
    assert {r.id for r in study.search()} <= before.keys()
    assert_same(everything(study), before)


def test_what_was_pending_here_and_trained_there_is_not_trained_again(copy: Copy, second_path: Path) -> None:
    study, other = copy(second_path), Study.open(second_path)
    (id, *_) = (r.id for r in other.records())
    spoil(study, "DELETE FROM arrays WHERE id = ?", id)
    spoil(study, "DELETE FROM records WHERE id = ?", id)
    assert [p.id for p in study.archive.pending()] == [id]
    assert merge(study.home, [second_path])[0].added == (id,)
    assert study.archive.pending() == []
    assert_same(everything(study), everything(other))


def test_machines_that_did_the_same_work_are_told_of_streams(
    copy: Copy, second_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    merge(copy(second_path).home, [second_path])
    assert "4 networks were trained in both studies with equal results; use another --stream" in capsys.readouterr().err


# ---------------------------------------------------------------------- the same training, otherwise


def test_a_training_that_measured_otherwise_is_said_and_the_own_one_stays(
    copy: Copy, second_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study, other = copy(second_path), copy(second_path)
    record = other.records()[0]
    assert record.outputs is not None
    assert record.outputs.tune.logits is not None
    tune = replace(record.outputs.tune, logits=record.outputs.tune.logits[..., ::-1].copy())
    add_again(other, replace(record, outputs=replace(record.outputs, tune=tune)))
    before = everything(study)
    (merged,) = merge(study.home, [other.path])
    (conflict,) = merged.conflicts
    assert isinstance(conflict, Conflict)
    assert conflict.id == record.id
    both_outputs = [s.archive.outputs(record.id).tune for s in (study, other)]
    assert [conflict.here, conflict.there] == [float(outputs.right[-1].mean()) for outputs in both_outputs]
    assert_same(everything(study), before)
    assert (
        f"warning: 1 networks were trained in both studies with the same seed but different "
        f"results, as on other hardware; the records of {study.path} are kept: {record.id}" in capsys.readouterr().err
    )


def test_a_failure_gives_way_to_a_training_and_never_the_other_way(copy: Copy, second_path: Path) -> None:
    whole, broken = copy(second_path), copy(second_path)
    id = whole.records()[1].id
    fail(broken, id)
    (merged,) = merge(whole.home, [broken.path])
    assert set(merged.duplicates) == everything(whole).keys()
    assert whole.archive.find(id).failure is None
    (merged,) = merge(broken.home, [whole.path])
    assert merged.trained == (id,)
    assert_same(everything(broken), everything(whole))
    came = broken.archive.find(id).provenance[MERGED]
    assert [hop["study"] for hop in came] == [str(whole.path)]


def test_failures_are_merged_as_well(copy: Copy, study_path: Path, second_path: Path) -> None:
    study, other = copy(study_path), copy(second_path)
    id = other.records()[1].id
    fail(other, id)
    assert id in merge(study.home, [other.path])[0].added
    assert study.archive.find(id).failure is not None
    assert study.home.retry([id]) == [id]


# ---------------------------------------------------------------------- where records come from


def test_a_record_tells_every_study_that_it_came_through(copy: Copy, study_path: Path, second_path: Path) -> None:
    middle, last, other = copy(study_path), copy(study_path), Study.open(second_path)
    own = middle.records()[0]
    merge(middle.home, [second_path])
    merge(last.home, [middle.path])
    record = other.records()[2]
    hops = last.archive.find(record.id).provenance[MERGED]
    assert [hop["study"] for hop in hops] == [str(second_path), str(middle.path)]
    header = other.archive.header
    expected = {
        "seed": 3,
        "data": "digits",
        "fingerprint": header.fingerprint,
        "record": record.id,
        "round": record.proposal.round,
        "rank": record.proposal.rank,
    }
    assert expected.items() <= hops[0].items()
    assert MERGED not in last.archive.find(own.id).provenance


@pytest.mark.parametrize("keep", ["front", "none"])
def test_only_weights_that_the_settings_keep_stay(copy: Copy, study_path: Path, second_path: Path, keep: str) -> None:
    study, whole = copy(study_path), copy(study_path)
    study.home.update({"keep": keep})
    merge(study.home, [second_path])
    merge(whole.home, [second_path])
    whole.home.update({"keep": keep})
    theirs = {f"{r.id}.safetensors" for r in everything(Study.open(second_path)).values()}
    assert weights(study) & theirs == weights(whole) & theirs
    assert (keep == "none") == (weights(study) == set())


def test_settings_and_archive_are_enough(copy: Copy, study_path: Path, second_path: Path, tmp_path: Path) -> None:
    (bare := tmp_path / "bare").mkdir()
    for name in (ARCHIVE, SETTINGS):
        shutil.copy(second_path / name, bare)
    study = copy(study_path)
    (merged,) = merge(study.home, [bare])
    assert set(merged.added) == everything(Study.open(second_path)).keys()
    assert merged.weights == 0
    assert {p.name for p in bare.iterdir() if "-" not in p.name} == {ARCHIVE, SETTINGS}


# ---------------------------------------------------------------------- other commands, and kills


def test_the_other_study_may_be_at_work_and_is_only_read(copy: Copy, study_path: Path, second_path: Path) -> None:
    study, other = copy(study_path), copy(second_path)
    with StudyLock(other.path).hold(), closing(sqlite3.connect(other.path / ARCHIVE, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM arrays")
        before = everything(Study.open(second_path))
        merge(study.home, [other.path])
        writer.execute("ROLLBACK")
    assert before.keys() <= everything(study).keys()
    assert_same(everything(other), before)


def test_a_study_at_work_is_not_merged_into(copy: Copy, second_path: Path) -> None:
    study = copy(second_path)
    with StudyLock(study.path).hold(), pytest.raises(InputError, match="another command is working on study"):
        merge(Study.open(study.path).home, [second_path])


KILLED = """
import os, signal, sys
from itertools import count
from pathlib import Path
from surrogate_nas.study import merge
from surrogate_nas.archive.archive import Archive
from surrogate_nas.study.home import Home

def killed_at(function, n):
    calls = count(1)
    def instead(*args):
        if next(calls) == n:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args)
    return instead

study, other, place, n = sys.argv[1:]
home = {"copyfile": merge.shutil, "_insert": Archive, "prune": Home}[place]
setattr(home, place, killed_at(getattr(home, place), int(n)))
merge.merge(Home.open(Path(study)), [Path(other)])
"""


SLOW = [pytest.param("copyfile", 2, marks=pytest.mark.slow), pytest.param("prune", 1, marks=pytest.mark.slow)]


@pytest.mark.parametrize(("place", "n"), [("_insert", 3), *SLOW])
def test_killed_anywhere_and_done_again_is_as_done_once(
    copy: Copy, study_path: Path, second_path: Path, place: str, n: int
) -> None:
    study, once = copy(study_path), copy(study_path)
    before = everything(study)
    study.archive.close()
    words = [sys.executable, "-c", KILLED, str(study.path), str(second_path), place, str(n)]
    ended = subprocess.run(words, env=os.environ, capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    study = Study.open(study.path)
    assert study.archive.problems() == []
    merge(once.home, [second_path])
    assert_same(everything(study), everything(once) if place == "prune" else before)
    merge(study.home, [second_path])
    assert_same(everything(study), everything(once))
    assert weights(study) == weights(once)


# ---------------------------------------------------------------------- what is refused


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory, second_path: Path) -> dict[str, Path]:
    """Studies that differ from the second in one thing each."""
    folder = tmp_path_factory.mktemp("strangers")
    space = folder / "space.yaml"
    space.write_text(yaml.safe_dump(USER_SPACE))
    data = Study.open(second_path).images.dataset
    train = replace(data.train, images=255 - data.train.images)
    settings_by_name: dict[str, dict[str, Any]] = {
        "seed": {"seed": 4},
        "space": {"space": space},
        "data": {"data": replace(data, train=train, name="negative")},
        "recipe": {"recipe": {"epochs": 1}},
        "flips": {"flips": True},
    }
    for name, settings in settings_by_name.items():
        study = Study.create(folder / name, **{"seed": 3, "stream": 1, **HERE, **settings})
        if name == "recipe":
            study.collect(1)
        study.archive.close()
    return {name: folder / name for name in settings_by_name}


REFUSED = {
    "seed": r"differ in splits, .*: seed 4, shares 0.3 for tune and 0.2 for test instead of seed 3, shares",
    "space": r"differ in space, .*: user instead of tiny",
    "data": r"differ in data, .*: negative \(fingerprint \w{12}\) instead of digits \(fingerprint \w{12}\)",
    "recipe": r'differ in recipe, .*"epochs":1,.* instead of .*"epochs":2,',
    "flips": r"differ in settings for mirrored images, .*: True instead of False",
}


@pytest.mark.parametrize("what", REFUSED)
def test_outputs_that_do_not_compare_are_refused(
    copy: Copy, second_path: Path, study_path: Path, strangers: dict[str, Path], what: str
) -> None:
    study = copy(second_path)
    before = everything(study)
    with pytest.raises(InputError, match=f"{strangers[what]} and .* {REFUSED[what]}.*--warm-start"):
        merge(study.home, [study_path, strangers[what]])
    assert_same(everything(study), before)


def test_labels_of_other_images_are_refused(copy: Copy, study_path: Path, second_path: Path) -> None:
    """Another version of the library that cuts data may give such labels."""
    study, other = copy(study_path), copy(second_path)
    record = other.records()[0]
    assert record.outputs is not None
    tune = replace(record.outputs.tune, labels=record.outputs.tune.labels[::-1].copy())
    add_again(other, replace(record, outputs=replace(record.outputs, tune=tune)))
    before = everything(study)
    with pytest.raises(InputError, match=f"record {record.id} of .* was measured on other held-out images"):
        merge(study.home, [other.path])
    assert_same(everything(study), before)


def test_a_damaged_archive_is_refused(copy: Copy, study_path: Path, second_path: Path) -> None:
    study, other = copy(study_path), copy(second_path)
    spoil(other, "UPDATE arrays SET data = ? WHERE id = ?", b"nothing", other.records()[0].id)
    before = everything(study)
    with pytest.raises(InputError, match=rf"the archive of {other.path} has 1 problems, the first: record"):
        merge(study.home, [other.path])
    assert_same(everything(study), before)


# ---------------------------------------------------------------------- warm start


@pytest.fixture
def fresh(tmp_path: Path) -> Study:
    """A study of other splits, in which nothing has been trained."""
    return Study.create(tmp_path / "fresh", seed=11, **{**HERE, "recipe": {"epochs": 1}})


def test_a_front_is_trained_here_first(fresh: Study, study_path: Path) -> None:
    front = {s.record.architecture: s.record for s in reversed(Study.open(study_path).front())}
    proposals = warm_start(fresh.home, [study_path])
    assert {p.architecture for p in proposals} == front.keys()
    assert fresh.archive.pending() == proposals
    assert {(p.origin, p.round, p.fidelity) for p in proposals} == {("user", 0, fresh.settings.recipe.fidelity)}
    for p in proposals:
        assert p.prediction is not None
        came = p.prediction[WARM_START]
        assert (came["study"], came["seed"], came["record"]) == (str(study_path), 3, front[p.architecture].id)
    trained = fresh.trainer.finish_pending()
    assert [r.proposal for r in trained] == proposals
    new = initial_proposals(fresh.home.problem, 5, fresh.archive.proposals(), 1)
    assert not {p.architecture for p in new} & front.keys()


def test_fewer_are_evenly_along_the_front_and_asking_again_adds_nothing(
    fresh: Study, study_path: Path, tmp_path: Path
) -> None:
    source = shutil.copytree(study_path, tmp_path / "source")
    Study.open(source).collect(4)  # more architectures on the front than two
    every = list(dict.fromkeys(s.record.architecture for s in Study.open(source).front()))
    assert len(every) > 2
    some = warm_start(fresh.home, [source], 2)
    assert [p.architecture for p in some] == [every[0], every[-1]]
    assert warm_start(fresh.home, [source], 2) == []
    assert {p.architecture for p in warm_start(fresh.home, [source])} == set(every[1:-1])


def test_what_cannot_keep_the_limits_is_not_proposed(
    fresh: Study, study_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fresh.home.update({"limits": {"max_macs": 20_000}})
    before = fresh.archive.proposals()
    some, every = warm_start(fresh.home, [study_path]), {s.record.id for s in Study.open(study_path).front()}
    assert len(before) == 0
    assert len(some) < len(every)
    assert "cannot keep the limits and are left out: expected MACs ≤ 20,000, accuracy ≥ 0.3" in capsys.readouterr().err


def test_architectures_of_another_space_are_counted_and_refused(
    strangers: dict[str, Path], study_path: Path, tmp_path: Path
) -> None:
    study = Study.open(shutil.copytree(strangers["space"], tmp_path / "study"))
    with pytest.raises(InputError, match=r"(\d+) of \1 networks on the front of .*'tiny', are not in space 'user' of"):
        warm_start(study.home, [study_path])
    assert study.archive.proposals() == []


def test_two_fronts_are_taken_together_or_not_at_all(fresh: Study, study_path: Path, second_path: Path) -> None:
    with pytest.raises(InputError, match="no study at"):
        warm_start(fresh.home, [study_path, fresh.path / "nowhere"])
    assert fresh.archive.proposals() == []
    fronts = [{s.record.architecture for s in Study.open(path).front()} for path in (study_path, second_path)]
    assert {p.architecture for p in warm_start(fresh.home, [study_path, second_path])} == fronts[0] | fronts[1]


def test_a_study_without_a_front_gives_none(fresh: Study, copy: Copy, study_path: Path) -> None:
    other = copy(study_path)
    other.home.update({"limits": {"min_accuracy": 1.0}})
    with pytest.raises(JobError, match="keeps expected MACs ≤ 200,000, accuracy ≥ 1: there is no front"):
        warm_start(fresh.home, [other.path])


# ---------------------------------------------------------------------- the command


def test_the_command_merges_and_says_what_came_from_where(
    copy: Copy, study_path: Path, second_path: Path, command: Command
) -> None:
    study = copy(study_path)
    code, out, err = command("archive", "merge", study.path, second_path, study_path, "--json")
    document = json.loads(out)
    assert code == 0
    assert (document["records"], document["budget"]) == (15, 12)
    added, none = document["merged"]
    assert (len(added["added"]), len(added["duplicates"]), added["weights_kept"]) == (4, 0, 4)
    assert (len(none["added"]), len(none["duplicates"])) == (0, 12)
    assert f"4 of 4 records of {second_path} stored" in err
    code, out, err = command("archive", "show", study.path, added["added"][0])
    assert json.loads(out)["provenance"][MERGED][0]["study"] == str(second_path)
    code, out, err = command("archive", "merge", study.path, second_path)
    assert (code, "The budget of 12 trainings is spent" in out) == (0, True)
    assert "trained in both" not in err


def test_the_command_warm_starts(fresh: Study, study_path: Path, command: Command) -> None:
    code, out, _ = command("archive", "merge", fresh.path, study_path, "--warm-start", "--n", 2, "--json")
    rows = json.loads(out)
    assert code == 0
    assert [row["id"] for row in rows] == [p.id for p in fresh.archive.pending()]
    assert {row["from_study"] for row in rows} == {str(study_path)}
    code, out, _ = command("archive", "merge", fresh.path, study_path, "--warm-start", "--n", 2)
    assert (code, out) == (0, "There is no new network to train.\n")


BAD = {
    "STUDY nowhere": "no study at nowhere",
    "STUDY": "Missing argument 'OTHER...'",
    "nowhere STUDY": "no study at nowhere",
    "STUDY STUDY --n 3": "--n 3 needs --warm-start",
    "STUDY STUDY --warm-start --n 0": "n 0 is not a positive integer",
}


@pytest.mark.parametrize("words", BAD)
def test_bad_words_are_one_line(words: str, study_path: Path, command: Command) -> None:
    code, out, err = command("archive", "merge", *(study_path if w == "STUDY" else w for w in words.split()))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert BAD[words] in err


@pytest.mark.parametrize("stream", [-1, 2**32])
def test_a_stream_is_a_number_of_32_bits(stream: int) -> None:
    with pytest.raises(InputError, match=f"stream: .*got {stream}"):
        Settings().updated({"stream": stream})


def test_older_readers_read_merged_archives(copy: Copy, study_path: Path, second_path: Path) -> None:
    """Where records come from is a name among others in their provenance: the schema is as it was."""
    study = copy(study_path)
    with closing(sqlite3.connect(study.path / ARCHIVE)) as connection:
        before = connection.execute("SELECT sql FROM sqlite_master").fetchall()
    merge(study.home, [second_path])
    with closing(sqlite3.connect(study.path / ARCHIVE)) as connection:
        assert connection.execute("SELECT sql FROM sqlite_master").fetchall() == before
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)


def test_the_same_outputs_are_the_same_to_the_bit(second_path: Path) -> None:
    with closing(Archive.open(second_path / ARCHIVE)) as archive:
        one, other = (archive.outputs(r.id) for r in archive.records()[:2])
        assert same(one, one)
        assert not same(one, other)
        assert one.test.logits is not None
        moved = one.test.logits.copy()
        moved[0, 0, 0] = np.nextafter(moved[0, 0, 0], np.float16(np.inf))
        assert not same(one, replace(one, test=replace(one.test, logits=moved)))
