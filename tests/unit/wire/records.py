"""Records as foreign producers write them: framed, in Avro or JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import fastavro

NOW_MS = 1_795_471_200_000
PAYMENT: dict[str, Any] = {
    "transaction_id": "tx-1",
    "event_time": NOW_MS,
    "card_id": "card-1",
    "terminal_id": "term-1",
    "amount": 12.5,
    "currency": "EUR",
}
PAYMENT_TYPES = {
    "transaction_id": "string",
    "event_time": "long",
    "card_id": "string",
    "terminal_id": "string",
    "amount": "double",
    "currency": "string",
}


@dataclass
class Sent:
    """A record of Kafka."""

    value: bytes | None
    key: bytes | None = b"card-1"
    headers: Sequence[tuple[str, bytes | None]] = ()
    offset: int = 0
    timestamp: int = NOW_MS


def schema(**types: Any) -> str:
    """A schema of a payment with these types in place of the usual; `...` leaves a field out, other names add one."""
    fields = [{"name": name, "type": of} for name, of in (PAYMENT_TYPES | types).items() if of is not ...]
    return json.dumps({"type": "record", "name": "Payment", "namespace": "example", "fields": fields})


def written(text: str, message: Any) -> bytes:
    """A message by a schema, as fastavro writes it."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(json.loads(text)), message)
    return out.getvalue()


def framed(number: int, content: bytes) -> bytes:
    """With the id before it."""
    return b"\0" + number.to_bytes(4) + content
