"""Laws of what the report says of exits, images, classes and baselines."""

import base64
import io
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from surrogate_nas.api import Study
from surrogate_nas.archive.record import Failure
from surrogate_nas.archive.views import ExitCalibration
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.report.baselines import Comparison, baselines_part, overlapping, points
from surrogate_nas.report.calibration import calibration_section
from surrogate_nas.report.classes import (
    ALL_LISTED,
    BEST_LISTED,
    WORST_LISTED,
    balance_text,
    classes_section,
    listed_classes,
    solution_columns,
)
from surrogate_nas.report.contents import Baseline, Classes, Contents
from surrogate_nas.report.drawing import baseline_mark, front_ranges
from surrogate_nas.report.examples import LARGEST, WRONG, data_uri, examples_section
from surrogate_nas.report.exit_mix import exit_mix_section, share_text
from surrogate_nas.report.front_figure import front_figure
from surrogate_nas.report.leaving import MOST_IMAGES, Example, Examples, exit_shares
from surrogate_nas.report.page import page
from surrogate_nas.report.solutions import page_solutions
from surrogate_nas.report.text import percent
from surrogate_nas.study.results import Measured, Solution
from tests.helpers.reports import contents_of

pytestmark = pytest.mark.usefixtures("quick_fits")

HOSTILE = "<b>&cat'\""
ResNet, Branchy, Static = "ResNet-8", "BranchyNet of ResNet-8", "static network"


