"""Page about the API, generated from its OpenAPI document without external resources."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from surrogate_nas.report.text import escape, html_table, paragraph, section
from surrogate_nas.serve.pages import whole_page

EXAMPLE = """curl http://127.0.0.1:8000/query -H 'content-type: application/json' \\
  -d '{"encodings": ["…"], "thresholds": "0.8,off", "limits": {"max_macs": 50000}}'"""
METHODS = ("get", "post")
CODE = re.compile(r"`([^`]+)`")


def api_page(document: Mapping[str, Any]) -> str:
    """HTML page of all operations with their bodies and error responses."""
    schemas = document.get("components", {}).get("schemas", {})
    operations = [
        _operation(f"{method.upper()} {path}", operations[method], schemas)
        for path, operations in document["paths"].items()
        for method in METHODS
        if method in operations
    ]
    intro = (
        paragraph(escape(document["info"]["description"])),
        f'<div class="scroll" role="region" tabindex="0" aria-label="An example"><pre>{escape(EXAMPLE)}</pre></div>',
        paragraph('The same as OpenAPI: <a href="/openapi.json">/openapi.json</a>.'),
    )
    return whole_page("API", "/docs", "\n".join([*intro, *operations]))


def _operation(name: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    parts = [paragraph(_prose(operation.get("description", "")))]
    body = operation.get("requestBody")
    if body is not None:
        schema = body["content"]["application/json"]["schema"]
        rows = [_row(*field) for field in _fields(schema, schemas)]
        parts.append(html_table(f"Body of {name}", ("field", "type", "meaning and limits"), rows, "fields"))
    refusals = [
        f"<li>{code}: {_prose(response['description'])}</li>"
        for code, response in operation["responses"].items()
        if code.startswith("4") and response["description"] != "Validation Error"
    ]
    if refusals:
        parts.append(f"<ul>{''.join(refusals)}</ul>")
    return section(f"{escape(operation['summary'])}: <code>{escape(name)}</code>", *parts)


def _fields(schema: Mapping[str, Any], schemas: Mapping[str, Any], start: str = "") -> Iterator[tuple[str, str, str]]:
    """Name (nested ones after a dot), type and description of each field."""
    resolved = _resolved(schema, schemas)
    for name, field in resolved.get("properties", {}).items():
        choices = [_resolved(c, schemas) for c in field.get("anyOf", [field])]
        kinds = [c for c in choices if c.get("type") != "null"]
        required = "" if name in resolved.get("required", ()) else ", optional"
        meaning = "; ".join(filter(None, [field.get("description", "").rstrip("."), *map(_bounds, kinds)]))
        yield start + name, " or ".join(_kind(k) for k in kinds) + required, meaning
        for kind in kinds:
            if kind.get("type") == "object":
                yield from _fields(kind, schemas, f"{start}{name}.")


def _resolved(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref")
    return schema if reference is None else schemas[reference.rpartition("/")[2]]


def _kind(schema: Mapping[str, Any]) -> str:
    inner = schema.get("items")
    return f"{schema['type']} of {_kind(inner)}" if inner else str(schema["type"])


WORDS = {
    "minItems": "at least {}",
    "maxItems": "at most {:,}",
    "maxLength": "at most {:,} characters",
    "minimum": "≥ {:g}",
    "maximum": "≤ {:g}",
    "exclusiveMinimum": "> {:g}",
}


def _bounds(schema: Mapping[str, Any]) -> str:
    each = ["each " + bound for bound in [_bounds(schema["items"])] if bound] if "items" in schema else []
    return ", ".join([words.format(schema[name]) for name, words in WORDS.items() if name in schema] + each)


def _row(name: str, kind: str, meaning: str) -> str:
    cells = f'<th scope="row"><code>{escape(name)}</code></th><td>{escape(kind)}</td><td>{_prose(meaning)}</td>'
    return f"<tbody><tr>{cells}</tr></tbody>"


def _prose(text: str) -> str:
    """HTML of the text of a docstring."""
    return CODE.sub(r"<code>\1</code>", escape(" ".join(text.split())))
