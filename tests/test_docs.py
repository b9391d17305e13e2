"""The documentation says what is so: its commands parse, its examples run, its links lead somewhere, its formulas are
those of the code, and what is generated is current."""

import argparse
import doctest
import itertools
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import timeit
import tomllib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from markdown_it import MarkdownIt
from markdown_it.token import Token
from PIL import Image

from surrogate_nas.api import Study
from surrogate_nas.cli.app import app
from surrogate_nas.surrogates.training_set import TrainingSet
from tests.conftest import Command
from tests.helpers.eenn_table import needs_eenn_table

ROOT = Path(__file__).parents[1]
PAGES = {
    str(p.relative_to(ROOT)): p
    for p in [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "scripts/README.md",
        *sorted((ROOT / "docs").rglob("*.md")),
        *sorted((ROOT / "data").glob("*/README.md")),
    ]
    if "_build" not in p.parts
}
EVERY_PAGE = pytest.mark.parametrize("page", PAGES)
EVERY_PAGE_THAT_RUNS = pytest.mark.parametrize(
    "page", [pytest.param(page, marks=needs_eenn_table) if page.startswith("data/") else page for page in PAGES]
)
ONLY_READERS_HAVE = ("mynets", "studies/one", "exports/")
"""Modules and folders of examples that are not there: such examples are compiled alone."""
CHEAP = {
    ("tiers",),
    ("policies",),
    ("query",),
    ("spaces",),
    ("spaces", "show"),
    ("datasets",),
    ("datasets", "show"),
    ("archive", "list"),
    ("archive", "show"),
    ("archive", "validate"),
    ("archive", "dump"),
}
"""Commands that only read, and answer at once."""


SCRIPT = re.compile(r"scripts/[\w/]+\.py")


def tokens(page: str) -> list[Token]:
    return MarkdownIt().enable("table").parse(PAGES[page].read_text(encoding="utf-8"))


def inline(page: str) -> Iterator[Token]:
    """Links, images and code within text."""
    for token in tokens(page):
        yield from token.children or ()


def fences(page: str, *languages: str) -> list[str]:
    """Contents of a page's code blocks."""
    return [t.content for t in tokens(page) if t.type == "fence" and t.info.strip() in languages]


# ---------------------------------------------------------------------- links


