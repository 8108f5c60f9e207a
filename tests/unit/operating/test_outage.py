"""What a worker says while a server is away, and what of the libraries' own words it lets through."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest
from loguru import logger

from stream_app.errors import NoAccess, NoHost, SettingsError, Unavailable
from stream_app.operating.logs import ToLoguru
from stream_app.operating.outage import Watch


class Server:
    """A server that is there or not, and a clock that is set."""

    def __init__(self) -> None:
        self.there = True
        self.now_s = 0.0

    async def ask(self) -> None:
        """Answer, or not."""
        if not self.there:
            raise Unavailable("No broker answers.")

    def watch(self) -> Watch:
        """A watch over it."""
        return Watch("Kafka", "kafka:9092", "Check the brokers.", self.ask, lambda: self.now_s)

    def look(self, watch: Watch, *seconds: float) -> None:
        """Look at each of these times."""
        for self.now_s in seconds:
            asyncio.run(watch.look())


@pytest.fixture
def told() -> Iterator[list[str]]:
    """The lines that are logged."""
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line).strip()), format="{level} {message}", level="INFO")
    yield lines
    logger.remove(sink)


def test_a_server_that_is_away_is_told_at_once_then_every_half_minute_and_when_it_is_back(told: list[str]) -> None:
    """Once a second it is asked; three lines in 35 seconds, and each outage is told anew."""
    server = Server()
    watch = server.watch()
    server.look(watch, 0, 1)
    assert (told, watch.away()) == ([], None)
    server.there = False
    server.look(watch, *range(2, 37))
    away = "Kafka does not answer at kafka:9092: waiting. Check the brokers."
    assert watch.away() == away
    assert told == [f"WARNING {away}"] * 2
    server.there = True
    server.look(watch, 37, 38)
    assert told[2:] == ["INFO Kafka answers again at kafka:9092, after 35 s"]
    assert watch.away() is None
    server.there = False
    server.look(watch, 39)
    assert told[3:] == [f"WARNING {away}"]


def test_a_server_that_hangs_is_away(told: list[str]) -> None:
    """It takes connections and answers nothing."""
    watch = Watch("Redis", "redis:6379", "", asyncio.Event().wait, timeout_s=0.01)
    asyncio.run(watch.look())
    assert told[0].startswith("WARNING Redis does not answer at redis:6379")


def test_a_server_has_answered_only_once_it_did(told: list[str]) -> None:
    """Before it was asked nobody knows; what answered and is away now has not."""
    server = Server()
    watch = server.watch()
    assert (watch.has_answered(), watch.is_up()) == (False, True)
    for server.there in (False, True, False, True):
        server.look(watch, 0)
        assert (watch.has_answered(), watch.is_up()) == (server.there, server.there)
    assert len(told) == 4


@pytest.mark.parametrize(
    ("error", "told_as"),
    [
        (SettingsError("End the URL in /0."), "waiting. End the URL in /0."),
        (KeyError("slot"), "waiting. Asking it failed: KeyError: 'slot'."),
    ],
)
def test_asking_that_breaks_is_no_answer_and_is_told_by_its_cause(error: Exception, told_as: str, told: list[str]) -> None:
    """Not the usual remedy, which would send to a server that is well; the watch goes on, and sees the server come back."""
    ends = iter([error, None])

    async def ask() -> None:
        if (end := next(ends)) is not None:
            raise end

    watch = Watch("Redis", "redis:6379", "Check the server.", ask)
    asyncio.run(watch.look())
    assert (watch.is_up(), told) == (False, [f"WARNING Redis does not answer at redis:6379: {told_as}"])
    asyncio.run(watch.look())
    assert watch.has_answered()


@pytest.mark.parametrize("error", [NoAccess("Kafka at kafka:9092 refused the login."), NoHost("The name 'kafka' was not found.")])
def test_a_server_that_refuses_is_told_by_its_cause(error: Exception, told: list[str]) -> None:
    """A worker that runs waits for a new password, or for the name; it does not say that nobody answers."""

    async def ask() -> None:
        raise error

    asyncio.run(Watch("Kafka", "kafka:9092", "Check the brokers.", ask).look())
    assert told == [f"WARNING Kafka at kafka:9092 is not reached: waiting. {error}"]


@pytest.fixture
def library() -> Iterator[logging.Logger]:
    """A logger of aiokafka whose records go where ours go."""
    found, handler = logging.getLogger("aiokafka.consumer.fetcher"), ToLoguru()
    found.addHandler(handler)
    yield found
    found.removeHandler(handler)


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("Unable connect to node with id %s: [Errno 111] Connect call failed", 1),
        ("Unable to update metadata from %s", [1]),
        ("Failed fetch messages from %s: NodeNotReadyError: Attempt to send a request to node which is not ready", 1),
        ("Group Coordinator Request failed: %s", "NodeNotReadyError: Attempt to send"),
        ("Marking the coordinator dead (node %s)for group x.", 1),
        ("Heartbeat session expired - marking coordinator dead%s", ""),
        ("Failed fetch messages from %s: KafkaConnectionError: Connection at 127.0.0.1:9092 closed", 1),
    ],
)
def test_what_aiokafka_says_of_each_attempt_to_connect_is_left_to_the_watch(
    template: str, value: object, library: logging.Logger, told: list[str]
) -> None:
    """As it was found in the log of a worker whose broker was killed: 60 such lines a second."""
    library.error(template, value)
    assert told == []


def test_what_a_library_says_of_anything_else_is_told_once_in_half_a_minute(
    library: logging.Logger, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the kind of the line: another partition in the same sentence is no news."""
    now = 0.0
    monkeypatch.setattr("stream_app.operating.logs.time.monotonic", lambda: now)
    for now in (0.0, 1.0, 29.0):
        library.error("Topic %s is not authorised", f"t{now}")
        library.error("Offset %s is out of range", now)
    assert [line.removeprefix("ERROR aiokafka.consumer.fetcher: ") for line in told] == [
        "Topic t0.0 is not authorised",
        "Offset 0.0 is out of range",
    ]
    now = 30.0
    library.error("Topic %s is not authorised", "t")
    assert len(told) == 3
