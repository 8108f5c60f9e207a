"""Records of Kafka, as they are read and as they are published."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from stream_app.messages.headers import Headers, OwnHeaders

NOT_DECODED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What a decoder raises of bytes that are no message of its type: no JSON, another shape, not UTF-8, nested too deep."""


def decoded[T](decoder: msgspec.json.Decoder[T], value: bytes | None) -> T | None:
    """The message in a record's value; None where there is none: anybody may write to a topic."""
    try:
        return decoder.decode(value or b"")
    except NOT_DECODED:
        return None


class Record(Protocol):
    """A Kafka record, as aiokafka gives it."""

    @property
    def offset(self) -> int:
        """Place in the partition's log."""

    @property
    def timestamp(self) -> int:
        """Kafka timestamp, Unix ms."""

    @property
    def key(self) -> bytes | None:
        """As published."""

    @property
    def value(self) -> bytes | None:
        """As published; None is a tombstone."""


class Published(Record, Protocol):
    """A record of an output topic."""

    @property
    def headers(self) -> Headers:
        """As published."""


type Place = tuple[str, int]
"""A topic and the number of one of its partitions."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish, to the same partition number as its transaction's.

    Attributes:
        shorter: makes what is published in its place where its topic does not take so many bytes; None: nothing.
        at_ms: its Kafka timestamp; None: when it is published.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: OwnHeaders = ()
    shorter: Callable[[], Outgoing] | None = None
    at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Addressed:
    """A message to one partition of its topic; None: where Kafka's own clients put its key."""

    partition: int | None
    message: Outgoing
