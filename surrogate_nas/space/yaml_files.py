"""User spaces in YAML files, with errors that name the line."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from surrogate_nas.foundation.errors import FieldError, InputError, one_line
from surrogate_nas.foundation.fields import parse_fields
from surrogate_nas.space.spec import SpaceSpec, preset

SUFFIXES = (".yaml", ".yml")
MOST_BYTES = 100_000
MOST_NODES = 20_000


def load_space(space: str | Path) -> SpaceSpec:
    """Load the preset of that name, or the space in a file whose name ends in .yaml or .yml.

    Raises:
        InputError: for an unknown name, or one line with the file, the line, the field, and what is wrong with it.
    """
    if not isinstance(space, str | Path):
        raise InputError(f"space {space!r} is of type {type(space).__name__}; allowed: a name, or the path of a file")
    path = Path(space)
    return read_space(path) if path.suffix in SUFFIXES else preset(str(space))


def read_space(path: Path) -> SpaceSpec:
    """Read the space in a file; raises like `load_space`."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path}: a search space has at most {MOST_BYTES:,} bytes, got {path.stat().st_size:,}")
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, yaml.SafeLoader)
        if not isinstance(root, MappingNode):
            raise InputError(f"{path}: expected a mapping with name, image_sizes, stem, stages and branch")
        _check_nodes(path, root)
        mapping = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise InputError(f"{path}{_line(mark.line) if mark else ''}: {error.problem or error.context}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: {one_line(error)}") from None
    try:
        return parse_fields(SpaceSpec, mapping)
    except FieldError as error:
        line = _line_of(root, error.path)
        where = f"{path}{'' if line is None else _line(line)}"
        raise FieldError(f"{where}: {error}", error.path, where) from None


def _line(line: int) -> str:
    return f", line {line + 1}"


def _check_nodes(path: Path, root: Node) -> None:
    """Refuse duplicate keys, of which YAML would take the last, and aliases that expand to too many values."""
    for count, node in enumerate(_nodes(root)):
        if count > MOST_NODES:
            raise InputError(f"{path}: its aliases expand to more than {MOST_NODES:,} values")
        if isinstance(node, MappingNode):
            keys = [key.value for key, _ in node.value]
            for i, (key, _) in enumerate(node.value):
                if keys.index(key.value) != i:
                    raise InputError(f"{path}{_line(key.start_mark.line)}: duplicate key {key.value!r}")


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    inner: Sequence[Any] = ()
    if isinstance(node, MappingNode):
        inner = [value for _, value in node.value]
    elif isinstance(node, SequenceNode):
        inner = node.value
    for child in inner:
        yield from _nodes(child)


def _line_of(root: Node, path: Sequence[str | int]) -> int | None:
    """Line of the field at a path, or of the deepest part of the path in the file."""
    node, line = root, None
    for part in path:
        if isinstance(node, MappingNode):
            match = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if match is None:
                return node.start_mark.line if line is None and path[:1] != (part,) else line
            line, node = match[0].start_mark.line, match[1]
        elif isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line
        elif isinstance(node, ScalarNode):
            return node.start_mark.line
    return line
