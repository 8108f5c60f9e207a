"""What Apicurio lacks of Confluent's API: the look-up of a schema by its GUID, by the documented contract; anything else is asked of Apicurio.

GET /schemas/guids/GUID     {"schema": …, "guid": …}, or 404 with the error code 40403
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import httpx

from tests.web import served

_GUIDS = "/schemas/guids/"
_NO_SUCH = json.dumps({"error_code": 40_403, "message": "Schema not found"}).encode()


@contextmanager
def with_guids(registry: str, schemas: Mapping[str, str]) -> Iterator[str]:
    """The URL of the registry at this URL, which finds these Avro schemas by GUID too."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith(_GUIDS):
                found = schemas.get(guid := self.path.removeprefix(_GUIDS))
                status, content = (200, json.dumps({"schema": found, "guid": guid}).encode()) if found else (404, _NO_SUCH)
            else:
                answer = httpx.get(registry + self.path, headers={"Accept": self.headers.get("Accept", "*/*")}, timeout=60)
                status, content = answer.status_code, answer.content
            self.send_response(status)
            self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Say nothing."""

    with served(Handler) as url:
        yield url
