"""An OpenAPI document as one readable page: operations that open, their parameters, answers and schemas, and a form to try
those that a form can ask. No scripts, and nothing from elsewhere: it reads the same without a network.

This module refuses to know what the operations mean. Why not the well-known viewer: docs/decisions names the packages that
were looked at.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

_STYLE: Final = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:0 auto;padding:1.5rem;background:#fafafa;color:#3b4151}
h1{margin:.2rem 0}
h1 small{font-size:.8rem;background:#7d8492;color:#fff;border-radius:1rem;padding:.1rem .6rem}
h2{border-bottom:1px solid #d8dde7;padding-bottom:.3rem;margin-top:2rem}h3{font-size:1rem;margin:1rem 0 .3rem}
details{border:1px solid var(--c);border-radius:4px;margin:.6rem 0;background:color-mix(in srgb,var(--c) 9%,transparent)}
summary{cursor:pointer;padding:.4rem .6rem;display:flex;gap:.8rem;align-items:center;flex-wrap:wrap}
summary b{background:var(--c);color:#fff;border-radius:3px;min-width:4.5rem;text-align:center;padding:.25rem 0;font-size:.9rem}
summary code{font-weight:600}details>div{padding:0 1rem 1rem}
.get{--c:#2f7ed8}.post{--c:#2e9e6b}.put{--c:#c77c0b}.delete{--c:#c9302c}.schema{--c:#8a8f9c}
table{border-collapse:collapse;width:100%}
td,th{text-align:left;vertical-align:top;padding:.35rem .8rem .35rem 0;border-bottom:1px solid #8883}
th{white-space:nowrap}em{color:#c9302c;font-style:normal;font-size:.8rem}
pre{background:#333b4a;color:#f1f3f7;padding:.7rem;border-radius:4px;overflow:auto;margin:.3rem 0;font-size:.85rem}
label{display:grid;grid-template-columns:10rem 1fr;gap:.6rem;margin:.3rem 0;align-items:center}
input{font:inherit;padding:.25rem .4rem}button{font:inherit;padding:.3rem 1rem;margin-top:.4rem;cursor:pointer}
@media (prefers-color-scheme:dark){body{background:#1c2028;color:#d8dde7}}
"""
_PLAIN: Final = "application/x-www-form-urlencoded"


def page(document: Mapping[str, Any]) -> str:
    """The page. `document` is OpenAPI 3.1; of its references only those to its own schemas are followed."""
    return "".join(_parts(document))


def _parts(document: Mapping[str, Any]) -> Iterator[str]:
    info = document["info"]
    title = escape(info["title"])
    yield "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content='width=device-width'>"
    yield f"<title>{title}</title><style>{_STYLE}</style></head><body>"
    yield f"<h1>{title} <small>{escape(info['version'])}</small> <small>OpenAPI {escape(document['openapi'])}</small></h1>"
    yield f"<p>{_words(info.get('description', ''))}</p>"
    base = document.get("servers", [{}])[0].get("url", "/").rstrip("/")
    yield f"<p>Base address: <code>{escape(base or '/')}</code></p>"
    yield "<h2>Authentication</h2><table>"
    for name, scheme in document["components"].get("securitySchemes", {}).items():
        place = (
            f"{scheme['in']} <code>{escape(scheme['name'])}</code>"
            if scheme["type"] == "apiKey"
            else "HTTP " + scheme["scheme"]
        )
        yield f"<tr><th>{escape(name)}<td>{place}<td>{_words(scheme.get('description', ''))}"
    yield "</table><h2>Operations</h2>"
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield from _operation(base, path, method, operation)
    yield "<h2>Schemas</h2>"
    for name, schema in document["components"]["schemas"].items():
        yield f"<details class=schema id='{escape(name)}'><summary><code>{escape(name)}</code></summary><div>"
        yield f"<p>{_words(schema.get('description', ''))}</p>{_properties(schema)}</div></details>"
    yield "</body></html>\n"