def anchors(path: Path) -> set[str]:
    """Anchors of a page's headings, as code hosts and the site name them."""
    parts = MarkdownIt().parse(path.read_text(encoding="utf-8"))
    headings = [text for opened, text in itertools.pairwise(parts) if opened.type == "heading_open"]
    titles = ["".join(child.content for child in heading.children or ()) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(page: str) -> list[str]:
    """Where links and images of a page lead within this repository."""
    targets = [str(t.attrs.get("href") or t.attrs.get("src")) for t in inline(page) if t.type in ("link_open", "image")]
    return [target for target in targets if "://" not in target]


@EVERY_PAGE
def test_links_and_images_lead_somewhere(page: str) -> None:
    for target in links(page):
        name, _, anchor = target.partition("#")
        path = (PAGES[page].parent / name).resolve() if name else PAGES[page]
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


def test_every_page_is_two_clicks_from_the_readme() -> None:
    near, pages = {ROOT / "README.md"}, {*PAGES.values()} - {ROOT / "docs/index.md", ROOT / "scripts/README.md"}
    for _ in range(2):
        targets = ((p, link.partition("#")[0]) for p in near for link in links(str(p.relative_to(ROOT))))
        near |= {(p.parent / name).resolve() for p, name in targets} & pages
    assert pages - near == set()


def named_scripts(page: str) -> set[str]:
    return set(SCRIPT.findall(PAGES[page].read_text(encoding="utf-8")))


@EVERY_PAGE
def test_scripts_that_are_named_are_there(page: str) -> None:
    assert [name for name in named_scripts(page) if not (ROOT / name).is_file()] == []


def test_pages_that_the_code_names_are_there() -> None:
    paths = [p for folder in ("surrogate_nas", "scripts") for p in (ROOT / folder).rglob("*.py")]
    named = {name for p in paths for name in re.findall(r"docs/[\w/-]+\.md", p.read_text(encoding="utf-8"))}
    assert len(named) > 5
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


def test_modules_that_are_named_are_there() -> None:
    texts = [token.content for page in PAGES for token in inline(page) if token.type == "code_inline"]
    named = {text for text in texts if re.fullmatch(r"[a-z]\w*(/\w+)+\.py", text)}
    assert len(named) > 50
    assert [
        name for name in sorted(named) if not any((ROOT / top / name).is_file() for top in ("surrogate_nas", ""))
    ] == []


def test_the_map_of_rooms_has_every_room() -> None:
    package = ROOT / "surrogate_nas"
    rooms = {p.parent.name for p in package.glob("*/__init__.py")} | {p.name for p in package.glob("[!_]*.py")}
    drawn = {*re.findall(r">([\w.]+)</text>", (ROOT / "docs/pictures/rooms.svg").read_text(encoding="utf-8"))}
    assert rooms - drawn == set()


def test_the_glossary_is_in_order_and_linked() -> None:
    text = PAGES["docs/reference/glossary.md"].read_text(encoding="utf-8")
    terms = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    assert len(terms) > 40
    assert terms == sorted(set(terms), key=str.lower)
    assert sum("glossary.md" in target for page in PAGES for target in links(page)) > 10


# ---------------------------------------------------------------------- lines

LINE_LENGTH: int = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["line-length"]
A_LINK = re.compile(r"\s*(?:[-*] )?<?(?:\[[^]]*\]\()?https?://\S+")
EVERY_TEXT = [
    path
    for folder in (".", "docs", "data", "scripts", "tests")
    for path in sorted((ROOT / folder).glob("*.md" if folder == "." else "**/*.md"))
    if not {"_build", "study-0.1.0"} & set(path.parts)
]
"""Pages, and what is read beside code; not what an export of an old study holds."""


def too_long(text: str) -> list[tuple[int, str]]:
    """Lines over the configured length, with their numbers; rows of tables, and lines that are one link, may be longer,
    for they cannot be wrapped."""
    lines = enumerate(text.splitlines(), start=1)
    rows = {
        i for t in MarkdownIt().enable("table").parse(text) if t.type == "table_open" and t.map for i in range(*t.map)
    }
    return [
        (number, line)
        for number, line in lines
        if len(line) > LINE_LENGTH and number - 1 not in rows and not A_LINK.fullmatch(line)
    ]


def test_lines_fit() -> None:
    assert {*PAGES.values(), ROOT / "CHANGELOG.md"} < set(EVERY_TEXT)
    long = {str(p.relative_to(ROOT)): too_long(p.read_text(encoding="utf-8")) for p in EVERY_TEXT}
    assert {page: lines for page, lines in long.items() if lines} == {}


def test_a_line_that_does_not_fit_is_seen() -> None:
    word, link = "x" * LINE_LENGTH, f"https://example.org/{'x' * LINE_LENGTH}"
    fit = [f"- [d]({link})", link, "", "| head |", "|---|", f"| {word} |", "", word]
    text = "\n".join([f"a {word}", "", "```sh", f"b {word}", "```", "", f"# c {word}", "", *fit])
    assert [number for number, _ in too_long(text)] == [1, 4, 7]


# ---------------------------------------------------------------------- commands


def calls_of(page: str, *program: str) -> list[list[str]]:
    """The words after a program's name, of every command in a page's blocks that calls it."""
    program = program or ("surrogate-nas",)
    blocks = fences(page, "sh")
    for text in fences(page, "console"):
        lines = text.replace("\\\n", " ").splitlines()
        blocks.append("\n".join(line.removeprefix("$ ") for line in lines if line.startswith("$ ")))
    every = itertools.chain.from_iterable(commands(text) for text in blocks)
    return [words[len(program) :] for words in every if words[: len(program)] == [*program]]


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command; the end of a line ends it, but after a backslash or within quotes."""
    text = re.sub(r"\s#", "\n#", text.replace("\\\n", " "))  # as the lexer reads a comment with the end of its line
    lexer = shlex.shlex(text, posix=True, punctuation_chars=";&|<>\n")
    lexer.whitespace_split, lexer.whitespace = True, " \t"
    for is_end, words in itertools.groupby(lexer, lambda word: set(word) <= set(";&|<>\n")):
        if not is_end:
            yield list(words)


def verb_of(words: list[str]) -> tuple[Any, tuple[str, ...], list[str]]:
    """The command that words name, its name, and what it is given."""
    command, name = typer.main.get_command(app), tuple[str, ...]()
    while words and words[0] in (inner := getattr(command, "commands", {})):
        command, name, words = inner[words[0]], (*name, words[0]), words[1:]
    assert not getattr(command, "commands", {}) or not words or words[0].startswith("-"), f"no command {words[0]}"
    return command, name, words


def parse(words: list[str], *, whole: bool) -> None:
    """Read words as the command line does, without doing anything.

    Raises:
        Exception: typer's own, for an unknown option, a value of another type, or, of a whole command, what is missing.
    """
    command, name, given = verb_of(words)
    if given[:1] in (["--help"], ["-h"], ["--version"], ["--install-completion"]):  # which end the program
        return
    real = [w for i, w in enumerate(given) if w != "…" or given[i - 1].startswith("--")]
    try:
        command.make_context(" ".join(name), real)
    except Exception as error:
        if whole or type(error).__name__ != "MissingParameter":
            raise


@EVERY_PAGE
def test_commands_that_are_shown_parse(page: str) -> None:
    for words in calls_of(page):
        parse(words, whole=True)
    for token in inline(page):
        if token.type == "code_inline" and token.content.startswith("surrogate-nas "):
            parse(token.content.split()[1:], whole=False)


class Parsed(Exception):
    """Ends a script whose arguments have been read."""


@EVERY_PAGE
def test_calls_of_scripts_that_are_shown_parse(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read = argparse.ArgumentParser.parse_args

    def read_alone(parser: argparse.ArgumentParser) -> None:
        read(parser)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", read_alone)
    for script, *given in [words for words in calls_of(page, "python") if SCRIPT.fullmatch(words[0])]:
        monkeypatch.setattr(sys, "argv", [script, *(word for word in given if word != "…")])
        monkeypatch.syspath_prepend(str((ROOT / script).parent))
        with pytest.raises(Parsed):
            runpy.run_path(str(ROOT / script), run_name="__main__")


@EVERY_PAGE_THAT_RUNS
def test_what_is_shown_to_be_timed_runs(page: str, reader: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(reader)
    for given in calls_of(page, "python", "-m", "timeit"):
        assert timeit.main(["-n", "1", "-r", "1", *given]) is None


@pytest.mark.parametrize("line", ["serch x", "run", "run x --bugdet 3", "run x --epochs y", "archive lst x"])
def test_what_does_not_parse_is_seen(line: str) -> None:
    with pytest.raises(Exception, match=r"(?i)no such|no command|missing|not a number"):
        parse(line.split(), whole=True)


@pytest.fixture(scope="module")
def reader(study_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where `studies/digits` is a study, `data` the tables of this repository and `photos` a folder of
    pictures in portrait format, as in the examples."""
    folder = tmp_path_factory.mktemp("reader")
    for i in range(40):
        path = folder / "photos" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 40), (i, i, i)).save(path)
    shutil.copytree(study_path, folder / "studies/digits")
    (folder / "data").symlink_to(ROOT / "data")
    (folder / "in.csv").write_text(f"encoding\n{Study.open(study_path).front()[0].architecture}\n")
    return folder


