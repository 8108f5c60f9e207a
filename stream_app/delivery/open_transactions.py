"""Producers' transactions that stay open on an input: what comes after them waits, which is told with the remedy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from loguru import logger

from stream_app.delivery.ports import OpenTransaction
from stream_app.messages.records import Place

OPEN_FOR_S = 10.0
"""Transactions of a usual length are nobody's matter."""
REMIND_S = 60.0


class OpenTransactionLog:
    """Tells of each that has been open for a while, once and again. Memory: a time for each place that had one."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._told: dict[Place, float] = {}

    def tell(self, found: Mapping[Place, OpenTransaction]) -> None:
        """These are open."""
        for place, transaction in found.items():
            now = self._now()
            if open_for_long(transaction, now) and now - self._told.get(place, 0.0) >= REMIND_S:
                self._told[place] = now
                logger.warning("{}", what_waits(place, transaction))


def open_for_long(transaction: OpenTransaction, now: float) -> bool:
    """Whether it is worth a word at this Unix time, s."""
    return now - transaction.since_ms / 1000 > OPEN_FOR_S


def what_waits(place: Place, transaction: OpenTransaction, servers: str = "SERVERS") -> str:
    """What an open transaction stops, and how to end it."""
    topic, number = place
    since = datetime.fromtimestamp(transaction.since_ms / 1000, UTC).isoformat(timespec="seconds")
    return (
        f"Topic {topic!r}, partition {number}: a producer's transaction is open since {since}, from offset {transaction.offset} on. What came after "
        "it waits until its producer ends it, or the broker does after the producer's transaction.timeout.ms. Where it hangs for longer: "
        f"kafka-transactions.sh --bootstrap-server {servers} find-hanging --topic {topic}, then "
        f"kafka-transactions.sh --bootstrap-server {servers} abort --topic {topic} --partition {number} --start-offset {transaction.offset}"
    )
