"""`fraudstream alerts`: the newest first and by case, or as they come; readable at a glance, or JSON for programs."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from stream_app.commands.newest_alerts import AlertCase, NewestAlerts, cases_of
from stream_app.commands.times import moment_ms
from stream_app.commands.topic_records import read_topic
from stream_app.messages.alert import Alert, Reason
from stream_app.messages.headers import header, number
from stream_app.messages.iso import in_currency
from stream_app.messages.records import NOT_DECODED
from stream_app.messages.transaction import PaymentKey
from stream_app.scoring.publication import SOURCE_TIMESTAMP
from stream_app.settings import Settings, load_settings

DEFAULT_LIMIT = 100
MOST_LIMIT = 100_000
MOST_REMEMBERED = 100_000
"""Payments whose alert was shown: one that comes twice while they are followed comes soon, after a worker was killed."""
_COLOURS = {"review": "yellow", "step_up": "dark_orange", "decline": "red"}


def alerts_command(
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show them as they come, and wait for new ones.")] = False,
    since: Annotated[str | None, typer.Option(help="Of payments from this time on: 2018-07-01, 2018-07-01T12:00:00 (UTC), or ms.")] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, max=MOST_LIMIT, help=f"So many, the newest ({DEFAULT_LIMIT} where nothing is said); with --follow, stop after so many."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, as it was published (alert.v1).")] = False,
) -> None:
    """Show alerts, each once: the newest first over all partitions, by case. Each has score, action, card, amount, transaction, and its reasons."""
    settings, since_ms = load_settings(), moment_ms(since, "--since")
    show = _print_json if as_json else _print_lines
    try:
        if follow:
            asyncio.run(_follow(settings, show, since_ms, limit))
            return
        found = asyncio.run(newest(settings, limit or DEFAULT_LIMIT, since_ms))
    except KeyboardInterrupt:
        return
    if as_json:
        for alert in found.newest_first():
            _print_json(alert)
        return
    console = Console(highlight=False)
    for line in lines_of(found):
        console.print(line, soft_wrap=True)


async def newest(settings: Settings, most: int, since_ms: int | None = None) -> NewestAlerts:
    """The newest alerts of the topic, of payments at or after a time. Raises as `read_alerts`."""
    found = NewestAlerts(most)
    async with aclosing(read_alerts(settings, follow=False, since_ms=since_ms)) as alerts:
        async for alert, _ in alerts:
            found.add(alert)
    return found


async def _follow(settings: Settings, show: Callable[[Alert], None], since_ms: int | None, limit: int | None) -> None:
    shown: dict[PaymentKey, None] = {}
    count = 0
    async with aclosing(read_alerts(settings, follow=True, since_ms=since_ms)) as alerts:
        async for alert, _ in alerts:
            if (key := PaymentKey.of(alert)) in shown:
                continue
            shown[key] = None
            if len(shown) > MOST_REMEMBERED:
                del shown[next(iter(shown))]
            show(alert)
            if (count := count + 1) == limit:
                return


async def read_alerts(
    settings: Settings, *, follow: bool, positioned: asyncio.Event | None = None, since_ms: int | None = None
) -> AsyncGenerator[tuple[Alert, float]]:
    """Alerts from the topic's beginning (its end with `follow`); ends at its end unless it follows.

    A record that is no alert is told on stderr and left out: the topic may hold those of other programs.

    Args:
        settings: where.
        follow: wait for new ones.
        positioned: set once the place to read from is fixed: what is published from then on is read.
        since_ms: only those of payments at or after this time; with `follow` those that are there too.

    Yields:
        each alert, and the seconds from its transaction's Kafka timestamp until it was read here.

    Raises:
        TopologyError: if there is no such topic.
        Unavailable: if Kafka does not answer.
        UnpackError: if records cannot be unpacked.
    """
    ahead_ms = (settings.max_ahead_s + settings.max_ahead_of_clock_s) * 1000  # no payment is further ahead of its alert than both
    from_ms = 0 if since_ms is None else max(1, since_ms - ahead_ms)
    async with aclosing(read_topic(settings, settings.alerts_topic, follow=follow, positioned=positioned, since_ms=from_ms)) as read:
        async for records in read:
            now = time.time()
            for record in records:
                if (alert := _alert_in(record)) and (since_ms is None or alert.event_time >= since_ms):
                    yield alert, _seconds(record, now)


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


def _print_json(alert: Alert) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(alert) + b"\n")
    sys.stdout.buffer.flush()


def _print_lines(alert: Alert) -> None:
    console = Console(highlight=False)
    for line in [*describe(alert), f"        [dim]case {escape(alert.case_id)}[/]"]:
        console.print(line, soft_wrap=True)


def lines_of(found: NewestAlerts) -> Iterator[str]:
    """Alerts by case, the newest first, and how many there are that are not shown."""
    alerts = found.newest_first()
    if not alerts:
        yield "No alerts yet. With --follow this command waits for them."
    for case in cases_of(alerts):
        yield _head_of(case)
        for alert in case.alerts:
            yield from (f"  {line}" for line in describe(alert))
    if len(alerts) < found.seen:
        yield f"[dim]The newest {len(alerts):,} of {found.seen:,} records of alerts. --limit shows more, --since fewer.[/]"


def _head_of(case: AlertCase) -> str:
    """How many alerts, over which time and how much money; of a case that is cut, that it is."""
    money: defaultdict[str, float] = defaultdict(float)
    for alert in case.alerts:
        money[alert.currency] += alert.amount
    first, last = (datetime.fromtimestamp(case.alerts[at].event_time / 1000, UTC) for at in (-1, 0))
    count = len(case.alerts)
    told = f"{count} alert{'s' * (count > 1)}" if case.whole else f"its newest {count}"
    sums = " and ".join(f"{in_currency(amount, currency, ',')} {escape(currency)}" for currency, amount in sorted(money.items()))
    between = f"{last:%Y-%m-%d %H:%M}" if count == 1 else f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}"
    return f"[bold]case {escape(case.case_id)}[/]  card {escape(case.card_id)}  {told}, {sums}, {between}"


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
