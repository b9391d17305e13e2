"""Write the reference, docs/reference/, of commands, settings and the Python interface from the code itself.

python scripts/tools/write_reference.py
"""

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_type_hints

import typer
from pydantic import BaseModel

from surrogate_nas import settings as config
from surrogate_nas.cli.app import app
from surrogate_nas.exits.limits import Limits
from surrogate_nas.settings import Settings
from surrogate_nas.training.recipe import Distillation, Joint, Nachos, Recipe

sys.path.insert(0, str(Path(__file__).parent))  # where runpy does not look

from api_reference import GENERATED, ROOT, api_page, fields, prose

SECTIONS: Mapping[str, tuple[type[BaseModel], str]] = {
    "study": (Settings, ""),
    "limits": (Limits, "`limits:`"),
    "recipe": (Recipe, "`recipe:`; `final:` has the same fields."),
    "loss joint": (Joint, "`loss: joint`"),
    "loss distillation": (Distillation, "`loss: {kind: distillation, …}`"),
    "loss nachos": (Nachos, "`loss: {kind: nachos, …}`"),
}


def cell(text: str) -> str:
    """Text escaped for a table cell."""
    return " ".join(text.split()).replace("|", "\\|")


def markdown_table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(map(cell, line))} |" for line in lines]


# ---------------------------------------------------------------------- commands


def commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """A command with its full name, then those inside it."""
    yield name, command
    for inner, inner_command in getattr(command, "commands", {}).items():
        yield from commands(inner_command, f"{name} {inner}")


def option_row(option: Any) -> list[str]:
    names = ", ".join(option.opts) + "".join(f" / {other}" for other in option.secondary_opts)
    default = option.default
    has_default = isinstance(default, int | float | str) and default is not False
    notes = ["Needed."] * option.required + [f"Default: {default}."] * has_default
    return [f"`{f'{names} {option.metavar}'.strip()}`", " ".join([option.help or "", *notes])]


def option_lines(options: list[Any]) -> Iterator[str]:
    """A table of the options that matter most, then one for each panel of the help."""
    for panel in dict.fromkeys([None, *(option.rich_help_panel for option in options)]):
        rows = [option_row(option) for option in options if option.rich_help_panel == panel]
        yield from ["", *markdown_table([panel.lower() if panel else "option", "meaning"], rows)] if rows else []


def command_lines(name: str, command: Any) -> Iterator[str]:
    """A section of the reference."""
    hints = get_type_hints(command.callback) if command.callback else {}
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name in hints]
    words = [name, *(p.metavar or p.name.upper() for p in arguments), *["[OPTION]..."] * bool(options)]
    words += ["[COMMAND]"] * bool(getattr(command, "commands", {}))
    yield from ["", f"## {name}", "", prose(command.help or ""), "", "```text", " ".join(words), "```"]
    if arguments:
        rows = [[f"`{(p.metavar or p.name.upper()).strip('[].')}`", p.help or ""] for p in arguments]
        yield from ["", *markdown_table(["argument", "meaning"], rows)]
    yield from option_lines(options)


def commands_page() -> str:
    """docs/reference/commands.md."""
    group = typer.main.get_command(app)
    named = [(name, c) for name, c in commands(group, "surrogate-nas") if c is not group]
    lines = [
        "# Commands",
        "",
        GENERATED,
        "",
        prose(group.help or ""),
        "",
        "`STUDY` is a folder, `NETWORK` a record's id or how it starts. `--json` prints one document on stdout and",
        "nothing else; progress and warnings go to stderr. Exit codes: 0 done, 1 the work failed, 2 bad input, 130",
        "interrupted.",
        "",
        "`surrogate-nas --version` prints the version, `-h` or `--help` after any command its options, and",
        "`surrogate-nas --install-completion` sets up completion of commands, options and names in your shell.",
        "",
        "Options that set something of a study are kept in its [`config.yaml`](configuration.md), so that a default",
        "is that of a new study.",
        "",
        "`N` is a whole number and `NUMBER` any: 200000, 200_000, 200,000, 2e5, 200k, 3M or 1.5G. `BYTES` take the",
        "same, with or without a B, in powers of ten, and KiB, MiB and GiB in powers of two. `TIME` is 90s, 25m,",
        "2.5h or 1h30m; a number alone has the unit of the option. `SHARE` is 0.9 or 90%.",
    ]
    return "\n".join([*lines, *(line for name, c in named for line in command_lines(name, c)), ""])


