"""`fraudstream alerts`: alerts as they come, readable at a glance."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.markup import escape

from stream_app.adapters.kafka_options import client_options
from stream_app.alert import Alert
from stream_app.errors import Unavailable
from stream_app.scorer import SOURCE_TIMESTAMP
from stream_app.settings import Settings, load_settings

_COLOURS = {"review": "yellow", "step_up": "dark_orange", "decline": "red"}


def alerts_command(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for new ones; without it, show those there are.")] = False,  # noqa: FBT002
    limit: Annotated[int, typer.Option(min=1, help="Stop after so many.")] = 1_000_000_000,
) -> None:
    """Show alerts, each once: score, action, card, amount, and its reasons below."""
    console = Console(highlight=False)
    try:
        shown = asyncio.run(_show(load_settings(), console, follow=follow, limit=limit))
    except KeyboardInterrupt:
        return
    if not shown:
        console.print("No alerts yet. With --follow this command waits for them.")


async def _show(settings: Settings, console: Console, *, follow: bool, limit: int) -> int:
    seen: set[str] = set()
    async for alert, _ in read_alerts(settings, follow=follow):
        if alert.alert_id in seen:
            continue
        seen.add(alert.alert_id)
        for line in describe(alert):
            console.print(line, soft_wrap=True)
        if len(seen) >= limit:
            break
    return len(seen)


async def read_alerts(settings: Settings, *, follow: bool) -> AsyncIterator[tuple[Alert, float]]:
    """Alerts from the topic's beginning (its end with `follow`); ends at its end unless it follows.

    Yields:
        each alert, and the seconds from its transaction's Kafka timestamp until it was read here.

    Raises:
        Unavailable: if Kafka does not answer.
    """
    consumer = AIOKafkaConsumer(
        settings.alerts_topic, **client_options(settings), auto_offset_reset="latest" if follow else "earliest", enable_auto_commit=False
    )
    decode = msgspec.json.Decoder(Alert).decode
    try:
        await consumer.start()
        ends = {} if follow else await consumer.end_offsets(consumer.assignment())
        while follow or await _behind(consumer, ends):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                now = time.time()
                for record in records:
                    sent = dict(record.headers).get(SOURCE_TIMESTAMP)
                    yield decode(record.value), now - int(sent) / 1000 if sent else 0.0
    except (KafkaError, OSError) as error:
        raise Unavailable(f"Kafka did not answer ({type(error).__name__}). Start it: fraudstream local up") from None
    finally:
        await consumer.stop()


async def _behind(consumer: AIOKafkaConsumer, ends: dict[object, int]) -> bool:
    return any([await consumer.position(tp) < end for tp, end in ends.items()])


def describe(alert: Alert) -> list[str]:
    """An alert in lines: what, who, how much; then the reasons."""
    when = datetime.fromtimestamp(alert.event_time / 1000, UTC)
    colour = _COLOURS[alert.action]
    head = (
        f"[{colour}]{alert.score:6.1%} {alert.action:<8}[/] {when:%Y-%m-%d %H:%M:%S}  card {escape(alert.card_id)}  terminal {escape(alert.terminal_id)}"
        f"  [bold]{alert.amount:,.2f} {escape(alert.currency)}[/]  {escape(alert.alert_id)}"
    )
    if alert.degraded:
        head += f"  [magenta]degraded: {escape(alert.degraded)}[/]"
    return [head, *[f"        [dim]+{reason.contribution:.2f}[/] {escape(reason.text)}" for reason in alert.reasons]]
