"""Laws of the report: complete, true to the study, offline, and possible for every study."""

import csv
import io
import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plotly.offline import get_plotlyjs

from surrogate_nas.api import Study
from surrogate_nas.archive.record import Failure, Record
from surrogate_nas.exits.limit_table import LIMITS, Limit
from surrogate_nas.exits.limits import Limits
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.report.contents import Classes, Contents, PredictionCheck
from surrogate_nas.report.drawing import DRAWN_LIMITS, FIGURES, KINDS
from surrogate_nas.report.front_figure import front_figure
from surrogate_nas.report.front_table import MOST_CLASSES, front_csv
from surrogate_nas.report.leaving import Examples
from surrogate_nas.report.page import header, page
from surrogate_nas.report.solutions import MOST_SOLUTIONS, evenly_by_cost, excess_lines, front_section
from surrogate_nas.report.static import static_figures
from surrogate_nas.report.text import escape, percent
from surrogate_nas.report.trust import score_texts
from surrogate_nas.report.writing import FRONT, REPORT
from surrogate_nas.surrogates.metrics import Score
from tests.helpers.reports import contents_of

pytestmark = pytest.mark.usefixtures("quick_fits")

EXTERNAL = re.compile(r"(?:(?:src|href|action)\s*=|url\()\s*[\"']?\s*(?:https?:)?//|@import", re.IGNORECASE)
HOSTILE = """<script>alert("x")</script>&'"""
CLASSES = 10
UNREACHABLE = {"min_accuracy": 1.0, "max_macs": 6000}


@pytest.fixture(scope="module")
def study(study_path: Path) -> Study:
    """Ten sampled networks and one round of search."""
    return Study.open(study_path)


@pytest.fixture(scope="module")
def contents(study: Study) -> Contents:
    return contents_of(study)


