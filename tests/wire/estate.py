"""What the check sends: payments in each framing, by our names (`Plain`) and nested by others' (`Nested`, read by a mapping), and what must be refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any, Protocol

from tests.foreign import Client, Raw, Serializer
from tests.schema_registry import Registry
from tests.wire.oracle import Meant

FRAMINGS = ("JSON", "Avro behind an id", "JSON behind an id", "Avro behind a GUID in a header")
NOT_THERE = b"\0\x7f\xff\xff\xff"
VALUE_HEADER, KEY_HEADER = "__value_schema_id", "__key_schema_id"
CARDS = 9
LARGE = 900_000
"""Bytes, of a record that Kafka just takes."""
DAY_MS = 86_400_000
PROTOBUF = 'syntax = "proto3"; message Payment { string transaction_id = 1; }'
ANY_JSON = json.dumps({"title": "Payment", "type": "object", "properties": {"amount": {"type": "number"}}})

type Fields = dict[str, Any]


class Estate(Protocol):
    """One topic's producers.

    Attributes:
        name: of its topics.
        mapping: what a worker is told of its records, YAML; empty: they have our names.
    """

    name: str
    mapping: str

    def good(self, count: int) -> Iterator[Meant]:
        """Payments, in each framing in turn, later ones dated later."""

    def bad(self) -> Iterator[Meant]:
        """Records that are refused, each with its code."""


@dataclass
class Serializers:
    """Confluent's serializers, and the registry that they register in; `guids` are the schemas that headers name."""

    foreign: Client
    registry: Registry
    topic: str
    guids: dict[str, str]

    def avro(self, messages: Sequence[Fields], schema: str, subject: str = "") -> list[bytes]:
        """Behind an id."""
        form = Serializer(subject or self.topic, schema)
        return [one.content for one in self.foreign.serialized(self.registry.url, form, messages)]

    def json(self, messages: Sequence[Fields]) -> list[bytes]:
        """Behind an id, by a JSON Schema."""
        form = Serializer(f"{self.topic}-json", ANY_JSON, "JSON")
        return [one.content for one in self.foreign.serialized(self.registry.url, form, messages)]

    def headed(self, messages: Sequence[Fields], schema: str) -> list[tuple[bytes, list[tuple[str, bytes | None]]]]:
        """Behind nothing, with the header of a GUID; only the client's own registry gives one."""
        made = self.foreign.serialized("mock://guids", Serializer(self.topic, schema, by_header=True), messages)
        for one in made:
            ((_, frame),) = one.headers
            digits = frame[1:].hex()
            self.guids["-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))] = schema
        return [(one.content, [*one.headers]) for one in made]

    def keys(self, keys: Sequence[Any], schema: str) -> list[bytes]:
        """Keys in Avro, behind an id."""
        form = Serializer(self.topic, schema, part="key")
        return [one.content for one in self.foreign.serialized(self.registry.url, form, keys)]

    def framed(self, messages: Sequence[tuple[Fields, Fields]], schema: str, keys: tuple[Any, str]) -> Iterator[tuple[str, Raw]]:
        """Pairs of what is written in JSON and in Avro, in each framing in turn; the key of that behind an id is framed too.

        Args:
            messages: one as JSON says it, and the same as Avro does.
            schema: of Avro.
            keys: what makes the plain key of a message in JSON, and the whole one for Avro; the schema of the latter.
        """
        plain_key, whole_key = keys[0]
        of = [messages[n :: len(FRAMINGS)] for n in range(len(FRAMINGS))]
        each = zip(
            [Raw(json.dumps(text).encode(), plain_key(text), -1) for text, _ in of[0]],
            [
                Raw(value, key, -1)
                for value, key in zip(
                    self.avro([binary for _, binary in of[1]], schema),
                    self.keys([whole_key(text) for text, _ in of[1]], keys[1]),
                    strict=True,
                )
            ],
            [Raw(value, plain_key(text), -1) for value, (text, _) in zip(self.json([text for text, _ in of[2]]), of[2], strict=True)],
            [
                Raw(value, plain_key(text), -1, headers)
                for (value, headers), (text, _) in zip(self.headed([binary for _, binary in of[3]], schema), of[3], strict=True)
            ],
            strict=True,
        )
        for four in each:
            yield from zip(FRAMINGS, four, strict=True)


@dataclass
class Plain:
    """Producers that call fields by our names, in Avro with its own types."""

    serializers: Serializers
    began_ms: int
    name: str = "plain"
    mapping: str = ""

    def payment(self, number: int) -> Fields:
        """The payment of a number; every eleventh is dear."""
        return {
            "transaction_id": f"P{number}",
            "event_time": self.began_ms + number * 100,
            "card_id": f"card-{number % CARDS}",
            "terminal_id": f"shop-{number % 7}",
            "amount": 12.5 + number / 4 if number % 11 else 1_250.75,
            "currency": "EUR",
            "type": ("purchase", "withdrawal")[number % 2],
            "approved": True,
            "country": "FR" if number % 3 else None,
            "mcc": "0742",
            "latitude": 48.8566,
            "attributes": {"gateway": number / 8},
        }

    def good(self, count: int) -> Iterator[Meant]:
        """See `Estate`."""
        payments = [self.payment(number) for number in range(count)]
        pairs = [(one | {"note": "passed over"}, one | {"event_time": one["event_time"] * 1000 + 999, "note": 7}) for one in payments]
        keys = (lambda text: text["card_id"].encode(), lambda text: text["card_id"]), '"string"'
        for payment, (kind, raw) in zip(payments, self.serializers.framed(pairs, _plain_schema(), keys), strict=True):
            yield Meant(raw, kind, payment)

    def bad(self) -> Iterator[Meant]:
        """See `Estate`."""
        yield from (
            Meant(one, f"bad: {what}", code=code) for what, code, one in (*self._bad_json(), *self._bad_frames(), *self._bad_avro())
        )

    def _bad_json(self) -> Iterator[tuple[str, str, Raw]]:
        good = self.payment(0) | {"transaction_id": "bad"}

        def raw(**changes: Any) -> Raw:
            return Raw(json.dumps({name: value for name, value in (good | changes).items() if value is not ...}).encode(), b"card-0")

        changed: tuple[tuple[str, Fields], ...] = (
            ("missing_field", {"amount": ...}),
            ("wrong_type", {"amount": "12.50"}),
            ("wrong_type", {"event_time": "2026-11-30T12:00:00Z"}),
            ("out_of_range", {"amount": -1}),
            ("out_of_range", {"amount": 2e9}),
            ("out_of_range", {"event_time": self.began_ms // 1000}),
            ("out_of_range", {"card_id": "c" * 65}),
            ("unknown_value", {"currency": "XYZ"}),
            ("unknown_value", {"country": "DEU"}),
            ("control_character", {"terminal_id": "shop\u0007"}),
            ("card_number", {"card_id": "4111111111111111"}),
            ("future", {"event_time": self.began_ms + 2 * DAY_MS}),
            ("too_large", {"note": "x" * 70_000}),
            ("too_large", {"note": "x" * LARGE}),
        )
        yield from ((f"{code} {list(changes)}", code, raw(**changes)) for code, changes in changed)
        for code, value in (
            ("not_json", b"{"),
            ("not_json", raw().value[:-1] + b',"x":NaN}'),  # type: ignore[index]
            ("not_utf8", b'{"transaction_id": "\xff"}'),
            ("too_deep", b'{"x":' * 10_000),
            ("wrong_shape", b"[]"),
            ("empty", b""),
            ("tombstone", None),
        ):
            yield code, code, Raw(value, b"card-0")
        yield "another key", "wrong_key", replace(raw(), key=b"card-1")
        yield "no key", "wrong_key", replace(raw(), key=None)
        yield "a key of a schema that is not there", "unknown_schema", replace(raw(), key=NOT_THERE + b"\x0ccard-0")

    def _bad_frames(self) -> Iterator[tuple[str, str, Raw]]:
        text = json.dumps(self.payment(0)).encode()
        protobuf = self.serializers.registry.register("protobuf-value", PROTOBUF, "PROTOBUF").to_bytes(4)
        (behind,) = self.serializers.json([self.payment(0)])
        for what, code, value in (
            ("a cut frame", "wrong_frame", b"\0\0"),
            ("a cut GUID", "wrong_frame", b"\x01" + text[:9]),
            ("an id that is not there", "unknown_schema", NOT_THERE + text),
            ("Protobuf", "schema_refused", b"\0" + protobuf + b"\x0a\x02T1"),
            ("cut JSON behind an id", "not_json", behind[:-2]),
        ):
            yield what, code, Raw(value, b"card-0")
        for what, code, header in (
            ("an empty header", "wrong_frame", b""),
            ("a header of text", "wrong_frame", b"payments-v1"),
            ("a GUID that is not there", "unknown_schema", b"\x01" + b"\x07" * 16),
        ):
            yield what, code, Raw(text, b"card-0", headers=[(VALUE_HEADER, header)])
        yield "a key with a cut header", "wrong_frame", Raw(text, b"card-0", headers=[(KEY_HEADER, b"\x01")])

    def _bad_avro(self) -> Iterator[tuple[str, str, Raw]]:
        micros = self.payment(0) | {"note": 7, "event_time": self.began_ms * 1000}
        of = self.serializers.avro
        whole, minus, seconds = of([micros, micros | {"amount": -1.0}, micros | {"event_time": self.began_ms}], _plain_schema())
        (lacks,) = of([micros], _plain_schema(currency=...), "lacks")
        for what, code, value in (
            ("cut Avro", "not_avro", whole[:20]),
            ("Avro with bytes behind it", "not_avro", whole + b"\0"),
            ("Avro of another schema", "not_avro", whole[:5] + b"\x02" * 9),
            ("a negative amount in Avro", "out_of_range", minus),
            ("milliseconds for microseconds in Avro", "out_of_range", seconds),
            ("a schema without the currency", "schema_lacks_field", lacks),
            ("a schema that holds itself", "schema_refused", b"\0" + self._holding_itself() + whole[5:]),
            ("a schema of five megabytes", "schema_refused", b"\0" + self._large() + whole[5:]),
        ):
            yield what, code, Raw(value, b"card-0")

    def _holding_itself(self) -> bytes:
        whole = json.loads(_plain_schema())
        whole["fields"].append({"name": "next", "type": ["null", "Payment"]})
        return self.serializers.registry.register("recursive-value", whole).to_bytes(4)

    def _large(self) -> bytes:
        whole = json.loads(_plain_schema()) | {"doc": "x" * 5_000_000}
        return self.serializers.registry.register("large-value", whole).to_bytes(4)


@dataclass
class Nested:
    """A table's changes, as Debezium tells of them: nested, in minor units and microseconds, with card numbers, in codes of their own."""

    serializers: Serializers
    began_ms: int
    name: str = "nested"
    mapping: str = """
columns:
  transaction_id: payload.after.id
  event_time: {path: payload.after.paid_at, unit: us}
  card_id: payload.after.pan
  terminal_id: payload.after.shop
  amount: {path: payload.after.cents, unit: minor}
  currency: payload.after.ccy
  type: {path: payload.after.kind, values: {P: purchase, W: withdrawal}, default: purchase}
  attributes.gateway: payload.after.score
constants: {country: FR}
tokens: [card_id]
key: payload.pan
"""

    def row(self, number: int) -> Fields:
        """The row of a number; every eleventh is dear."""
        return {
            "id": f"R{number}",
            "paid_at": (self.began_ms + number * 100) * 1000 + 999,
            "pan": 4_111_111_111_111_111 + number % CARDS,
            "shop": f"shop-{number % 7}",
            "cents": 1_999 + number if number % 11 else 125_075,
            "ccy": ("EUR", "EUR", "EUR", "JPY", "BHD")[number % 5],
            "kind": ("P", "W", None)[number % 3],
            "score": number / 8,
        }

    @staticmethod
    def meant(row: Fields) -> Fields:
        """What a row is to us."""
        return {
            "transaction_id": row["id"],
            "event_time": row["paid_at"] // 1000,
            "card_id": hashlib.sha256(str(row["pan"]).encode()).hexdigest()[:16],
            "terminal_id": row["shop"],
            "amount": row["cents"] / {"EUR": 100, "JPY": 1, "BHD": 1000}[row["ccy"]],
            "currency": row["ccy"],
            "type": {"P": "purchase", "W": "withdrawal", None: "purchase"}[row["kind"]],
            "country": "FR",
            "attributes": {"gateway": row["score"]},
        }

    def good(self, count: int) -> Iterator[Meant]:
        """See `Estate`."""
        rows = [self.row(number) for number in range(count)]
        pairs = [(_change(row), _change(row)) for row in rows]
        keys = (lambda change: json.dumps(_key(change)).encode(), _key), _KEY_SCHEMA
        for row, (kind, raw) in zip(rows, self.serializers.framed(pairs, _row_schema(), keys), strict=True):
            yield Meant(raw, f"nested {kind}", self.meant(row))

    def bad(self) -> Iterator[Meant]:
        """See `Estate`."""
        changes: tuple[tuple[str, Fields], ...] = (
            ("unknown_value", {"kind": "X"}),
            ("unknown_value", {"ccy": "XYZ"}),
            ("wrong_type", {"cents": 1.5}),
            ("wrong_type", {"paid_at": "yesterday"}),
            ("missing_field", {"id": None}),
            ("out_of_range", {"cents": -1}),
            ("out_of_range", {"cents": 10**12}),
            ("out_of_range", {"paid_at": self.began_ms}),
            ("future", {"paid_at": (self.began_ms + 2 * DAY_MS) * 1000}),
        )
        for code, change in changes:
            whole = _change(self.row(0) | change)
            yield Meant(Raw(json.dumps(whole).encode(), json.dumps(_key(whole)).encode()), f"bad: {code} {change}", code=code)
        whole = _change(self.row(0))
        key = json.dumps(_key(whole)).encode()
        (lacks,) = self.serializers.avro([_change(self.row(0))], _row_schema(cents=...), "lacks-a-mapped")
        for what, code, value, of in (
            ("our own names", "missing_field", b'{"transaction_id": "T1"}', key),
            ("no object where the path goes on", "missing_field", b'{"payload": 7}', key),
            ("a schema without the amount", "schema_lacks_field", lacks, key),
            ("a key that is no JSON", "wrong_key", json.dumps(whole).encode(), b"pan=4111111111111111"),
            ("a key without the card", "wrong_key", json.dumps(whole).encode(), b'{"payload": {}}'),
            ("another card's key", "wrong_key", json.dumps(whole).encode(), b'{"payload": {"pan": 1}}'),
            ("not JSON", "not_json", b"{", key),
        ):
            yield Meant(Raw(value, of), f"bad: {what}", code=code)


_KEY_SCHEMA = json.dumps(
    {
        "type": "record",
        "name": "Key",
        "fields": [{"name": "payload", "type": {"type": "record", "name": "Of", "fields": [{"name": "pan", "type": "long"}]}}],
    }
)


def _change(row: Fields) -> Fields:
    return {"payload": {"before": None, "after": row, "op": "c"}}


def _key(change: Fields) -> Fields:
    return {"payload": {"pan": change["payload"]["after"]["pan"]}}


def _plain_schema(**types: Any) -> str:
    """Of a payment, in the types that Avro has for its values; `...` leaves a field out."""
    whole: Fields = {
        "transaction_id": "string",
        "event_time": {"type": "long", "logicalType": "timestamp-micros"},
        "card_id": "string",
        "terminal_id": "string",
        "amount": "double",
        "currency": "string",
        "type": {"type": "enum", "name": "Kind", "symbols": ["withdrawal", "purchase"]},
        "approved": "boolean",
        "country": ["null", "string"],
        "mcc": "string",
        "latitude": "double",
        "attributes": {"type": "map", "values": "double"},
        "note": "int",
    }
    return _record("Payment", whole | types)


def _row_schema(**types: Any) -> str:
    """Of a table's change."""
    row: Fields = {
        "id": "string",
        "paid_at": "long",
        "pan": "long",
        "shop": "string",
        "cents": "long",
        "ccy": "string",
        "kind": ["null", "string"],
        "score": "double",
    }
    after = json.loads(_record("Row", row | types))
    payload = json.loads(_record("Payload", {"before": ["null", "string"], "after": after, "op": "string"}))
    return _record("Change", {"payload": payload})


def _record(name: str, types: Fields) -> str:
    fields = [{"name": each, "type": of} for each, of in types.items() if of is not ...]
    return json.dumps({"type": "record", "name": name, "fields": fields})


def spread(records: Sequence[Meant], partitions: int) -> list[Meant]:
    """The same, over all partitions in turn."""
    return [replace(one, raw=replace(one.raw, partition=number)) for one, number in zip(records, cycle(range(partitions)), strict=False)]
