"""A web server in the place of MLflow or a schema registry, on loopback, that answers as a test says."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Page(NamedTuple):
    """What is answered; `endless`: the content again and again, for as long as anybody reads."""

    content: bytes
    status: int = 200
    location: str = ""
    length: str = ""
    endless: bool = False
    kind: str = ""


@contextmanager
def web(pages: Mapping[str, Page], otherwise: Page | None = None) -> Iterator[str]:
    """The server's URL; a path is answered by its last part, query left out, or by `otherwise` (404)."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = pages.get(self.path.partition("?")[0].rpartition("/")[2], otherwise or Page(b"", 404))
            self.send_response(page.status)
            if page.kind:
                self.send_header("Content-Type", page.kind)
            if page.location:
                self.send_header("Location", page.location)
            if not page.endless:
                self.send_header("Content-Length", page.length or str(len(page.content)))
            self.end_headers()
            self.wfile.write(page.content)
            with suppress(OSError):
                while page.endless:
                    self.wfile.write(page.content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Say nothing."""

    with served(Handler) as url:
        yield url


@contextmanager
def served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The URL of a server on loopback that answers by this handler."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
