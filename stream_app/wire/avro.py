"""Avro: a schema is looked through once, then fastavro reads records by it.

Whoever may write to a registry writes what is parsed here, and by a schema a few bytes can become gigabytes, or end the process: fastavro
follows a record that holds itself until the stack is used up (a fault of memory, no exception), and a million nulls of an array take no byte.
So before fastavro sees a schema:

1. it has `MOST_SCHEMA_BYTES` and is nested `MOST_DEPTH` deep, at the most, also where types refer to one another, and with the schemas of other subjects that
   it refers to: a type of theirs is written out where it is named first, so that one schema is left;
2. no type holds itself, and all types written out are `MOST_TYPES` at the most;
3. every type takes a byte at least, but for null as a branch of a union: what is read is bounded by the bytes of the record.

Logical types are not left to fastavro, which makes dates of the years 1 to 9999 and decimals of any length of them: their underlying values
are read, and `Leaf.moment_ms` and the like say what to make of each.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import fastavro
import msgspec

from stream_app.errors import RecordError
from stream_app.messages.refusals import DeadLetterCode, shown

MOST_SCHEMA_BYTES = 2**20
MOST_DEPTH = 32
MOST_TYPES = 10_000
_PLAIN = frozenset({"boolean", "int", "long", "float", "double", "bytes", "string"})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_WITHOUT_BYTES = "takes no byte, so that a few bytes could hold any number of them"


@dataclass(frozen=True, slots=True)
class AvroType:
    """A type of a schema, as far as it matters to who looks for a value.

    Attributes:
        name: Avro's: record, string, long …; of a union of several types, union.
        logical: Avro's logicalType; empty where it has none.
        fields: of a record, its fields.
        scale: of a decimal.
        types: how many there are, all of it written out.
        depth: how deep it is nested.
    """

    name: str
    logical: str = ""
    fields: Mapping[str, AvroType] = field(default_factory=dict)
    scale: int = 0
    types: int = 1
    depth: int = 1


class AvroReader:
    """Reads records of one schema."""

    def __init__(self, schema: str, references: Sequence[str] = ()) -> None:
        """Look through a schema.

        Args:
            schema: as text.
            references: the schemas that it refers to, and those that these do.

        Raises:
            RecordError: it cannot be used; why, for the producer's team.
        """
        size = len(schema) + sum(map(len, references))
        if size > MOST_SCHEMA_BYTES:
            raise _unusable(f"it has {size} characters{' with those it refers to' * bool(references)}; {MOST_SCHEMA_BYTES} are allowed")
        others = {name: written for text in references for name, written in _types_of(_decoded(text))}
        self.type, plain = _Look(others).through(_decoded(schema), "", 0)
        if self.type.name != "record":
            self.type = AvroType("", fields=MappingProxyType({"": self.type}), types=self.type.types, depth=self.type.depth)
        try:
            self._schema = fastavro.parse_schema(plain)
        except Exception as error:  # noqa: BLE001 - whatever it makes of a schema that Avro does not allow
            raise _unusable(f"Avro does not allow it ({type(error).__name__}: {error})") from None

    def read(self, content: bytes) -> Any:
        """The record in these bytes, all of them: a dictionary of plain values, or what else its schema is of.

        Raises:
            RecordError: they are none by this schema.
        """
        source = io.BytesIO(content)
        try:
            record = fastavro.schemaless_reader(source, self._schema, None)
        except Exception as error:  # noqa: BLE001 - EOFError, IndexError, UnicodeDecodeError …: of bytes that are something else
            told = f"The content is no Avro by its schema: it ends too early, or does not fit ({type(error).__name__}: {error})."
            raise RecordError(DeadLetterCode.NOT_AVRO, told) from None
        if left := len(content) - source.tell():
            raise RecordError(
                DeadLetterCode.NOT_AVRO, f"The content is no Avro by its schema: {left} bytes are left behind its last field."
            )
        return record


class _Look:
    """One look through one schema; `others` are the types of those that it refers to, by their full names."""

    def __init__(self, others: Mapping[str, Any]) -> None:
        self._others = others
        self._known: dict[str, AvroType] = {}
        self._open: set[str] = set()

    def through(self, written: Any, namespace: str, depth: int) -> tuple[AvroType, Any]:
        """A type, and how it is written without logical types, defaults and remarks."""
        if depth > MOST_DEPTH:
            raise _too_deep()
        match written:
            case str():
                return self._named(written, namespace, depth)
            case list():
                return self._union(written, namespace, depth)
            case {"type": "record" | "error"}:
                return self._record(written, namespace, depth)
            case {"type": "enum" | "fixed"}:
                return self._alone(written, namespace)
            case {"type": ("array" | "map") as name}:
                part = "items" if name == "array" else "values"
                inner, plain = self.through(written.get(part), namespace, depth + 1)
                return self._of(name, "", [inner]), {"type": name, part: _with_bytes(inner, plain, f"{part} of an {name}")}
            case {"type": str() | dict() | list() as inner}:
                of, plain = self.through(inner, namespace, depth + 1)
                logical, scale = written.get("logicalType"), written.get("scale", 0)
                if isinstance(logical, str) and isinstance(scale, int):
                    of = AvroType(of.name, logical, of.fields, scale, of.types, of.depth)
                return of, plain
        raise _unusable(f"{shown(str(written))[:80]!r} is no type of Avro")

    def _named(self, name: str, namespace: str, depth: int) -> tuple[AvroType, Any]:
        if name in _PLAIN or name == "null":
            return AvroType(name), name
        for full in dict.fromkeys((_full(name, namespace), name)):
            if full in self._open:
                raise _unusable(f"{shown(name)!r} holds itself; a payment does not")
            if (found := self._known.get(full)) is not None:
                if depth + found.depth > MOST_DEPTH:
                    raise _too_deep()
                return found, _plain_name(full)
            if full in self._others:
                return self.through(self._others[full], "", depth)
        raise _unusable(f"it names {shown(name)!r}, which is defined neither in it nor in the schemas that it refers to")

    def _union(self, written: list[Any], namespace: str, depth: int) -> tuple[AvroType, Any]:
        found = [self.through(branch, namespace, depth + 1) for branch in written]
        if not found:
            raise _unusable("a union of it has no types")
        some = [of for of, _ in found if of.name != "null"]
        whole = self._of("union", "", [of for of, _ in found])
        if len(some) == 1:
            whole = AvroType(some[0].name, some[0].logical, some[0].fields, some[0].scale, whole.types, whole.depth)
        return whole, [plain for _, plain in found]

    def _record(self, written: dict[str, Any], namespace: str, depth: int) -> tuple[AvroType, Any]:
        name, inner = self._begun(written, namespace)
        self._open.add(name)
        fields: dict[str, AvroType] = {}
        plain: list[Any] = []
        for each in _list_of(written.get("fields")):
            known = each.get("name") if isinstance(each, dict) else None
            if not isinstance(known, str) or known in fields:
                raise _unusable(f"a field of {shown(name)!r} has no name of its own")
            fields[known], of = self.through(each.get("type"), inner, depth + 1)
            plain.append({"name": known, "type": _with_bytes(fields[known], of, f"field {shown(known)!r}")})
        if not fields:
            raise _unusable(f"record {shown(name)!r} has no fields: it {_WITHOUT_BYTES}")
        self._open.discard(name)
        of = self._of("record", "", list(fields.values()))
        self._known[name] = found = AvroType("record", "", MappingProxyType(fields), 0, of.types, of.depth)
        return found, {"type": "record", "name": _plain_name(name), "fields": plain}

    def _alone(self, written: dict[str, Any], namespace: str) -> tuple[AvroType, Any]:
        """An enum or a fixed."""
        name, _ = self._begun(written, namespace)
        logical, scale = written.get("logicalType", ""), written.get("scale", 0)
        found = AvroType(written["type"], logical if isinstance(logical, str) else "", scale=scale if isinstance(scale, int) else 0)
        self._known[name] = found
        if found.name == "fixed":
            size = written.get("size")
            if not isinstance(size, int) or size < 1:
                raise _unusable(f"fixed {shown(name)!r} has no size: it {_WITHOUT_BYTES}")
            return found, {"type": "fixed", "name": _plain_name(name), "size": size}
        symbols = _list_of(written.get("symbols"))
        if not symbols or not all(isinstance(symbol, str) for symbol in symbols):
            raise _unusable(f"enum {shown(name)!r} has no symbols")
        return found, {"type": "enum", "name": _plain_name(name), "symbols": symbols}

    def _begun(self, written: dict[str, Any], namespace: str) -> tuple[str, str]:
        """The full name of a named type, and the namespace in it."""
        name, own = written.get("name"), written.get("namespace", namespace)
        if not isinstance(name, str) or not isinstance(own, str):
            raise _unusable(f"a type of it, {written.get('type')}, has no name")
        full = _full(name, own)
        if not _NAME.fullmatch(full):
            raise _unusable(f"{shown(full)!r} is no name of Avro")
        if full in self._known or full in self._open:
            raise _unusable(f"{shown(name)!r} is defined twice")
        return full, full.rpartition(".")[0]

    def _of(self, name: str, logical: str, inner: list[AvroType]) -> AvroType:
        types = 1 + sum(of.types for of in inner)
        if types > MOST_TYPES:
            raise _unusable(f"written out it has more than {MOST_TYPES} types")
        return AvroType(name, logical, types=types, depth=1 + max(of.depth for of in inner))


def _decoded(schema: str) -> Any:
    try:
        return msgspec.json.decode(schema)
    except RecursionError:
        raise _too_deep() from None
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise _unusable(f"it is not JSON ({error})") from None


def _types_of(written: Any) -> Iterator[tuple[str, Any]]:
    """The named types at the top of a schema, by their full names."""
    for one in written if isinstance(written, list) else [written]:
        match one:
            case {"name": str() as name, "namespace": str() as namespace}:
                yield _full(name, namespace), one
            case {"name": str() as name}:
                yield name, one


def _plain_name(full: str) -> str:
    """The name that fastavro is given: without a namespace it would be looked for in that of the type around it."""
    return full if "." in full else f"_.{full}"


def _full(name: str, namespace: str) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"


def _list_of(found: Any) -> list[Any]:
    return found if isinstance(found, list) else []


def _with_bytes(of: AvroType, plain: Any, where: str) -> Any:
    """What is written, if each of it takes a byte."""
    if of.name == "null":
        raise _unusable(f"null as {where} {_WITHOUT_BYTES}")
    return plain


def _too_deep() -> RecordError:
    return _unusable(f"it is nested more than {MOST_DEPTH} deep")


def _unusable(why: str) -> RecordError:
    return RecordError(DeadLetterCode.SCHEMA_REFUSED, f"The schema of the record cannot be used: {why}.")
