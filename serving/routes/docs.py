"""``GET /docs``: the API as a page to read, made from its OpenAPI document. No script, no CDN."""

import re
from collections.abc import Iterator
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from serving.routes import page

router = APIRouter(include_in_schema=False)

STYLE = (
    page.STYLE
    + """
h2 { text-transform: capitalize }
h3 { font: 600 1rem ui-monospace, monospace; margin: 0; overflow-wrap: anywhere }
h3 a { color: inherit; text-decoration: none } h3 a:hover { text-decoration: underline }
b { display: inline-block; min-width: 4.5em }
"""
)
HEADERS = page.headers(STYLE)


@router.get("/docs")
def show(request: Request) -> HTMLResponse:
    """Show every route with its fields."""
    return HTMLResponse(render(request.app.openapi()), headers=HEADERS)


def render(document: dict[str, Any]) -> str:
    """Return an OpenAPI document as an HTML page."""
    about = document["info"]
    sections: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            tag = (operation.get("tags") or ["other"])[0]
            sections.setdefault(tag, []).append(_article(document, method, path, operation))
    body = "".join(
        f"<section><h2>{escape(tag)}</h2>{''.join(articles)}</section>"
        for tag, articles in sections.items()
    )
    return page.document(
        f"{about['title']} API",
        f"<h1>{escape(about['title'])} API</h1>"
        f'<p class="soft">{escape(about.get("summary", ""))} Version {escape(about["version"])}, '
        '<a href="/openapi.json">openapi.json</a>.</p>'
        "<p>Any OpenAI client works: set its <code>base_url</code> to this address followed by "
        "<code>/v1</code>, and <code>model</code> to <code>heed</code>. Once a key exists, send "
        "<code>Authorization: Bearer KEY</code>.</p>"
        f"{body}",
        style=STYLE,
    )


def _article(document: dict[str, Any], method: str, path: str, operation: dict[str, Any]) -> str:
    anchor = f"{method}-" + re.sub(r"[^a-z0-9]+", "-", path).strip("-")
    rows = [*_parameters(document, operation), *_body(document, operation)]
    table = (
        "<table><thead><tr><th>Field<th>Where<th>Type<th>Meaning</tr></thead><tbody>"
        f"{''.join(rows)}</tbody></table>"
        if rows
        else ""
    )
    said = operation.get("description") or operation.get("summary") or ""
    return (
        f'<article id="{anchor}"><h3><a href="#{anchor}"><b>{method.upper()}</b> '
        f"{escape(path)}</a></h3><p>{escape(said)}</p>{table}</article>"
    )


def _parameters(document: dict[str, Any], operation: dict[str, Any]) -> Iterator[str]:
    for each in operation.get("parameters", []):
        schema = each["schema"]
        said = each.get("description") or schema.get("description", "")
        must = each.get("required", False)
        yield _row(document, each["name"], each["in"], schema, said=said, must=must)


def _body(document: dict[str, Any], operation: dict[str, Any]) -> Iterator[str]:
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema = _resolved(document, content["schema"])
        required = schema.get("required", [])
        for name, field in schema.get("properties", {}).items():
            said = field.get("description", "")
            yield _row(document, name, "body", field, said=said, must=name in required)


def _row(
    document: dict[str, Any],
    name: str,
    where: str,
    schema: dict[str, Any],
    *,
    said: str,
    must: bool,
) -> str:
    default = schema.get("default")
    notes = [said, "Required." if must else "", f"Default: {default!r}." if default else ""]
    return (
        f"<tr><td><code>{escape(name)}</code><td>{escape(where)}"
        f"<td>{escape(_type(document, schema))}<td>{escape(' '.join(filter(None, notes)))}</tr>"
    )


def _type(document: dict[str, Any], schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        fields = ", ".join(_resolved(document, schema).get("properties", {}))
        return f"{{{fields}}}" if fields else str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        kinds = [_type(document, each) for each in schema["anyOf"] if each.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    if schema.get("type") == "array":
        return f"list of {_type(document, schema.get('items', {}))}"
    return str(schema.get("type", "anything"))


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        whole = [each for each in schema.get("anyOf", []) if "$ref" in each]
        return _resolved(document, whole[0]) if whole else schema
    name = schema["$ref"].rpartition("/")[2]
    found: dict[str, Any] = document["components"]["schemas"][name]
    return found
