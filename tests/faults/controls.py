"""Negative controls: workers with one part of the protocol taken out. A suite that does not fail for each of them cannot see loss."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from types import SimpleNamespace
from typing import Any

import faust
from aiokafka.consumer.fetcher import FetchResult
from faust.transport.drivers.aiokafka import Consumer, Transport

from stream_app import bootstrap_inputs, bootstrap_worker, worker
from stream_app.adapters.faust import batches as faust_batches
from stream_app.adapters.kafka import consumer as kafka_consumer
from stream_app.adapters.kafka.record_batches import FetchedRecords
from stream_app.adapters.redis import partition_state
from stream_app.adapters.redis.line import RedisLine
from stream_app.adapters.redis.partition_state import RedisPartition
from stream_app.delivery import held_partitions, partition
from stream_app.delivery.inbox import Fetched
from stream_app.delivery.live_rules import LiveRules
from stream_app.delivery.partition import Partition
from stream_app.delivery.takeover import Takeover
from stream_app.errors import StateError
from stream_app.features import packing
from stream_app.messages.records import Outgoing, Place
from stream_app.messages.transaction import IntakeRules
from stream_app.scoring.already_published import SOURCE_OFFSET, AlreadyPublished
from stream_app.scoring.publication import Publication
from tests.faults.points import Points, replace

CONTROLS = (
    "condemned", "moves_on", "unguarded", "apart", "no_tail", "take", "any_mark", "unbounded", "whole_batches", "any_time", "uncommitted",
    "another_release", "not_copied",
)  # fmt: skip


def install(control: str, points: Points) -> None:
    """Take a part of the protocol out of the classes of this process."""
    {
        "condemned": _condemned,
        "moves_on": _moves_on,
        "unguarded": _unguarded,
        "apart": _apart,
        "no_tail": _no_tail,
        "take": _take,
        "any_mark": _any_mark,
        "unbounded": _unbounded,
        "whole_batches": _whole_batches,
        "any_time": _any_time,
        "uncommitted": _uncommitted,
        "another_release": _another_release,
        "not_copied": _not_copied,
    }[control](points)


def _condemned(_: Points) -> None:
    """What a later version wrote is taken for damaged."""
    vars(packing)["is_newer"] = lambda _value: False


def _moves_on(_: Points) -> None:
    """The cursor goes on over payments that are not counted, because a later version's state is left alone."""
    replace(Partition, "_written", lambda _original: lambda _self, cursor: cursor)


