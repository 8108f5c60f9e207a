"""Changes of rules and lists as their author gives them on the command line: who, why, and what; as records."""

from __future__ import annotations

import re
from typing import Annotated, Any, NamedTuple

import msgspec
import typer

from stream_app.errors import RuleError

TypedAuthor = Annotated[str, typer.Option("--as", help="Who does this; kept with the change.")]
TypedReason = Annotated[str, typer.Option("--why", help="Why; kept with the change.")]


class Signature(NamedTuple):
    """Who changes something, and why."""

    author: str
    why: str


_WORDS = {
    "author": "--as takes a name of 1 to 64 printable signs of ASCII",
    "approver": "--as takes a name of 1 to 64 printable signs of ASCII",
    "why": "--why takes 1 to 200 signs, no line end and no control character",
    "name": "a list's name is a small letter, then up to 31 small letters, digits and underscores",
    "code": "a rule's code is a small letter, then up to 47 small letters, digits and underscores",
    "value": "a value has 1 to 64 signs, no line end and no control character",
    "values": "a value has 1 to 64 signs, no line end and no control character",
}


def made[T](of: type[T], /, **fields: Any) -> T:
    """A record, or a part of one.

    Raises:
        RuleError: a field is not right in form; in words for who typed it.
    """
    try:
        return msgspec.convert(fields, of)
    except msgspec.ValidationError as error:
        named = re.findall(r"\$\.(\w+)|\.(\w+)`", str(error))
        words = next((_WORDS[name] for pair in named for name in pair if name in _WORDS), str(error))
        raise RuleError(f"{words}.") from None


def signed(of: type[msgspec.Struct], /, **fields: Any) -> bytes:
    """A record as it stands in the topic.

    Raises:
        RuleError: as `made`.
    """
    return msgspec.json.encode(made(of, **fields | {"kind": of.__struct_config__.tag}))
