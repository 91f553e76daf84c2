"""The page `docs` of an API: its OpenAPI document for reading. No script, and nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from html import escape

from fastapi import FastAPI, Request
from fastapi.responses import Response

from control.api.answers import Json
from control.api.openapi import NAME

DOCS = "docs"

STYLE = """
:root { color-scheme: light dark; --line: #8884; --faint: #888; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; }
h2 { font-size: 1.2rem; margin-top: 2.5rem; }
h4 { margin: 1rem 0 .3rem; }
p { margin: .3rem 0; }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1rem; }
details { border-bottom: 1px solid var(--line); padding: .35rem 0; }
details > :not(summary) { margin-left: 4.5rem; }
summary { cursor: pointer; }
summary b { display: inline-block; min-width: 4rem; font: 600 13px ui-monospace, monospace; }
summary span { color: var(--faint); }
table { border-collapse: collapse; font-size: 14px; }
td { padding: .15rem 1rem .15rem 0; vertical-align: top; }
code, pre { font: 13px ui-monospace, monospace; }
pre { overflow-x: auto; padding: .6rem; border: 1px solid var(--line); border-radius: 4px; }
i { color: var(--faint); font-style: normal; }
"""
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_BOUNDS = {
    "minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<",
    "minLength": "length >=", "maxLength": "length <=", "minItems": "items >=", "maxItems": "items <=",
    "pattern": "like",
}  # fmt: skip


def install(app: FastAPI, prefix: str) -> None:
    """Serve the page of this app, made at the first request."""

    @cache
    def text() -> str:
        return render(app.openapi(), NAME)

    async def page(request: Request) -> Response:
        return Response(text(), headers=HEADERS, media_type="text/html")

    app.add_route(f"{prefix}/{DOCS}", page, include_in_schema=False)


def render(document: Json, source: str) -> str:
    """The page; `source` is the address of the document itself."""
    tags: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            shown = _operation(method.upper(), path, operation, document)
            tags.setdefault(operation.get("tags", ["other"])[0], []).append(shown)
    info = document["info"]
    links = [*tags, "types"]
    return "".join(
        [
            '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" ',
            f'content="width=device-width"><title>{escape(info["title"])} API</title><style>{STYLE}</style>',
            f"<h1>{escape(info['title'])} API {escape(info['version'])}</h1><p>{escape(info['summary'])}. ",
            "<code>$QIANWAN_URL</code> is the address of this page without <code>/v1/docs</code>, ",
            "<code>$QIANWAN_API_KEY</code> an API key. ",
            f'For programs: <a href="{escape(source)}">OpenAPI {escape(document["openapi"])}</a>.</p><nav>',
            *(f'<a href="#{escape(tag)}">{escape(tag)}</a>' for tag in links),
            "</nav>",
            *(f'<h2 id="{escape(tag)}">{escape(tag)}</h2>{"".join(shown)}' for tag, shown in tags.items()),
            '<h2 id="types">types</h2>',
            *(_type(name, schema) for name, schema in sorted(document["components"]["schemas"].items())),
            "</html>\n",
        ]
    )


def _operation(method: str, path: str, operation: Json, document: Json) -> str:
    content: Json = operation.get("requestBody", {}).get("content", {})
    body: Json | None = content.get("application/json", {}).get("schema")
    parameters = [
        _row(item["name"], item["schema"], item.get("required", False), item["in"], item.get("description"))
        for item in operation.get("parameters", ())
    ]
    parts = [f"<p>{escape(operation.get('description', ''))}</p>"]
    if parameters:
        parts.append(f"<h4>parameters</h4><table>{''.join(parameters)}</table>")
    if body:
        parts.append(f"<h4>body</h4>{_members(_resolved(body, document)) or _kind(body)}")
    refusals = []
    for status, answer in operation["responses"].items():
        shapes: Json = answer.get("content", {})
        schema: Json = next((shape["schema"] for shape in shapes.values()), {})
        if status < "400":
            parts.append(f"<h4>answer {escape(status)}</h4><p>{_kind(schema)}</p>")
        else:
            refusals.append(f"{escape(status)} {escape(answer['description'].lower())}")
    if refusals:
        parts.append(f"<h4>refusals</h4><p>{'; '.join(refusals)}</p>")
    parts.append(f"<pre>{escape(_example(method, path, operation, body, document))}</pre>")
    title = f"<b>{method}</b> <code>{escape(path)}</code> <span>{escape(operation.get('summary', ''))}</span>"
    return f"<details><summary>{title}</summary>{''.join(parts)}</details>"


def _type(name: str, schema: Json) -> str:
    text = f"<p>{escape(schema.get('description', ''))}</p>"
    shape = _members(schema) or _kind(schema)
    title = f"<summary><code>{escape(name)}</code></summary>"
    return f'<details id="type-{escape(name)}">{title}{text}{shape}</details>'


def _members(schema: Json) -> str:
    required = schema.get("required", ())
    rows = [_row(name, shape, name in required) for name, shape in schema.get("properties", {}).items()]
    return f"<table>{''.join(rows)}</table>" if rows else ""


def _row(name: str, schema: Json, required: bool, where: str = "", text: str | None = None) -> str:
    notes = [where, "" if required else "optional"]
    if "default" in schema:
        notes.append(f"default {json.dumps(schema['default'])}")
    said = text or schema.get("description", "")
    note = escape(", ".join(filter(None, notes)))
    return f"<tr><td><code>{escape(name)}</code><td>{_kind(schema)}<td><i>{note}</i> {escape(said)}"


def _kind(schema: Json) -> str:
    """A schema in words; types that have a name are links."""
    if reference := schema.get("$ref"):
        name = escape(reference.rpartition("/")[2])
        return f'<a href="#type-{name}">{name}</a>'
    if choices := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
        return " or ".join(map(_kind, choices))
    if "const" in schema or "enum" in schema:
        return escape(" | ".join(json.dumps(value) for value in schema.get("enum", [schema.get("const")])))
    kind = schema.get("type", "any")
    text = escape(" or ".join(kind) if isinstance(kind, list) else kind)
    if kind == "array":
        fixed: Sequence[Json] = schema.get("prefixItems", ())
        inner = _kind(schema["items"]) if schema.get("items") else ", ".join(map(_kind, fixed))
        text = f"list of {inner}" if inner else "list"
    elif isinstance(more := schema.get("additionalProperties"), dict) and more:
        text = f"map to {_kind(more)}"
    bounds = [f"{words} {schema[key]}" for key, words in _BOUNDS.items() if key in schema]
    return text + (f" <i>{escape(', '.join(bounds))}</i>" if bounds else "")


def _resolved(schema: Json, document: Json) -> Json:
    while reference := schema.get("$ref"):
        schema = document["components"]["schemas"][reference.rpartition("/")[2]]
    return schema


def _example(method: str, path: str, operation: Json, body: Json | None, document: Json) -> str:
    words = [f'curl -X {method} "$QIANWAN_URL{path}"']
    if operation.get("security"):
        words.append('-H "X-API-Key: $QIANWAN_API_KEY"')
    if body:
        body = _resolved(body, document)
        names = body.get("required") or list(body.get("properties", {}))[:1]
        sample = {name: _sample(body["properties"].get(name, {})) for name in names}
        words += ["-H 'Content-Type: application/json'", f"-d '{json.dumps(sample)}'"]
    return " \\\n    ".join(words)


def _sample(schema: Json) -> object:
    plain: dict[str, object] = {"integer": 1, "number": 1.0, "boolean": True, "array": [], "object": {}}
    if "enum" in schema or "const" in schema:
        first: object = schema.get("enum", [schema.get("const")])[0]
        return first
    return plain.get(str(schema.get("type")), "...")
