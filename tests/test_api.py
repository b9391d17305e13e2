"""The package as scripts use it: one door, results with fields, one-line errors."""

import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import surrogate_nas as sn
from surrogate_nas.exits.limits import LimitFields
from surrogate_nas.settings import SettingsFields
from surrogate_nas.study import frame
from surrogate_nas.study.baselines import HAND_MADE
from tests.conftest import Command

pytestmark = pytest.mark.usefixtures("quick_fits")

VERBS = (
    "run collect fit search query best tune tiers policies front finalize verify baselines shift report export serve "
    "merge status update close"
)
NEW: dict[str, Any] = {
    "data": "digits",
    "space": "tiny",
    "limits": sn.Limits(max_macs=2e5),
    "recipe": sn.Recipe(epochs=2),
    "budget": 10,
    "initial": 8,
    "exist_ok": True,
}
SCRIPT_LINES = (Path(__file__).parent / "data/first_script.txt").read_text().splitlines()
"""Lines that somebody who knows other libraries would try."""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The names that the first script has when it ends, its `folder`, and under each of its lines its error."""
    folder = tmp_path_factory.mktemp("api")
    names: dict[str, Any] = {"sn": sn, "folder": folder}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for line in SCRIPT_LINES:
            try:
                exec(line, names)
            except Exception as error:
                names[line] = error
    return names


@pytest.fixture(scope="module")
def study(script: dict[str, Any]) -> Iterator[sn.Study]:
    """The study that the script has made."""
    with sn.Study.open(script["folder"] / "s") as study:
        yield study


def test_the_package_tells_its_version_and_what_it_has() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", sn.__version__)
    assert {"Study", "Limits", "__version__"} <= set(dir(sn))
    for name in sn.__all__:
        assert getattr(sn, name) is not None


@pytest.mark.parametrize("line", SCRIPT_LINES)
def test_a_stranger_s_first_script_runs(script: dict[str, Any], line: str) -> None:
    assert script.get(line) is None


README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
[README_SCRIPT] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_script_of_the_readme_has_the_five_verbs_in_twenty_lines() -> None:
    assert len(README_SCRIPT.splitlines()) <= 20
    assert all(f"study.{verb}(" in README_SCRIPT for verb in ("collect", "fit", "search", "best", "export"))


@pytest.mark.slow
def test_the_script_of_the_readme_runs(tmp_path: Path) -> None:
    """With fewer and shorter trainings."""
    small = README_SCRIPT.replace("budget=32", 'budget=10, initial=8, recipe={"epochs": 2}').replace("(20)", "(8)")
    (tmp_path / "script.py").write_text(small)
    process = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert "Export(folder=studies/mine/exports/" in process.stdout


def test_the_command_prints_the_same_status(study: sn.Study, command: Command) -> None:
    code, out, _ = command("status", study.path, "--json")
    assert (code, json.loads(out)["trainings"]) == (0, study.status().trainings)
    assert "10 of 10 trainings of the search ended" in command("status", study.path)[1]


@pytest.mark.parametrize("verb", VERBS.split())
def test_every_command_is_a_method(verb: str) -> None:
    assert callable(getattr(sn.Study, verb))
    assert inspect.getdoc(getattr(sn.Study, verb))


def test_a_network_is_meant_by_any_of_its_names(study: sn.Study) -> None:
    solution = study.front()[0]
    (answer,) = study.query(solution)
    for network in (solution, solution.record, solution.id, solution.architecture, str(solution.architecture), answer):
        assert study.record(network).architecture == solution.architecture
        assert study.query(network)[0].encoding == answer.encoding
        assert study.tune(network).architecture == solution.architecture
    assert study.record(solution.id[:6]).id == solution.id


def test_limits_are_meant_by_any_of_their_forms(study: sn.Study) -> None:
    network = study.front()[-1]
    solutions = [
        study.tune(network, sn.Limits(max_macs=1.5e5)),
        study.tune(network, {"max_macs": 1.5e5}),
        study.tune(network, max_macs=1.5e5),
    ]
    assert solutions[0] == solutions[1] == solutions[2]
    assert study.tune(network) == study.tune(network, study.settings.limits)


def test_thresholds_are_meant_by_any_of_their_forms(study: sn.Study) -> None:
    network = study.front()[-1]
    point = study.solutions.operating_point(network.record, np.array([0.8, np.inf]))
    for thresholds in ("0.8,off", (0.8, None), [0.8, float("inf")], point):
        assert study.solution(network, thresholds) == study.solution(network, "0.8,off")


WRONG: dict[str, tuple[Callable[[sn.Study], object], str]] = {
    "encoding": (lambda s: s.query(["stem-w4-s2/nonsense"]), "nonsense"),
    "outside": (lambda s: s.query(HAND_MADE["ResNet-8"]), "stem"),
    "outside too": (lambda s: s.collect(encodings=HAND_MADE["ResNet-8"]), "stem"),
    "id": (lambda s: s.tune("zzzz"), "'zzzz'"),
    "untrained": (lambda s: s.tune(s.space.sample(1, np.random.default_rng(9))[0]), "has not been trained"),
    "number": (lambda s: s.query([3]), "3 is not a network; allowed: an encoding's text"),  # type: ignore[list-item]
    "nothing": (lambda s: s.query(None), "None is not a network"),  # type: ignore[arg-type]
    "limit": (lambda s: s.tune(s.front()[0], max_mac=1), "unknown setting 'max_mac'"),  # type: ignore[call-arg]
    "constructor": (lambda s: sn.Limits(max_macs="3X"), "max_macs: '3X' is not a number; allowed: 200000"),  # type: ignore[arg-type]
    "amount": (lambda s: s.query(s.front()[0], max_macs=-1), "max_macs"),
    "both": (lambda s: s.tune(s.front()[0], {"max_macs": 1e5}, max_macs=1e5), "either as one argument or by name"),
    "method": (lambda s: s.tune(s.front()[0], method="best"), "'best' is not one of"),  # type: ignore[arg-type]
    "thresholds": (lambda s: s.query(s.front()[0], thresholds="0.5"), "3 exits need 2 thresholds, got 1"),
    "threshold": (lambda s: s.solution(s.front()[0], (2.0, None)), r"threshold 2\.0 is not in \[0, 1\]"),
    "kind": (lambda s: s.solution(s.front()[0], 0.5), "0.5: each is a number"),  # type: ignore[arg-type]
    "collect": (lambda s: s.collect(), "needs either n or encodings"),
    "count": (lambda s: s.collect("8"), "n '8' is not a positive integer"),  # type: ignore[arg-type]
    "rounds": (lambda s: s.search(rounds=0), "rounds 0 is not a positive integer"),
    "tiers": (lambda s: s.tiers(s.front()[0], tiers=1), "tiers"),
    "best": (lambda s: s.best(0), "n 0 is not"),
    "setting": (lambda s: s.update(batches=2), "unknown setting 'batches'"),  # type: ignore[call-arg]
    "value": (lambda s: s.update(batch=0), "batch"),
    "folder": (lambda s: s.merge("nowhere"), "no study at nowhere"),
    "path": (lambda s: sn.Study.open(7), "path 7 is of type int"),  # type: ignore[arg-type]
    "data": (lambda s: sn.Study.create(s.path / "new", data="nodigits"), "unknown data set 'nodigits'"),
    "space": (lambda s: sn.Study.create(s.path / "new", space=5), "space 5 is"),  # type: ignore[arg-type]
    "seed": (lambda s: sn.Study.create(s.path / "new", seed="1"), "seed '1' is"),  # type: ignore[arg-type]
    "there": (lambda s: sn.Study.create(s.path), "already has a study"),
    "other seed": (lambda s: sn.Study.create(s.path, **{**NEW, "seed": 1}), "has seed 0, got"),
    "other space": (lambda s: sn.Study.create(s.path, **{**NEW, "space": "compact"}), "has space tiny, got"),
    "other data": (lambda s: sn.Study.create(s.path, **{**NEW, "data": "nodigits"}), "nodigits"),
    "other recipe": (lambda s: sn.Study.create(s.path, **{**NEW, "recipe": {"epochs": 3}}), "another recipe needs"),
    "port": (lambda s: s.serve(port=-1), "port -1 is not between"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_line(study: sn.Study, case: str) -> None:
    call, message = WRONG[case]
    with pytest.raises(sn.InputError, match=message) as raised:
        call(study)
    assert "\n" not in str(raised.value)
    assert not (study.path / "new").exists()


def test_a_closed_study_still_has_a_text(study: sn.Study) -> None:
    with sn.Study.open(study.path) as again:
        text = repr(again)
    assert repr(again) == text
    assert "data=digits" in text


def test_the_same_study_is_opened_and_another_setting_kept(study: sn.Study) -> None:
    with sn.Study.create(study.path, **{**NEW, "budget": 12}) as again:
        assert [r.id for r in again.records()] == [r.id for r in study.records()]
        assert again.settings.budget == 12


def test_an_editor_completes_every_argument() -> None:
    for function, fields in ((sn.Study.create, SettingsFields), (sn.Study.update, SettingsFields)):
        assert fields.__annotations__.keys() == sn.Settings.model_fields.keys()
        assert fields.__annotations__.keys() <= inspect.signature(function).parameters.keys()
    assert LimitFields.__annotations__.keys() == sn.Limits.model_fields.keys()
    for name in ("tune", "tiers", "policies", "shift", "query", "best", "export"):
        assert LimitFields.__annotations__.keys() <= inspect.signature(getattr(sn.Study, name)).parameters.keys()
    members = {name: member for name, member in vars(sn.Study).items() if inspect.isfunction(member) and name[0] != "_"}
    for name, member in members.items():
        kinds = [p.kind for p in inspect.signature(member).parameters.values()]
        assert inspect.Parameter.VAR_KEYWORD not in kinds, name
        assert Any not in [hint for argument, hint in inspect.get_annotations(member).items() if argument != "return"]


def test_results_say_in_a_line_what_they_are(study: sn.Study) -> None:
    solution, records = study.front()[0], study.records()
    assert records[0].accuracy == records[0].outputs.tune.right[-1].mean()  # type: ignore[union-attr]
    assert (solution.accuracy, solution.macs) == (solution.test.accuracy, solution.test.expected_macs)
    results = [
        study, study.status(), study.fit(), records[0], solution, solution.test, study.tiers(solution, tiers=2)[0],
        *study.best(1), *study.query(solution),
    ]  # fmt: skip
    for result in results:
        assert repr(result).startswith(type(result).__name__)
        assert len(repr(result)) < 200
        assert re.fullmatch(r"<table>.*</table>", result._repr_html_())
        assert str(result.__class__.__module__) not in repr(result)


def test_the_status_counts_what_was_trained(study: sn.Study) -> None:
    status = study.status()
    assert status.trainings == len(study.records()) == sum(t.trained + t.failed for t in status.records.values())
    assert {origin: t.trained for origin, t in status.records.items()} == {"initial": 8, "user": 1, "search": 1}
    assert (status.pending, status.begun, status.working) == ((), (), None)
    assert status.seconds_spent == pytest.approx(sum(r.seconds for r in study.records()))
    assert status.seconds_left is not None


def test_the_table_has_a_row_for_each_training(study: sn.Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame, "find_spec", lambda name: None)
    columns = study.frame()
    records = study.records()
    assert {len(column) for column in columns.values()} == {len(records)}
    assert list(columns["id"]) == [r.id for r in records]
    assert columns["accuracy"].tolist() == [r.accuracy for r in records]
    assert np.isnan(columns["accuracy_1"]).tolist() == [0 not in r.architecture.exit_positions for r in records]
    json.dumps({name: column.tolist() for name, column in columns.items()})
    monkeypatch.undo()
    pandas = pytest.importorskip("pandas", reason="the mapping is tested above")
    assert isinstance(study.frame(), pandas.DataFrame)
    assert study.frame().columns.tolist() == list(columns)