@pytest.fixture(scope="module")
def infeasible(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The study under limits that none of its networks keeps."""
    path = tmp_path_factory.mktemp("infeasible") / "study"
    shutil.copytree(study.path, path)
    copy = Study.open(path)
    copy.home.update({"limits": UNREACHABLE})
    return copy


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Three networks: too few for a surrogate, and no search."""
    study = Study.create(
        tmp_path_factory.mktemp("few") / "study",
        data="digits",
        space="tiny",
        seed=2,
        budget=3,
        initial=3,
        workers=2,
        recipe={"epochs": 1, "batch_size": 128},
    )
    study.collect(3)
    return study


@pytest.fixture(scope="module")
def text(contents: Contents) -> str:
    return page(contents)


def without_plotly(text: str) -> str:
    return text.replace(get_plotlyjs(), "")


def failed(record: Record, message: str) -> Record:
    return replace(record, outputs=None, failure=Failure("diverged", message))


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


# ---------------------------------------------------------------------- files


def test_it_writes_its_files_and_leaves_no_other(study: Study, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "report"
    assert study.report(folder) == folder / REPORT
    assert {p.name for p in folder.iterdir()} == {FIGURES, FRONT, REPORT}
    names = {f"{name}.{kind}" for name in ("front", "exit_mix", "hypervolume") for kind in KINDS}
    assert {p.name for p in (folder / FIGURES).iterdir()} == names


def test_it_goes_into_the_study_unless_told_otherwise(few: Study) -> None:
    assert few.report().parent == few.path
    assert (few.path / FRONT).is_file()


def test_a_folder_that_cannot_be_made_is_bad_input(study: Study, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        study.report(tmp_path / "file" / "report")


# ---------------------------------------------------------------------- the page


def test_nothing_is_loaded_from_elsewhere(text: str) -> None:
    own = without_plotly(text)
    assert EXTERNAL.search('<img src="https://example.org/one.png">')
    assert not EXTERNAL.findall(own)
    assert "default-src 'none'" in own
    assert "https://" not in own
    assert '"showSendToCloud": false' in own


def test_plotly_is_there_exactly_once(text: str) -> None:
    assert text.count(get_plotlyjs()) == 1
    assert text.count("Plotly.newPlot(") - get_plotlyjs().count("Plotly.newPlot(") == 6


def test_the_sections_stand_in_order(text: str) -> None:
    assert re.findall(r"<h2>(.*?)</h2>", text) == [
        "The front",
        "Exit rates",
        "Calibration of exits",
        "Images that leave early and late",
        "Accuracy per class",
        "Predictions against measurements",
        "Accuracy of the surrogate",
        "Hypervolume after each training",
        "All networks",
    ]


def test_every_network_appears_with_its_encoding(contents: Contents, text: str) -> None:
    html = unescape(without_plotly(text))
    for record in contents.records:
        assert f">{record.id}</th>" in html
        assert f"<code>{record.architecture}</code>" in html
    for solution in evenly_by_cost(contents.front, MOST_SOLUTIONS):
        assert f"<code>{solution.printed}</code>" in html


def test_choices_that_queries_are_cautioned_for_are_listed(study: Study, text: str) -> None:
    answers = study.query(study.space.sample(60, np.random.default_rng(0)))
    cautions = {caution for a in answers for caution in a.cautions if "×" not in caution}
    assert cautions
    html = unescape(without_plotly(text)).lower()
    assert all(caution.lower() in html for caution in cautions)


def test_every_opened_element_is_closed(text: str) -> None:
    own = without_plotly(text)
    for name in ("section", "table", "thead", "tbody", "tr", "td", "th", "figure", "p", "div", "dl", "ul", "script"):
        assert len(re.findall(rf"<{name}[ >]", own)) == own.count(f"</{name}>") > 0, name


def test_names_from_outside_are_escaped(contents: Contents) -> None:
    hostile = replace(contents, header=replace(contents.header, data=HOSTILE), version=HOSTILE)
    assert "<script>" not in header(hostile)
    assert HOSTILE in unescape(header(hostile))
    assert HOSTILE not in page(hostile)


def test_the_header_says_what_was_studied(contents: Contents) -> None:
    html = header(replace(contents, generated=datetime(2026, 1, 2, 3, 4, tzinfo=UTC)))
    for words in (
        "digits",
        "tiny",
        "10 sampled, 2 from the search; 0 failed",
        "8 × 8",
        "2026-01-02 03:04 UTC",
        "train 1,005, tune 432, test 360",
        "chosen on the tune split",
    ):
        assert words in html


def test_failures_are_listed_and_counted(contents: Contents) -> None:
    records = (*contents.records[:-1], failed(contents.records[-1], "loss <nan>"))
    html = without_plotly(page(replace(contents, records=records, networks=contents.networks[:-1])))
    assert "1 failed" in html
    assert "loss &lt;nan&gt;" in html
    assert "failed training" in html  # the mark in the figure of the hypervolume


def test_a_study_of_failures_alone_has_a_report(contents: Contents) -> None:
    records = tuple(failed(r, "out of memory") for r in contents.records)
    none = Examples(None, (), "No solution.")
    bare = replace(
        contents,
        records=records,
        networks=(),
        front=(),
        nearest=None,
        predictions=(),
        surrogate=None,
        examples=none,
        classes=Classes(contents.classes.names, ()),
    )
    html = without_plotly(page(bare))
    assert "No network has been trained successfully yet" in html
    assert html.count("out of memory") == len(records)
    assert set(static_figures(bare)) == {"hypervolume.svg", "hypervolume.png"}


def test_a_study_without_any_training_has_a_report(tmp_path: Path) -> None:
    study = Study.create(tmp_path / "study", seed=3)
    study.report()
    assert rows_of((study.path / FRONT).read_text()) == []
    assert "No network has been trained yet" in without_plotly((study.path / REPORT).read_text())


def test_too_few_networks_for_a_surrogate_are_reported_as_such(few: Study) -> None:
    html = without_plotly(few.report().read_text(encoding="utf-8"))
    assert "needs at least 4 trained networks, got 3" in html
    assert "No network proposed by the search has been trained yet" in html
    assert len(rows_of((few.path / FRONT).read_text())) == len(few.front()) > 0


def test_a_study_is_reported_where_its_images_are_not(few: Study) -> None:
    elsewhere = Study.open(few.path)
    elsewhere.archive.header = replace(few.archive.header, fingerprint="another")
    contents = contents_of(elsewhere)
    assert "train unknown, tune 432, test 360" in header(contents)
    assert contents.classes.names == tuple("0123456789")
    assert "images can no longer be read" in page(contents)


def test_limits_that_nothing_keeps_give_the_nearest_and_an_empty_front(infeasible: Study) -> None:
    html = unescape(without_plotly(infeasible.report().read_text(encoding="utf-8")))
    nearest = infeasible.nearest()
    assert "There is no solution" in html
    assert f"<code>{nearest.printed}</code>" in html
    lines = excess_lines(nearest, infeasible.settings.limits)
    assert lines
    assert all(f"<li>{line}</li>" in html for line in lines)
    assert (infeasible.path / FRONT).read_text().count("\n") == 1


# ---------------------------------------------------------------------- its parts


def test_excesses_name_the_limits_that_are_missed_and_no_other(contents: Contents) -> None:
    solution = contents.front[0]
    cap = solution.tune.expected_macs / 2
    lines = excess_lines(solution, Limits(max_macs=cap, max_params=solution.parameters, min_accuracy=1.0))
    assert [line.split(":")[0] for line in lines] == ["expected MACs", "accuracy"]
    assert "100.0\N{NO-BREAK SPACE}% over" in lines[0]
    assert excess_lines(solution, Limits()) == []


def test_the_accuracy_in_an_excess_is_a_floor_that_its_network_keeps(contents: Contents) -> None:
    for accuracy in (0.8669, 0.29, 0.57, 0.955, 2 / 3):
        tune = replace(contents.front[0].tune, accuracy=accuracy)
        [line] = excess_lines(replace(contents.front[0], tune=tune), Limits(min_accuracy=1.0))
        printed = Decimal(re.findall(r"[0-9.]+", line)[0]) / 100
        assert not tune.broken(Limits(min_accuracy=float(printed)))
        assert 0 <= accuracy - float(printed) < 0.001


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.name)
def test_every_limit_alone_is_told(contents: Contents, limit: Limit) -> None:
    limits = Limits(**{limit.name: 0.955 if limit.of_accuracy else 12345})
    amount = percent(0.955) if limit.of_accuracy else "12,345"
    words = f"{limit.words} {limit.sign} {amount}"
    assert f"<dt>Limits</dt><dd>{escape(words)}</dd>" in header(replace(contents, limits=limits))
    caption = unescape(front_section(replace(contents, limits=limits)))
    assert (f"limits on {limit.words} cannot be drawn here" in caption) == (limit.name not in DRAWN_LIMITS)


def test_without_limits_the_header_says_none(contents: Contents) -> None:
    assert "<dt>Limits</dt><dd>none</dd>" in header(replace(contents, limits=Limits()))


@pytest.mark.parametrize("most", [2, 5, 12])
def test_a_long_front_is_thinned_to_its_ends_and_evenly_between(contents: Contents, most: int) -> None:
    first = contents.front[0]
    long = [replace(first, tune=replace(first.tune, expected_macs=m)) for m in np.geomspace(1e3, 1e6, 40)]
    solutions = evenly_by_cost(long, most)
    macs = [s.tune.expected_macs for s in solutions]
    assert len(solutions) == most
    assert macs == sorted(macs)
    assert (solutions[0], solutions[-1]) == (long[0], long[-1])


def test_a_short_front_is_shown_whole(contents: Contents) -> None:
    assert evenly_by_cost(contents.front[:3], 12) == list(contents.front[:3])


def test_a_measured_value_at_the_end_of_its_interval_is_inside() -> None:
    assert PredictionCheck.of((0.5, 0.1 + 0.2, 0.9), 0.3).inside
    assert not PredictionCheck.of((0.5, 0.31, 0.9), 0.3).inside


def test_verified_values_are_those_of_the_tune_split(study: Study, contents: Contents) -> None:
    assert len(contents.predictions) == 2
    for prediction in contents.predictions:
        tune = study.solution(prediction.record, prediction.operating_point).tune
        assert prediction.accuracy.measurement == tune.accuracy
        assert prediction.expected_macs.measurement == tune.expected_macs


@pytest.mark.parametrize(
    ("tau", "cost_tau", "n", "expected"),
    [
        (0.8, 0.5, 40, 0),
        (0.5, 0.5, 40, 1),
        (0.8, 0.5, 29, 1),
        (0.4, 0.5, 10, 2),
    ],
)
def test_cautions_follow_the_scores(contents: Contents, tau: float, cost_tau: float, n: int, expected: int) -> None:
    assert contents.surrogate is not None
    validation = contents.surrogate.validations[0]
    scores = (replace(validation.accuracy, tau=tau, n=n), *validation.scores[1:])
    assert len(replace(validation, scores=scores, cost_tau=cost_tau).cautions) == expected


def test_errors_of_shares_are_in_points_and_of_macs_in_percent() -> None:
    assert score_texts(
        Score(
            target="accuracy", n=9, tau=0.5, tau_low=0.4, tau_high=0.6, rmse=0.031, coverage=0.9, nll=-1.5, regret=0.004
        )
    ) == (
        "0.50 [0.40, 0.60]",
        "3.1 points",
        "90.0\N{NO-BREAK SPACE}%",
        "-1.50",
        "0.4 points",
    )
    assert (
        score_texts(
            Score(
                target="expected MACs",
                n=9,
                tau=0.0,
                tau_low=0.0,
                tau_high=0.1,
                rmse=0.11,
                coverage=0.9,
                nll=1.0,
                regret=0.0,
            )
        )[1]
        == "11.0\N{NO-BREAK SPACE}%"
    )


@pytest.mark.parametrize(
    ("limits", "region"),
    [
        (Limits(), False),
        (Limits(max_params=1), False),
        (Limits(max_macs=5e4), True),
        (Limits(min_accuracy=0.5), True),
        (Limits(max_macs=5e4, min_accuracy=0.5), True),
    ],
)
def test_the_region_is_drawn_where_there_are_limits_to_draw(contents: Contents, limits: Limits, region: bool) -> None:
    names = [trace.name for trace in front_figure(replace(contents, limits=limits)).data]
    assert ("within the limits" in names) is region


def test_solutions_from_sample_and_search_have_markers_of_their_own(contents: Contents) -> None:
    solution = contents.front[0]
    front = []
    for origin in ("initial", "search", "user"):
        proposal = replace(solution.record.proposal, origin=origin)
        front.append(replace(solution, record=replace(solution.record, proposal=proposal)))
    traces = [t for t in front_figure(replace(contents, front=tuple(front))).data if str(t.name).startswith("front")]
    assert len({t.marker.symbol for t in traces}) == len({t.marker.color for t in traces}) == 3
    assert all(list(t.y) == [solution.test.accuracy] for t in traces)


# ---------------------------------------------------------------------- front.csv


def test_the_csv_says_what_the_front_says(study: Study, contents: Contents) -> None:
    rows = rows_of(front_csv(contents.front, contents.positions, CLASSES, contents.limits))
    front = study.front()
    assert len(rows) == len(front) > 0
    for row, solution in zip(rows, front, strict=True):
        record, tune, test = solution.record, solution.tune, solution.test
        expected: dict[str, Any] = {
            "id": record.id,
            "encoding": record.architecture,
            "thresholds": solution.operating_point,
            "policy": solution.operating_point.policy,
            "seed": record.proposal.seed,
            "origin": record.proposal.origin,
            "parameters": solution.parameters,
            "tune_accuracy": tune.accuracy,
            "tune_expected_macs": tune.expected_macs,
            "test_accuracy": test.accuracy,
            "test_accuracy_low": test.accuracy_interval[0],
            "test_accuracy_high": test.accuracy_interval[1],
            "test_accuracy_bound": test.accuracy_bound,
            "test_balanced_accuracy": test.balanced_accuracy,
            "test_expected_macs": test.expected_macs,
            "worst_macs": test.worst_macs,
            "broken_on_test": " ".join(b.limit.name for b in contents.limits.broken(test.quantities)),
            "certified": "",
        }
        for e, (rate, accuracy) in enumerate(zip(test.rates, test.exit_accuracy, strict=True), start=1):
            expected[f"test_exit_rate_{e}"] = rate
            expected[f"test_exit_accuracy_{e}"] = "" if accuracy is None else accuracy
        for c, accuracy in enumerate(test.class_accuracy):
            expected[f"test_class_accuracy_{c}"] = accuracy
        assert row == {name: str(value) for name, value in expected.items()}


def test_exit_rates_in_the_csv_sum_to_one_and_compose_the_accuracy(contents: Contents) -> None:
    places = range(1, contents.positions + 1)
    for row in rows_of(front_csv(contents.front, contents.positions, CLASSES, contents.limits)):
        rates = [float(row[f"test_exit_rate_{e}"]) for e in places]
        right = [float(row[f"test_exit_accuracy_{e}"] or 0) for e in places]
        assert sum(rates) == pytest.approx(1)
        assert np.dot(rates, right) == pytest.approx(float(row["test_accuracy"]))


def test_the_csv_of_no_solutions_is_a_header(contents: Contents) -> None:
    assert front_csv((), contents.positions, CLASSES, Limits()).count("\n") == 1


def test_the_csv_has_the_classes_last_and_leaves_out_very_many(contents: Contents) -> None:
    columns = front_csv((), contents.positions, 3, Limits()).strip().split(",")
    assert columns.index("test_balanced_accuracy") == columns.index("test_accuracy_bound") + 1
    assert columns[-3:] == [f"test_class_accuracy_{c}" for c in range(3)]
    assert "class" not in front_csv(contents.front, contents.positions, MOST_CLASSES + 1, Limits())
