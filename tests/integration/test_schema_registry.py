"""A real registry (Apicurio, Confluent's API) and Confluent's own serializers: what they write is read, what the registry says is understood."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from stream_app.adapters.schema_registry.client import RegistryTls, SchemaRegistry
from stream_app.adapters.schema_registry.copies import SchemaCopies
from stream_app.adapters.schema_registry.fetcher import SchemaFetcher
from stream_app.errors import RecordError, Unavailable
from stream_app.messages.refusals import DeadLetterCode
from stream_app.messages.transaction import IntakeRules, Transaction
from stream_app.wire.decoder import WireDecoder
from stream_app.wire.framing import SchemaId
from stream_app.wire.schemas import KnownSchema, SchemaBook
from tests.foreign import Client, Serializer
from tests.schema_registry import Registry
from tests.unit.wire.records import PAYMENT, Sent, framed, schema, written

PROTOBUF = 'syntax = "proto3"; message Payment { string transaction_id = 1; }'
JSON_SCHEMA = json.dumps({"title": "Payment", "type": "object", "properties": {"amount": {"type": "number"}}})


def fetch(url: str, number: SchemaId) -> KnownSchema | RecordError:
    """What it says."""
    return asyncio.run(SchemaRegistry(url, RegistryTls()).fetch(number))


def decoded(registry: Registry, record: Sent, folder: Path) -> Transaction:
    """The payment of a record, its schemas fetched."""

    async def fetched() -> Transaction:
        book = SchemaBook()
        fetcher = SchemaFetcher(SchemaRegistry(registry.url, RegistryTls()), SchemaCopies(folder, registry.url), book, 10.0)
        decoder = WireDecoder(Transaction, IntakeRules(), book)
        assert decoder.lacks(record)
        await fetcher.fetched()
        assert not decoder.lacks(record)
        return decoder.decode_record(record, None)

    return asyncio.run(fetched())


@pytest.mark.parametrize(("kind", "text"), [("AVRO", schema()), ("JSON", JSON_SCHEMA), ("PROTOBUF", PROTOBUF)])
def test_schemas_of_every_kind_are_found_by_id(registry: Registry, kind: str, text: str) -> None:
    """As they were registered."""
    found = fetch(registry.url, registry.register(f"{kind}-value", text, kind))
    assert isinstance(found, KnownSchema)
    assert found.kind == kind
    assert (json.loads(found.text) == json.loads(text)) if kind != "PROTOBUF" else "transaction_id" in found.text


def test_a_schema_that_is_not_there_has_the_code_of_an_unknown_one(registry: Registry) -> None:
    """40403, by which it is told from a wrong path."""
    found = fetch(registry.url, 2**31 - 1)
    assert isinstance(found, RecordError)
    assert found.code == DeadLetterCode.UNKNOWN_SCHEMA


def test_a_wrong_path_and_a_guid_that_it_cannot_look_up_are_told(registry: Registry) -> None:
    """Neither is a record's fault."""
    for url in (registry.url.removesuffix("/apis/ccompat/v7"), registry.url + "/wrong"):
        with pytest.raises(Unavailable, match="ccompat"):
            fetch(url, 1)
    with pytest.raises(Unavailable, match="finds no schemas by GUID"):
        fetch(registry.url, "0f8fad5b-d9cb-469f-a165-70867728950e")


def test_it_is_known_as_a_registry_by_doctor(registry: Registry) -> None:
    """A page of the same server is not."""
    asyncio.run(SchemaRegistry(registry.url, RegistryTls()).ping())
    with pytest.raises(Unavailable):
        asyncio.run(SchemaRegistry(registry.url.removesuffix("/apis/ccompat/v7"), RegistryTls()).ping())


def test_a_schema_of_five_megabytes_is_refused(registry: Registry) -> None:
    """The registry takes it; it is not read."""
    large = json.loads(schema()) | {"doc": "x" * 5_000_000}
    found = fetch(registry.url, registry.register("large-value", large))
    assert isinstance(found, RecordError)
    assert found.code == DeadLetterCode.SCHEMA_REFUSED


def test_a_schema_that_refers_to_others_is_read_with_them(registry: Registry, tmp_path: Path) -> None:
    """By two steps, as the registry keeps them: nobody's schema holds all types."""
    code = {"type": "enum", "name": "Code", "namespace": "shared", "symbols": ["USD", "EUR"]}
    money = {"type": "record", "name": "Money", "namespace": "shared", "fields": [{"name": "of", "type": "Code"}]}
    registry.register("shared/code", code)
    registry.register("shared/money", money, references={"shared.Code": "shared/code"})
    text = schema(currency="shared.Code", money="shared.Money")
    both = {"shared.Money": "shared/money", "shared.Code": "shared/code"}
    number = registry.register("referring-value", text, references=both)
    alone = schema(currency=code, money=money | {"fields": [{"name": "of", "type": "shared.Code"}]})
    content = written(alone, PAYMENT | {"money": {"of": "USD"}})
    assert decoded(registry, Sent(framed(number, content)), tmp_path) == Transaction(**PAYMENT)


@pytest.mark.parametrize("kind", ["AVRO", "JSON"])
def test_what_confluents_serializers_write_is_read(registry: Registry, foreign: Client, tmp_path: Path, kind: str) -> None:
    """Values and keys, each with its schema, as a client that shares no code with ours frames them."""
    text, topic = schema() if kind == "AVRO" else JSON_SCHEMA, f"payments-{kind}"  # a subject keeps the kind of its first schema there
    (value,) = foreign.serialized(registry.url, Serializer(topic, text, kind), [PAYMENT])
    (key,) = foreign.serialized(registry.url, Serializer(topic, '"string"', part="key"), [PAYMENT["card_id"]])
    assert value.content[0] == key.content[0] == 0
    assert decoded(registry, Sent(value.content, key.content), tmp_path) == Transaction(**PAYMENT)


def test_a_guid_in_a_header_is_read_as_confluents_serializer_writes_it(foreign: Client) -> None:
    """Of no registry that is in a package index: the bytes are its client's, the look-up by GUID is the documented one alone."""
    (value,) = foreign.serialized("mock://here", Serializer("payments", schema(), by_header=True), [PAYMENT])
    ((name, header),) = value.headers
    assert (name, header[0], len(header)) == ("__value_schema_id", 1, 17)
    book = SchemaBook()
    decoder = WireDecoder(Transaction, IntakeRules(), book)
    record: Any = Sent(value.content, headers=value.headers)
    assert decoder.lacks(record)
    (guid,) = book.wanted()
    book.keep(guid, KnownSchema("AVRO", schema()))
    assert decoder.decode_record(record, None) == Transaction(**PAYMENT)