EXAMPLES = [words for page in PAGES for words in calls_of(page) if page.startswith("docs/howto/")]
RUN = [words for words in EXAMPLES if verb_of(words)[1] in CHEAP and "--best" not in words]


@pytest.mark.parametrize("words", RUN, ids=" ".join)
def test_examples_of_cheap_commands_run(
    words: list[str], reader: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(reader)
    trained = Study.open("studies/digits").front()[0].record.id
    code, out, err = command(*(trained if re.fullmatch("[0-9a-f]{8}", word) else word for word in words))
    assert (code, bool(out)) == (0, True), err


MADE = re.compile(r"<!-- (?:lines (?:-?\d*:-?\d*(?::\d+)?[ ;]*)+|kept: .+, \d{4}-\d\d-\d\d) -->")
"""Comment above an output: the lines shown by `write_outputs.py`, or machine and date of one that it cannot make."""


@EVERY_PAGE
def test_outputs_are_made_by_a_script_or_dated(page: str) -> None:
    lines = PAGES[page].read_text(encoding="utf-8").splitlines()
    above = [before for before, line in itertools.pairwise(["", *lines]) if line.strip() == "```console"]
    assert [comment for comment in above if not MADE.fullmatch(comment.strip())] == []


def test_messages_that_are_explained_are_those_of_the_code() -> None:
    code = " ".join(p.read_text(encoding="utf-8") for p in sorted((ROOT / "surrogate_nas").rglob("*.py")))
    joined = re.sub(r'"\s*\n\s*f?"', "", code)
    rows = re.findall(
        r"^\| (.+?) \|", PAGES["docs/reference/troubleshooting.md"].read_text(encoding="utf-8"), re.MULTILINE
    )
    messages = [part.strip(" ;") for row in rows for text in re.findall("`(.+?)`", row) for part in text.split("…")]
    assert len(messages) > 30
    assert [message for message in messages if message not in joined] == []


# ---------------------------------------------------------------------- words

WORDS_IN_A_ROW = 8
GENERATED = "<!-- Written by "
README_LINES = 130


def prose(page: str) -> Iterator[str]:
    """Paragraphs and items of lists; no code, tables, headings and comments."""
    parts = tokens(page)
    tables = [range(*t.map) for t in parts if t.type == "table_open" and t.map]
    for opened, token in itertools.pairwise(parts):
        if opened.type == "paragraph_open" and not any(opened.map[0] in rows for rows in tables if opened.map):
            yield "".join(c.content if c.type == "text" else " " for c in token.children or ())


def rows_of_words(page: str) -> set[tuple[str, ...]]:
    """Every eight words in a row."""
    texts = [re.findall(r"[\w’'-]+", text.lower()) for text in prose(page)]
    return {tuple(words[i : i + WORDS_IN_A_ROW]) for words in texts for i in range(len(words) - WORDS_IN_A_ROW + 1)}


def kind_of(page: str) -> str:
    """Pages that may repeat each other: those written from the code, and cards of tables, which go with their files."""
    text = PAGES[page].read_text(encoding="utf-8")
    return "generated" if GENERATED in text else "card" if page.startswith("data/") else page


def test_no_page_repeats_another() -> None:
    where: dict[tuple[str, ...], set[str]] = {}
    for page in PAGES:
        for words in rows_of_words(page):
            where.setdefault(words, set()).add(kind_of(page))
    assert {" ".join(words): kinds for words, kinds in where.items() if len(kinds) > 1} == {}


def test_what_is_repeated_would_be_seen() -> None:
    assert len(rows_of_words("README.md")) > 100
    assert not any("surrogate-nas" in words and "--data" in words for words in rows_of_words("docs/start.md"))


def test_the_readme_is_short() -> None:
    assert len(PAGES["README.md"].read_text(encoding="utf-8").splitlines()) <= README_LINES


# ---------------------------------------------------------------------- Python


@EVERY_PAGE_THAT_RUNS
def test_python_examples_run(page: str, reader: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(reader)
    names: dict[str, Any] = {"__name__": "example"}
    for text in fences(page, "python"):
        compiled = compile(text, page, "exec")
        if not any(module in text for module in ONLY_READERS_HAVE):
            exec(compiled, names)


@EVERY_PAGE
def test_python_sessions_say_what_is_shown(page: str, reader: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(reader)
    text = "\n".join(fences(page, "pycon"))
    session = doctest.DocTestParser().get_doctest(text, {}, page, page, 0)
    assert doctest.DocTestRunner(verbose=False).run(session).failed == 0


def test_the_surrogate_of_the_documentation_is_one() -> None:
    names: dict[str, Any] = {"__name__": "example"}
    [text] = fences("docs/howto/surrogate.md", "python")
    exec(text, names)
    rng = np.random.default_rng(0)
    X = rng.random((20, 3))
    Y = np.c_[X[:, 0], -X[:, 1]]
    training = TrainingSet(X, ("ordinal",) * 3, Y, np.zeros((20, 2)), np.arange(20))
    posterior = names["fit"](training, 0).posterior(torch.from_numpy(X))
    assert np.abs(posterior.mean.numpy() - Y).max() < 0.05
    assert (posterior.variance.numpy() > 0).all()


# ---------------------------------------------------------------------- what is searched for is found

SEARCHES: dict[str, tuple[Callable[[str], Collection[object]], int]] = {
    "links": (links, 80),
    "names of scripts": (named_scripts, 10),
    "commands": (calls_of, 60),
    "calls of scripts": (lambda page: [words for words in calls_of(page, "python") if SCRIPT.fullmatch(words[0])], 10),
    "timings": (lambda page: calls_of(page, "python", "-m", "timeit"), 1),
    "examples": (lambda page: fences(page, "python"), 8),
    "sessions": (lambda page: fences(page, "pycon"), 2),
}


@pytest.mark.parametrize("kind", SEARCHES)
def test_what_is_searched_for_is_found(kind: str) -> None:
    search, least = SEARCHES[kind]
    assert sum(len(search(page)) for page in PAGES) >= least


def test_pages_and_examples_are_found() -> None:
    assert len(PAGES) > 20
    cards = {f"data/{name}/README.md" for name in ("eenn-cifar10", "eenn-fashion-mnist", "ladder-cifar10")}
    assert cards <= set(PAGES)
    assert all(fences(card, "python") for card in cards)
    assert len(RUN) > 5


# ---------------------------------------------------------------------- what is generated, and the site


def plain(text: str) -> str:
    return " ".join(text.split())


def test_formulas_are_those_of_the_code() -> None:
    code = plain(" ".join(p.read_text(encoding="utf-8") for p in sorted((ROOT / "surrogate_nas").rglob("*.py"))))
    formulas = [plain(line) for text in fences("docs/explanation/method.md", "text") for line in text.splitlines()]
    assert len(formulas) > 20
    assert [formula for formula in formulas if formula not in code] == []


def test_the_reference_is_that_of_the_code() -> None:
    pages = runpy.run_path(str(ROOT / "scripts/tools/write_reference.py"))["PAGES"]
    for name, page in pages.items():
        assert page() == (ROOT / "docs" / name).read_text(encoding="utf-8"), "make docs"


ELSEWHERE = re.compile(
    r"<(?:link|script|img|iframe)\b[^>]*(?:src|href)=\"(?:https?:)?//|url\(['\"]?(?:https?:)?//|@import"
)


@pytest.mark.slow
def test_the_site_builds_without_warnings_and_asks_no_other_host(tmp_path: Path) -> None:
    pytest.importorskip("furo", reason="the site needs the extra docs")
    build = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", tmp_path / "trees"]
    done = subprocess.run([*build, "-c", ROOT / "docs", ROOT, tmp_path / "html"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert ELSEWHERE.search('<script src="https://example.org/one.js">')
    pages = [p for p in (tmp_path / "html").rglob("*") if p.suffix in (".html", ".css")]
    assert len(pages) > len(PAGES)
    assert [p.name for p in pages if ELSEWHERE.search(p.read_text(encoding="utf-8"))] == []
