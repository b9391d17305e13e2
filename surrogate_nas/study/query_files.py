"""Files of questions and answers, which may be larger than memory: plain text, JSON lines, CSV."""

import csv
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from surrogate_nas.exits.operating_point import OperatingPoint
from surrogate_nas.foundation import strict_json
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.foundation.files import replaced, require_output
from surrogate_nas.search.problem import Problem
from surrogate_nas.study.query import Question
from surrogate_nas.study.results import Answer

STDIN = Path("-")
OUTPUTS = (".jsonl", ".csv")
LONGEST_LINE = 100_000
"""Largest number of bytes in a line; an answer in JSON has a few thousand."""
LONGEST_COMPLAINT = 300
"""Largest number of characters of a message about a line."""
Fields = tuple[int, object, object]
"""Number of the line, its encoding and its thresholds."""


class QuestionFile:
    """Questions in a file, read lazily: JSON lines for `.jsonl`, a table for `.csv`, else one encoding per line.

    Standard input is JSON lines if it begins with a brace, else one encoding per line. Iterating raises `InputError`,
    with the number of the line, for a malformed line, and for a file without questions.
    """

    def __init__(self, path: Path, problem: Problem, point: OperatingPoint | None = None) -> None:
        """`point` applies to rows without thresholds; if it is `None`, these get the best predicted ones."""
        self.path, self.problem, self.point = path, problem, point
        self.name = "standard input" if path == STDIN else str(path)
        self._bytes_read, self._size = 0, 0

    def share(self) -> float | None:
        """Share of the file that has been read; `None` if its size is unknown."""
        return self._bytes_read / self._size if self._size else None

    def __iter__(self) -> Iterator[Question]:
        try:
            with self._opened() as file:
                rows = iter(self._fields(file))
                for first in rows:
                    yield from map(self._question, chain([first], rows))
                    return
        except OSError as error:
            raise InputError(f"{self.name} cannot be read: {error.strerror or error}") from None
        raise InputError(f"{self.name} has no encodings")

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        if self.path == STDIN:
            yield sys.stdin.buffer
            return
        with self.path.open("rb") as file:
            self._size = os.fstat(file.fileno()).st_size
            yield file

    def _lines(self, file: BinaryIO) -> Iterator[tuple[int, str]]:
        number = 0
        while line := file.readline(LONGEST_LINE + 1):
            number += 1
            self._bytes_read += len(line)
            if len(line) > LONGEST_LINE:
                self._refuse(number, f"the line is longer than {LONGEST_LINE:,} bytes")
            try:
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                self._refuse(number, f"not UTF-8: {line[:40]!r}")

    def _fields(self, file: BinaryIO) -> Iterator[Fields]:
        lines = self._lines(file)
        if self.path.suffix == ".csv":
            yield from self._of_table(lines)
            return
        as_json: bool | None = True if self.path.suffix == ".jsonl" else None if self.path == STDIN else False
        for number, line in lines:
            if not line.strip():
                continue
            if as_json is None:
                as_json = line.lstrip().startswith("{")
            yield self._of_json(number, line) if as_json else (number, line, None)

    def _of_json(self, number: int, line: str) -> Fields:
        try:
            document = strict_json.loads(line)
        except RecursionError:
            self._refuse(number, f"nested too deeply: {line.strip()[:40]!r}")
        except json.JSONDecodeError as error:  # its text counts lines within this one
            self._refuse(number, f"not JSON ({error.msg} at character {error.colno}), got {line.strip()[:40]!r}")
        except ValueError as error:
            self._refuse(number, f"not JSON ({error}), got {line.strip()[:40]!r}")
        if not isinstance(document, dict) or "encoding" not in document:
            self._refuse(number, f'expected an object with "encoding", got {line.strip()[:80]}')
        return number, document["encoding"], document.get("thresholds")

    def _of_table(self, lines: Iterator[tuple[int, str]]) -> Iterator[Fields]:
        reader = csv.reader(line for _, line in lines)
        names: list[str] | None = None
        try:
            for cells in reader:
                if not any(cells):
                    continue
                if names is None:
                    names = [cell.strip() for cell in cells]
                    self._require_columns(reader.line_num, names)
                    continue
                if len(cells) != len(names):
                    self._refuse(reader.line_num, f"expected {len(names)} cells, one per column, got {len(cells)}")
                row = dict(zip(names, cells, strict=True))
                yield reader.line_num, row["encoding"], row.get("thresholds") or None
        except csv.Error as error:
            self._refuse(reader.line_num, f"not CSV: {error}")

    def _require_columns(self, number: int, names: Sequence[str]) -> None:
        if "encoding" not in names:
            self._refuse(number, f"expected a column 'encoding', got {', '.join(names)}")
        for name in ("encoding", "thresholds"):
            if names.count(name) > 1:
                self._refuse(number, f"{names.count(name)} columns are called {name!r}: {', '.join(names)}")

    def _question(self, fields: Fields) -> Question:
        number, encoding, thresholds = fields
        space, point = self.problem.space, self.point
        encoding_text = self._text(number, "encoding", encoding)
        thresholds_text = None if thresholds is None else self._text(number, "thresholds", thresholds)
        try:
            architecture, row = space.parse_with_row(encoding_text)
            if thresholds_text is not None:
                point = OperatingPoint.parse(thresholds_text, space.positions, self.problem.policy)
        except InputError as error:
            self._refuse(number, str(error))
        return Question(str(architecture), row, point)

    def _text(self, number: int, name: str, value: object) -> str:
        if not isinstance(value, str):
            got = type(value).__name__ if isinstance(value, list | dict) else repr(value)
            self._refuse(number, f"{name} must be text, got {got}")
        return value

    def _refuse(self, number: int, why: str) -> NoReturn:
        short = why if len(why) <= LONGEST_COMPLAINT else f"{why[:LONGEST_COMPLAINT]}…"
        raise InputError(f"{self.name} line {number}: {short}") from None