# ---------------------------------------------------------------------- settings


def allowed(schema: Mapping[str, Any], part: Mapping[str, Any]) -> str:
    """Allowed values of a field, from a part of pydantic's JSON schema."""
    if "anyOf" in part or "oneOf" in part:
        return ", ".join(allowed(schema, one) for one in part.get("anyOf") or part["oneOf"])
    if "$ref" in part:
        kind = part["$ref"].rpartition("/")[2]
        return f"mapping: [{kind.lower()}](#{anchor(kind)})"
    if "const" in part:
        return f"`{part['const']}`"
    if "enum" in part:
        return ", ".join(f"`{value}`" for value in part["enum"])
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = ", ".join(f"{sign} {part[name]:.10g}" for name, sign in bounds.items() if name in part)
    names = {"null": "`null`", "string": part.get("format", "text"), "boolean": "`true`, `false`"}
    return " ".join([names.get(part["type"], part["type"]), *[limits] * bool(limits)])


def anchor(kind: str) -> str:
    name = next(name for name, (model, _) in SECTIONS.items() if model.__name__ == kind)
    return name.replace(" ", "-").lower()


def default_of(value: object) -> str:
    """A default in YAML; empty for a mapping, whose fields have their own."""
    if isinstance(value, dict):
        return "as below" if len(value) > 1 else f"`{value['kind']}`"
    return "`null`" if value is None else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def meaning(text: str) -> str:
    """A field's documentation, with names of constants replaced by what they hold."""

    def names(match: re.Match[str]) -> str:
        return ", ".join(f"`{name}`" for name in getattr(config, match[1]))

    return re.sub(r"`([A-Z]+_NAMES)`", names, text).replace("`None`", "`null`")


def setting_lines(title: str, model: type[BaseModel], where: str) -> Iterator[str]:
    """A section of the reference."""
    schema = model.model_json_schema()
    texts = {ast.unparse(field.target): text for field, text in fields(model)}
    about = [prose(meaning(text)) for text in (where, model.__doc__ or "") if text]
    yield from ["", f"## {title}", "", "\n\n".join(about), ""]
    yield from markdown_table(
        ["setting", "takes", "default", "meaning"],
        [
            [
                f"`{name}`",
                allowed(schema, part),
                default_of(part["default"]),
                meaning(model.model_fields[name].description or texts.get(name, "")),
            ]
            for name, part in schema["properties"].items()
        ],
    )


def settings_page() -> str:
    """docs/reference/configuration.md."""
    lines = [
        "# Configuration",
        "",
        GENERATED,
        "",
        "Every study has a `config.yaml`. Commands read it, and write what their options change. A file of the same",
        "form starts a new study: `surrogate-nas run STUDY --config FILE`; fields that are left out keep their",
        "defaults. A misspelt field or a value that is not allowed is one line, and nothing has been done then.",
        "",
        "Numbers may be text as on the [command line](commands.md): `max_macs: 3M`, `min_accuracy: 90%`,",
        "`max_weight_bytes: 64KiB`, `max_hours: 1h30m`. They are stored as plain numbers in the unit of the setting.",
        "",
        "Space, images, splits and seed are the study's for good, and not among these. From Python, settings are",
        "keywords of [`Study.create`](api.md#studycreate).",
    ]
    sections = (line for title, (model, where) in SECTIONS.items() for line in setting_lines(title, model, where))
    return "\n".join([*lines, *sections, ""])


PAGES = {
    "reference/api.md": api_page,
    "reference/commands.md": commands_page,
    "reference/configuration.md": settings_page,
}

if __name__ == "__main__":
    for file, page in PAGES.items():
        (ROOT / "docs" / file).write_text(page(), encoding="utf-8")
