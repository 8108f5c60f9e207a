"""The proxy of the suite harms as it says, and only then: a fault that does nothing would prove nothing."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from stream_app.local.stack import free_ports
from tests.faults.proxy import HOST, Proxy
from tests.waiting import until

SOON_S, LONG_S = 0.3, 10.0


class Echo(socketserver.BaseRequestHandler):
    """Answers each piece with itself."""

    def handle(self) -> None:
        """One connection."""
        while data := self.request.recv(65_536):
            self.server.heard.append(data)  # type: ignore[attr-defined]
            self.request.sendall(data)


@pytest.fixture
def heard() -> list[bytes]:
    """What the server got."""
    return []


@pytest.fixture
def proxy(heard: list[bytes]) -> Iterator[Proxy]:
    """A proxy before a server that echoes."""
    (port,) = free_ports(1)
    with socketserver.ThreadingTCPServer((HOST, 0), Echo) as server:
        server.daemon_threads = True
        server.heard = heard  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        made = Proxy(port, server.server_address[1])
        made.start()
        yield made
        made.stop()
        server.shutdown()


def connected(proxy: Proxy) -> socket.socket:
    """A client of the proxy that waits long for what must come."""
    return socket.create_connection((HOST, proxy.port), LONG_S)


def silent(client: socket.socket) -> bool:
    """Whether nothing comes for a while."""
    client.settimeout(SOON_S)
    try:
        return client.recv(1) is None
    except TimeoutError:
        return True
    finally:
        client.settimeout(LONG_S)


def ended(client: socket.socket) -> bool:
    """Whether the other side ended the connection."""
    try:
        return not client.recv(1)
    except ConnectionResetError:
        return True


def test_it_forwards_in_both_directions(proxy: Proxy) -> None:
    """Megabytes come back as they were sent: more than one direction keeps."""
    sent = bytes(range(256)) * 40_000
    with connected(proxy) as client:
        threading.Thread(target=client.sendall, args=(sent,), daemon=True).start()
        assert client.makefile("rb").read(len(sent)) == sent


def test_it_is_as_slow_as_it_is_told(proxy: Proxy) -> None:
    """A round trip takes the delay twice."""
    proxy.delay_s = 0.2
    with connected(proxy) as client:
        began = time.monotonic()
        client.sendall(b"a")
        assert client.recv(1) == b"a"
    assert time.monotonic() - began >= 0.4


def test_requests_that_are_held_reach_nobody_until_it_is_healed(proxy: Proxy, heard: list[bytes]) -> None:
    """The connection is accepted; no byte of it is lost."""
    proxy.holds_requests = True
    with connected(proxy) as client:
        client.sendall(b"a")
        assert silent(client)
        assert not heard
        proxy.heal()
        assert client.recv(1) == b"a"


def test_answers_that_are_held_leave_the_server_working(proxy: Proxy, heard: list[bytes]) -> None:
    """The server got the request; its client does not know."""
    proxy.holds_answers = True
    with connected(proxy) as client:
        client.sendall(b"a")
        until(lambda: heard == [b"a"], "the server to get the request")
        assert silent(client)
        proxy.heal()
        assert client.recv(1) == b"a"


def test_a_cut_ends_every_connection_and_none_later(proxy: Proxy) -> None:
    """Clients see the end; a new one is served."""
    with connected(proxy) as client:
        client.sendall(b"a")
        assert client.recv(1) == b"a"
        proxy.cut()
        assert ended(client)
    with connected(proxy) as client:
        client.sendall(b"b")
        assert client.recv(1) == b"b"


def test_one_that_refuses_serves_nobody(proxy: Proxy, heard: list[bytes]) -> None:
    """A new connection ends at once."""
    proxy.refuses = True
    with connected(proxy) as client:
        assert ended(client)
    assert not heard


def test_a_proxy_whose_port_is_taken_can_be_stopped(proxy: Proxy) -> None:
    """Else the servers of the run stay: what ends them comes after it."""
    second = Proxy(proxy.port, 1)
    with pytest.raises(OSError, match="in use"):
        second.start()
    second.stop()
