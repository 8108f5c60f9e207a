"""Records in other wire formats → payments and labels: the frame is taken off, the content read by its schema, and our checks follow."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import msgspec

from stream_app.errors import RecordError
from stream_app.messages.headers import Headers, headers_of
from stream_app.messages.records import Record
from stream_app.messages.refusals import DeadLetterCode
from stream_app.messages.transaction import MAX_MESSAGE_BYTES, Decoder, IntakeRules, Label, Transaction
from stream_app.wire.avro import AvroReader
from stream_app.wire.avro_fields import read_avro
from stream_app.wire.framing import KEY_HEADER, VALUE_HEADER, SchemaId, is_framed, unframed
from stream_app.wire.schemas import MOST_SCHEMAS, KnownSchema, SchemaBook

MOST_TYPES_KEPT = 50_000
"""Of all schemas that are kept ready, written out."""
_REGISTRY = "Set FRAUDSTREAM_SCHEMA_REGISTRY_URL, so that it is read by its schema, or publish plain JSON"
_PROTOBUF = "The record is Protobuf by its schema, which is not read. Publish Avro or JSON: docs/how-to/wire-formats.md."

type ReadContent[T] = Callable[[bytes], T]


class Mapped[T: (Transaction, Label)](Protocol):
    """A mapping, compiled; see `MappedReader`."""

    @property
    def key(self) -> tuple[str, ...]:
        """The path of the card in a record's key; empty: it is the whole key."""

    @property
    def card_token(self) -> Callable[[str], str] | None:
        """What makes the token of a card; None where its id stays as it is."""

    def of_json(self, content: bytes) -> T:
        """The message in a JSON text."""

    def of_avro(self, reader: AvroReader) -> Callable[[bytes], T]:
        """What reads records of a schema."""


class BySchema[R]:
    """What was made of schemas, bounded; what they are refused for too."""

    def __init__(self, book: SchemaBook, make: Callable[[KnownSchema], tuple[R, int]]) -> None:
        self._book, self._make = book, make
        self._made: OrderedDict[SchemaId, tuple[R | RecordError, int]] = OrderedDict()
        self._types = 0

    def of(self, schema: SchemaId) -> R:
        """Raise RecordError where the schema is refused, as `SchemaBook.of` where it is not known."""
        found = self._made.get(schema)
        if found is None:
            known = self._book.of(schema)
            try:
                found = self._make(known)
            except RecordError as error:
                found = error, 1
            self._made[schema] = found
            self._types += found[1]
            while len(self._made) > MOST_SCHEMAS or (self._types > MOST_TYPES_KEPT and len(self._made) > 1):
                self._types -= self._made.popitem(last=False)[1][1]
        else:
            self._made.move_to_end(schema)
        if isinstance(found[0], RecordError):
            raise found[0]
        return found[0]

    def has(self, schema: SchemaId) -> bool:
        """Whether `of` would return or refuse at once. Raises what `SchemaBook.has` does."""
        return schema in self._made or self._book.has(schema)


class WireDecoder[T: (Transaction, Label)]:
    """Kafka records → `Transaction` or `Label`, whatever frame they have. Bound once at start."""

    def __init__(self, kind: type[T], rules: IntakeRules, book: SchemaBook | None, mapping: Mapped[T] | None = None) -> None:
        """Bind to a kind of message.

        Args:
            kind: of message.
            rules: of intake.
            book: the schemas of the registry; None: there is none, and what is framed is refused.
            mapping: where our fields are; None: they have our names.
        """
        self._kind: type[T] = kind
        self._decoder: Decoder[T] = Decoder(kind, rules)
        self._mapping: Mapped[T] | None = mapping
        self._read_json: ReadContent[T] | None = None if mapping is None else mapping.of_json
        self._read_key = _CardKey(mapping)
        self.has_registry = book is not None
        book = SchemaBook() if book is None else book
        self._values: BySchema[ReadContent[T] | None] = BySchema(book, self._value_reader)
        self._keys: BySchema[ReadContent[Any]] = BySchema(book, _key_reader)

    def lacks(self, record: Record) -> bool:
        """Whether a schema that the record was written by is not here yet; it is wanted from now on.

        Raises:
            Unavailable: it was waited for as long as is waited for a server.
        """
        value, headers = record.value, headers_of(record)
        try:
            of_value = unframed(value, headers, VALUE_HEADER) if value else None
            of_key = unframed(record.key, headers, KEY_HEADER) if record.key else None
        except RecordError:  # which decoding will tell
            return False
        value_here = of_value is None or self._values.has(of_value.schema)
        key_here = of_key is None or self._keys.has(of_key.schema)
        return not (value_here and key_here)

    def decode_record(self, record: Record, now_ms: int | None) -> T:
        """Decode one record; see `Decoder.decode`.

        Raises:
            RecordError: with a code of `DeadLetterCode` and a sentence.
            Unavailable: a schema is not here: `lacks` was not asked.
        """
        if not self.has_registry:
            return self._unframed(record, now_ms)
        value, headers = record.value, headers_of(record)
        if not value or len(value) > MAX_MESSAGE_BYTES:
            return self._decoder.decode(value, record.key, record.timestamp, now_ms)  # which refuses it
        framed = unframed(value, headers, VALUE_HEADER)
        key = self._card_of(record.key, headers)
        if framed is None:
            return self._decoder.decode(value, key, record.timestamp, now_ms, self._read_json)
        return self._decoder.decode(framed.content, key, record.timestamp, now_ms, self._values.of(framed.schema))

    def _unframed(self, record: Record, now_ms: int | None) -> T:
        try:
            key = self._read_key.plain(record.key) if self._read_key.differs else record.key
            return self._decoder.decode(record.value, key, record.timestamp, now_ms, self._read_json)
        except RecordError as error:
            raise said_of_frames(record, error) from None

    def _card_of(self, key: bytes | None, headers: Headers) -> bytes | None:
        """What the key says of the card."""
        framed = unframed(key, headers, KEY_HEADER) if key else None
        return self._read_key.plain(key) if framed is None else self._read_key.of(self._keys.of(framed.schema)(framed.content))

    def _value_reader(self, known: KnownSchema) -> tuple[ReadContent[T] | None, int]:
        if known.kind == "JSON":
            return self._read_json, 1
        reader = avro_reader(known)
        read = read_avro(self._kind, reader) if self._mapping is None else self._mapping.of_avro(reader)
        return read, reader.type.types


