"""What other wire formats cost: decoding of our JSON, of a nested record by a mapping, and of framed Avro, in one run, in turns.

`python -m benchmarks.wire`: microseconds a record, and the ratio to ours: the middle one of all turns.
"""

from __future__ import annotations

import io
import json
import statistics
import timeit
from dataclasses import dataclass
from typing import Any

import fastavro

from stream_app.messages.transaction import IntakeRules, Transaction
from stream_app.scoring.intake import decode_all
from stream_app.wire.decoder import WireDecoder
from stream_app.wire.inputs import Inputs
from stream_app.wire.mapped import MappedReader
from stream_app.wire.mapping_text import mapping_of
from stream_app.wire.schemas import KnownSchema, SchemaBook

RECORDS, TURNS = 1_000, 15
AT_MS = 1_795_471_200_000
PAYMENT: dict[str, Any] = {
    "transaction_id": "tx-1", "event_time": AT_MS, "card_id": "card-58c1", "terminal_id": "term-42", "amount": 12.5, "currency": "EUR",
    "mcc": "5411", "country": "DE", "channel": "chip", "merchant_id": "m1",
}  # fmt: skip
NAMES = {
    "transaction_id": "id",
    "card_id": "card",
    "terminal_id": "term",
    "currency": "cur",
    "mcc": "mcc",
    "country": "land",
    "merchant_id": "m",
}
MAPPING = (
    "columns:\n"
    + "".join(f"  {ours}: payload.after.{theirs}\n" for ours, theirs in NAMES.items())
    + (
        "  event_time: {path: payload.after.ts, unit: us}\n  amount: {path: payload.after.cents, unit: minor}\n"
        "  channel: {path: payload.after.how, values: {C: chip, O: online}}\n"
    )
)
TYPES = {name: {str: "string", int: "long", float: "double"}[type(value)] for name, value in PAYMENT.items()}
SCHEMA = json.dumps({"type": "record", "name": "P", "fields": [{"name": name, "type": of} for name, of in TYPES.items()]})


@dataclass(frozen=True)
class _Sent:
    value: bytes
    key: bytes = b"card-58c1"
    headers: tuple[()] = ()
    offset: int = 0
    timestamp: int = AT_MS


def _avro() -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(json.loads(SCHEMA)), PAYMENT)
    return b"\0\0\0\0\7" + out.getvalue()


def main() -> None:
    """Measure, and print."""
    rules, book = IntakeRules(), SchemaBook()
    book.keep(7, KnownSchema("AVRO", SCHEMA))
    row = {theirs: PAYMENT[ours] for ours, theirs in NAMES.items()} | {"ts": AT_MS * 1000, "cents": 1250, "how": "C"}
    forms = {
        "ours": (Inputs.plain(rules).payments, json.dumps(PAYMENT).encode()),
        "mapped": (
            WireDecoder(Transaction, rules, None, MappedReader(mapping_of(MAPPING))),
            json.dumps({"payload": {"before": None, "after": row, "op": "c"}}).encode(),
        ),
        "Avro": (WireDecoder(Transaction, rules, book), _avro()),
    }
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(TURNS):
        for name, (decoder, value) in forms.items():
            records = [_Sent(value)] * RECORDS
            assert decode_all(records, decoder, AT_MS).messages[0] == Transaction(**PAYMENT)  # noqa: S101 - else it measures a refusal
            seconds[name].append(timeit.timeit(lambda d=decoder, r=records: decode_all(r, d, AT_MS), number=5) / 5 / RECORDS)  # type: ignore[misc]
    for name, taken in seconds.items():
        ratio = statistics.median(one / ours for one, ours in zip(taken, seconds["ours"], strict=True))
        print(f"{name:8} {min(taken) * 1e6:6.2f} us at best, {ratio:.2f} times ours")


if __name__ == "__main__":
    main()
