"""A study that is searched by time: the ladder it gets, the time that counts, and that nothing is lost."""

import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from surrogate_nas.api import Study
from surrogate_nas.archive import ladder as ladders
from surrogate_nas.archive.ladder import AUTO_RATIOS, usual_top
from surrogate_nas.archive.record import STUDIED, Proposal
from surrogate_nas.foundation.errors import InputError, JobError
from surrogate_nas.foundation.progress import Bar
from surrogate_nas.search.strategy import History
from surrogate_nas.search.timed.seconds import TrainingSeconds
from surrogate_nas.serve.live import Live
from surrogate_nas.serve.pages import state_document
from surrogate_nas.study import estimate, timed, trainings
from surrogate_nas.study.estimate import sampled_work
from surrogate_nas.study.paths import REPORT, TIME
from surrogate_nas.study.time_plan import Stopwatch, TimePlan
from tests.conftest import Command
from tests.helpers.constants import patched

pytestmark = pytest.mark.usefixtures("quick_fits")
FIELDS: dict[str, Any] = {
    "data": "digits",
    "space": "tiny",
    "ladder": "1:3:9",
    "recipe": {"epochs": 3, "batch_size": 32},
    "surrogate": "gp",
    "workers": 0,
    "limits": {"max_macs": 2e5},
}
SECONDS = 16.0


