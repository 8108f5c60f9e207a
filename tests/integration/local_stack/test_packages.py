"""What the servers are made of: jars from Maven Central, packages of the extra `local`."""

from __future__ import annotations

import os
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import certifi
import pytest

from stream_app.errors import Stop, Unavailable
from stream_app.local import jars, packages

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_an_unreachable_maven_central_is_named_and_leaves_no_half_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next start tries again from the beginning."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(jars, "REMOTE_REPOS", {"central": "http://127.0.0.1:1/maven2"})
    with pytest.raises(Unavailable, match=r"Maven Central did not give it: .* needs the network once"):
        jars.kafka_jars()
    assert not (tmp_path / "fraudstream" / f"kafka-{jars.KAFKA_VERSION}").exists()


@pytest.fixture
def proxied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Maven Central behind a proxy whose certificate only `tmp_path/ca.pem` vouches for; it has nothing and answers 404."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    files = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "ca.pem")]
    subprocess.run([*command, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "ca.pem", tmp_path / "key.pem")
    with ThreadingHTTPServer(("127.0.0.1", 0), Nothing) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setattr(jars, "REMOTE_REPOS", {"central": f"https://localhost:{server.server_port}/maven2"})
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
            monkeypatch.delenv(name, raising=False)
        yield tmp_path / "ca.pem"
        server.shutdown()
        thread.join()


class Nothing(BaseHTTPRequestHandler):
    """Has no jar."""

    def do_GET(self) -> None:
        """Answer 404."""
        self.send_error(404)

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


def test_what_the_system_trusts_is_trusted(proxied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the proxy's certificate in the system's bundle the proxy is heard; a bundle named by hand goes before it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(proxied))
    with pytest.raises(Unavailable, match=r"^(?!.*SSLError)"):
        jars.kafka_jars()
    assert "REQUESTS_CA_BUNDLE" not in os.environ
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    with pytest.raises(Unavailable, match="SSLError"):
        jars.kafka_jars()
    assert os.environ["REQUESTS_CA_BUNDLE"] == certifi.where()


def test_a_missing_package_names_the_extra() -> None:
    """Whoever installed the worker alone learns what to install."""
    with pytest.raises(Stop, match=r"pip install 'fraudstream\[local\]'"):
        packages.folder("no_such_package")
