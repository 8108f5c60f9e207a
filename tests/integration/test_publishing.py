"""Topics that do not take what is published: shorter forms, a new producer where the old one lost its count, and the true cause told."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from stream_app.adapters.kafka.log import KafkaLog
from stream_app.adapters.kafka.publisher import KafkaPublisher
from stream_app.delivery.dead_letter import dead_letter
from stream_app.errors import RecordError, TopologyError
from stream_app.messages.records import Outgoing, Published
from tests.e2e.kafka import make_topic
from tests.servers import Servers
from tests.topics import records_of

DEFAULT = 1_048_588
"""Bytes of a batch that a topic takes where nobody says otherwise."""


@dataclass(frozen=True)
class Record:
    """A refused record."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int = 0


RECORDS = (
    Record(0, b"k" * 5_000_000, b"{}"),
    Record(1, b"c1", b"v" * 3_000_000),
    Record(2, b"k" * 900_000, b"v" * 900_000),
    Record(3, None, None),
    Record(4, None, b"{}"),
    Record(5, b"c1", None),
    Record(6, b"", b""),
    Record(7, b"c1", b"{}"),
    *[Record(8 + n, b"c1", b"v" * 3_000) for n in range(20)],
)


def letters() -> list[Outgoing]:
    """One of each record."""
    error = RecordError("wrong_key", "x" * 5_000 + "\udcff")
    return [dead_letter(r, error, ("transactions", 0), "dlq", redacted=("card_id",)) for r in RECORDS]


async def published(servers: str, topic: str, rounds: list[list[Outgoing]]) -> tuple[list[dict[str, int]], list[Published]]:
    """What each publication returned, and what the topic holds then."""
    publisher = KafkaPublisher({"bootstrap_servers": servers})
    await publisher.start()
    try:
        ends = [await publisher.publish(0, [_to(m, topic) for m in messages], [("source.cursor", b"a:1,b:2")]) for messages in rounds]
        there = await records_of(KafkaLog({"bootstrap_servers": servers}, "nobody"), {(topic, 0): 0})
        return ends, list(there[topic, 0])
    finally:
        await publisher.stop()


def _to(message: Outgoing, topic: str) -> Outgoing:
    """The same, and its shorter forms, to another topic."""
    shorter = message.shorter
    return Outgoing(topic, message.key, message.value, message.headers, (lambda: _to(shorter(), topic)) if shorter else None)


@pytest.mark.parametrize("config", [
    {"max.message.bytes": str(DEFAULT)}, {"max.message.bytes": "100000"}, {"max.message.bytes": "5000"}, {"max.message.bytes": "2000"},
    {"max.message.bytes": str(DEFAULT), "cleanup.policy": "compact"}, {"max.message.bytes": "5000", "cleanup.policy": "compact,delete"},
], ids=str)  # fmt: skip
def test_every_record_has_one_letter_that_its_topic_takes(stack: Servers, unique: str, config: dict[str, str]) -> None:
    """Whatever the record, and whatever the topic is; and the next publication stands too: nothing is out of order."""
    topic = f"letters-{unique}"

    async def body() -> None:
        await make_topic(stack.kafka, topic, 1, config)
        after = Outgoing(topic, b"c1", b"after", (("source.offset", b"999"),))
        ends, there = await published(stack.kafka, topic, [letters(), [after], letters()[:4], [after]])
        heads = [{name: value or b"" for name, value in r.headers} for r in there]
        offsets = [int(h["source.offset"]) for h in heads]
        assert sorted(offsets) == sorted([*range(len(RECORDS)), 999, *range(4), 999])
        assert [end[topic] for end in ends][-1] == len(there)
        for record, head in zip(there, heads, strict=True):
            if head["source.offset"] != b"999":
                assert record.key is not None
                assert head["error.code"] == b"wrong_key"
        (tiny, *_) = (r for r in there if dict(r.headers)["source.offset"] == b"7")
        assert (tiny.key, tiny.value) == (b"c1", b"{}")

    asyncio.run(body())


def test_a_topic_that_takes_not_even_the_headers_ends_with_what_mends_it(stack: Servers, unique: str) -> None:
    """It is the topic's fault, and trying again changes nothing."""
    topic = f"tiny-{unique}"

    async def body() -> None:
        await make_topic(stack.kafka, topic, 1, {"max.message.bytes": "300"})
        with pytest.raises(TopologyError, match=f"'{topic}' does not take a message of .* bytes.*max.message.bytes"):
            await published(stack.kafka, topic, [letters()[:1]])

    asyncio.run(body())


def test_an_alert_that_its_topic_does_not_take_is_its_payments_fault(stack: Servers, unique: str) -> None:
    """It has no shorter form: the payment goes to the dead letters, and its neighbours' alerts stand."""
    topic = f"alerts-{unique}"

    async def body() -> None:
        await make_topic(stack.kafka, topic, 1, {"max.message.bytes": "20000"})
        with pytest.raises(RecordError, match="decision_too_large"):
            await published(stack.kafka, topic, [[Outgoing(topic, b"c1", b"{}"), Outgoing(topic, b"c1", b"x" * 60_000)]])

    asyncio.run(body())


def test_partitions_that_share_a_publisher_go_on_while_it_begins_anew(stack: Servers, unique: str) -> None:
    """What is under way by the producer of before is acknowledged; nothing is lost, nothing out of order."""
    topic, other = f"letters-{unique}", f"scores-{unique}"

    async def body() -> None:
        await make_topic(stack.kafka, topic, 1, {"max.message.bytes": "5000"})
        await make_topic(stack.kafka, other, 1, {})
        publisher = KafkaPublisher({"bootstrap_servers": stack.kafka})
        await publisher.start()
        try:

            async def scores() -> None:
                for n in range(200):
                    await publisher.publish(0, [Outgoing(other, b"c1", str(n).encode())])

            async def refused() -> None:
                for letter in letters()[8:28]:
                    await publisher.publish(0, [_to(letter, topic)] * 3)

            await asyncio.gather(scores(), refused())
        finally:
            await publisher.stop()
        log = KafkaLog({"bootstrap_servers": stack.kafka}, "nobody")
        there = await records_of(log, {(other, 0): 0, (topic, 0): 0})
        assert [r.value for r in there[other, 0]] == [str(n).encode() for n in range(200)]
        assert len(there[topic, 0]) == 60

    asyncio.run(body())
