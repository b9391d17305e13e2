"""The reference of the Python interface, docs/reference/api.md, from the source; `write_reference.py` writes it."""

import ast
import inspect
import re
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, get_origin

import surrogate_nas as package
from surrogate_nas.archive.record import Failure, Proposal
from surrogate_nas.datasets import Dataset, LabeledImages, Splits, from_torch
from surrogate_nas.export.folder import Export
from surrogate_nas.network.network import EarlyExit
from surrogate_nas.study.finals import Final
from surrogate_nas.study.merge import MergeResult
from surrogate_nas.study.results import Answer, Certificate, Interval, Measured, Solution, Tier
from surrogate_nas.study.shift import Shift, ShiftedImages
from surrogate_nas.study.status import Sealed, Status, Trainings
from surrogate_nas.study.time_plan import TimePlan
from surrogate_nas.study.verification import Claim, Verification

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/reference/api.md"
WIDTH: int = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["line-length"]
GENERATED = "<!-- Written by scripts/tools/write_reference.py from the code: change that, and run it again. -->"
BEGINNING = "## Public names\n"
"""Line of the page below which everything is generated."""
ALL = ""
PUBLIC: Mapping[type | Callable[..., Any], str] = {
    package.Study: ALL,
    package.Settings: "load save updated full_recipe",
    package.Limits: "limits_cost limits_spending only_cuts",
    package.Recipe: "fidelity of_fidelity",
    Solution: ALL,
    Measured: "quantities broken broken_names expected",
    Tier: ALL,
    Certificate: ALL,
    Final: ALL,
    Verification: ALL,
    Claim: ALL,
    Shift: ALL,
    ShiftedImages: ALL,
    Answer: ALL,
    Interval: ALL,
    MergeResult: ALL,
    Export: ALL,
    Status: ALL,
    Trainings: ALL,
    TimePlan: "left ends",
    Sealed: ALL,
    package.Archive: "open close proposals pending records find outputs problems",
    package.Record: ALL,
    Proposal: ALL,
    Failure: ALL,
    package.OperatingPoint: ALL,
    package.EarlyExitNetwork: "forward predict",
    EarlyExit: ALL,
    package.Architecture: ALL,
    package.SearchSpace: "size positions dimension parse sample encode decode",
    package.mount: ALL,
    from_torch: ALL,
    Dataset: "shape tune_share test_share",
    Splits: ALL,
    LabeledImages: ALL,
    package.InputError: ALL,
    package.JobError: ALL,
}
"""Classes and functions, with names of members of a class; `ALL` are those that begin with no underscore."""
CONFIGURED: Mapping[object, str] = {package.Settings: "study", package.Limits: "limits", package.Recipe: "recipe"}
"""Classes with fields that are in a section of configuration.md."""
KEYWORDS = """`**settings` stands for any [settings of a study](configuration.md#study) as keywords, `**limit` for any
[limits](configuration.md#limits). Types that are no classes are explained [at the end](#types-in-signatures)."""
TYPES = "## Types in signatures"

# ---------------------------------------------------------------------- text


def wrapped(text: str, first: str = "", others: str = "") -> str:
    """Lines of the configured length, with what they begin with."""
    lines = textwrap.TextWrapper(WIDTH, first, others, break_long_words=False, break_on_hyphens=False)
    return lines.fill(" ".join(text.split()))


def prose(text: str) -> str:
    """Paragraphs in lines of the configured length."""
    return "\n\n".join(wrapped(paragraph) for paragraph in text.split("\n\n"))


def item(name: str, text: str) -> str:
    """An item of a list."""
    return wrapped(f"`{name}`: {text}" if text else f"`{name}`", "- ", "  ")


def markdown(docstring: str | None) -> Iterator[str]:
    """Paragraphs and lists of a docstring in Google's form, without its examples."""
    for part in (docstring or "").split("\n\n"):
        title, _, body = part.partition(":\n")
        if title in ("Args", "Raises"):
            entries = (entry.partition(": ") for entry in re.split(r"\n(?=\S)", textwrap.dedent(body)))
            yield "\n".join([f"**{title}**", "", *(item(name, text) for name, _, text in entries)])
        elif title in ("Returns", "Yields"):
            yield wrapped(f"**{title}**: {body}")
        elif part and not part.startswith(">>>"):
            yield wrapped(part)


# ---------------------------------------------------------------------- source


def parsed(thing: Any) -> Any:
    """Definition of a class or function."""
    return ast.parse(inspect.getsource(thing)).body[0]


def with_docstrings(body: list[ast.stmt]) -> Iterator[tuple[ast.stmt, str]]:
    """Statements, each with the docstring below it, or an empty text."""
    for statement, below in pairwise([*body, ast.Pass()]):
        match below:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield statement, inspect.cleandoc(text)
            case _:
                yield statement, ""


def fields(kind: type) -> Iterator[tuple[ast.AnnAssign, str]]:
    """Fields of a class, each with the docstring below it; pydantic would read these at every start."""
    for statement, text in with_docstrings(parsed(kind).body):
        if isinstance(statement, ast.AnnAssign):
            yield statement, text


def methods(kind: type) -> dict[str, ast.FunctionDef]:
    """Methods and properties of a class by name."""
    return {node.name: node for node in parsed(kind).body if isinstance(node, ast.FunctionDef)}


def home(thing: Any) -> str:
    """Shortest name of a module from which a class or function can be imported."""
    words = thing.__module__.split(".")
    modules = (".".join(words[:n]) for n in range(1, len(words) + 1))
    return next(name for name in modules if getattr(import_module(name), thing.__name__, None) is thing)


# ---------------------------------------------------------------------- signatures and types