class Elements(HTMLParser):
    """Attributes of every element of a name."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__()
        self.name, self.attributes = name, list[dict[str, str | None]]()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == self.name:
            self.attributes.append(dict(attrs))


@pytest.fixture(scope="module")
def study(with_baselines: Path) -> Study:
    return Study.open(with_baselines)


@pytest.fixture(scope="module")
def contents(study: Study) -> Contents:
    return contents_of(study)


@pytest.fixture(scope="module")
def with_exits(study: Study) -> Solution:
    """A network with two early exits, half of them on."""
    record = next(r for r in study.records("baseline") if len(r.architecture.exit_positions) == 3)
    return study.solution(record, OperatingPoint((0.0, 0.5)))


def plain(text: str) -> str:
    return unescape(re.sub(r"<[^>]+>", "", text))


def with_figures(like: Measured, accuracy: float, macs: float) -> Measured:
    return replace(like, accuracy=accuracy, expected_macs=macs, accuracy_interval=(accuracy - 0.01, accuracy + 0.01))


def solution(like: Solution, tune: tuple[float, float], test: tuple[float, float]) -> Solution:
    """With other accuracies and expected MACs."""
    return replace(like, tune=with_figures(like.tune, *tune), test=with_figures(like.test, *test))


def of_classes(like: Solution, *accuracy: float | None) -> Solution:
    return replace(like, test=replace(like.test, class_accuracy=accuracy))


# ---------------------------------------------------------------------- where images leave


def test_exit_shares_compose_what_was_measured(contents: Contents) -> None:
    for one in [*contents.front, *(p for b in contents.baselines for p in points(b))]:
        shares = exit_shares(one, contents.costing)
        assert sum(s.rate for s in shares) == pytest.approx(1)
        assert sum(s.rate * s.macs for s in shares) == pytest.approx(one.test.expected_macs)
        assert sum(s.rate * (s.accuracy or 0) for s in shares) == pytest.approx(one.test.accuracy)
        assert shares[-1].macs == one.test.worst_macs


def test_bars_are_as_long_as_exit_rates_and_say_so_in_text(contents: Contents) -> None:
    text = exit_mix_section(contents)
    widths = [float(x) for x in re.findall(r"flex-grow: ([\d.]+)", text)]
    shares = [s for one in page_solutions(contents) for s in exit_shares(one, contents.costing)]
    assert widths
    assert widths == pytest.approx([s.rate for s in shares if s.rate > 0], abs=1e-6)
    last = contents.positions - 1
    assert [plain(x)[2:] for x in re.findall(r"<li>(.*?)</li>", text)] == [share_text(s, last) for s in shares]


def test_an_exit_that_nobody_takes_is_named_and_has_no_bar(contents: Contents, with_exits: Solution) -> None:
    text = exit_mix_section(replace(contents, front=(with_exits,)))
    assert "exit 2: no image leaves here" in text
    assert text.count("flex-grow") == 1


def test_an_exit_that_is_off_is_left_out(study: Study, contents: Contents, with_exits: Solution) -> None:
    off = study.solution(with_exits.record, OperatingPoint((None, None)))
    assert [s.position for s in exit_shares(off, contents.costing)] == [2]
    assert "exit 1" not in exit_mix_section(replace(contents, front=(off,)))


# ---------------------------------------------------------------------- calibration


def test_every_exit_of_a_calibrated_network_is_a_row_with_its_errors(study: Study, contents: Contents) -> None:
    assert 1 <= len(contents.calibration) <= 6
    text = plain(calibration_section(contents))
    for id, exits in contents.calibration:
        record = study.archive.find(id)
        assert id in {s.record.id for s in contents.front}
        assert list(exits) == ExitCalibration.of(record.architecture, study.archive.outputs(id))
        for c in exits:
            assert f"{c.temperature:.2f}" in text
            assert percent(c.error) in text
    assert calibration_section(replace(contents, calibration=())) == ""


# ---------------------------------------------------------------------- images that leave early and late


def test_the_images_shown_are_of_the_most_accurate_solution_that_uses_its_exits(
    study: Study, with_exits: Solution
) -> None:
    off = study.solution(with_exits.record, OperatingPoint((None, None)))
    best, good, fair = (
        replace(one, tune=replace(one.tune, accuracy=accuracy))
        for one, accuracy in ((off, 0.9), (with_exits, 0.8), (with_exits, 0.7))
    )
    assert Examples.of([fair, good, best], study.splits(), study.solutions.views).solution is good


def test_images_are_drawn_from_those_that_leave_at_their_exit(study: Study, with_exits: Solution) -> None:
    point = OperatingPoint((0.5, 0.5))
    one, splits = study.solution(with_exits.record, point), study.splits()
    examples = Examples.of([one], splits, study.solutions.views)
    route = study.exits(one.record, "test").route(point)
    assert [exit_examples.count for exit_examples in examples.per_exit] == [int((route == e).sum()) for e in range(3)]
    for exit_examples in examples.per_exit:
        here = splits.test[np.flatnonzero(route == exit_examples.position)]
        candidates = {(image.tobytes(), int(label)) for image, label in zip(here.images, here.labels, strict=True)}
        assert len(exit_examples.examples) == min(exit_examples.count, MOST_IMAGES)
        assert {(x.image.tobytes(), x.label) for x in exit_examples.examples} <= candidates
        assert all((x.answer == x.label) is x.right for x in exit_examples.examples)
    assert drawn_images(examples) == drawn_images(Examples.of([one], splits, study.solutions.views))


def drawn_images(examples: Examples) -> list[bytes]:
    return [x.image.tobytes() for exit_examples in examples.per_exit for x in exit_examples.examples]


def example_contents(study: Study, contents: Contents, one: Solution) -> Contents:
    return replace(contents, examples=Examples.of([one], study.splits(), study.solutions.views))


def test_every_image_has_a_text_and_is_the_image_itself(study: Study, contents: Contents, with_exits: Solution) -> None:
    here = example_contents(study, contents, with_exits)
    images = Elements("img", examples_section(here)).attributes
    all_examples = [x for exit_examples in here.examples.per_exit for x in exit_examples.examples]
    assert len(images) == len(all_examples) == MOST_IMAGES
    for image, example in zip(images, all_examples, strict=True):
        assert f"class {example.label}, answered {'right' if example.right else 'wrong'}" in str(image["alt"])
        assert np.array_equal(decoded(str(image["src"])), example.image[0])


def decoded(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,")))))


def test_every_image_of_the_page_has_a_text(contents: Contents) -> None:
    assert all(image.get("alt") for image in Elements("img", page(contents)).attributes)


@pytest.mark.parametrize(
    ("right", "answer", "caption"),
    [
        (True, 1, "dog"),
        (False, 0, f"dog {WRONG}\N{NO-BREAK SPACE}{HOSTILE}"),
        (False, None, f"dog {WRONG}"),
    ],
)
def test_a_wrong_answer_is_marked_and_named_where_it_is_known(
    study: Study, contents: Contents, with_exits: Solution, right: bool, answer: int | None, caption: str
) -> None:
    here = example_contents(study, contents, with_exits)
    row = replace(here.examples.per_exit[0], examples=(Example(np.zeros((1, 8, 8), np.uint8), 1, answer, right),))
    text = examples_section(
        replace(here, examples=replace(here.examples, per_exit=(row,)), classes=Classes((HOSTILE, "dog"), (1, 1)))
    )
    assert [plain(x) for x in re.findall(r"<figcaption>(.*?)</figcaption>", text)] == [caption]
    assert HOSTILE not in text


def test_why_there_are_no_images_is_said(study: Study, contents: Contents, with_exits: Solution) -> None:
    off = study.solution(with_exits.record, OperatingPoint((None, None)))
    views = study.solutions.views
    for examples, why in (
        (Examples.of([off], study.splits(), views), "At every solution, fewer than 5"),
        (Examples.of([with_exits], None, views), "can no longer be read"),
    ):
        text = examples_section(replace(contents, examples=examples))
        assert why in text
        assert "<img" not in text


@pytest.mark.parametrize(
    ("channels", "size", "shape"),
    [
        (1, 8, (8, 8)),
        (3, 32, (32, 32, 3)),
        (2, 8, (8, 8)),
        (3, 224, (LARGEST, LARGEST, 3)),
    ],
)
def test_images_of_any_channels_and_size_can_be_shown(channels: int, size: int, shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(256, size=(channels, size, size), dtype=np.uint8)
    assert decoded(data_uri(image)).shape == shape


# ---------------------------------------------------------------------- classes


def test_the_classes_of_a_study_are_all_there_with_their_numbers(study: Study, contents: Contents) -> None:
    assert contents.classes.names == study.images.dataset.classes
    assert sum(contents.classes.images) == len(study.splits().test)
    text = classes_section(contents)
    columns = [s.test for s in (contents.front[0], contents.front[-1])]
    columns += [b.most_accurate.test for b in contents.baselines]
    for test in columns:
        for value in (test.accuracy, test.balanced_accuracy, *test.class_accuracy):
            assert percent(value or 0) in text
    assert all(b.name in text for b in contents.baselines)


def test_the_worst_class_of_each_column_is_marked(contents: Contents) -> None:
    like = contents.front[0]
    front = (of_classes(like, 0.9, 0.5, None), of_classes(like, 0.7, 0.7, 0.8), of_classes(like, 0.6, 0.6, 0.6))
    three = Classes((HOSTILE, "b", "c"), (10, 10, 10))
    text = classes_section(replace(contents, front=front, baselines=(), classes=three))
    assert [plain(x) for x in re.findall(r"<strong>(.*?)</strong>", text)] == [
        f"worst {percent(a)}" for a in (0.7, 0.5, 0.7)
    ]
    assert "<td>–</td>" in text
    assert HOSTILE not in text
    assert HOSTILE in plain(text)


def test_of_many_classes_the_worst_and_the_best_are_shown(contents: Contents) -> None:
    accuracy = np.random.default_rng(0).permutation(60) / 60
    many = of_classes(contents.front[-1], *accuracy)
    one = replace(contents, front=(many,), baselines=(), classes=Classes(tuple(map(str, range(60))), (9,) * 60))
    indices = listed_classes(one, solution_columns(one))
    order = np.argsort(accuracy)
    assert indices == [*order[:WORST_LISTED], *order[-BEST_LISTED:]]
    assert "10 worst and the 5 best of 60 classes" in classes_section(one)


def test_few_classes_are_shown_in_their_order(contents: Contents) -> None:
    two = replace(contents, front=(of_classes(contents.front[-1], 0.9, 0.2),), baselines=())
    assert listed_classes(two, solution_columns(two)) == [0, 1]
    assert contents.header.shape.classes <= ALL_LISTED


@pytest.mark.parametrize(
    ("images", "imbalanced"), [((10, 14), False), ((10, 15), True), ((0, 5), True), ((7, 7), False)]
)
def test_imbalanced_data_are_called_so(images: tuple[int, ...], imbalanced: bool) -> None:
    text = balance_text(Classes(("a", HOSTILE), images))
    assert ("imbalanced" in text) is imbalanced
    assert HOSTILE not in text


# ---------------------------------------------------------------------- baselines


def test_baselines_are_compared_with_and_searched_never(study: Study, contents: Contents) -> None:
    assert [b.name for b in contents.baselines] == [ResNet, Branchy, Static]
    assert [b.has_exits for b in contents.baselines] == [False, True, False]
    ids = {b.exits_off.record.id for b in contents.baselines}
    assert ids.isdisjoint(r.id for r in contents.records)
    assert ids.isdisjoint(s.record.id for s in contents.front)
    assert len(contents.hypervolume) == len(contents.records)


def test_a_baseline_is_taken_at_the_thresholds_most_accurate_on_tune(study: Study, contents: Contents) -> None:
    for baseline in contents.baselines:
        curve = study.exits(baseline.exits_off.record, "tune").curve
        assert baseline.most_accurate.tune.accuracy == curve.accuracy.max()
        assert set(baseline.exits_off.operating_point.thresholds) == {None}


def front_of(like: Solution, *figures: tuple[tuple[float, float], tuple[float, float]]) -> list[Solution]:
    return [solution(like, tune, test) for tune, test in figures]


def test_the_compared_solutions_are_chosen_on_tune_and_reported_on_test(contents: Contents) -> None:
    like = contents.front[0]
    front = front_of(
        like, ((0.80, 100.0), (0.95, 100.0)), ((0.90, 200.0), (0.85, 200.0)), ((0.95, 900.0), (0.99, 900.0))
    )
    base = solution(like, (0.88, 800.0), (0.90, 1000.0))
    comparison = Comparison.of(base, front)
    assert comparison.as_accurate is comparison.as_cheap is front[1]  # although the first is more accurate on test
    text = plain(comparison.sentences())
    assert text.startswith("On tune, one solution is the cheapest")
    assert "5.0 times fewer expected MACs (200) and is 5.0 points less accurate (85.0\N{NO-BREAK SPACE}%)" in text


def test_the_cheapest_as_accurate_and_the_most_accurate_as_cheap_may_differ(contents: Contents) -> None:
    like = contents.front[0]
    front = front_of(like, ((0.80, 100.0), (0.80, 100.0)), ((0.90, 400.0), (0.905, 400.0)))
    comparison = Comparison.of(solution(like, (0.75, 500.0), (0.90, 500.0)), front)
    assert (comparison.as_accurate, comparison.as_cheap) == (front[0], front[1])
    text = plain(comparison.sentences())
    assert "5.0 times fewer expected MACs (100) and is 10.0 points less accurate" in text
    assert "0.5 points more accurate (90.5\N{NO-BREAK SPACE}%; the 95 % intervals overlap)" in text


def test_a_front_that_offers_nothing_says_so(contents: Contents) -> None:
    like = contents.front[0]
    front = front_of(like, ((0.80, 100.0), (0.80, 100.0)))
    above = Comparison.of(solution(like, (0.90, 50.0), (0.9, 50.0)), front)
    assert above.sentences() == (
        "No solution on the front is as accurate on tune. No solution on the front is as cheap on tune."
    )
    nothing = replace(contents, front=(), nearest=like)
    assert "There is no solution to compare the baselines with" in baselines_part(nothing)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [((0.1, 0.3), (0.2, 0.4), True), ((0.1, 0.2), (0.3, 0.4), False), ((0.1, 0.2), (0.2, 0.4), True)],
)
def test_intervals_overlap_where_they_share_a_value(
    contents: Contents, a: tuple[float, float], b: tuple[float, float], expected: bool
) -> None:
    one, other = (replace(contents.front[0].test, accuracy_interval=x) for x in (a, b))
    assert overlapping(one, other) is overlapping(other, one) is expected


def test_the_table_of_baselines_has_every_point_and_whether_it_keeps_the_limits(contents: Contents) -> None:
    text = baselines_part(replace(contents, limits=Limits(max_params=contents.baselines[2].exits_off.parameters)))
    rows = [plain(x.replace("</t", " </t")) for x in re.findall(r"<tr>(<th scope=\"row\">.*?)</tr>", text)]
    expected = [(b.name, p) for b in contents.baselines for p in points(b)]
    assert len(rows) == len(expected) > 0
    for row, (name, point) in zip(rows, expected, strict=True):
        assert row.startswith(name)
        assert percent(point.test.accuracy) in row
        assert f"{point.parameters:,}" in row
        assert row.strip().endswith("yes" if name == Static else "no: parameters")


def test_without_baselines_it_says_how_to_train_them(contents: Contents) -> None:
    text = baselines_part(replace(contents, baselines=()))
    assert "surrogate-nas baselines STUDY" in text
    assert "<table" not in text


def test_a_baseline_that_failed_is_reported(contents: Contents) -> None:
    record = replace(contents.baselines[0].exits_off.record, outputs=None, failure=Failure("diverged", "loss <nan>"))
    text = baselines_part(replace(contents, failed_baselines=(record,), baselines=contents.baselines[1:]))
    assert "training of ResNet-8 failed: loss &lt;nan&gt;" in text


def test_the_figure_shows_baselines_by_mark_label_and_line(contents: Contents) -> None:
    figure = front_figure(contents)
    assert {a.text for a in figure.layout.annotations} == {ResNet, Branchy, Static}
    by_name = {str(t.name): t for t in figure.data}
    points_drawn = [by_name[ResNet], by_name[f"{Branchy}, exits off"], by_name[Static]]
    assert [t.marker.symbol for t in points_drawn] == [baseline_mark(i).plotly for i in range(3)]
    assert all(len(t.error_y.array) == 1 for t in points_drawn)
    dashed = [t.name for t in figure.data if t.line.dash == "dash" and t.showlegend is not False]
    assert dashed == [f"{Branchy}, thresholds"]


def test_the_axes_include_every_baseline(contents: Contents) -> None:
    (left, right), (bottom, top) = front_ranges(contents)
    for baseline in contents.baselines:
        test = baseline.exits_off.test
        assert left < test.expected_macs < right
        assert bottom <= test.accuracy_interval[0] < test.accuracy_interval[1] < top
        assert left < baseline.curve.expected_macs.min() < baseline.curve.expected_macs.max() + 1 < right
        assert bottom <= baseline.curve.accuracy.min()


def test_two_baselines_of_one_name_are_told_apart(
    study: Study, contents: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    baselines = study.records("baseline")
    twice = baselines + baselines[2:]
    records = study.solutions.records
    monkeypatch.setattr(
        study.solutions, "records", lambda group="search": twice if group == "baseline" else records(group)
    )
    names: list[Baseline] = list(contents_of(study).baselines)
    assert [b.name for b in names[:2]] == [ResNet, Branchy]
    assert all(b.name == f"{Static} {b.exits_off.record.id}" for b in names[2:])


# ---------------------------------------------------------------------- the whole page


def test_the_same_study_gives_the_same_page_but_for_the_date(study: Study, contents: Contents) -> None:
    again = contents_of(Study.open(study.path))
    assert page(replace(again, generated=contents.generated)) == page(contents)


def test_class_names_are_escaped_everywhere(study: Study, contents: Contents, with_exits: Solution) -> None:
    names = tuple(f"{HOSTILE}{c}" for c in range(10))
    hostile = replace(example_contents(study, contents, with_exits), classes=Classes(names, contents.classes.images))
    assert HOSTILE not in page(hostile)
