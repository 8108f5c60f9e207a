"""The table of fields: what each of a message's fields must be, read off its type, and written nowhere else.

The decoder's checks, the file reader's, the API's, what `produce` writes and what documents say of a field all follow from it, so that they
take and refuse the same values. What is said of a value that is refused: `stream_app.messages.refusals`.
"""

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
    OWN = "numbers and short texts by name"
    NUMBER_OR_TEXT = "a number or a short text"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message.

    Attributes:
        required: whether a message must have it.
        default: what stands for it where a message that may lack it does.
        nullable: whether a message may say null in its place.
        least, most: bounds of a number, or of a text's length in characters; None: it has none.
        form: regular expression of a code; None: it has none.
        codes: all that a code may be; empty where it has a form.
        listed: the name of the list that holds them, where it is not our own.
        must_be: in words, what its values must be.
        example: one of them, as it stands in JSON; a text without its quotes.
    """

    name: str
    kind: FieldKind
    required: bool
    default: Any
    nullable: bool
    least: float | None = None
    most: float | None = None
    form: str | None = None
    codes: tuple[str, ...] = ()
    listed: str = ""
    must_be: str = ""
    example: str = ""


def fields_of(message: type[msgspec.Struct]) -> tuple[Field, ...]:
    """The fields of a message in order.

    Raises:
        TypeError: if nobody knows what a field holds, naming it.
    """
    types = {field.name: field.type for field in _inspected(message).fields}
    fields = msgspec.structs.fields(message)
    return tuple(_field(message, f.name, types[f.name], f.required, None if f.required else f.default) for f in fields)


def names(fields: tuple[Field, ...], *kinds: FieldKind, required: bool | None = None) -> tuple[str, ...]:
    """The names of those that hold one of `kinds`; with `required`, of those that a message must have, or may lack."""
    return tuple(f.name for f in fields if f.kind in kinds and required in {None, f.required})


def one_of_own(field: Field, name: str) -> Field:
    """What one value of a field that holds numbers and short texts by name must be."""
    return Field(
        f"{field.name}.{name}",
        FieldKind.NUMBER_OR_TEXT,
        required=False,
        default=None,
        nullable=False,
        most=field.most,
        must_be=f"a finite number, or a text of up to {field.most:g} characters",
    )


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


def in_time_and_listed[T: msgspec.Struct](message: type[T], fields: tuple[Field, ...], in_time: str) -> Callable[[T, int], bool]:
    """Compile what tells whether a message is in time and each of its codes in its list, which the type cannot say: one call, as if by hand.

    `in_time` is the condition on its times, of `m` and `latest_ms`.
    """
    listed = [f for f in fields if f.listed]
    known = [f"m.{f.name} in {f.name}" if f.required else f"(m.{f.name} is None or m.{f.name} in {f.name})" for f in listed]
    lists = {f.name: frozenset(f.codes) for f in listed}
    is_so: Callable[[T, int], bool] = eval(  # noqa: S307 - as above
        f"lambda m, latest_ms: {' and '.join([in_time, *known])}", {"__name__": message.__module__, **lists}
    )
    return is_so


def _inspected(message: type[msgspec.Struct]) -> inspect.StructType:
    found = inspect.type_info(message)
    assert isinstance(found, inspect.StructType)  # noqa: S101 - for the type checker: a Struct's
    return found


def _field(message: type[msgspec.Struct], name: str, of: inspect.Type, required: bool, default: Any) -> Field:  # noqa: FBT001 - as msgspec tells it
    every = of.types if isinstance(of, inspect.UnionType) else (of,)
    held = [t for t in every if not isinstance(t, inspect.NoneType)]
    kinds = {kind for t in held for kind, is_of in _HELD if is_of(_bare(t))}
    if len(held) != 1 or len(kinds) != 1:
        raise TypeError(f"{message.__name__}.{name}: nobody says how checks and files take {of}. Add it to `messages.fields`.")
    (only,), bare = held, _bare(held[0])
    told = (only.extra or {}) if isinstance(only, inspect.Metadata) else {}
    choices = tuple(map(str, bare.values)) if isinstance(bare, inspect.LiteralType) else ()
    codes = tuple(sorted(told["codes"])) if "codes" in told else choices
    kind = FieldKind.CODE if codes else kinds.pop()
    least, most = _bounds(bare)
    return Field(
        name=name,
        kind=kind,
        required=required,
        default=default,
        nullable=len(held) < len(every),
        least=least,
        most=most,
        form=bare.pattern if isinstance(bare, inspect.StrType) else None,
        codes=codes,
        listed=told.get("list", ""),
        must_be=told.get("must_be") or _must_be(kind, choices, least, most),
        example=told.get("example") or (choices[0] if choices else ""),
    )


def _holds_own(of: inspect.Type) -> bool:
    """Whether it is a number or a bounded text."""
    held = of.types if isinstance(of, inspect.UnionType) else ()
    kinds = {type(_bare(t)) for t in held}
    return kinds == {inspect.FloatType, inspect.StrType}


def _bare(of: inspect.Type) -> inspect.Type:
    return of.type if isinstance(of, inspect.Metadata) else of


def _bounds(of: inspect.Type) -> tuple[float | None, float | None]:
    match of:
        case inspect.StrType(min_length=least, max_length=most):
            return least, most
        case inspect.IntType(ge=least, le=most) | inspect.FloatType(ge=least, le=most):
            return least, most
        case inspect.DictType(value_type=inspect.UnionType(types=types)):
            return next(_bounds(t) for t in map(_bare, types) if isinstance(t, inspect.StrType))
    return None, None


def _must_be(kind: FieldKind, choices: tuple[str, ...], least: float | None, most: float | None) -> str:
    """In words, what follows from the type alone."""
    if choices:
        return f"one of {', '.join(choices)}"
    if kind in {FieldKind.TEXT, FieldKind.CODE}:
        return "a text" if most is None else f"a text of {f'1 to {most}' if least else f'up to {most}'} characters"
    if kind is FieldKind.OWN:
        return "an object of numbers and short texts by name"
    if kind is FieldKind.FLAG or least is None or most is None:
        return {FieldKind.FLAG: "true or false", FieldKind.TIME: "a whole number"}.get(kind, "a number")
    return f"a number from {least:g} to {most:g}"


_HELD: tuple[tuple[FieldKind, Callable[[inspect.Type], bool]], ...] = (
    (FieldKind.TEXT, lambda of: isinstance(of, inspect.StrType) and of.pattern is None),
    (FieldKind.CODE, lambda of: isinstance(of, inspect.LiteralType) or (isinstance(of, inspect.StrType) and of.pattern is not None)),
    (FieldKind.NUMBER, lambda of: isinstance(of, inspect.FloatType)),
    (FieldKind.TIME, lambda of: isinstance(of, inspect.IntType)),
    (FieldKind.FLAG, lambda of: isinstance(of, inspect.BoolType)),
    (FieldKind.OWN, lambda of: isinstance(of, inspect.DictType) and _holds_own(of.value_type)),
)
