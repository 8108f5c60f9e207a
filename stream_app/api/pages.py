"""The page `/docs`: the OpenAPI document for people. It runs no script and asks no other server for anything."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

CONTENT_SECURITY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}code,pre{background:#f4f4f4;border-radius:4px}"
    "code{padding:.1em .3em}pre{padding:.8em;overflow:auto}section{border-top:1px solid #ccc;margin-top:1.5em}td{padding:.1em 1em .1em 0;vertical-align:top}"
)


def page_of(document: Mapping[str, Any], base_url: str) -> str:
    """The whole page.

    Args:
        document: OpenAPI.
        base_url: of this API, for the commands.
    """
    about = escape(document["info"]["description"]).replace("\n\n", "</p><p>")
    operations = [(path, method, of) for path, methods in document["paths"].items() for method, of in methods.items()]
    body = "".join(part for path, method, of in operations for part in _section(document, base_url, path, method, of))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Fraudstream: the API</title>'
        f"<style>{_STYLE}</style></head><body><h1>Fraudstream: the API</h1><p>{about}</p>"
        f'<p>For programs: <a href="/openapi.json">/openapi.json</a>, OpenAPI.</p>{body}</body></html>'
    )


def _section(document: Mapping[str, Any], base_url: str, path: str, method: str, of: Mapping[str, Any]) -> Iterator[str]:
    yield f"<section><h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(of.get('description') or of.get('summary', ''))}</p>"
    content = of.get("requestBody", {}).get("content", {}).get("application/json")
    shown = path
    for parameter in of.get("parameters", ()):
        shown = shown.replace(f"{{{parameter['name']}}}", str(parameter["example"]))
    key = " -H 'Authorization: Bearer KEY'" if of.get("security") else ""
    body = "" if content is None else f" -H 'Content-Type: application/json' -d '{json.dumps(content['example'])}'"
    verb = "" if method in {"get", "post"} else f"-X {method.upper()} "
    yield f"<pre>curl -s {verb}{escape(base_url.rstrip('/') + shown + key + body)}</pre>"
    if content is not None:
        yield from _fields(document, content["schema"]["$ref"])
    yield "<table>" + "".join(
        f"<tr><td>{status}</td><td>{escape(a['description'])}</td></tr>" for status, a in sorted(of["responses"].items())
    )
    yield "</table></section>"


def _fields(document: Mapping[str, Any], ref: str) -> Iterator[str]:
    """The fields of a body: those that it must have first."""
    schema = document["components"]["schemas"][ref.rpartition("/")[2]]
    must = schema.get("required", [])
    may = [name for name in schema["properties"] if name not in must]
    yield f"<p>Must have {_named(must)}.{f' May have {_named(may)}.' if may else ''}</p>"


def _named(names: list[str]) -> str:
    return ", ".join(f"<code>{escape(name)}</code>" for name in names)
