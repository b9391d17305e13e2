"""Printed tables: encodings stay whole in any terminal and file, and the split of the figures is told."""

import dataclasses
import inspect
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from surrogate_nas.api import Study
from surrogate_nas.archive.openings import Outcome
from surrogate_nas.cli import (
    output,
    print_archive,
    print_catalogue,
    print_exports,
    print_merge,
    print_predictions,
    print_shift,
    print_solutions,
)
from surrogate_nas.documents import baseline_rows, finals_document, record_rows, verification_document
from surrogate_nas.exits.limits import Limits
from surrogate_nas.export.certify import CertifiedSetting
from surrogate_nas.export.folder import Export
from surrogate_nas.export.images import Classified
from surrogate_nas.space.card import space_rows
from surrogate_nas.study.payoff import payoff
from surrogate_nas.study.results import Certificate, Tier
from surrogate_nas.study.shift import CLEAN, Shift, ShiftedImages
from surrogate_nas.study.verification import Claim, Verification
from tests.whole.test_old_study import WRITTEN

pytestmark = pytest.mark.usefixtures("quick_fits")

MODULES = (
    print_archive,
    print_catalogue,
    print_exports,
    print_merge,
    print_predictions,
    print_shift,
    print_solutions,
)
WIDTH = 80
SPLIT = re.compile(r"\b(tune|test)\b")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return Study.open(shutil.copytree(WRITTEN, tmp_path_factory.mktemp("printed") / "study"))


def manifest() -> dict[str, Any]:
    whole: dict[str, Any] = json.loads(next(WRITTEN.glob("exports/*/manifest.json")).read_text(encoding="utf-8"))
    for one in whole["exits"]:
        one["exit"] = 2 * one.pop("position") + 1  # a network that has no exit at every second position
    for setting in whole["settings"]:
        setting |= {"broken_on_test": [], "thresholds_text": "off,off,0.13,off"}
        setting["test"]["accuracy_bound"] = 0.5
    return whole


def network() -> Any:
    """Stand-in for an exported network, as far as tables read it."""
    return SimpleNamespace(
        manifest=manifest(), stages=[SimpleNamespace(exit=one["exit"]) for one in manifest()["exits"]]
    )


def latency() -> dict[str, Any]:
    timing = {"median": 9.0, "p95": 9.0, "mean": 9.0}
    pieces = {
        f"{kind} {one['exit']}": timing for one in manifest()["exits"] for kind in ("segment", "branch") if one[kind]
    }
    one = {"pieces": pieces, "exits": [1.0, 2.0, 3.0], "routed": timing, "to_the_end": timing, "static": timing}
    return {
        "network": "a1",
        "setting": 0,
        "threads": 1,
        "machine": {"processor": "a processor"},
        "exit_numbers": [1, 3, 5],
        "batch": {"1": {**one, "routed_over_to_the_end": 0.5, "routed_over_composed": 1.0}},
        "macs": {"expected": 1.0, "to_the_end": 2.0},
    }


def shift(study: Study) -> Shift:
    solution = study.front()[-1]
    rows = [ShiftedImages(kind, n, solution.test, ()) for n, kind in enumerate([CLEAN, "blur"])]
    return Shift(solution, study.settings.limits, rows[0], tuple(rows[1:]))


def final(study: Study) -> dict[str, Any]:
    return finals_document(study.solutions, study.finals(), None, {}, None)


def verification(study: Study) -> list[dict[str, Any]]:
    solution = study.front()[-1]
    claims = [Verification(solution.record.architecture, (Claim(solution, (solution,)),), 2)]
    return verification_document(claims, study.settings.limits)


def certified(study: Study) -> Any:
    tested = Outcome(p_value=0.01, right=90, worse=1, better=0, answers="", passed=True)
    certificate = Certificate(Limits(min_accuracy=0.5), 0.9, 1, 100, tested)
    return [dataclasses.replace(study.front()[0], certificate=certificate)]


def certified_document() -> dict[str, Any]:
    setting = CertifiedSetting(0, 0.9, 0.8, 0.01, 9.0, 0.02, certified=True)
    untested = dataclasses.replace(setting, setting=1, p_value=None, certified=False)
    network_ = SimpleNamespace(manifest={"network": "a1"}, default=0)
    return print_exports.certified_document(network_, 9, 3, Limits(min_accuracy=0.5), 0.9, [setting, untested])  # type: ignore[arg-type]


def answers(study: Study) -> Any:
    return study.query([r.architecture for r in study.records()[:3]])


