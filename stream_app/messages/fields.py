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


def doubtful_texts[T: msgspec.Struct](message: type[T], fields: tuple[Field, ...]) -> Callable[[T], tuple[str | None, ...]]:
    """Compile what gives a message's texts to be looked at, as fast as if it were written by hand: as a rule none.

    They are all of them, where one that it must have holds an odd character or one that it may lack is given.
    """
    must, may = ([f"m.{name}" for name in names(fields, FieldKind.TEXT, required=required)] for required in (True, False))
    plain = " and ".join([*(f"{text} is None" for text in may), f"({' + '.join(must)}).isprintable()"])
    source = f"lambda m: () if {plain} else ({', '.join([*must, *may])},)"
    texts: Callable[[T], tuple[str | None, ...]] = eval(  # noqa: S307 - of the fields' names, as dataclasses do; looked up by name they take twice as long
        source, {"__name__": message.__module__}
    )
    return texts


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
