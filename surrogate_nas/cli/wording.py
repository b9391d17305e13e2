"""Error messages for the shell: they name options as typed, not fields of settings or Python arguments."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from surrogate_nas.foundation import numerals
from surrogate_nas.foundation.errors import FieldError

OWN_SOURCES = ("settings", "limits", "recipe", "budget")
"""Sources of values that may be options; any other source is a file, whose fields keep their names."""
OTHER_NAMES: Mapping[str, str] = {"--at": "budget"}
"""Other names by which messages refer to the values of options."""


def as_typed(error: Exception, words: Sequence[str], options: Mapping[str, str]) -> str:
    """The message of an error, with options in place of fields.

    Args:
        error: the error.
        words: words of the command line.
        options: options of all commands, by the names of their parameters.
    """
    message = str(error)
    path = error.path if isinstance(error, FieldError) else []
    if isinstance(error, FieldError):
        if error.source not in OWN_SOURCES:
            return message
        message = _field_as_option(message.removeprefix(f"{error.source}: "), path, words)
    for option, value in _values(words):
        message = _value_as_option(message, option, value)
    if path[:1] == ["recipe"]:  # few of its fields are options
        return message
    return re.sub(rf"(?<![\w./'-])({'|'.join(options)})(?![\w./])", lambda name: options[name[1]], message)


def options_by_name(command: Any) -> dict[str, str]:
    """Options of a command and its subcommands by parameter name, for names with an underscore.

    Other names may be ordinary words in a message.
    """
    own = {p.name: p.opts[0] for p in command.params if p.param_type_name == "option" and "_" in p.name}
    for inner in getattr(command, "commands", {}).values():
        own |= options_by_name(inner)
    return own


def usage(error: Any, words: Sequence[str]) -> str:
    """The message of an error raised by typer, with the value that it could not parse, and the help to read."""
    context, message = getattr(error, "ctx", None), error.format_message().rstrip(".")
    if context is None or not message:  # without a message, help has been printed
        return str(message)
    if message.startswith("No such command"):
        return f"{message}; allowed: {', '.join(context.command.list_commands(context))}"
    names = getattr(getattr(error, "param", None), "opts", ())
    typed = [(option, value) for option, value in _values(words) if option in names]
    for option, value in typed:
        if message.startswith("Invalid value"):
            reason = error.message.rstrip(".").removeprefix(f"{value!r} is ")
            message = f"{option} {value}: {reason}"
    return f"{message}; see {context.command_path} --help"


def _field_as_option(message: str, path: Sequence[str | int], words: Sequence[str]) -> str:
    """Turn a message about a field into one about the option that set it, if that was typed."""
    option = "--" + str(path[-1]).replace("_", "-") if path else ""
    typed = [value for name, value in _values(words) if name == option]
    if not typed:
        return message
    where, value = ".".join(map(str, path)), typed[-1]
    if not message.startswith(f"{where}: "):
        return re.sub(rf"^{path[-1]}\b", option, message)
    reason = message.removeprefix(f"{where}: ").removeprefix(f"{value!r} is ")
    return f"{option} {value}: {re.sub(', got [^,]*$', '', reason)}"


def _value_as_option(message: str, option: str, value: str) -> str:
    """Turn a message that begins with `name value` into one that begins with `--name value`."""
    name = OTHER_NAMES.get(option, option.removeprefix("--").replace("-", "_"))

    def typed(match: re.Match[str]) -> str:
        return f"{option} {value}" if _same(match[1] or match[2], value) else match[0]

    return re.sub(rf"^{re.escape(name)} (?:'([^']*)'|([^\s;]*[^\s;:,.]))", typed, message)


def _same(text: str, value: str) -> bool:
    """Whether two texts are equal, or the same number."""
    try:
        return text == value or numerals.number(text) == numerals.number(value)
    except ValueError:
        return False


def _values(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Options on the command line, with the text of their values."""
    for i, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            yield name, value if equals else " ".join(words[i + 1 : i + 2])
