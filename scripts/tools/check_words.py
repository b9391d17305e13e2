"""Check the words of docstrings, option help and names: part of `make lint`.

    python scripts/tools/check_words.py [PATH ...]

No docstring of a module, class, function or field (a string below an assignment), and no help of a command's option or
argument, begins with "What", "Of", "That", "As", "The same" or "Those". Nothing is named `said`, `found` or `shown`.
PATH is a Python file or a folder of them; by default the package, the scripts and the tests. Prints FILE:LINE: TEXT for
each sin; exit code 1 if there is any.
"""

import argparse
import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
BEGINNINGS = re.compile(r"\s*(What|Of|That|As|The same|Those)\b")
NAMES = {"said", "found", "shown"}
HELPED = {"Option", "Argument"}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef, ast.Assign, ast.AnnAssign)


class Sin(NamedTuple):
    """A line that breaks a rule."""

    line: int
    text: str


def documented(tree: ast.Module) -> Iterator[ast.Constant]:
    """Docstrings of the module, its classes, functions and fields."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            for owner, below in zip([node, *body], body, strict=False):
                match below:
                    case ast.Expr(value=ast.Constant(value=str()) as text) if isinstance(owner, DOCUMENTED):
                        yield text


def helped(tree: ast.Module) -> Iterator[ast.Constant]:
    """Help of the options and arguments of commands; of a text made of parts, the first."""
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and ast.unparse(call.func).rpartition(".")[2] in HELPED:
            for keyword in call.keywords:
                if keyword.arg == "help":
                    yield from _first_text(keyword.value)


def _first_text(node: ast.expr) -> Iterator[ast.Constant]:
    match node:
        case ast.Constant(value=str()):
            yield node
        case ast.JoinedStr(values=[first, *_]) | ast.BinOp(left=first):
            yield from _first_text(first)
        case ast.IfExp(body=one, orelse=other):
            yield from _first_text(one)
            yield from _first_text(other)


def named(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Lines and names of everything that gets a name."""
    for node in ast.walk(tree):
        match node:
            case (
                ast.Name(id=name, ctx=ast.Store())
                | ast.Attribute(attr=name, ctx=ast.Store())
                | ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
                | ast.ClassDef(name=name)
                | ast.arg(arg=name)
                | ast.alias(asname=str(name))
                | ast.MatchAs(name=str(name))
                | ast.MatchStar(name=str(name))
                | ast.ExceptHandler(name=str(name))
            ):
                yield node.lineno, name
            case ast.Call(func=function, args=[_, ast.Dict(keys=keys)]) if ast.unparse(function).endswith("TypedDict"):
                yield from ((key.lineno, str(key.value)) for key in keys if isinstance(key, ast.Constant))


def sins(source: str) -> list[Sin]:
    """The lines of a module that break a rule, in order."""
    tree = ast.parse(source)
    texts = {(t.lineno, str(t.value)) for find in (documented, helped) for t in find(tree)}
    lines = {Sin(line, text.strip().splitlines()[0]) for line, text in texts if BEGINNINGS.match(text)}
    return sorted(lines | {Sin(line, f"a name: {name}") for line, name in named(tree) if name in NAMES})


def files(paths: Iterable[Path]) -> Iterator[Path]:
    """The Python files that are, or lie in, the paths; not those of stored studies."""
    for path in paths:
        yield from [path] if path.is_file() else (p for p in sorted(path.rglob("*.py")) if "data" not in p.parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    everything = [ROOT / "surrogate_nas", ROOT / "scripts", ROOT / "tests"]
    parser.add_argument("paths", nargs="*", type=Path, default=everything, metavar="PATH")
    broken = 0
    for file in files(parser.parse_args().paths):
        for sin in sins(file.read_text(encoding="utf-8")):
            print(f"{file.relative_to(ROOT) if file.is_relative_to(ROOT) else file}:{sin.line}: {sin.text}")
            broken += 1
    return int(broken > 0)


if __name__ == "__main__":
    raise SystemExit(main())
