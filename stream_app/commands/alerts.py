"""`fraudstream alerts`: alerts as they come, readable at a glance."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import typer
from aiokafka import AIOKafkaConsumer, TopicPartition
from rich.console import Console
from rich.markup import escape

from stream_app.adapters.kafka.consumer import new_consumer
from stream_app.adapters.kafka.errors import answering
from stream_app.adapters.kafka.options import client_options
from stream_app.adapters.kafka.topics import partition_counts
from stream_app.errors import TopologyError
from stream_app.messages.alert import Alert, Reason
from stream_app.messages.headers import header, number
from stream_app.messages.iso import in_currency
from stream_app.messages.records import NOT_DECODED
from stream_app.messages.transaction import PaymentKey
from stream_app.scoring.publication import SOURCE_TIMESTAMP
from stream_app.settings import Settings, load_settings

_FETCH_WAIT_MS = 20
"""aiokafka asks for a partition anew only after the fetch in flight: half a second by default, in which an alert would not be seen."""
_REMEDY = "Check FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS, or start one: fraudstream local up."
_COLOURS = {"review": "yellow", "step_up": "dark_orange", "decline": "red"}


def alerts_command(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for new ones; without it, show those there are.")] = False,  # noqa: FBT002
    limit: Annotated[int, typer.Option(min=1, help="Stop after so many.")] = 1_000_000_000,
) -> None:
    """Show alerts, each once: score, action, card, amount, transaction, and its reasons below."""
    console = Console(highlight=False)
    try:
        shown = asyncio.run(_show(load_settings(), console, follow=follow, limit=limit))
    except KeyboardInterrupt:
        return
    if not shown:
        console.print("No alerts yet. With --follow this command waits for them.")


async def _show(settings: Settings, console: Console, *, follow: bool, limit: int) -> int:
    seen: set[PaymentKey] = set()  # what `alert_id` is made of: right for alerts of before too, whose id named no card
    async for alert, _ in read_alerts(settings, follow=follow):
        key = PaymentKey.of(alert)
        if key in seen:
            continue
        seen.add(key)
        for line in describe(alert):
            console.print(line, soft_wrap=True)
        if len(seen) >= limit:
            break
    return len(seen)


async def read_alerts(settings: Settings, *, follow: bool, positioned: asyncio.Event | None = None) -> AsyncIterator[tuple[Alert, float]]:
    """Alerts from the topic's beginning (its end with `follow`); ends at its end unless it follows.

    A record that is no alert is told on stderr and left out: the topic may hold those of other programs.

    Args:
        settings: where.
        follow: wait for new ones.
        positioned: set once the place to read from is fixed: what is published from then on is read.

    Yields:
        each alert, and the seconds from its transaction's Kafka timestamp until it was read here.

    Raises:
        TopologyError: if there is no such topic.
        Unavailable: if Kafka does not answer.
        UnpackError: if records cannot be unpacked.
    """
    async for records in read_topic(settings, settings.alerts_topic, follow=follow, positioned=positioned):
        now = time.time()
        for record in records:
            if alert := _alert_in(record):
                yield alert, _seconds(record, now)


async def read_topic(
    settings: Settings, topic: str, *, follow: bool = False, positioned: asyncio.Event | None = None, since_ms: int = 0
) -> AsyncGenerator[list[Any]]:
    """The records of a topic, some of one partition at a time, outside any consumer group; see `read_alerts`.

    Args:
        settings: where.
        topic: which.
        follow: from its end on, waiting for new ones; without it, those there are.
        positioned: see `read_alerts`.
        since_ms: only records whose Kafka timestamp is at or after this time.

    Raises:
        TopologyError, Unavailable, UnpackError: as `read_alerts`.
    """
    options = client_options(settings)
    partitions = (await partition_counts(options, [topic])).get(topic, 0)
    if not partitions:
        raise TopologyError(f"Topic {topic!r} does not exist. Create all that are missing: `fraudstream topics --partitions 4`.")
    consumer = new_consumer(options, fetch_max_wait_ms=_FETCH_WAIT_MS)
    places = [TopicPartition(topic, number) for number in range(partitions)]
    with answering(_REMEDY):
        try:
            await consumer.start()
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            for place, offset in (ends if follow else await _starts(consumer, places, since_ms)).items():
                consumer.seek(place, offset)
            if positioned is not None:
                positioned.set()
            while follow or await _behind(consumer, ends):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    yield records
        finally:
            await consumer.stop()


async def _starts(consumer: AIOKafkaConsumer, places: list[TopicPartition], since_ms: int) -> dict[TopicPartition, int]:
    """Where to begin: the first record at or after a time; the end of a partition that has none."""
    first = await consumer.beginning_offsets(places)
    if not since_ms:
        return dict(first)
    found, ends = await consumer.offsets_for_times(dict.fromkeys(places, since_ms)), await consumer.end_offsets(places)
    return {place: found[place].offset if found[place] else ends[place] for place in places}


_DECODER = msgspec.json.Decoder(Alert)


def _alert_in(record: Any) -> Alert | None:
    try:
        return _DECODER.decode(record.value or b"")
    except NOT_DECODED as error:
        typer.echo(f"{record.topic}, partition {record.partition}, offset {record.offset}: no alert, left out ({error})", err=True)
        return None


def _seconds(record: Any, now: float) -> float:
    sent_ms = number(header(record.headers, SOURCE_TIMESTAMP))
    return 0.0 if sent_ms is None else now - sent_ms / 1000


async def _behind(consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> bool:
    return any([await consumer.position(tp) < end for tp, end in ends.items()])


def describe(alert: Alert) -> list[str]:
    """An alert in lines: what, who, how much; then the reasons."""
    when = datetime.fromtimestamp(alert.event_time / 1000, UTC)
    colour = _COLOURS[alert.action]
    head = (
        f"[{colour}]{alert.score:6.1%} {alert.action:<8}[/] {when:%Y-%m-%d %H:%M:%S}  card {escape(alert.card_id)}  terminal {escape(alert.terminal_id)}"
        f"  [bold]{in_currency(alert.amount, alert.currency, ',')} {escape(alert.currency)}[/]  {escape(alert.transaction_id)}"
    )
    if alert.degraded:
        head += f"  [magenta]degraded: {escape(alert.degraded)}[/]"
    if alert.decided_by != "model":
        head += f"  [cyan]by {alert.decided_by.replace('_', ' ')}[/]"
    return [head, *[f"        [dim]{_weight(reason)}[/] {escape(reason.text)}" for reason in alert.reasons]]


def _weight(reason: Reason) -> str:
    """What a feature added to the raw score; of a rule or a list, that it is one."""
    return f"+{reason.contribution:.2f}" if reason.contribution > 0 else f"{reason.code.lower():>5}"