@pytest.fixture(scope="module", autouse=True)
def at_once() -> Iterator[None]:
    """Trainings start at once, in this process, and there is one report."""
    with patched({estimate: {"START": 0}, timed: {"TRIAL_REPORT": 2}}):
        yield


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that has spent its time."""
    fields = {**FIELDS, "ladder": [160, 480, 1_440]}  # the top is near, and stays there, however slow the machine is
    folder = tmp_path_factory.mktemp("timed") / "study"
    with patched({timed: {"ENOUGH": 0}}), Study.create(folder, **fields) as study:
        start = time.monotonic()
        study.run(time=SECONDS)
        assert time.monotonic() - start < 2 * SECONDS  # the tests' machine may be busy; scripts measure the rest
        return study.path


@pytest.fixture
def study(original: Path, tmp_path: Path) -> Study:
    return Study.open(shutil.copytree(original, tmp_path / "study"))


def decisions(study: Study) -> list[Proposal]:
    return [p for group in STUDIED for p in study.archive.proposals(group)]


def test_it_trains_to_the_top_in_its_time_and_writes_the_report(study: Study) -> None:
    plan, ladder = TimePlan.read(study.path), study.archive.header.ladder
    assert plan is not None
    assert ladder is not None
    assert plan.granted == SECONDS
    assert SECONDS / 2 < plan.spent < 2 * SECONDS
    assert any(r.proposal.passes == ladder.top for r in study.archive.studied())
    assert (study.path / REPORT).is_file()
    assert study.front()
    for proposal in decisions(study):
        assert proposal.prediction is not None
        assert proposal.prediction["seconds"] > 0


def test_the_status_tells_the_plan(study: Study, command: Command) -> None:
    status = study.status()
    assert status.time is not None
    assert status.time.top == 3
    assert len(status.time.planned) == 3
    assert [*status.accuracy] == [*status.rungs]
    code, out, _ = command("status", study.path)
    assert code == 0
    assert "Accuracy by rung: " in out
    assert "time: " in out
    assert "best on tune" in out
    live = Live(study.path)
    try:
        assert state_document(live)["time"].startswith("Time: ")
    finally:
        live.close()


def test_more_time_goes_on_and_none_is_refused(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    before = decisions(study)
    watch = Stopwatch(study.path, 0.0)
    watch.granted = watch.spent
    watch.note()
    with pytest.raises(InputError, match=r"has spent all of its .*; give it more, such as --time 10m"):
        study.run()
    study.run(time="6s")
    assert {p.id for p in before} <= {p.id for p in decisions(study)}
    assert len(decisions(study)) > len(before)
    with Study.open(study.path) as again:
        assert TimePlan.read(again.path) is not None


@pytest.mark.parametrize("wrong", ["soon", "", -1, 0, float("nan"), True, None])
def test_a_time_that_is_none_is_refused(study: Study, wrong: Any) -> None:
    if wrong is None:
        wrong = [1]
    with pytest.raises(InputError, match="time"):
        study.run(time=wrong)
    assert len(decisions(study)) == len(decisions(Study.open(study.path)))


def test_the_sealed_images_are_opened_once_at_the_end(tmp_path: Path) -> None:
    fields = {**FIELDS, "limits": {"min_accuracy": 0.15}}
    with patched({timed: {"TRIAL_REPORT": 0.3}}), Study.create(tmp_path / "study", confidence=0.9, **fields) as study:
        study.run(time=6.0)
        [opening] = study.archive.openings()
        assert opening.results is not None
        assert opening.limits == {"min_accuracy": 0.15}
        networks = {c.network for strand in opening.candidates for c in strand}
        assert networks <= {r.id for r in study.solutions.records()}


def test_a_study_without_trainings_gets_the_ladder_of_its_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ladders, "PASSES_PER_ROOT", 120)  # the shortest rung has some steps on any machine
    fields = {name: value for name, value in FIELDS.items() if name != "ladder"}
    with Study.create(tmp_path / "study", **fields) as study:
        assert study.archive.header.ladder is None
        study.run(time=4.0)
        ladder, images = study.archive.header.ladder, len(study.splits().train)
        assert ladder is not None
        assert len(ladder.rungs) == len(AUTO_RATIOS)
        least, most = (usual_top(images, passes) for passes in (0.0, 1e9))
        assert least - 32 <= ladder.top <= most + 32  # by the time that trainings take here
    with Study.open(tmp_path / "study") as study:
        assert study.archive.header.ladder == ladder
    with Study.create(tmp_path / "other", **{**fields, "ladder": "auto"}) as study:
        rungs = study.archive.header.ladder
        assert rungs is not None
        assert abs(rungs.top - usual_top(images)) <= 32


@pytest.mark.parametrize(("goal", "networks", "enough"), [("front", 12, 4), ("accuracy", 4, 2), ("cost", 4, 2)])
def test_a_new_ladder_ends_where_so_many_networks_could_be_trained_to_its_top(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, goal: str, networks: int, enough: int
) -> None:
    fields = {name: value for name, value in FIELDS.items() if name != "ladder"} | {"goal": goal}
    fields["limits"] = {"max_macs": 2e5, "min_accuracy": 0.5}
    predicted = TrainingSeconds(begin=1.0, each=1e-3, of_macs=1e-9, of_activations=0.0, held_out=500)
    monkeypatch.setattr(timed, "probed_seconds", lambda *of: predicted)
    with Study.create(tmp_path / "study", **fields) as study:
        seconds = networks * 1.2e-3 * usual_top(len(study.splits().train))
        timed._require_ladder(study.trainer, seconds)
        ladder = study.archive.header.ladder
        assert ladder is not None
        whole = np.median(predicted(sampled_work(study.home.problem), np.array(float(ladder.top))))
        assert networks * whole == pytest.approx(seconds, rel=0.02)
        for share, below in ((1.05, 0), (0.95, 1)):
            watch = Stopwatch(tmp_path / f"{below}", share * enough * whole)
            search = timed.TimedSearch(study.trainer, study.solutions, watch, lambda: None)
            search.seconds = search._seconds([])
            assert search._top() == len(ladder.rungs) - below


def test_trainings_of_whole_epochs_cannot_go_on_by_time(copy: Study) -> None:
    with pytest.raises(InputError, match="has trainings of whole epochs; a search by time trains on a ladder"):
        copy.run(time="1m")
    assert not (copy.path / TIME).exists()


def test_too_little_time_for_the_top_is_said_and_used_for_a_lower_rung(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ladder = [640, 1_280, 2_000_000]
    with Study.create(tmp_path / "study", **{**FIELDS, "ladder": ladder}) as study:
        study.run(time=9.0)
        assert study.status().time is not None
        assert study.status().time.top == 2  # type: ignore[union-attr]
        log = capsys.readouterr().err
        assert "is too little for the top: networks are trained to rung 2 of 3 (1.28k passes)" in log
        assert max(r.proposal.passes or 0 for r in study.archive.studied()) == 1_280


def test_the_top_follows_what_trainings_take_until_it_was_reached(
    study: Study, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    problem, ladder = study.home.problem, study.archive.header.ladder
    assert ladder is not None
    each, slower = 1e-3, list[float]()
    monkeypatch.setattr(timed.TimedSearch, "_seconds", lambda *_: TrainingSeconds(0, each * slower[-1], 0, 0, 0))
    search = timed.TimedSearch(study.trainer, study.solutions, Stopwatch(study.path, 0.0), lambda: None)
    search.watch.granted, search.watch.top = 1.01 * timed.ENOUGH * each * ladder.top, len(ladder.rungs)
    search._known = True
    first = replace(decisions(study)[0], passes=ladder.rungs[0])
    second, third = (replace(first, passes=passes) for passes in ladder.rungs[1:])
    for slow, taken, top, told in [
        (1, [first], 3, False),
        (2.5, [first], 2, True),
        (2.5, [first], 2, False),
        (20, [first], 1, True),
        (20, [first, second], 2, True),
        (1, [first], 3, True),
        (20, [first, second, third], 3, False),
    ]:
        slower.append(slow)
        clock = search.clock(History(problem, (), taken, 1))
        assert (clock.top, search.watch.top) == (top, top)
        line = f"from here on, networks are trained to {ladder.name(ladder.rungs[top - 1])}"
        assert (line in capsys.readouterr().err) == told


def test_a_first_report_is_written_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[float] = []
    monkeypatch.setattr(timed, "TRIAL_REPORT", 0.3)
    with Study.create(tmp_path / "study", **FIELDS) as study:
        timed.run(study.trainer, study.solutions, 6.0, lambda: written.append(time.monotonic()))
    assert len(written) == 2


def test_a_damaged_plan_is_told(study: Study) -> None:
    (study.path / TIME).write_text("{}")
    with pytest.raises(JobError, match=r"time.json is damaged: .*; without it, the study has no time left"):
        study.run()


def test_a_full_disk_loses_seconds_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Stopwatch(tmp_path, 10.0)
    watch.note()

    def full(self: TimePlan, study: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(TimePlan, "write", full)
    watch.note()
    assert TimePlan.read(tmp_path) is not None


def test_without_worst_case_limit_no_giants_are_sampled(study: Study) -> None:
    bounds = study.home.problem.bounds
    assert bounds.max_worst_macs == 4e5
    assert study.settings.limits.max_worst_macs is None
    study.home.settings = study.settings.updated({"limits": {"max_macs": 2.0}})
    assert study.home.problem.bounds == study.home.settings.limits  # none would be left


WORDS: Sequence[str] = (
    "--data",
    "digits",
    "--ladder",
    "1:3:9",
    "--epochs",
    "3",
    "--max-macs",
    "200k",
    "--surrogate",
    "gp",
)


@pytest.mark.slow
def test_five_kills_lose_nothing_but_the_trainings_in_flight(tmp_path: Path) -> None:
    path, rng, known = tmp_path / "study", random.Random(0), dict[str, Any]()
    command = [sys.executable, "-m", "surrogate_nas", "run", str(path), *WORDS]
    for life in range(6):
        added = ["--time", "40s"] if life == 0 else []
        process = subprocess.Popen([*command, *added], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if life < 5:
            time.sleep(rng.uniform(5, 9))
            process.send_signal(signal.SIGKILL)
        _, err = process.communicate()
        assert life < 5 or process.returncode == 0, err.decode()
        with Study.open(path) as study:
            now = {p.id: (p.round, p.rank, p.prediction) for p in decisions(study)}
            assert known.items() <= now.items()
            known = now
    with Study.open(path) as study:
        plan = TimePlan.read(path)
        assert plan is not None
        assert plan.granted == 40.0
        assert plan.left < 8.0
        assert not study.validate()
        assert {r.id for r in study.archive.studied()} <= known.keys()
        assert (path / REPORT).is_file()


def test_a_wrong_time_writes_nothing(tmp_path: Path, command: Command) -> None:
    for wrong in ("0", "-5", "inf"):
        code, out, err = command("run", tmp_path / "study", "--time", wrong)
        assert (code, out) == (2, "")
        assert err.count("\n") == 1
        assert not (tmp_path / "study").exists()


def test_the_top_is_no_lower_than_where_networks_begin(tmp_path: Path) -> None:
    with Study.create(tmp_path / "study", **{**FIELDS, "ladder": [640, 1_280, 2_000_000], "rung": 2}) as study:
        study.run(time=6.0)
        assert {r.proposal.passes for r in study.archive.studied()} == {1_280}


def test_a_log_is_told_how_far_trainings_are(
    copy: Study, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainings, "TELL_EVERY", 0)
    shares: dict[str, float] = {}
    progress = trainings.TrainingProgress(Bar(1), 0, 1, shares, lambda: "9 s left")
    progress.tell()
    assert capsys.readouterr().err == "training the first epoch; 9 s left\n"
    record = copy.records()[0]
    progress.advance(record.proposal, 0.5)
    progress.tell()
    assert capsys.readouterr().err == f"training {record.id} 50%; 9 s left\n"
    assert shares == {record.id: 0.5}