def _operation(base: str, path: str, method: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"<details class={method} id='{escape(operation['operationId'])}'><summary><b>{method.upper()}</b>"
    yield f"<code>{escape(path)}</code><span>{escape(operation['summary'])}</span></summary><div>"
    if operation.get("description"):
        yield f"<p>{_words(operation['description'])}</p>"
    schemes = ["".join(choice) or "parameters" for choice in operation.get("security", [])]
    yield f"<p>Authentication: {escape(' or '.join(schemes) or 'parameters')}</p>"
    content = operation.get("requestBody", {}).get("content", {})
    fields = _fields(operation, content)
    yield "<h3>Parameters</h3>"
    if _PLAIN in content:
        yield f"<p>In the query, or in the body as {', '.join(f'<code>{escape(kind)}</code>' for kind in content)}.</p>"
    elif content:
        bodies = (f"<code>{escape(kind)}</code>: {_shape(body['schema'])}" for kind, body in content.items())
        yield f"<p>Body as {', or '.join(bodies)}.</p>"
    yield "<table>" + "".join(_row(*field) for field in fields) + "</table>" if fields else "<p>None.</p>"
    yield "<h3>Answers</h3><table>"
    for status, answer in operation["responses"].items():
        yield f"<tr><th>{escape(status)}<td>{_words(answer['description'])}{_headers(answer)}{_bodies(answer)}"
    yield "</table>"
    if (
        method in {"get", "post"} and (not content or _PLAIN in content) and "{" not in path
    ):  # what a form without scripts can ask
        yield f"<h3>Try it</h3><form method={method} action='{escape(base + path)}' autocomplete=off>"
        yield "".join(_input(*field) for field in fields) + "<button>Execute</button></form>"
    yield "</div></details>"


Field = tuple[str, bool, Mapping[str, Any], str]
"""Name, required, schema, description."""


def _fields(operation: Mapping[str, Any], content: Mapping[str, Any]) -> list[Field]:
    found: list[Field] = [
        (each["name"], each["required"], each["schema"], each.get("description", ""))
        for each in operation.get("parameters", ())
    ]
    schema = content.get(_PLAIN, {}).get("schema", {})
    needed = schema.get("required", ())
    return found + [(n, n in needed, s, s.get("description", "")) for n, s in schema.get("properties", {}).items()]


def _row(name: str, required: bool, schema: Mapping[str, Any], what: str) -> str:
    must = " <em>required</em>" if required else ""
    return f"<tr><th><code>{escape(name)}</code>{must}<td>{_shape(schema)}<td>{_words(what)}"


def _input(name: str, required: bool, schema: Mapping[str, Any], _: str) -> str:
    kind = "password" if schema.get("format") == "password" else "number" if schema.get("type") == "integer" else "text"
    must = " required" if required else ""
    return f"<label><span>{escape(name)}</span><input name='{escape(name)}' type={kind} autocomplete=off{must}></label>"


def _headers(answer: Mapping[str, Any]) -> str:
    names = ", ".join(f"<code>{escape(name)}</code>" for name in answer.get("headers", ()))
    return f"<br>Headers: {names}" if names else ""


def _bodies(answer: Mapping[str, Any]) -> str:
    found = ""
    for body in answer.get("content", {}).values():
        found += f"<br>{_shape(body['schema'])}"
        if "example" in body:
            found += f"<pre>{escape(json.dumps(body['example'], indent=2))}</pre>"
    return found


def _properties(schema: Mapping[str, Any]) -> str:
    needed = schema.get("required", ())
    rows = [_row(n, n in needed, s, s.get("description", "")) for n, s in schema.get("properties", {}).items()]
    return f"<table>{''.join(rows)}</table>" if rows else ""


def _shape(schema: Mapping[str, Any]) -> str:
    """A schema in a few words, references as links."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f"<a href='#{name}'>{name}</a>"
    if "anyOf" in schema:
        return " or ".join(_shape(each) for each in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        return " or ".join(f"<code>{escape(json.dumps(each))}</code>" for each in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type", "anything")
    if kind == "array":
        return "array of " + _shape(schema.get("items", {}))
    bounds = [f"{word} {schema[key]}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in schema]
    return escape(" ".join([kind, *bounds]))


def _words(text: str) -> str:
    """Text, what stands in back quotes as code."""
    return "".join(f"<code>{escape(part)}</code>" if i % 2 else escape(part) for i, part in enumerate(text.split("`")))
