"""Payments of the check: plain ones, with one in a hundred that the rule of the model alerts."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

from tests.faults.model import DEAR

ALERTED_EVERY = 100
CARDS = 100_000
"""So many that hardly one pays twice, and none seven times, which the model would alert."""
_ids = itertools.count(1)


def payments(count: int, **changes: Any) -> Iterator[dict[str, Any]]:
    """So many payments of now, changed."""
    for number in itertools.islice(_ids, count):
        yield {
            "transaction_id": f"T{number}",
            "event_time": time.time_ns() // 1_000_000,
            "card_id": f"C{number % CARDS}",
            "terminal_id": f"M{number % 100}",
            "amount": DEAR if number % ALERTED_EVERY == 0 else 5.0 + number % 90,
            "currency": "EUR",
        } | changes


def out_of_the_ordinary() -> list[dict[str, Any] | bytes]:
    """One of each: what cannot be read, comes twice, comes late, has no rate, gives money back."""
    (twice,) = payments(1)
    (new,) = payments(1, card_id="C-late")
    (old,) = payments(1, card_id="C-late", event_time=time.time_ns() // 1_000_000 - 60 * 86_400_000)
    return [b"no JSON", twice, twice, new, old, *payments(1, currency="USD"), *payments(1, type="refund")]


def labels_of(paid: list[dict[str, Any]], *, is_fraud: bool) -> list[dict[str, Any]]:
    """A label for each payment."""
    kept = ("transaction_id", "card_id", "terminal_id", "event_time", "amount")
    now_ms = time.time_ns() // 1_000_000
    return [{name: p[name] for name in kept} | {"is_fraud": is_fraud, "labelled_at": max(now_ms, p["event_time"])} for p in paid]