def _unguarded(_: Points) -> None:
    """The cursor guard is off: it is not watched, and another owner's is taken for one's own."""

    def line(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def around(self: RedisLine, commands: Sequence[tuple[Any, ...]]) -> Any:
            return await original(self, [("PING",) if c[0] == "WATCH" else c for c in commands])

        return around

    def look_at(original: Callable[..., Any]) -> Callable[..., Any]:
        def around(self: Any, found: Sequence[bytes | None]) -> Any:
            self._cursor = found[0]
            return original(self, found)

        return around

    replace(RedisLine, "round_trip", line)
    replace(RedisPartition, "look_at", look_at)


def _apart(points: Points) -> None:
    """The cursor first, the state in a transaction of its own. State first would be no proof: a card's ring of seen ids takes the repetition."""

    def line(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def around(self: RedisLine, commands: Sequence[tuple[Any, ...]]) -> Any:
            if commands[0][0] != "MULTI" or commands[1][0] != "MSET" or len(commands[1]) <= len(("MSET", "key", "value")):
                return await original(self, commands)
            name, cursor, position, *state = commands[1]
            written = await original(self, [commands[0], (name, cursor, position), *commands[2:]])
            points.reached("between_writes")
            await original(self, [(name, *state)])
            return written

        return around

    replace(RedisLine, "round_trip", line)


def _no_tail(_: Points) -> None:
    """What was published beyond the cursor is not looked for."""

    def published(_original: Any) -> Any:
        async def around(_self: Any, _number: int, cursor: Any, _bounds: Any) -> Any:
            return AlreadyPublished(cursor.decided)

        return around

    replace(Takeover, "_published", published)


def _take(_: Points) -> None:
    """Faust's own transport, its `take` and its committed offsets in place of the record batches."""

    async def _nowhere(_positions: Any) -> None:
        """The cursor moves nothing."""

    def stock(app: faust.App, flow: Any) -> None:
        class Committed(Consumer):  # type: ignore[misc]
            async def seek_to_committed(self) -> Any:
                await flow.assign({(tp.topic, tp.partition) for tp in self.assignment()}, _nowhere)
                return await super().seek_to_committed()

        transport = type("StockTransport", (Transport,), {"Consumer": Committed})
        app.transport = transport(app.conf.broker_consumer, app, loop=app.loop)

    async def score(self: worker.FraudWorker, stream: Any) -> None:
        async for events in stream.take_events(200, within=0.1):
            of: dict[Place, list[Any]] = {}
            for message in (event.message for event in events):
                record = SimpleNamespace(
                    offset=message.offset, timestamp=int(message.timestamp * 1000), key=message.key, value=message.value, headers=()
                )
                of.setdefault((message.topic, message.partition), []).append(record)
            for place, records in of.items():
                taker = self.parts.runtime._held.get(place[1])
                if taker is not None:
                    taker.put(place[0], Fetched(records, lambda: None, records[-1].offset + 1))

    replace(worker, "use_batches", lambda _original: stock)
    replace(worker.FraudWorker, "_score", lambda _original: score)


def _any_mark(_: Points) -> None:
    """Any mark of damage is heeded, none falls with a cursor, and one that is met amid a rebuild is the worker's end."""

    def heeded(mark: bytes | None, _owner: str, partition: int) -> bool:
        if mark is not None:
            raise StateError(f"Partition {partition} is marked.", partition)
        return False

    def line(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def around(self: RedisLine, commands: Sequence[tuple[Any, ...]]) -> Any:
            return await original(self, [("PING",) if c[0] == "UNLINK" and str(c[-1]).endswith("}damaged") else c for c in commands])

        return around

    replace(partition_state, "is_of_before", lambda _original: heeded)
    replace(held_partitions, "ANEW_WHILE_REBUILT", lambda _original: 0)
    replace(RedisLine, "round_trip", line)


def _unbounded(points: Points) -> None:
    """Batches are unfolded whole, as aiokafka does, and a dead letter has the whole key; it has no shorter form."""

    def whole(record: Any, error: Any, source: Place, topic: str, **_: Any) -> Outgoing:
        place = (("source.topic", source[0]), ("source.partition", str(source[1])), (SOURCE_OFFSET, str(record.offset)))
        headers = tuple((name, value.encode()) for name, value in (("error.code", str(error.code)), *place))
        return Outgoing(topic, record.key, record.value, headers)

    _whole_batches(points)
    replace(partition, "dead_letter", lambda _original: whole)


def _whole_batches(_: Points) -> None:
    """Batches are unfolded whole, as aiokafka does. `worker_entry.MOST_DATA_BYTES` holds for this worker as for any other."""
    for module in (faust_batches, kafka_consumer):
        replace(module, "read_within_bounds", lambda _original: lambda: None)

    def sized(original: Callable[..., Any]) -> Callable[..., Any]:
        def around(self: Any, *most: Any) -> Any:
            found = FetchedRecords()
            found.extend(original(self, *most))
            found.size = 0  # whatever they are: without it the worker ends at once, and of its batches nothing is seen
            return found

        return around

    replace(FetchResult, "getall", sized)


def _uncommitted(_: Points) -> None:
    """Inputs are read whole, as aiokafka and Faust do by themselves."""

    def end(_original: Any) -> Any:
        def whole(self: Any, at: Any) -> tuple[int, int] | None:
            consumer = self._thread._ensure_consumer()
            return None if (found := consumer.highwater(at)) is None else (found, consumer.last_poll_timestamp(at))

        return whole

    for module in (kafka_consumer, faust_batches):
        vars(module)["COMMITTED"] = "read_uncommitted"
    replace(faust_batches.BatchConsumer, "readable_end", end)


def _any_time(_: Points) -> None:
    """The worker's clock has no say in what time a record may have."""

    def rules(original: Callable[..., IntakeRules]) -> Callable[..., IntakeRules]:
        return lambda settings: dataclasses.replace(original(settings), max_ahead_of_clock_s=10**9)

    for module in (bootstrap_inputs, bootstrap_worker):
        replace(module, "intake_rules", rules)


def _another_release(_: Points) -> None:
    """What is decided by a release says that it was decided by the next one."""

    def release(original: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        before: list[Any] = [None]

        async def around(self: LiveRules, now: Any, offset: int) -> None:
            before.append(now)
            await original(self, before[-2], offset)

        return around

    replace(LiveRules, "_release", release)


def _not_copied(_: Points) -> None:
    """What is published of a decision that stands says what rules and lists were read up to by now."""

    def messages(original: Callable[..., list[Outgoing]]) -> Callable[..., list[Outgoing]]:
        def around(self: Publication, decided: Any, partition: int, source: Place, published: AlreadyPublished) -> list[Outgoing]:
            published.rules_read = dict.fromkeys(published.decisions, decided.ruling.read)
            return original(self, decided, partition, source, published)

        return around

    replace(Publication, "messages", messages)
