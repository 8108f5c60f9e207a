"""Past payments of the topics: with all labels that came since, and no more of them than are held."""

from __future__ import annotations

import asyncio
import json

import pytest

from stream_app.commands.past_payments import labels_since, newest
from stream_app.errors import DataError
from stream_app.messages.transaction import IntakeRules, PaymentKey
from stream_app.wire.inputs import Inputs
from tests.e2e.kafka import LABEL, NOW_MS, TRANSACTION, raw
from tests.topics import MemoryTopics

DAY_MS = 86_400_000
PAYMENTS, LABELS = ("payments", 0), ("labels", 0)
INPUTS = Inputs.plain(IntakeRules())


def topics_of(days: int) -> MemoryTopics:
    """A payment and its label each day, and a payment that was labelled anew at the end; yesterday's labels are yesterday's records."""
    topics = MemoryTopics()
    for day in range(days):
        at = NOW_MS - (days - day) * DAY_MS
        topics.append(PAYMENTS, b"C1", raw(TRANSACTION, transaction_id=f"T{day}", event_time=at), at_ms=at)
        topics.append(LABELS, b"C1", raw(LABEL, transaction_id=f"T{day}", event_time=at, labelled_at=at), at_ms=at)
    topics.append(LABELS, b"C1", json.dumps("no label").encode(), at_ms=NOW_MS)
    topics.append(LABELS, b"C1", raw(LABEL, transaction_id=f"T{days - 1}", event_time=NOW_MS, is_fraud=False), at_ms=NOW_MS)
    return topics


def test_the_labels_since_the_first_of_the_payments_are_read_however_many_there_were_before() -> None:
    """The newest of each payment, and how many could not be read; a label of a day more is read, for clocks differ."""
    topics = topics_of(10)
    starts = asyncio.run(newest(topics, "payments", 1, 3))
    assert starts == {PAYMENTS: 7}
    labels, refused = asyncio.run(labels_since(topics, starts, ("labels", 1), INPUTS, most=5))
    assert labels == {PaymentKey("C1", f"T{day}"): day != 9 for day in (6, 7, 8, 9)}
    assert refused == 1


def test_more_labels_than_are_held_are_an_error_and_not_left_out() -> None:
    """A fraud whose label was left out would count as genuine; the error says what to do."""
    topics = topics_of(10)
    starts = asyncio.run(newest(topics, "payments", 1, 3))
    with pytest.raises(DataError, match=r"Topic 'labels' holds labels of more than 3 payments .*give it with --data\."):
        asyncio.run(labels_since(topics, starts, ("labels", 1), INPUTS, most=3))


def test_topics_without_payments_have_no_labels_that_matter() -> None:
    """Nothing is published yet."""
    topics = MemoryTopics()
    starts = asyncio.run(newest(topics, "payments", 1, 3))
    assert asyncio.run(labels_since(topics, starts, ("labels", 1), INPUTS)) == ({}, 0)
