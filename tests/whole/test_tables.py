"""Every table says which split its figures are of, and marks what breaks a limit on test."""

import csv
import dataclasses
import io
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import fields, replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from rich.table import Table

from surrogate_nas.api import Study
from surrogate_nas.cli import output, print_exports, print_predictions, print_shift, print_solutions
from surrogate_nas.documents import (
    finals_document,
    front_document,
    solution_document,
    tiers_document,
    verification_document,
)
from surrogate_nas.exits.limit_table import BREAKS, BREAKS_LEGEND, LIMITS, Limit
from surrogate_nas.exits.limits import Limits
from surrogate_nas.export.card import card
from surrogate_nas.export.folder import Export
from surrogate_nas.report.baselines import baselines_part
from surrogate_nas.report.contents import Baseline, Contents
from surrogate_nas.report.finals import finals_section
from surrogate_nas.report.front_table import front_csv
from surrogate_nas.report.page import page
from surrogate_nas.report.solutions import front_section
from surrogate_nas.study.finals import Final
from surrogate_nas.study.payoff import Payoff, payoff
from surrogate_nas.study.results import Measured, Solution, Tier
from surrogate_nas.study.shift import CLEAN, Shift, ShiftedImages
from surrogate_nas.study.solutions import Solutions
from surrogate_nas.study.verification import Claim, Verification
from tests.helpers.reports import contents_of
from tests.whole.test_old_study import WRITTEN

pytestmark = pytest.mark.usefixtures("quick_fits")

MEASURED = re.compile(r"accura|expected|rates|reach|leave|probab|95 % of MACs|claimed|again|points", re.IGNORECASE)
"""Headings of figures that samples decide, so that they are of one split or another."""
SPLIT = re.compile(r"\b(test|tune)\b")
NO_FIGURES = ("to leave here", "cheapest", "middle", "most accurate", "closest", "nearest", "the only")
"""Beginnings of headings of exact figures, and of those that name a network."""
AMOUNT = 1000.0


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return Study.open(shutil.copytree(WRITTEN, tmp_path_factory.mktemp("tables") / "study"))


@pytest.fixture(scope="module")
def contents(study: Study) -> Contents:
    return contents_of(study)


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> list[Table | str]:
    """Tables and texts that commands print for people."""
    printed: list[Table | str] = []
    monkeypatch.setattr(output.console, "print", lambda what, **_: printed.append(what))
    return printed


# ---------------------------------------------------------------------- a solution that keeps limits on tune alone


def with_quantities(like: Measured, amount: float, cost: bool) -> Measured:
    """Everything that limits bound is `amount`, the drop a millionth of it; the accuracy, where more is better, is 1 /
    amount."""
    figures: dict[str, Any] = {
        "accuracy": 1 / amount,
        "accuracy_interval": (0.0, 1.0),
        "drop": amount / 1e6,
        "expected_macs": amount,
        "p95_macs": int(amount),
        "worst_macs": int(amount),
        "parameters": int(amount),
        "weight_bytes": int(amount),
        "activation_bytes": int(amount),
        "cost": (amount, amount, amount) if cost else None,
    }
    assert figures.keys() <= {field.name for field in fields(like)}
    return replace(like, **figures)


def solution_beyond(like: Solution, limit: Limit) -> tuple[Solution, Limits]:
    """A solution that keeps a limit on tune and breaks it on test, and that limit."""
    cost = limit.needs_cost_table
    tune, test = (with_quantities(s, amount, cost) for s, amount in ((like.tune, AMOUNT), (like.test, AMOUNT + 1)))
    most = AMOUNT / 1e6 if limit.quantity == "drop" else AMOUNT
    return replace(like, tune=tune, test=test), Limits(**{limit.name: 1 / AMOUNT if limit.floor else most})


def final(study: Study, solution: Solution) -> Final:
    return Final(solution.record.architecture, solution, (solution, solution), 0)


def verification(solution: Solution) -> list[Verification]:
    return [Verification(solution.record.architecture, (Claim(solution, (solution,)),), 2)]


def shift(solution: Solution, limits: Limits) -> Shift:
    rows = [
        ShiftedImages(kind, n, solution.test, solution.test.broken(limits)) for n, kind in enumerate([CLEAN, "blur"])
    ]
    return Shift(solution, limits, rows[0], tuple(rows[1:]))