Show = Callable[[Study, bool], object]
WITH_ENCODINGS: dict[str, Show] = {
    "print_records": lambda s, wide: print_archive.print_records(
        record_rows(s.home.costing, s.archive.records(), why=True), wide=wide
    ),
    "print_answers": lambda s, wide: print_predictions.print_answers(answers(s), wide=wide),
    "print_finals": lambda s, wide: print_solutions.print_finals(final(s), wide=wide),
    "print_proposals": lambda s, wide: print_merge.print_proposals(
        [{"id": r.id, "encoding": str(r.architecture)} for r in s.records()], wide=wide
    ),
}
WITH_FIGURES: dict[str, Show] = {
    "print_answer": lambda s, wide: print_predictions.print_answers(answers(s)[:1]),
    "print_fit": lambda s, wide: print_predictions.print_fit(s.fit()),
    "print_front": lambda s, wide: print_solutions.print_front(
        s.solutions, Path("report.html"), payoff(s.solutions, s.front())
    ),
    "print_tuned": lambda s, wide: print_solutions.print_tuned(s.front()[0], "a1", s.settings.limits),
    "print_tiers": lambda s, wide: print_solutions.print_tiers(
        [Tier(9, s.settings.limits, s.front()[0], (0.0, 1.0))], "a1", s.settings.limits
    ),
    "print_policies": lambda s, wide: print_solutions.print_policies(s.front()[:1], "a1", s.settings.limits),
    "print_verification": lambda s, wide: print_solutions.print_verification(verification(s)),
    "print_certificates": lambda s, wide: print_solutions.print_certificates(
        s.solutions, s.settings.limits, certified(s)
    ),
    "print_payoff": lambda s, wide: print_solutions.print_payoff(payoff(s.solutions, s.front())),
    "show": lambda s, wide: print_shift.show(shift(s)),
    "print_export": lambda s, wide: print_exports.print_export(Export(Path("x"), manifest(), 0.0)),
    "print_latency": lambda s, wide: print_exports.print_latency(latency()),
}
OF_NO_SPLIT = {
    "print_classified": "images given",  # which are the user's own
    "print_certified": "of 9 images, 3 of them new",
    "print_records": "exact",
    "print_space_check": "exact",
    "print_proposals": "",  # names
    "print_merge_result": "",  # counts of records
    "print_card": "",  # counts of images
}
"""Tables without figures of a split, and what they say instead."""


def text_of(show: Callable[[], object], monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> str:
    """Text printed on a terminal of 80 columns, or into a file."""
    file = io.StringIO()
    width = WIDTH if terminal else output.WIDTH_OF_FILES
    console = Console(file=file, highlight=False, width=width, force_terminal=terminal, color_system=None)
    monkeypatch.setattr(output, "console", console)
    show()
    return file.getvalue()


# ---------------------------------------------------------------------- encodings


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "file"])
@pytest.mark.parametrize("wide", [True, False], ids=["wide", "plain"])
@pytest.mark.parametrize("name", WITH_ENCODINGS)
def test_an_encoding_is_one_unbroken_token(
    name: str, wide: bool, terminal: bool, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = text_of(lambda: WITH_ENCODINGS[name](study, wide), monkeypatch, terminal=terminal)
    encodings = {str(r.architecture) for r in [*study.archive.records(), *study.archive.records("final")]}
    tokens = [token for token in text.split() if token in encodings]
    assert tokens
    assert "stem-" not in " ".join(token for token in text.split() if token not in encodings)
    for line in text.splitlines():
        if any(token in line for token in tokens):
            assert wide == (len(line.split()) > 1)  # alone in its line, or at the end of its row's
            assert line.split()[-1] in tokens
    if name == "print_records":
        assert tokens == [str(r.architecture) for r in study.archive.records()]


def test_the_sample_of_each_space_is_unbroken_too(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"space": "a", "macs": [1, 2], "sample": f"stem-w8-s1/{'res-d1-w8-k3-s1/' * 20}"}]
    text = text_of(lambda: output.print_rows(rows, "Search spaces"), monkeypatch, terminal=True)
    assert rows[0]["sample"] in text.split()
    assert "sample" in space_rows()[0]


