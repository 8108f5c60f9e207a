"""The first difference, for people: what was served, what it should be, and the events of that card or terminal that lead to it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from stream_app.audit.history import Count, PartitionHistory
from stream_app.audit.verification import Difference
from stream_app.features import kernel
from stream_app.features.entities import ENTITIES

MOST_EVENTS = 20


def story(difference: Difference, histories: Sequence[PartitionHistory]) -> list[str]:
    """A difference in lines: the decision, then what it had seen of the card, terminal … of its feature, the latest last."""
    decision, feature = difference.decision, difference.feature
    entity = ENTITIES.index(feature.entity) if feature.entity else 0
    batch, place = difference.batch, difference.place
    own = histories[batch.partition]
    at = len(own.labels) + batch.places[place]
    name = own.ids[entity][int(own.events.entities[entity][at])]
    where = f"partition {decision.partition}, offset {decision.offset}, sequence {decision.sequence}"
    lines = [
        f"First difference: transaction {decision.transaction_id} of card {decision.card_id}, {where}.",
        f"Feature {feature.name}: served {difference.served!r}, offline {difference.offline!r}. {ENTITIES[entity]} {name} before:",
    ]
    told: list[tuple[int, str]] = []
    for partition, (history, seen) in enumerate(zip(histories, batch.seen, strict=True)):
        counted = Count(batch.places[place] + 1, batch.before[place]) if partition == batch.partition else seen
        if name in history.ids[entity]:
            told += _events(history, entity, name, counted, partition)
    told.sort()
    if len(told) > MOST_EVENTS:
        lines.append(f"  … {len(told) - MOST_EVENTS} earlier")
    return lines + [line for _, line in told[-MOST_EVENTS:]]


def _events(history: PartitionHistory, entity: int, name: str, counted: Count, partition: int) -> list[tuple[int, str]]:
    of_it = np.flatnonzero(history.events.entities[entity] == history.ids[entity].index(name))
    told = []
    for at in of_it.tolist():
        inside = at - len(history.labels)
        if inside >= counted.payments or (inside < 0 and at >= counted.labels):
            continue
        message = history.labels[at] if inside < 0 else history.payments[inside]
        offset = history.label_offsets[at] if inside < 0 else history.payment_offsets[inside]
        kind, minor = int(history.events.kinds[at]), int(history.events.minor[at])
        what = _KINDS[kind] if kind >= kernel.LABEL_GENUINE else f"{_KINDS[kind]} {minor if minor >= 0 else 'without a rate'} minor units"
        time_ms = int(history.events.labelled_ms[at]) or int(history.events.times_ms[at])
        when = datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")
        told.append(
            (time_ms, f"  {when}  {what}  {message.transaction_id}  card {message.card_id}  partition {partition}, offset {offset}")
        )
    return told


_KINDS = {
    kernel.PAYMENT: "payment",
    kernel.DECLINED: "declined",
    kernel.CREDIT: "credit",
    kernel.LABEL_GENUINE: "label: genuine",
    kernel.LABEL_FRAUD: "label: fraud",
}