def manifest(solution: Solution, limits: Limits) -> dict[str, Any]:
    """Manifest of a real export, with the figures of the default setting those of a solution."""
    whole: dict[str, Any] = json.loads(next(WRITTEN.glob("exports/*/manifest.json")).read_text(encoding="utf-8"))
    whole["input"]["resize"] = "crop"  # as manifests have it since
    for one in whole["exits"]:
        one["exit"] = one.pop("position") + 1
    for setting in whole["settings"]:
        setting |= {"broken_on_test": [], "thresholds_text": "off,0.13"}
        setting["test"]["accuracy_bound"] = 0.5
    default = whole["settings"][whole["default_setting"]]
    default["test"] |= {name: getattr(solution.test, name) for name in ("accuracy", "expected_macs", "p95_macs")}
    default["broken_on_test"] = solution.test.broken_names(limits)
    return whole | {"limits": limits.model_dump(exclude_none=True)}


Show = Callable[[Study, Solution, Limits], object]
PRINTED: dict[str, Show] = {
    "tune": lambda study, s, limits: print_solutions.print_tuned(s, "a1", limits),
    "tiers": lambda study, s, limits: print_solutions.print_tiers([Tier(9, limits, s, (0.0, 1.0))], "a1", limits),
    "policies": lambda study, s, limits: print_solutions.print_policies([s], "a1", limits),
    "finals": lambda study, s, limits: print_solutions.print_finals(
        finals_document(limited(study, limits), [final(study, s)], None, {}, None)
    ),
    "verification": lambda study, s, limits: print_solutions.print_verification(
        verification_document(verification(s), limits)
    ),
    "shift": lambda study, s, limits: print_shift.show(shift(s, limits)),
    "export": lambda study, s, limits: print_exports.print_export(Export(Path("x"), manifest(s, limits), 0.0)),
}


def verdict_of(study: Study) -> Payoff:
    return payoff(study.solutions, study.front())


def limited(study: Study, limits: Limits) -> Any:
    """The solutions of a study whose settings have other limits."""
    settings = study.settings.model_copy(update={"limits": limits})
    return Solutions(dataclasses.replace(study.home, settings=settings))


def signs(printed: list[Table | str]) -> tuple[list[str], int]:
    """Headings of the cells that have the sign, and how often its meaning is told."""
    headings, texts = list[str](), list[str]()
    for what in printed:
        if isinstance(what, str):
            texts.append(what)
            continue
        texts.append(str(what.caption or ""))
        headings += [str(c.header) for c in what.columns for cell in c.cells if BREAKS in str(cell)]
    return headings, " ".join(texts).count(BREAKS_LEGEND)


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.name)
@pytest.mark.parametrize("name", PRINTED)
def test_what_breaks_a_limit_on_test_is_marked(
    name: str, limit: Limit, study: Study, tables: list[Table | str]
) -> None:
    solution, limits = solution_beyond(study.front()[0], limit)
    assert solution.tune.broken_names(limits) == []
    PRINTED[name](study, solution, limits)
    headings, legends = signs(tables)
    assert headings
    assert legends == 1
    assert all("tune" not in heading or heading in ("budget on tune", "max MACs on tune") for heading in headings)
    tables.clear()
    PRINTED[name](study, replace(solution, test=solution.tune), limits)
    assert signs(tables) == ([], 0)


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.name)
def test_the_page_and_the_card_mark_it_too(limit: Limit, study: Study, contents: Contents) -> None:
    solution, limits = solution_beyond(contents.front[0], limit)
    baseline = Baseline("ours", solution, solution, contents.baselines[0].curve)
    for end in ("test", "tune"):
        printed = solution if end == "test" else replace(solution, test=solution.tune)
        theirs = replace(baseline, exits_off=printed, most_accurate=printed)
        made = replace(
            contents,
            limits=limits,
            front=(printed,),
            nearest=None,
            baselines=(theirs,),
            finals=(final(study, printed),),
        )
        for part in (front_section, baselines_part, finals_section):
            assert (BREAKS in part(made)) == (end == "test"), part
        text = card(manifest(printed, limits))
        assert (text.count(BREAKS_LEGEND), text.count(BREAKS)) == ((1, 2) if end == "test" else (0, 0))
        rows = list(csv.DictReader(io.StringIO(front_csv(made.front, made.positions, 10, limits))))
        assert [row["broken_on_test"] for row in rows] == [limit.name if end == "test" else ""]