def type_text(annotation: ast.expr | None) -> str:
    """A type as in the source, without the quotes around one that is not defined yet."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return annotation.value
    return ast.unparse(annotation).replace("'", '"') if annotation else ""


def variable(name: str, annotation: ast.expr | None, default: ast.expr | None, module: ModuleType) -> str:
    """A parameter or field; a default that has a name in the source is written out."""
    value = repr(eval(ast.unparse(default), vars(module))).replace("'", '"') if default else ""
    return f"{name}: {type_text(annotation)}" + f" = {value}" * bool(default)


def parameters(given: ast.arguments, module: ModuleType) -> Iterator[str]:
    """Parameters of a function, without `self` or `cls`."""
    defaults = [None] * (len(given.args) - len(given.defaults)) + given.defaults
    for parameter, default in zip(given.args, defaults, strict=True):
        if parameter.annotation:
            yield variable(parameter.arg, parameter.annotation, default, module)
    if given.vararg or given.kwonlyargs:
        yield f"*{given.vararg.arg}: {type_text(given.vararg.annotation)}" if given.vararg else "*"
    for parameter, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        yield variable(parameter.arg, parameter.annotation, default, module)
    if given.kwarg:
        yield f"**{given.kwarg.arg}: {type_text(given.kwarg.annotation)}"


def signature(name: str, function: ast.FunctionDef, module: ModuleType) -> str:
    """A signature in one line, or with a line for each parameter."""
    listed = list(parameters(function.args, module))
    returned = "" if function.name == "__init__" else f" -> {type_text(function.returns)}"
    line = f"{name}({', '.join(listed)}){returned}"
    return line if len(line) <= WIDTH else "\n".join([f"{name}(", *(f"    {one}," for one in listed), f"){returned}"])


def assignment(name: str, module: ModuleType) -> tuple[ast.expr, str, ModuleType]:
    """Value of a name, the docstring below it, and the module: this one, or the one that it is imported from."""
    for statement, text in with_docstrings(ast.parse(inspect.getsource(module)).body):
        match statement:
            case ast.Assign(targets=[ast.Name(id=target)]) if target == name:
                return statement.value, text, module
            case ast.ImportFrom(module=str(origin), names=names) if name in {imported.name for imported in names}:
                return assignment(name, import_module(origin))
    raise LookupError(f"{name} in {module.__name__}")


def add_types(text: str, module: ModuleType, items: dict[str, str]) -> None:
    """Add items about the types in a text that are no classes, and about those that they are made of."""
    for name in re.findall(r"\w+", text):
        if name not in items and get_origin(vars(module).get(name)) is not None:
            value, about, origin = assignment(name, module)
            items[name] = item(f"{name} = {type_text(value)}", about)
            add_types(type_text(value), origin, items)


# ---------------------------------------------------------------------- page


def code(*lines: str) -> str:
    return "\n".join(["```text", *lines, "```"])


def member_parts(name: str, member: ast.FunctionDef, module: ModuleType) -> Iterator[str]:
    """Heading, signature and docstring of a method; a property has its type in the heading."""
    decorators = {ast.unparse(decorator) for decorator in member.decorator_list}
    if decorators & {"property", "cached_property"}:
        yield f"### {name}: {type_text(member.returns)}"
    else:
        yield f"### {name}"
        yield code("classmethod " * ("classmethod" in decorators) + signature(name, member, module))
    yield from markdown(ast.get_docstring(member))


def class_parts(kind: type, module: ModuleType) -> Iterator[str]:
    """Heading, constructor if it is documented, docstring, fields and members of a class."""
    name, text, inside = kind.__name__, ast.get_docstring(parsed(kind)) or "", methods(kind)
    called = ["", signature(name, inside["__init__"], module)] if "Args:" in text else []
    yield f"## {name}"
    yield code(f"from {home(kind)} import {name}", *called)
    yield from markdown(text)
    if kind in CONFIGURED:
        yield f"Fields, which are keywords of the constructor: [configuration](configuration.md#{CONFIGURED[kind]})."
    elif is_dataclass(kind) or issubclass(kind, tuple):
        items = (
            item(variable(ast.unparse(f.target), f.annotation, f.value, module), about) for f, about in fields(kind)
        )
        yield "\n".join(["**Fields**", "", *items])
    for member in PUBLIC[kind].split() or (member for member in inside if not member.startswith("_")):
        yield from member_parts(f"{name}.{member}", inside[member], module)


def function_parts(function: Callable[..., Any], module: ModuleType) -> Iterator[str]:
    """Heading, signature and docstring of a function."""
    name, definition = function.__name__, parsed(function)
    yield f"## {name}"
    yield code(f"from {home(function)} import {name}", "", signature(name, definition, module))
    yield from markdown(ast.get_docstring(definition))


def section(thing: type | Callable[..., Any], types: dict[str, str]) -> str:
    """Section of a class or function, whose types are added to `types`."""
    module = sys.modules[thing.__module__]
    parts = class_parts(thing, module) if isinstance(thing, type) else function_parts(thing, module)
    text = "\n\n".join(parts)
    add_types(text, module, types)
    return text


def api_page() -> str:
    """docs/reference/api.md: its beginning as it stands there, and the reference."""
    page = PAGE.read_text(encoding="utf-8")
    links = ", ".join(f"[{thing.__name__}](#{thing.__name__.lower()})" for thing in PUBLIC)
    types = dict[str, str]()
    sections = [section(thing, types) for thing in PUBLIC]
    about_types = "\n".join(types[name] for name in sorted(types))
    parts = [f"{BEGINNING}\n{GENERATED}", wrapped(f"{links}."), KEYWORDS, *sections, TYPES, f"{about_types}\n"]
    return page[: page.index(BEGINNING)] + "\n\n".join(parts)
