"""The page about the API: its OpenAPI document as plain HTML, without scripts, for any browser offline."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fastapi import Response
from jinja2 import ChainableUndefined, Environment, FileSystemLoader
from markupsafe import Markup, escape

from dozor.console.theme import style_tokens

HERE = Path(__file__).parent
_METHODS = ("get", "post", "put", "patch", "delete")


def docs_page(document: Mapping[str, Any]) -> Response:
    """The page of a document.

    Args:
        document: OpenAPI 3.1.
    """
    style = style_tokens() + (HERE / "templates" / "docs.css").read_text(encoding="utf-8")
    templates = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["prose"] = _prose
    page = templates.get_template("docs.html").render(
        document=document,
        style=Markup(style),  # noqa: S704 - our own file
        groups=list(_groups(document)),
        schemas=sorted(document.get("components", {}).get("schemas", {}).items()),
        kind=_kind,
        example=_example,
    )
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )
    return Response(
        page,
        media_type="text/html; charset=utf-8",
        headers={"Content-Security-Policy": policy, "Cache-Control": "no-store"},
    )


def _groups(document: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], list[tuple[str, str, Any]]]]:
    """Each tag with its operations: method, path, operation."""
    every = [
        (method, path, item[method])
        for path, item in document.get("paths", {}).items()
        for method in _METHODS
        if method in item
    ]
    for tag in document.get("tags", ()):
        found = [operation for operation in every if tag["name"] in operation[2].get("tags", ())]
        if found:
            yield tag, found


def _prose(text: str) -> Markup:
    """Paragraphs, with `code` and **bold** as they are meant."""
    paragraphs = []
    for block in str(text).strip().split("\n\n"):
        html = str(escape(block))
        for mark, tag in (("**", "strong"), ("`", "code")):
            pieces = html.split(mark)
            html = "".join(
                f"<{tag}>{piece}</{tag}>" if place % 2 and place < len(pieces) - 1 else piece
                for place, piece in enumerate(pieces)
            )
        paragraphs.append(f"<p>{html}</p>")
    return Markup("".join(paragraphs))  # noqa: S704 - escaped above


def _kind(schema: Mapping[str, Any]) -> Markup:
    """What may stand in a place, in a few words, leading to the schema's own place on the page."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return Markup('<a href="#schema-{0}">{0}</a>').format(name)
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return Markup(" | ").join(Markup("<code>{}</code>").format(json.dumps(value)) for value in values)
    several = schema.get("anyOf") or schema.get("oneOf")
    if several:
        return Markup(" | ").join(_kind(one) for one in several)
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return Markup("{} []").format(_kind(schema.get("items", {})))
    form = schema.get("format")
    return Markup("{} ({})").format(kind, form) if form else Markup("{}").format(kind)


def _example(schema: Mapping[str, Any]) -> str:
    """The first example of a schema as JSON; empty without one."""
    examples = schema.get("examples")
    return json.dumps(examples[0], ensure_ascii=False, indent=2) if examples else ""
