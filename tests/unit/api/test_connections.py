"""Connections of callers, raw, to a real server: those that keep it waiting are closed, and however many come, the next one is answered."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn

from stream_app.api import connections
from stream_app.api.limits import AsgiScope, Receive, Send
from stream_app.api.server import server_config
from tests.waiting import DEADLINE_S, until

HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
WHOLE = HEAD + b"\r\n"
LARGE = 50_000_000
"""More than the system keeps of an answer that nobody reads."""


class Answers:
    """An application: `/` at once, `/later` when it is let go, `/large` with more than anybody wants, `/pieces` with that piece by piece."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.let_go = asyncio.Event()
        self.loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "lifespan":
            self.loop = asyncio.get_running_loop()
            for said in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{said}.complete"})
            return
        if scope["path"] == "/later":
            self.asked.set()
            await self.let_go.wait()
        content = b"x" * (LARGE if scope["path"] in {"/large", "/pieces"} else 2)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(content)).encode())]})
        if scope["path"] == "/pieces":  # the second one waits until the first is taken, and the answer is not complete meanwhile
            await send({"type": "http.response.body", "body": content[1:], "more_body": True})
            content = content[:1]
        await send({"type": "http.response.body", "body": content})


class Served:
    """A server under way, and callers of it."""

    def __init__(self, port: int, app: Answers, server: uvicorn.Server) -> None:
        self._port = port
        self.app = app
        self._server = server

    def caller(self, *says: bytes) -> socket.socket:
        """A connection that has said this."""
        made = socket.create_connection(("127.0.0.1", self._port), timeout=DEADLINE_S)
        for words in says:
            made.sendall(words)
        return made

    @property
    def open(self) -> int:
        """Connections that the server holds."""
        return len(self._server.server_state.connections)

    def holds(self, number: int) -> None:
        """Wait until it holds so many."""
        until(lambda: self.open == number, f"{number} connections")

    def let_go(self) -> None:
        """Have `/later` answered."""
        assert self.app.loop
        self.app.loop.call_soon_threadsafe(self.app.let_go.set)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """The server as the API's process has it, with short times and few places."""
    monkeypatch.setattr(connections, "MOVES_WITHIN_S", 0.3)
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 8)
    app = Answers()
    server = uvicorn.Server(server_config(app))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            until(lambda: server.started, "the server")
            yield Served(listener.getsockname()[1], app, server)
        finally:
            server.should_exit = True
            thread.join()


def closed(caller: socket.socket) -> bool:
    """Whether the server closes it, what it had answered read before; waits for that until a deadline."""
    try:
        while caller.recv(1_000_000):
            pass
    except ConnectionResetError:
        pass
    return True


def answered(caller: socket.socket) -> bool:
    """Whether one whole answer comes."""
    found = b""
    while not found.endswith(b"\r\n\r\nxx"):
        found += (more := caller.recv(1000))
        assert more, found
    return found.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("says", [b"", b"GET / HT", HEAD], ids=["nothing", "a word", "half"])
def test_a_connection_that_begins_no_whole_head_is_closed(served: Served, says: bytes) -> None:
    """Silent from the start, or half a head."""
    with served.caller(says) as caller:
        assert closed(caller)
    until(lambda: not served.open, "the server to forget it")


@pytest.mark.parametrize("says", [HEAD, b"\r\n"], ids=["half", "blank"])
def test_half_a_second_head_does_not_keep_a_connection_either(served: Served, says: bytes) -> None:
    """What comes after an answer ends uvicorn's own timer of idle connections."""
    with served.caller(WHOLE) as caller:
        assert answered(caller)
        caller.sendall(says)
        assert closed(caller)


def test_a_head_that_drips_is_closed_all_the_same(served: Served) -> None:
    """Each byte of it comes soon after the one before; the time is that of the head."""
    with served.caller(HEAD) as caller:
        caller.settimeout(0.05)
        for _ in range(int(DEADLINE_S / 0.05)):
            with contextlib.suppress(TimeoutError):
                caller.sendall(b"x")
                if not caller.recv(1):
                    return
    pytest.fail("it stayed open")


def test_who_waits_for_an_answer_is_not_closed_and_may_ask_again(served: Served) -> None:
    """Longer than the time for a head: another caller's is over meanwhile."""
    with served.caller(b"GET /later HTTP/1.1\r\nHost: localhost\r\n\r\n") as caller, served.caller(HEAD) as slow:
        assert served.app.asked.wait(DEADLINE_S)
        assert closed(slow)
        served.let_go()
        assert answered(caller)
        caller.sendall(WHOLE)
        assert answered(caller)


@pytest.mark.parametrize("path", ["/large", "/pieces"])
def test_who_takes_no_answer_is_closed(served: Served, path: str) -> None:
    """It would hold its place, and what was made for it, for ever."""
    with served.caller(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()):
        until(lambda: served.open == 1, "the caller")
        until(lambda: not served.open, "the server to close it")


def test_one_connection_too_many_closes_the_one_that_waits_for_longest(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one that is owed an answer, and the newest is answered: connections that say nothing keep no probe out."""
    monkeypatch.setattr(connections, "MOVES_WITHIN_S", DEADLINE_S)
    with contextlib.ExitStack() as callers:
        owed = callers.enter_context(served.caller(b"GET /later HTTP/1.1\r\nHost: localhost\r\n\r\n"))
        assert served.app.asked.wait(DEADLINE_S)
        silent = []
        while served.open < 8:
            silent.append(callers.enter_context(served.caller()))
            served.holds(1 + len(silent))
        silent += [callers.enter_context(served.caller()) for _ in range(3)]
        newest = callers.enter_context(served.caller(WHOLE))
        assert answered(newest)
        assert all(closed(caller) for caller in silent[:4])
        assert served.open == 8
        served.let_go()
        assert answered(owed)
