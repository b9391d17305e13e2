"""Queries of any number of architectures: files in and out, and the best of a study."""

import csv
import io
import json
import re
import shutil
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from surrogate_nas.api import Study
from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.exits.limits import Limits
from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.search import best_predicted as evolution
from surrogate_nas.space import moves
from surrogate_nas.study import query
from surrogate_nas.study.query import Question, about, respondent_of
from surrogate_nas.study.query_files import AnswerFile, QuestionFile, cells, column_names
from surrogate_nas.study.results import Answer
from tests.conftest import Command

pytestmark = pytest.mark.usefixtures("quick_fits")


@pytest.fixture(scope="module")
def study(study_path: Path) -> Study:
    return Study.open(study_path)


@pytest.fixture(scope="module")
def architectures(study: Study) -> list[Architecture]:
    """Ten: one trained, nine drawn."""
    sample = study.space.sample(9, np.random.default_rng(1))
    return [study.records()[0].architecture, *sample]


def documents(answers: list[Answer]) -> list[Any]:
    return [json.loads(json.dumps(a.fields)) for a in answers]


def as_lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# ---------------------------------------------------------------------- streams


def test_a_stream_has_the_answers_of_one_query(
    study: Study, architectures: list[Architecture], tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query, "BLOCK", 4)
    expected = study.query(architectures)
    assert expected[0].trained
    (tmp_path / "in").write_text("\n\n".join(map(str, architectures)))
    assert command("query", study.path, "--file", tmp_path / "in", "--output", tmp_path / "out.jsonl")[0] == 0
    assert as_lines(tmp_path / "out.jsonl") == documents(expected)
    code, out, err = command("query", study.path, "--file", tmp_path / "in", "-o", tmp_path / "out.csv", "--json")
    assert (code, json.loads(out)["rows"]) == (0, 10)
    assert "10 architectures, " in err
    with (tmp_path / "out.csv").open(newline="") as stream:
        names, *rows = csv.reader(stream)
    assert names == column_names(3, cost=False)
    assert rows == [["" if cell is None else str(cell) for cell in cells(a)] for a in expected]


def test_a_table_has_all_that_an_answer_has(study: Study, architectures: list[Architecture]) -> None:
    for a in study.query(architectures, OperatingPoint((0.9, None))):
        row = dict(zip(column_names(3, cost=False), cells(a), strict=True))
        assert (row["encoding"], row["thresholds"]) == (a.encoding, a.thresholds)
        assert (row["accuracy_low"], row["expected_macs_high"]) == (a.accuracy[1], a.expected_macs[2])
        for e in range(3):
            assert tuple(row[f"p{e + 1}{end}"] for end in ("", "_low", "_high")) == a.exit_probabilities[e]
            expected = a.exit_accuracies[e] or (None,) * 3
            assert tuple(row[f"a{e + 1}{end}"] for end in ("", "_low", "_high")) == expected
        assert row["trained"].split() == [training["id"] for training in a.trained]
        assert (row["worst_macs"], row["activation_bytes"]) == (a.worst_macs, a.activation_bytes)
        assert row["cautions"] == "; ".join(a.cautions)
    assert column_names(2, cost=True)[-5:] == ["cost", "cost_low", "cost_high", "trained", "cautions"]


def test_cautions_are_the_same_in_every_form(study: Study, command: Command) -> None:
    encodings = [str(a) for a in study.space.sample(8, np.random.default_rng(1))]
    words = [word for encoding in encodings for word in ("--encoding", encoding)]
    answers = json.loads(command("query", study.path, *words, "--json")[1])
    table = command("query", study.path, *words, "--wide")[1]
    footnotes = dict(re.findall(r"^caution (\d+): (.+)$", table, re.MULTILINE))
    assert len(set(footnotes.values())) == len(footnotes) > 1
    lines = [re.split(r"\s{2,}", line.strip()) for line in table.splitlines()]
    rows = {cells[-1]: cells[-2] for cells in lines if len(cells) > 1}
    for answer in answers:
        numbers = rows[answer["encoding"]]
        printed = [footnotes[n] for n in numbers.split()] if set(numbers) <= set("0123456789 ") else []
        assert printed == answer["cautions"]
        alone = command("query", study.path, "--encoding", answer["encoding"])[1]
        assert re.findall(r"^caution: (.+)$", alone, re.MULTILINE) == answer["cautions"]
    assert {text for a in answers for text in a["cautions"]} == set(footnotes.values())


def test_trained_networks_have_no_cautions_and_others_are_shown_with_the_number_of_theirs(
    study: Study, architectures: list[Architecture]
) -> None:
    assert not any(a.cautions for a in study.query(study.records()))
    numbers = {len(a.cautions): repr(a) for a in study.query(architectures)}
    assert len(numbers) > 1
    assert all(f"cautions={n}" in text for n, text in numbers.items())