class AnswerFile:
    """File of answers, JSON lines or CSV by its suffix, written atomically."""

    def __init__(self, path: Path, positions: int, *, cost: bool, ladder: bool = False) -> None:
        """Check the path of a file for networks with this number of exit positions.

        Raises:
            InputError: for another suffix, or a path that cannot be written.
        """
        require_output(path, OUTPUTS)
        self.path, self._columns = path, column_names(positions, cost=cost, ladder=ladder)

    def write(self, blocks: Iterable[Sequence[Answer]], on_rows: Callable[[int], object] | None = None) -> int:
        """Write blocks, calling `on_rows` with the number of rows so far; returns the number of rows.

        An existing file is replaced at the end.
        """
        rows, as_table = 0, self.path.suffix == ".csv"
        with replaced(self.path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            if as_table:
                writer.writerow(self._columns)
            for block in blocks:
                if as_table:
                    writer.writerows(map(cells, block))
                else:
                    file.writelines(json.dumps(answer.fields) + "\n" for answer in block)
                rows += len(block)
                if on_rows is not None:
                    on_rows(rows)
        return rows


def exit_columns(positions: int) -> list[str]:
    """Column names: p1, p2, … are exit probabilities; a1, a2, … accuracies of the samples that leave at each exit."""
    return [f"{letter}{e + 1}" for letter in "pa" for e in range(positions)]


def column_names(positions: int, *, cost: bool, ladder: bool = False) -> list[str]:
    """Column names of a table of answers."""

    def intervals(*names: str) -> list[str]:
        return [name + end for name in names for end in ("", "_low", "_high")]

    return [
        "encoding",
        "thresholds",
        *intervals("accuracy", "expected_macs", *exit_columns(positions)),
        "feasible_probability",
        "worst_macs",
        "parameters",
        "weight_bytes",
        "activation_bytes",
        *(intervals("cost") if cost else []),
        "trained",
        "cautions",
        *(["passes"] if ladder else []),
    ]


def cells(answer: Answer) -> list[Any]:
    """Cells of one row of a table; empty for an exit that is off."""
    row = [answer.encoding, answer.thresholds, *answer.accuracy, *answer.expected_macs]
    for probability in answer.exit_probabilities:
        row += probability
    for accuracy in answer.exit_accuracies:
        row += accuracy or (None, None, None)
    row += (
        answer.feasible_probability,
        answer.worst_macs,
        answer.parameters,
        answer.weight_bytes,
        answer.activation_bytes,
        *(answer.cost or ()),
    )
    row += (" ".join(training["id"] for training in answer.trained), "; ".join(answer.cautions))
    return row if answer.passes is None else [*row, answer.passes]