class _CardKey:
    """What a record's key says of its card.

    Attributes:
        differs: whether it is something else than a key that is not framed.
    """

    def __init__(self, mapping: Mapped[Any] | None) -> None:
        self._path: tuple[str, ...] = ("card_id",) if mapping is None or not mapping.key else mapping.key
        self._is_json = mapping is not None and bool(mapping.key)
        self._token = None if mapping is None else mapping.card_token
        self.differs = self._is_json or self._token is not None

    def plain(self, key: bytes | None) -> bytes | None:
        """Of a key that is not framed: it is the card, or JSON where the mapping has a path."""
        if self._is_json and key:
            return self.of(_json_key(key))
        if self._token is None or not key:
            return key
        try:
            return self._token(key.decode()).encode()
        except UnicodeDecodeError:
            return key

    def of(self, key: Any) -> bytes | None:
        """Of one that was read: text, a number, or an object with the card at its path."""
        for name in self._path:
            key = key.get(name) if isinstance(key, dict) else key
        if isinstance(key, int) and not isinstance(key, bool):
            key = str(key)
        if not isinstance(key, str):
            return None
        return (key if self._token is None else self._token(key)).encode()


def _key_reader(known: KnownSchema) -> tuple[ReadContent[Any], int]:
    if known.kind == "JSON":
        return _json_key, 1
    reader = avro_reader(known)
    return reader.read, reader.type.types


def _json_key(content: bytes) -> Any:
    try:
        return msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise RecordError(DeadLetterCode.WRONG_KEY, "The record's key must be JSON, by its schema or the mapping, and is none.") from None


def avro_reader(known: KnownSchema) -> AvroReader:
    """What reads records of a schema; raises RecordError where it is none of Avro, or cannot be used."""
    if known.kind == "PROTOBUF":
        raise RecordError(DeadLetterCode.SCHEMA_REFUSED, _PROTOBUF)
    if known.kind != "AVRO":
        told = f"The schema of the record is of the kind {known.kind[:40]!r}; Avro and JSON Schema are read."
        raise RecordError(DeadLetterCode.SCHEMA_REFUSED, told)
    return AvroReader(known.text, known.references)


def said_of_frames(record: Record, error: RecordError) -> RecordError:
    """The refusal of a record that was read as plain JSON: where it is framed, that is what is wrong with it."""
    headers = headers_of(record)
    framed = partial(is_framed, headers=headers)
    if error.code in _NOT_READ and framed(record.value, header=VALUE_HEADER):
        what = "value"
    elif error.code == DeadLetterCode.WRONG_KEY and framed(record.key, header=KEY_HEADER):
        what = "key"
    else:
        return error
    of = _schema_named(record, what, headers)
    told = f"The record's {what} is framed for a schema registry{of}: Avro, JSON or Protobuf. {_REGISTRY}."
    return RecordError(DeadLetterCode.SCHEMA_FRAMED, told)


_NOT_READ = frozenset({DeadLetterCode.NOT_JSON, DeadLetterCode.NOT_UTF8, DeadLetterCode.WRONG_SHAPE})


def _schema_named(record: Record, what: str, headers: Headers) -> str:
    content, header = (record.value, VALUE_HEADER) if what == "value" else (record.key, KEY_HEADER)
    try:
        framed = unframed(content or b"", headers, header)
    except RecordError:
        return ""
    return "" if framed is None else f" (schema {framed.schema})"