def test_the_page_tells_the_meaning_once_and_only_where_there_are_limits(contents: Contents) -> None:
    assert unescape(page(contents)).count(BREAKS_LEGEND) == 1
    assert BREAKS_LEGEND not in unescape(page(replace(contents, limits=Limits())))


def test_documents_have_a_field_for_it(study: Study) -> None:
    like, limit = study.front()[0], LIMITS[0]
    solution, limits = solution_beyond(like, limit)
    (tier,) = tiers_document([Tier(AMOUNT, limits, solution, (0.0, 1.0))])
    (verified,) = verification_document(verification(solution), limits)
    finals = finals_document(limited(study, limits), [final(study, solution)], None, {}, None)  # type: ignore[arg-type]
    for document in (
        solution_document(solution, limits),
        tier,
        verified["claims"][0]["claimed"],
        finals["finals"][0],
        finals["finals"][0]["trainings"][0],
        print_shift.document(shift(solution, limits))["network"],
    ):
        assert document["broken_on_test"] == [limit.name]
    document = front_document(study.solutions, Path("x"), verdict_of(study))
    for one, front in zip(study.front(), document["front"], strict=True):
        assert front["broken_on_test"] == one.test.broken_names(study.settings.limits)


# ---------------------------------------------------------------------- which split


def require_splits(headings: list[str]) -> None:
    measured = [h for h in headings if MEASURED.search(h) and not h.startswith(NO_FIGURES)]
    assert [h for h in measured if not SPLIT.search(h)] == []


def test_every_heading_of_a_printed_table_names_the_split(study: Study, tables: list[Table | str]) -> None:
    solution, limits = solution_beyond(study.front()[0], LIMITS[6])
    for show in PRINTED.values():
        show(study, solution, limits)
    print_solutions.print_front(study.solutions, Path("report.html"), verdict_of(study))
    answers = study.query([r.architecture for r in study.records()[:2]])
    print_predictions.print_answers(answers)
    print_predictions.print_answers(answers[:1])
    printed = [table for table in tables if isinstance(table, Table)]
    assert len(printed) == len(PRINTED) + 3
    for table in printed:
        headings = [str(column.header) for column in table.columns]
        assert any(SPLIT.search(heading) for heading in headings)
        require_splits(headings)
    tables.clear()
    print_predictions.print_fit(study.fit())
    assert isinstance(tables[0], Table)
    assert "all figures are of tune" in str(tables[1])


def test_every_heading_of_the_page_names_the_split(contents: Contents) -> None:
    headings = re.findall(r'<th scope="col">(.*?)</th>', page(contents))
    assert len(headings) > 30
    assert sum(bool(MEASURED.search(heading)) for heading in headings) > 10
    require_splits([unescape(heading) for heading in headings])


def test_every_heading_of_the_card_names_the_split(study: Study) -> None:
    text = card(manifest(*solution_beyond(study.front()[0], LIMITS[0])))
    lines = text.splitlines()
    headings = [lines[i - 1] for i, line in enumerate(lines) if line.startswith("| ---")]
    assert len(headings) == 2
    for line in headings:
        require_splits([heading.strip() for heading in line.strip("|").split("|")])


# ---------------------------------------------------------------------- limits as printed


def test_a_budget_of_a_tier_is_feasible_as_printed(study: Study, tables: list[Table | str]) -> None:
    for record in study.records():
        if record.failure is None:
            tiers = study.tiers(record.id, Limits())
            print_solutions.print_tiers(tiers, record.id, Limits())
            (table,) = (t for t in tables if isinstance(t, Table))
            budgets = [float(str(cell).rstrip(BREAKS).replace(",", "")) for cell in table.columns[0].cells]
            for tier, budget in zip(tiers, budgets, strict=True):
                assert tier.limits.max_macs == tier.budget
                chosen = study.tune(record.id, Limits(max_macs=budget))
                assert chosen.tune.accuracy >= tier.solution.tune.accuracy
            tables.clear()