def test_words_and_numbers_are_never_broken_on_a_terminal(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    text = text_of(lambda: WITH_FIGURES["print_front"](study, False), monkeypatch, terminal=True)
    for solution in study.front():
        assert str(solution.printed) in text.split()
        assert f"{solution.parameters:,}" in text.split()


def test_brackets_are_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    def show() -> None:
        output.print_table("[b]", ["[i]"], [["[red]1[/red]"]], "[/x]", encodings=["e[0]"])

    assert text_of(show, monkeypatch, terminal=False).split() == ["[b]", "[i]", "[red]1[/red]", "e[0]", "[/x]"]


def test_each_encoding_stands_below_its_own_row_however_many_lines_that_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def show() -> None:
        output.print_table("t", ["a", "b"], [["x", "many words " * 20], ["y", "few"]], encodings=["one", "two"])

    lines = [line.split() for line in text_of(show, monkeypatch, terminal=True).splitlines()]
    firsts = [line[0] for line in lines if line[0] in ("x", "one", "y", "two")]
    assert firsts == ["x", "one", "y", "two"]
    (first,) = (i for i, line in enumerate(lines) if line[0] == "x")
    assert lines.index(["one"]) > first + 1


# ---------------------------------------------------------------------- splits


def printing_functions(module: ModuleType) -> set[str]:
    functions = inspect.getmembers(module, inspect.isfunction)
    return {name for name, f in functions if f.__module__ == module.__name__ and re.match(r"print_|show$", name)}


def test_every_table_is_tried() -> None:
    there = set[str]().union(*map(printing_functions, MODULES))
    assert there == (WITH_ENCODINGS.keys() | WITH_FIGURES.keys() | OF_NO_SPLIT.keys()) - {"print_answer"}


@pytest.mark.parametrize("name", [*WITH_FIGURES, "print_answers", "print_finals"])
def test_every_table_of_figures_names_their_split(name: str, study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    text = text_of(lambda: (WITH_FIGURES | WITH_ENCODINGS)[name](study, False), monkeypatch, terminal=False)
    assert SPLIT.search(text), text


def test_other_tables_say_whose_their_figures_are(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [Classified("a.png", "1", 0.9, exit, 9) for exit in (1, 3, 3, 5)]
    for name, show in {
        "print_classified": lambda: print_exports.print_classified(network(), rows),
        "print_certified": lambda: print_exports.print_certified(certified_document()),
        "print_records": lambda: WITH_ENCODINGS["print_records"](study, False),
        "print_space_check": lambda: print_catalogue.print_space_check(
            {
                "space": "a",
                "networks": 1,
                "genes": 1,
                "exits": 1,
                "costs": {"8": {name: [1, 2] for name in "abcd"}},
                "laws": [],
                "sample": [],
            }
        ),
    }.items():
        assert OF_NO_SPLIT[name] in text_of(show, monkeypatch, terminal=False)


def test_baselines_are_named_and_failures_have_a_reason(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = baseline_rows(study.home.costing, study.archive.records("baseline"))
    text = text_of(lambda: print_archive.print_records(rows), monkeypatch, terminal=False)
    assert all(name in text for name in ("ResNet-8", "BranchyNet of ResNet-8", "static network"))
    text = text_of(lambda: WITH_ENCODINGS["print_records"](study, False), monkeypatch, terminal=False)
    assert all(r.failure.message in text for r in study.archive.records() if r.failure is not None)


# ---------------------------------------------------------------------- numbers of exits


def test_exits_are_numbered_by_their_position_from_1(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [Classified("a.png", "1", 0.9, exit, 9) for exit in (1, 3, 3, 5)]
    text = text_of(lambda: print_exports.print_classified(network(), rows), monkeypatch, terminal=False)
    assert "exit 1 25 %, exit 3 50 %, exit 5 25 %" in text
    text = text_of(lambda: print_exports.print_latency(latency()), monkeypatch, terminal=False)
    assert [re.findall(rf"{kind} (\d)", text) for kind in ("segment", "branch", "leave at exit")] == [
        ["1", "3", "5"],
        ["1", "3"],
        ["1", "3", "5"],
    ]
    export = Export(Path("x"), manifest(), 0.0)
    text = text_of(lambda: print_exports.print_export(export), monkeypatch, terminal=False)
    rates = [rate for setting in manifest()["settings"] for rate in setting["test"]["exit_rates"]]
    expected = [" ".join(f"{100 * r:.0f}" for r in (a, 0, b, 0, c)) for a, b, c in zip(*[iter(rates)] * 3, strict=True)]
    assert all(text_of_rates in text for text_of_rates in expected)
    assert {field.name for field in dataclasses.fields(Classified)} >= {"exit"}


# ---------------------------------------------------------------------- thresholds


def test_printed_thresholds_typed_back_give_the_same_figures(study: Study) -> None:
    """On tune, where they were chosen, and on test, which tables show."""
    records = [r for r in study.records() if r.failure is None]
    solutions = [
        *study.front(),
        *(study.solutions.at(r, t) for r in records for t in study.exits(r, "tune").curve.thresholds),
    ]
    assert any(s.printed != s.operating_point for s in solutions)
    for one in solutions:
        typed = type(one.printed).parse(str(one.printed), len(one.printed.thresholds) + 1, one.printed.policy)
        again = study.solutions.operating_point(one.record, typed.array())
        assert study.solutions.measured(one.record, "tune", again) == one.tune
        assert study.solutions.measured(one.record, "test", again) == one.test
