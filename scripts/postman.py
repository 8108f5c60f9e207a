"""Make examples/fraudstream.postman_collection.json from the API's OpenAPI document: `python scripts/postman.py`.

Vectors of `/predict_…` name every feature of the default profile, each with its neutral value: a model of another profile says which it wants.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from stream_app.features.definitions import VELOCITY

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from reference import openapi  # noqa: E402 - found by the line above, from wherever this is started

FILE = ROOT / "examples" / "fraudstream.postman_collection.json"
SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
KNOWN = {"card_id": "card-58c1", "terminal_id": "term-0042", "code": "large_online", "name": "bad_terminals"}
"""Those of the API's own examples."""


def collection() -> dict[str, Any]:
    """The collection: one request a route, with what it answers when all is well."""
    routes = ((path, method, about) for path, methods in openapi()["paths"].items() for method, about in methods.items())
    return {
        "info": {"name": "Fraudstream", "description": "Made by scripts/postman.py from the API's OpenAPI document.", "schema": SCHEMA},
        "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{key}}", "type": "string"}]},
        "variable": [{"key": "api", "value": "http://127.0.0.1:8000"}, {"key": "key", "value": ""}],
        "item": [_item(*route) for route in routes],
    }


def _item(path: str, method: str, about: dict[str, Any]) -> dict[str, Any]:
    words = [f":{word[1:-1]}" if word.startswith("{") else word for word in path.strip("/").split("/")]
    names = [word[1:] for word in words if word.startswith(":")]
    url: dict[str, Any] = {"raw": "{{api}}/" + "/".join(words), "host": ["{{api}}"], "path": words}
    if names:
        url["variable"] = [{"key": name, "value": KNOWN[name]} for name in names]
    request: dict[str, Any] = {"method": method.upper(), "url": url, "description": about.get("description") or about["summary"]}
    for media in about.get("requestBody", {}).get("content", {}).values():
        request["header"] = [{"key": "Content-Type", "value": "application/json"}]
        request["body"] = {"mode": "raw", "raw": json.dumps(_example(media["example"]), indent=2)}
    status = min(about["responses"])
    test = f'pm.test("answers {status}", () => pm.response.to.have.status({status}));'
    return {
        "name": f"{method.upper()} {path}",
        "request": request,
        "event": [{"listen": "test", "script": {"type": "text/javascript", "exec": [test]}}],
    }


def _example(example: dict[str, Any]) -> dict[str, Any]:
    """The document's example; of vectors, one that is whole."""
    whole = {feature.name: feature.of.neutral for feature in VELOCITY} | {"amount": 312.0}
    if "features" in example:
        return {"features": whole}
    return {"rows": [whole, whole | {"amount": 12.5}]} if "rows" in example else example


def text() -> str:
    """The file."""
    return json.dumps(collection(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