def test_thresholds_of_a_row_are_its_own(
    study: Study, architectures: list[Architecture], tmp_path: Path, command: Command
) -> None:
    first, second = map(str, architectures[:2])
    points = ["0.8,off", "0.5,0.99", None]
    rows = [{"encoding": e, "thresholds": t} for e in (first, second) for t in points]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = csv.writer(buffer := io.StringIO())
    table.writerows([["note", "thresholds", "encoding"], *(["–", r["thresholds"], r["encoding"]] for r in rows)])
    (tmp_path / "in.csv").write_text(buffer.getvalue())
    operating_points = [None if t is None else OperatingPoint.parse(t, 3) for t in points]
    questions = [
        Question(str(a), study.space.indices([a])[0].tolist(), p) for a in architectures[:2] for p in operating_points
    ]
    [expected] = respondent_of(study.solutions, study.settings.limits).answer(questions)
    for name in ("in.jsonl", "in.csv"):
        assert command("query", study.path, "--file", tmp_path / name, "-o", tmp_path / "out.jsonl")[0] == 0
        assert as_lines(tmp_path / "out.jsonl") == documents(expected)
        _, out, _ = command("query", study.path, "--file", tmp_path / name, "--json")
        assert json.loads(out) == documents(expected)
    best = study.query([architectures[1]])[0]
    assert expected[5].thresholds == best.thresholds != expected[3].thresholds


def test_an_output_can_be_asked_again(study: Study, tmp_path: Path, command: Command) -> None:
    first = tmp_path / "first.csv"
    assert command("query", study.path, "--sample", 5, "-o", first)[0] == 0
    assert command("query", study.path, "--file", first, "-o", tmp_path / "second.jsonl")[0] == 0
    assert command("query", study.path, "--file", tmp_path / "second.jsonl", "-o", tmp_path / "third.csv")[0] == 0
    assert (tmp_path / "third.csv").read_text() == first.read_text()


