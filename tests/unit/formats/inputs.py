"""What every version was given to write its formats from. It knows nothing of the product, so that earlier versions can run it: never change `BEFORE` and `LABELS`."""

from __future__ import annotations

from typing import Any

START, HOUR, DAY = 1_522_540_800_000, 3_600_000, 86_400_000
PLACE = {"channel": "online", "country": "FR", "latitude": 48.8, "longitude": 2.3, "device_id": "d1"}


def payment(number: int, **changes: Any) -> dict[str, Any]:
    """The n-th payment, of one of two cards at one of two terminals, each a few hours after the other; every third is dear."""
    made = {
        "transaction_id": f"T{number}",
        "event_time": START + 86 * DAY + 5 * number * HOUR,
        "card_id": f"c{number % 2}",
        "terminal_id": f"t{number % 3 % 2}",
        "amount": 900.0 if number % 3 == 0 else 20.25,
        "currency": "EUR",
    }
    return made | (PLACE if number % 2 else {}) | changes


def label(number: int) -> dict[str, Any]:
    """The n-th payment was a fraud, told an hour later."""
    of = payment(number)
    named = {name: of[name] for name in ("transaction_id", "event_time", "card_id", "terminal_id", "amount")}
    return named | {"is_fraud": True, "labelled_at": of["event_time"] + HOUR}


BEFORE: list[dict[str, Any] | bytes] = [
    *(payment(n) for n in range(9)),
    b"not a payment",
    payment(9, currency="USD"),
    payment(10, approved=False),
    payment(11, type="refund"),
]
LABELS = [label(3), label(4)]
AFTER = [payment(n, event_time=payment(11)["event_time"] + n * 60_000) for n in (12, 13, 14, 15)]
"""For those who take over: soon enough for every tile to be held still."""
