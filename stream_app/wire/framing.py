"""Confluent's framing: which schema of a registry a record's value or key was written by, and where its content begins.

Two forms, each for values and keys alike, as Confluent's serializers write them:

    0x00, id of 4 bytes (big-endian), content         before the content; the usual one
    0x01, GUID of 16 bytes                            in the header `__value_schema_id` or `__key_schema_id`; the content stands alone

Its deserializers take either form in either place, so this does too. No JSON begins with 0x00 or 0x01, and no card's id.
"""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from stream_app.errors import RecordError
from stream_app.messages.headers import Headers
from stream_app.messages.refusals import DeadLetterCode

VALUE_HEADER, KEY_HEADER = "__value_schema_id", "__key_schema_id"
_BY_ID, _BY_GUID = 0, 1
_LENGTH = {_BY_ID: 5, _BY_GUID: 17}

type SchemaId = int | str
"""Of a schema in its registry: the number, or the GUID as text."""


class Framed(NamedTuple):
    """What a frame holds."""

    schema: SchemaId
    content: bytes


def unframed(content: bytes, headers: Headers, header: str) -> Framed | None:
    """The schema's id and the content of a value or key; None where it is not framed.

    Args:
        content: the value or key.
        headers: of the record.
        header: the name of the one that may hold the id; of several the last counts.

    Raises:
        RecordError: if the frame is cut, or no frame.
    """
    if headers:
        for name, said in reversed(headers):
            if name == header:
                return Framed(_id_of(said or b"", whole=True, where=f"The header {header}"), content)
    if content and content[0] in _LENGTH:
        schema = _id_of(content, whole=False, where="The frame of the record's " + ("key" if header == KEY_HEADER else "value"))
        return Framed(schema, content[_LENGTH[content[0]] :])
    return None


def is_framed(content: bytes | None, headers: Headers, header: str) -> bool:
    """Whether a value or key looks framed, well or not."""
    return bool(content and content[0] in _LENGTH) or any(name == header for name, _ in headers)


def _id_of(frame: bytes, *, whole: bool, where: str) -> SchemaId:
    """The id that a frame begins with; with `whole` it is nothing else."""
    length = _LENGTH.get(frame[0]) if frame else None
    if length is None:
        raise RecordError(
            DeadLetterCode.WRONG_FRAME, f"{where} begins with neither 0x00 nor 0x01. Serialize with a client of the schema registry."
        )
    if len(frame) < length or (whole and len(frame) != length):
        raise RecordError(
            DeadLetterCode.WRONG_FRAME,
            f"{where} has {len(frame)} bytes; with 0x0{frame[0]} it {'has' if whole else 'needs'} {length}. Serialize with a client of the schema registry.",
        )
    return int.from_bytes(frame[1:length]) if frame[0] == _BY_ID else str(UUID(bytes=frame[1:length]))