def test_standard_input_is_lines_of_json_or_of_text(
    study: Study, architectures: list[Architecture], command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = "".join(f"{a}\n" for a in architectures[:3])
    lines = "".join(json.dumps({"encoding": str(a)}) + "\n" for a in architectures[:3])
    for text in (plain, lines):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
        _, out, _ = command("query", study.path, "--file", "-", "--json")
        assert json.loads(out) == documents(study.query(architectures[:3]))


def test_what_does_not_depend_on_chance_does_not_depend_on_the_blocks(
    study: Study, architectures: list[Architecture], monkeypatch: pytest.MonkeyPatch
) -> None:
    together = study.query(architectures)
    monkeypatch.setattr(query, "BLOCK", 3)
    for a, b in zip(together, study.query(architectures), strict=True):
        for name in ("encoding", "thresholds", "macs", "worst_macs", "parameters", "activation_bytes", "trained"):
            assert getattr(a, name) == getattr(b, name)
        np.testing.assert_allclose(a.accuracy, b.accuracy, atol=0.05)


def test_samples_to_a_file_are_those_without_one_and_distinct_beyond_a_draw(
    study: Study, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, out, _ = command("query", study.path, "--sample", 12, "--json")
    assert [a["encoding"] for a in json.loads(out)] == [
        str(a) for a in study.space.sample(12, np.random.default_rng(3))
    ]
    assert command("query", study.path, "--sample", 12, "-o", tmp_path / "out.jsonl")[0] == 0
    assert as_lines(tmp_path / "out.jsonl") == json.loads(out)
    monkeypatch.setattr("surrogate_nas.cli.inputs.DRAW", 5)
    assert command("query", study.path, "--sample", 12, "-o", tmp_path / "out.jsonl")[0] == 0
    assert len({a["encoding"] for a in as_lines(tmp_path / "out.jsonl")}) == 12


def test_no_more_than_a_block_is_read_ahead_or_kept(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "BLOCK", 16)
    [only] = list(about(study.space, moves.sample(study.space.genes, 1, np.random.default_rng(0))))
    read = 0

    def endless() -> Iterator[Question]:
        nonlocal read
        while True:
            read += 1
            yield only

    blocks = respondent_of(study.solutions, Limits(max_macs=2e5)).answer(endless())
    next(blocks)
    tracemalloc.start()
    for done in range(32, 400, 16):
        next(blocks)
        assert read == done
        if done == 64:
            tracemalloc.reset_peak()
            start = tracemalloc.get_traced_memory()[0]
    grown = tracemalloc.get_traced_memory()[0] - start
    tracemalloc.stop()
    assert grown < 100_000  # the answers to 320 questions have more


class Interrupted(BaseException):
    pass


def test_an_interrupted_stream_leaves_what_was_there_and_nothing_else(
    study: Study, architectures: list[Architecture], tmp_path: Path
) -> None:
    (tmp_path / "out.csv").write_text("before")

    def broken() -> Iterator[list[Answer]]:
        yield study.query(architectures)
        raise Interrupted

    for name in ("out.csv", "new.jsonl"):
        with pytest.raises(Interrupted):
            AnswerFile(tmp_path / name, 3, cost=False).write(broken())
    assert [p.name for p in tmp_path.iterdir()] == ["out.csv"]
    assert (tmp_path / "out.csv").read_text() == "before"


GOOD = "stem-w8-s1/res-d1-w8-k3-s1/res-d1-w12-k3-s2/res-d1-w16-k3-s2"
BAD_FILES = {
    "a.txt": (f"{GOOD}\n\nstem-w8-s1/res-d9-w8-k3-s1/res-d1-w12-k3-s2/res-d1-w16-k3-s2", "line 3: ", "depth 9 is not"),
    "b.txt": (f"{GOOD}\n0,nan,0.5\n", "line 2: ", "encodings"),
    "c.txt": (f"{GOOD}\n{'9' * 200_000}\n", "line 2: ", "the line is longer than 100,000 bytes"),
    "d.txt": (f"{GOOD}\n{'0.5,' * 5000}1", "line 2: ", "at most 4,000 characters, got 20,001"),
    "e.txt": (f"{GOOD}\nstem-w8-s1/res-d999999999-w8-k3-s1", "line 2: ", "more than 1000 blocks"),
    "f.txt": ("", "f.txt has no encodings", ""),
    "g.txt": ("\n \n", "g.txt has no encodings", ""),
    "h.txt": (b"\xff\xfe\n", "line 1: ", "not UTF-8"),
    "a.jsonl": (f'{{"encoding": "{GOOD}"}}\nnonsense', "line 2: ", "not JSON (Expecting value"),
    "b.jsonl": (f'{{"encoding": "{GOOD}", "x": NaN}}', "line 1: ", "NaN is not a JSON number"),
    "c.jsonl": ('{"code": "x"}', "line 1: ", 'expected an object with "encoding", got {"code"'),
    "d.jsonl": ('["x"]', "line 1: ", 'expected an object with "encoding", got ["x"]'),
    "e.jsonl": ('{"encoding": [0.5, 0.5]}', "line 1: ", "encoding must be text, got list"),
    "f.jsonl": (f'{{"encoding": "{GOOD}", "thresholds": 0}}', "line 1: ", "thresholds must be text, got 0"),
    "g.jsonl": (f'{{"encoding": "{GOOD}", "thresholds": "0.5,inf"}}', "line 1: ", "threshold inf is not in [0, 1]"),
    "h.jsonl": (f'{{"encoding": "{GOOD}", "thresholds": "0.5"}}', "line 1: ", "3 exits need 2 thresholds, got 1"),
    "i.jsonl": ('{"encoding": ' + "[" * 40_000, "line 1: ", ""),
    "j.jsonl": (f'{{"encoding": {"9" * 9000}}}', "line 1: ", ""),
    "k.jsonl": (f'{{"encoding": "{GOOD}", "encoding": "{GOOD}"}}', "line 1: ", "duplicate key 'encoding'"),
    "l.jsonl": ('{"encoding": 5}', "line 1: ", "encoding must be text, got 5"),
    "f.csv": (f"encoding,encoding\n{GOOD},{GOOD}\n", "line 1: ", "2 columns are called 'encoding'"),
    "g.csv": (f"encoding, thresholds,thresholds\n{GOOD},,\n", "line 1: ", "2 columns are called 'thresholds'"),
    "a.csv": ("code,thresholds\nx,", "line 1: ", "expected a column 'encoding', got code, thresholds"),
    "b.csv": (f'encoding,thresholds\n{GOOD},"0.5,off"\n{GOOD}\n', "line 3: ", "expected 2 cells, one per column"),
    "c.csv": (f"encoding\n{GOOD}\n\nabc\n", "line 4: ", "'abc' is neither a text form nor numbers"),
    "d.csv": ("encoding\n", "d.csv has no encodings", ""),
    "e.csv": (f'encoding\n"{GOOD}\n' + f"{GOOD}\n" * 3000, "line ", "not CSV: field larger than"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_row_is_one_line_with_its_number_and_nothing_is_written(
    name: str, study_path: Path, tmp_path: Path, command: Command
) -> None:
    content, where, why = BAD_FILES[name]
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    for words in (["-o", tmp_path / "out.csv"], []):
        code, out, err = command("query", study_path, "--file", tmp_path / name, *words)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert where in err
        assert why in err
        assert len(re.findall(r"line \d", err)) == (1 if where.startswith("line") else 0)
        assert len(err) < 600
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_bad_row_after_many_good_ones_leaves_nothing(
    study_path: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query, "BLOCK", 4)
    (tmp_path / "in").write_text(f"{GOOD}\n" * 9 + "abc")
    code, _, err = command("query", study_path, "--file", tmp_path / "in", "-o", tmp_path / "out.csv")
    assert (code, "line 10: encoding 'abc'" in err) == (2, True)
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


BAD_OPTIONS = {
    "--sample 3 --output out.txt": "output out.txt does not end in .jsonl or .csv",
    "--sample 3 --output nowhere/out.csv": "its folder does not exist",
    "--best 0": "best 0 is not between 1 and 5,000",
    "--best 9999": "best 9999 is not between 1 and 5,000",
    "--best 3 --sample 3": "one of --encoding, --file, --sample and --best",
    "--best 3 --thresholds 0.5": "3 exits need 2 thresholds, got 1",
    "--best 3 --max-params 10": "within parameters ≤ 10; smallest found: ",
    "--best 3 --max-cost 5": "expected cost ≤ 5: this study has no cost table",
    "--sample 3 --max-macs -1": "--max-macs -1: input should be greater than 0",
}


@pytest.mark.parametrize("words", BAD_OPTIONS)
def test_bad_options_are_one_line(words: str, study_path: Path, command: Command) -> None:
    code, out, err = command("query", study_path, *words.split())
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert BAD_OPTIONS[words] in err


def test_a_file_says_how_much_of_it_is_read(study: Study, tmp_path: Path) -> None:
    (tmp_path / "in").write_text(f"{GOOD}\n" * 4)
    source = QuestionFile(tmp_path / "in", study.home.problem)
    assert [source.share() for _ in source] == [0.25, 0.5, 0.75, 1.0]


# ---------------------------------------------------------------------- the best


def test_the_best_of_a_study_are_ranked_by_what_is_answered(study: Study) -> None:
    answers = study.best(8, Limits(max_macs=2e5, min_accuracy=0.3))
    assert len({a.encoding for a in answers}) == 8
    likely = [a.feasible_probability >= 0.5 for a in answers]
    accuracy = [a.accuracy[0] for a, is_likely in zip(answers, likely, strict=True) if is_likely]
    assert likely == sorted(likely, reverse=True)
    assert accuracy
    assert accuracy == sorted(accuracy, reverse=True)
    assert study.best(8, Limits(max_macs=2e5, min_accuracy=0.3)) == answers
    sampled = study.query(study.space.sample(300, np.random.default_rng(0)), limits=Limits(max_macs=2e5))
    assert accuracy[0] >= max(a.accuracy[0] for a in sampled if a.feasible_probability >= 0.5)


def test_what_was_trained_is_where_the_search_begins_and_marked(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evolution, "GENERATIONS", 0)
    monkeypatch.setattr(evolution, "SWEEPS", 0)
    monkeypatch.setattr(
        evolution, "spread_rows", lambda space, *_: moves.sample(space.genes, 0, np.random.default_rng(0))
    )
    answers = study.best(50, Limits(max_macs=1e6))
    assert {a.encoding for a in answers} == {str(r.architecture) for r in study.records()}
    assert all(a.trained for a in answers)


def test_the_best_at_given_thresholds_for_what_nothing_keeps_are_the_nearest(
    study_path: Path, tmp_path: Path, command: Command
) -> None:
    study = shutil.copytree(study_path, tmp_path / "study")
    words = ["--best", 2, "--thresholds", "0.5,off", "--min-accuracy", "1", "-o", tmp_path / "out.jsonl"]
    code, _, err = command("query", study, *words)
    assert code == 0, err
    assert "no architecture keeps accuracy ≥ 1 with a probability of at least 0.5; showing the closest" in err
    answers = as_lines(tmp_path / "out.jsonl")
    assert len(answers) == 2
    assert {a["thresholds"] for a in answers} <= {"0.5,off", "off,off"}


def test_limits_of_a_query_are_not_those_of_the_study(study: Study, architectures: list[Architecture]) -> None:
    tight = study.query(architectures, limits=Limits(max_macs=1))
    assert {a.feasible_probability for a in tight} == {0.0}
    assert any(a.feasible_probability > 0.5 for a in study.query(architectures))
    with pytest.raises(InputError, match="no cost table"):
        study.query(architectures, limits=Limits(max_cost=1))
