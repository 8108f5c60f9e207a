"""Read `fraud-alerts` and act on each alert once: `python examples/consume_alerts.py`, settings as for the worker.

An alert arrives at least once under one stable `alert_id`, which is made of card and transaction: a transaction's id alone is unique on
its card only. A second arrival has two causes, and this reader drops both by card and transaction:

- a worker that was thought dead publishes its last batch again (the only way in which the topic itself holds an alert twice);
- this reader stops between acting and committing, and reads its last batch again.

It keeps the ids in memory, so it forgets them when it stops. A real reader writes the id to its own database *in the same
transaction* as what it does about the alert (a table of cases with `alert_id` as primary key is enough; where the topic still holds
alerts of before `alert_id` named the card, the key is card and transaction, as here). Whatever happens then, each alert has its effect
once; the offset committed to Kafka only says where to go on reading.
"""
# ruff: noqa: INP001, T201 - an example stands alone, and prints

from __future__ import annotations

import asyncio
import os
import sys
from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

from stream_app.adapters.kafka.consumer import new_consumer
from stream_app.adapters.kafka.errors import answering
from stream_app.adapters.kafka.options import client_options
from stream_app.errors import FraudstreamError
from stream_app.messages.alert import Alert
from stream_app.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class SeenAlerts:
    """The newest `capacity` alerts, by card and transaction. Repeated alerts stand close together, so that a bound of some minutes' alerts is enough."""

    def __init__(self, capacity: int) -> None:
        self._named: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._capacity = capacity

    def __contains__(self, alert: Alert) -> bool:
        return (alert.card_id, alert.transaction_id) in self._named

    def add(self, alert: Alert) -> None:
        """Remember `alert`, once it was acted on; the oldest go where there are too many."""
        named = (alert.card_id, alert.transaction_id)
        self._named[named] = None
        self._named.move_to_end(named)
        if len(self._named) > self._capacity:
            self._named.popitem(last=False)


def handle(values: Iterable[bytes | None], seen: SeenAlerts, act: Callable[[Alert], None]) -> None:
    """`act` on each alert that was not seen before. It is remembered after the act: one that failed comes again.

    What is no alert is told and left out: one foreign record must not stop those behind it.
    """
    for value in values:
        try:
            alert = msgspec.json.decode(value or b"", type=Alert)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            print(f"no alert, left out: {error}", file=sys.stderr)
            continue
        if alert not in seen:
            act(alert)
            seen.add(alert)


def line(alert: Alert) -> str:
    """One line for an analyst; ids in quotes, for they are the producer's and may hold any character."""
    why = alert.reasons[0].text if alert.reasons else "no single reason"
    who = f"card {alert.card_id!r}  {alert.transaction_id!r}"
    return f"{alert.action:8} {alert.score:.2f}  {who}  {alert.amount:.2f} {alert.currency} at {alert.terminal_id!r}  {why}"


async def main() -> None:
    """Poll, act, remember, commit: in this order, so that no alert is lost.

    Raises:
        FraudstreamError: a setting is wrong, Kafka is away, or records cannot be unpacked: one line with the remedy.
    """
    settings = load_settings()
    group = os.environ.get("ALERTS_GROUP", "fraud-alerts-example")
    consumer = new_consumer(client_options(settings), settings.alerts_topic, group_id=group, auto_offset_reset="earliest")
    seen = SeenAlerts(capacity=int(os.environ.get("ALERTS_REMEMBERED", "100000")))
    with answering():
        async with consumer:
            while True:
                batches = await consumer.getmany(timeout_ms=1000)
                values = (record.value for records in batches.values() for record in records)
                handle(values, seen, lambda alert: print(line(alert), flush=True))
                if batches:
                    await consumer.commit()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except FraudstreamError as error:
        print(error, file=sys.stderr)
        sys.exit(getattr(error, "exit_code", 1))
