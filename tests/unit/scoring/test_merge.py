"""A round of several partitions is each partition's own order, one after the other."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream_app.messages.money import Money
from stream_app.messages.transaction import Decoder, IntakeRules, Label, Transaction
from stream_app.scoring.intake import Decoded, decode_all, merge, merge_all
from tests.examples import examples
from tests.unit.scoring.test_scorer import FakeRecord, payment

MONEY, HOUR = Money("EUR"), 3_600_000
PAYMENTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1), st.integers(0, 1), st.sampled_from([None, "d0", "d1"])), max_size=4)
"""Hour, card, terminal, device."""
LABELS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), max_size=3)
"""Hour at which it is given, card: one that pays, or one that does not."""


def decoded(kind: Any, messages: list[dict[str, Any]]) -> Any:
    """As read from a log."""
    records = [FakeRecord(n, message["card_id"].encode(), msgspec.json.encode(message)) for n, message in enumerate(messages)]
    return decode_all(records, Decoder(kind, IntakeRules()), None)


def part(payments: list[tuple[int, int, int, str | None]], labels: list[tuple[int, int]]) -> tuple[Decoded[Transaction], Decoded[Label]]:
    """Payments and labels of one partition."""
    paid = [
        payment(f"t{n}", 10 + n, hour * HOUR, card_id=f"c{card}", terminal_id=f"m{terminal}", **({"device_id": device} if device else {}))
        for n, (hour, card, terminal, device) in enumerate(payments)
    ]
    base = payment("?", 1)["event_time"]
    told = [
        {"transaction_id": f"l{n}", "card_id": f"c{card}", "terminal_id": "m0", "event_time": base, "amount": 1.0, "is_fraud": True, "labelled_at": base + h * HOUR}
        for n, (h, card) in enumerate(labels)
    ]  # fmt: skip
    return decoded(Transaction, paid), decoded(Label, told)


@examples(80)
@given(st.lists(st.tuples(PAYMENTS, LABELS), min_size=1, max_size=3))
def test_each_partition_has_the_events_that_it_would_have_alone(given_: list[tuple[Any, Any]]) -> None:
    """Kinds, times, ids, places and facts; its cards and terminals are its own, whoever else names the same ones."""
    parts = [part(*of_one) for of_one in given_]
    together = merge_all(parts, MONEY)
    for (payments, labels), share in zip(parts, together.shares, strict=True):
        alone = merge(payments, labels, MONEY)
        events = together.events.part(share.events)
        for name in ("kinds", "times_ms", "labelled_ms", "ids", "minor", "facts"):
            assert np.array_equal(getattr(events, name), getattr(alone.events, name)), name
        assert (together.places[share.payments] - share.events.start).tolist() == alone.places.tolist()
        assert together.payments.messages[share.payments] == alone.payments.messages
        assert together.labels.messages[share.labels] == alone.labels.messages
        for names, run, own, places, alone_at in zip(
            together.ids, share.ids, alone.ids, events.entities, alone.events.entities, strict=True
        ):
            assert names[run] == own
            assert np.where(places < 0, -1, places - run.start).tolist() == alone_at.tolist()
