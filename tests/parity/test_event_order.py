"""Pure order of event time, as `verify` takes it, is the order of training: the same vectors to the bit."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from stream_app.audit.event_order import EventOrder
from stream_app.features.definitions import VELOCITY
from stream_app.features.plan import compile_plan
from tests.examples import examples
from tests.parity.test_recorded_order import DAY, HOUR, PAYMENTS, label, lived
from tests.parity.town import MONEY
from training.data.backfill import backfill


def frame_of(payments: list[dict[str, Any]], labelled: dict[int, int]) -> pd.DataFrame:
    """The same history as training reads it; `labelled`: after how long a payment was known to be fraud."""
    given = pd.DataFrame(payments)
    given["type"] = [p.get("type", "purchase") for p in payments]
    given["approved"] = pd.array([p.get("approved") for p in payments], dtype="boolean")
    given["is_fraud"] = [n in labelled for n in range(len(payments))]
    given["labelled_at"] = pd.array(
        [p["event_time"] + labelled[n] if n in labelled else None for n, p in enumerate(payments)], dtype="Int64"
    )
    return given


def named(payments: list[dict[str, Any]], step_ms: int) -> list[dict[str, Any]]:
    """Each card's payments numbered by themselves, so that cards share ids; times are cut to a step."""
    numbers = Counter[str]()
    sent = []
    for paid in payments:
        numbers[paid["card_id"]] += 1
        sent.append(paid | {"transaction_id": f"T{numbers[paid['card_id']]}", "event_time": paid["event_time"] // step_ms * step_ms})
    return sent


@examples(25)
@given(
    payments=st.lists(PAYMENTS, min_size=1, max_size=25).filter(lambda payments: any(p["currency"] == "EUR" for p in payments)),
    labelled=st.dictionaries(st.integers(0, 24), st.sampled_from([0, HOUR, 7 * DAY, 8 * DAY]), max_size=8),
    step_ms=st.sampled_from([1, HOUR]),
)
def test_the_order_of_event_time_is_that_of_training(payments: list[dict[str, Any]], labelled: dict[int, int], step_ms: int) -> None:
    """Three partitions in any order of arrival against one frame; equal times go by transaction id, equal ids by card."""
    sent = named(payments, step_ms)
    labels = [label(sent[n], after) for n, after in sorted(labelled.items(), key=lambda known: known[1]) if n < len(sent)]
    histories = asyncio.run(lived(sent, labels, [])).histories()
    trained = backfill(frame_of(sent, labelled), VELOCITY, MONEY)
    order = EventOrder(histories, compile_plan(VELOCITY), MONEY.unit)
    row = {(p["card_id"], p["transaction_id"]): n for n, p in enumerate(sent)}
    for partition, history in enumerate(histories):
        rows = [row[p.card_id, p.transaction_id] for p in history.payments]
        vectors = order.vectors(order.at(partition, np.arange(len(rows))))
        chosen = trained.scored[rows]
        assert np.array_equal(vectors[chosen], trained.vectors[rows][chosen])
        assert order.scored(partition).tolist() == [
            offset for offset, there in zip(history.payment_offsets, chosen.tolist(), strict=True) if there
        ]
