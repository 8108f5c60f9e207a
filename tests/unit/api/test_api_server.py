"""The API's process: it stops as it is told, at any time."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator

import pytest
import uvicorn

from stream_app.api.server import stop_when_told


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """The test process's own handlers, put back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_the_loop_runs_stops_the_api_once_it_does(number: signal.Signals) -> None:
    """It opens and closes as ever, and takes no request in between."""
    seen: list[str] = []

    async def app(scope: dict[str, str], receive: object, send: object) -> None:
        del receive, send
        seen.append(scope["type"])

    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="auto"))
    stop_when_told(server)
    signal.raise_signal(number)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server.run(sockets=[listener])
    assert (server.started, seen) == (True, ["lifespan"])
