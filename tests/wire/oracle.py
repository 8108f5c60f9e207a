"""What each record of the check should have become, and where it became something else. Nothing of the product is imported.

Whoever made a record says what is meant by it. From that, and from where Kafka keeps it, follows what is published: the payment's values, how many of its
card there were in its partition within the day, and so the score, for the model is a rule (`tests.faults.model`). A refused record has its code of
README's table; one of an aborted transaction is nothing.
"""

from __future__ import annotations

import json
import struct
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.foreign import Placed, Raw

VALUES = (
    "transaction_id",
    "event_time",
    "card_id",
    "terminal_id",
    "amount",
    "currency",
    "billing_amount",
    "billing_currency",
    "type",
    "approved",
    "merchant_id",
    "mcc",
    "country",
    "channel",
    "latitude",
    "longitude",
    "device_id",
    "ip",
    "attributes",
)
"""Of a payment, as `score.v1` lists them; null where there is none."""
DEAR, EVERY, ALERTED, PASSED = 300.0, 7, 0.875, 0.125
PARTITIONS = 3
"""Of each topic."""
BASE = "EUR"
"""Others have no rate: their money counts for nothing."""


def _as_a_feature(amount: float) -> float:
    """What a model sees of it: 32 bits."""
    return float(struct.unpack("f", struct.pack("f", amount))[0])


type Fate = Mapping[str, Any]
"""What is published of a record: of a score its values, of a dead letter its code, each with partition and key."""


@dataclass(frozen=True, slots=True)
class Meant:
    """A record, and what is meant by it: a payment with these values, or something that is refused with this code.

    Attributes:
        kind: of what, for whoever reads that it became something else.
    """

    raw: Raw
    kind: str
    payment: Mapping[str, Any] | None = None
    code: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """A record where Kafka keeps it; `aborted` with the transaction that it was sent in."""

    meant: Meant
    at: Placed
    aborted: bool = False


def expected(kept: Iterable[Kept], *, aborted_count: bool = False) -> dict[Placed, Fate]:
    """What must be published of each record, in the order of the log; `aborted_count` is what a control is told."""
    counts: Counter[tuple[int, str]] = Counter()
    fates: dict[Placed, Fate] = {}
    for one in sorted(kept, key=lambda one: one.at):
        if one.aborted and not aborted_count:
            continue
        partition, payment = one.at[0], one.meant.payment
        if payment is None:
            fates[one.at] = {"code": one.meant.code, "partition": partition}
            continue
        counts[partition, payment["card_id"]] += 1
        count = counts[partition, payment["card_id"]]
        money = _as_a_feature(payment["amount"]) if payment["currency"] == BASE else 0.0
        values = {name: payment.get(name) for name in VALUES} | {"type": payment.get("type", "purchase")}
        score = ALERTED if money >= DEAR or count % EVERY == 0 else PASSED
        fates[one.at] = values | {"count": count, "money": money, "score": score, "partition": partition, "key": payment["card_id"]}
    return fates


async def became(brokers: str, topic: str, scores: str, letters: str) -> dict[Placed, list[Fate]]:
    """All that is published of the records of a topic."""
    found: dict[Placed, list[Fate]] = defaultdict(list)
    for record in await _all_of(brokers, scores):
        score = json.loads(record.value)
        source, features = score["source"], score["features"]
        assert source["topic"] == topic, source
        values = {name: score[name] for name in VALUES} | {"count": features["card_count_1d"], "money": features["amount"]}
        found[source["partition"], source["offset"]].append(
            values | {"score": score["score"], "partition": record.partition, "key": record.key.decode()}
        )
    for record in await _all_of(brokers, letters):
        headers = dict(record.headers)
        assert headers["source.topic"].decode() == topic, headers
        place = int(headers["source.partition"]), int(headers["source.offset"])
        found[place].append({"code": headers["error.code"].decode(), "partition": record.partition})
    return found


def differences(kept: Sequence[Kept], fates: Mapping[Placed, Fate], found: Mapping[Placed, Sequence[Fate]]) -> dict[Placed, str]:
    """What became of records that was not to become of them, by place."""
    kinds = {one.at: one.meant.kind + (", aborted" if one.aborted else "") for one in kept}
    wrong: dict[Placed, str] = {}
    for place in sorted({*fates, *found}):
        fate, those = fates.get(place), found.get(place, [])
        if len(those) != (fate is not None):
            told = f"is published {len(those)} times, not {int(fate is not None)}"
        elif fate is None or those[0] == fate:
            continue
        else:
            names = [name for name in {**fate, **those[0]} if fate.get(name) != those[0].get(name)]
            told = "; ".join(f"{name} is {those[0].get(name)!r}, not {fate.get(name)!r}" for name in names)
        wrong[place] = f"{kinds.get(place, 'nothing that was sent')}: {told}"
    return wrong


async def _all_of(brokers: str, topic: str) -> list[Any]:
    """Every record of a topic."""
    places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers, auto_offset_reset="earliest")
    consumer.assign(places)
    await consumer.start()
    try:
        ends, records = await consumer.end_offsets(places), list[Any]()
        while any([await consumer.position(place) < ends[place] for place in places]):
            for some in (await consumer.getmany(*places, timeout_ms=500)).values():
                records += some
        return records
    finally:
        await consumer.stop()
