"""The fields of a message, read off its type: what checks, files and replays make of each follows from here, and is written nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import inspect


class FieldKind(StrEnum):
    """What a field holds."""

    TEXT = "any text"
    CODE = "a text of a list, or of a form"
    NUMBER = "a number"
    TIME = "milliseconds"
    FLAG = "true or false"
    NUMBERS = "numbers by name"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message.

    Attributes:
        required: whether a message must have it.
        default: what stands for it where a message that may lack it does.
    """

    name: str
    kind: FieldKind
    required: bool
    default: Any


LISTED = {"listed": True}
"""`msgspec.Meta.extra` of a text that is checked against a list of codes."""


def fields_of(message: type[msgspec.Struct]) -> tuple[Field, ...]:
    """The fields of a message in order.

    Raises:
        TypeError: if nobody knows what a field holds, naming it.
    """
    types = {field.name: field.type for field in _inspected(message).fields}
    fields = msgspec.structs.fields(message)
    return tuple(Field(f.name, _kind(message, f.name, types[f.name]), f.required, None if f.required else f.default) for f in fields)


def names(fields: tuple[Field, ...], *kinds: FieldKind, required: bool | None = None) -> tuple[str, ...]:
    """The names of those that hold one of `kinds`; with `required`, of those that a message must have, or may lack."""
    return tuple(f.name for f in fields if f.kind in kinds and required in {None, f.required})


def is_plain[T: msgspec.Struct](message: type[T], fields: tuple[Field, ...]) -> Callable[[T], bool]:
    """Compile a check, as fast as one written by hand: no text that a message must have holds an odd character, none that it may lack is given."""
    must, may = (names(fields, FieldKind.TEXT, required=required) for required in (True, False))
    printable = f"({' + '.join(f'm.{name}' for name in must) or repr('')}).isprintable()"
    plain: Callable[[T], bool] = eval(  # noqa: S307 - the fields' names alone, as dataclasses do; attributes looked up by name take twice as long
        f"lambda m: {' and '.join([printable, *(f'm.{name} is None' for name in may)])}", {"__name__": message.__module__}
    )
    return plain


def _inspected(message: type[msgspec.Struct]) -> inspect.StructType:
    found = inspect.type_info(message)
    assert isinstance(found, inspect.StructType)  # noqa: S101 - for the type checker: a Struct's
    return found


def _kind(message: type[msgspec.Struct], name: str, of: inspect.Type) -> FieldKind:
    held = [t for t in (of.types if isinstance(of, inspect.UnionType) else (of,)) if not isinstance(t, inspect.NoneType)]
    kinds = {kind for t in held for kind, is_of in _HELD if is_of(t)}
    if len(held) != 1 or len(kinds) != 1:
        raise TypeError(f"{message.__name__}.{name}: nobody says how checks and files take {of}. Add it to `messages.fields`.")
    return kinds.pop()


def _is_code(of: inspect.Type) -> bool:
    listed = isinstance(of, inspect.Metadata) and isinstance(of.type, inspect.StrType) and of.extra == LISTED
    return listed or isinstance(of, inspect.LiteralType) or (isinstance(of, inspect.StrType) and of.pattern is not None)


_HELD: tuple[tuple[FieldKind, Callable[[inspect.Type], bool]], ...] = (
    (FieldKind.TEXT, lambda of: isinstance(of, inspect.StrType) and of.pattern is None),
    (FieldKind.CODE, _is_code),
    (FieldKind.NUMBER, lambda of: isinstance(of, inspect.FloatType)),
    (FieldKind.TIME, lambda of: isinstance(of, inspect.IntType)),
    (FieldKind.FLAG, lambda of: isinstance(of, inspect.BoolType)),
    (FieldKind.NUMBERS, lambda of: isinstance(of, inspect.DictType) and isinstance(of.value_type, inspect.FloatType)),
)
