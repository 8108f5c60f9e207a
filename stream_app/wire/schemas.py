"""The schemas of a registry, as far as they are known here: bounded, and what is wanted of it told to whoever fetches."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from stream_app.errors import RecordError, Unavailable
from stream_app.wire.framing import SchemaId

MOST_SCHEMAS = 1_000
"""Far more than a topic has; whoever needs one of them again asks disk or registry again."""
MOST_SCHEMAS_BYTES = 32 * 2**20
MOST_WANTED = 1_000


class KnownSchema(NamedTuple):
    """A schema as the registry has it.

    Attributes:
        kind: AVRO, JSON or PROTOBUF.
        text: what it says.
        references: the texts of the schemas that it refers to, and of those that these do; of Avro alone.
    """

    kind: str
    text: str
    references: tuple[str, ...] = ()


class SchemaBook:
    """Schemas by id. The longest unused ones are dropped; what a record was seen to need stays until it was used, for nothing waits between."""

    def __init__(self, on_wanted: Callable[[], None] = lambda: None) -> None:
        """Begin without any; `on_wanted` is called when one is wanted."""
        self._known: OrderedDict[SchemaId, KnownSchema | RecordError] = OrderedDict()
        self._bytes = 0
        self._wanted: dict[SchemaId, Unavailable | None] = {}
        self._on_wanted = on_wanted

    def __len__(self) -> int:
        return len(self._known)

    @property
    def size(self) -> int:
        """Characters of all that are known."""
        return self._bytes

    def on_wanted(self, call: Callable[[], None]) -> None:
        """Have this called when one is wanted."""
        self._on_wanted = call

    def has(self, schema: SchemaId) -> bool:
        """Whether it is known, or known to be none.

        Raises:
            Unavailable: it was waited for as long as is waited for a server.
        """
        if schema in self._known:
            return True
        if schema in self._wanted:
            if (given_up := self._wanted[schema]) is not None:
                raise given_up
        elif len(self._wanted) < MOST_WANTED:
            self._wanted[schema] = None
            self._on_wanted()
        return False

    def wanted(self) -> Iterator[SchemaId]:
        """Those that records wait for, the first first."""
        return iter([schema for schema, given_up in self._wanted.items() if given_up is None])

    def of(self, schema: SchemaId) -> KnownSchema:
        """One that is known.

        Raises:
            RecordError: the registry knows none, or it cannot be used.
            Unavailable: it is not known.
        """
        found = self._known.get(schema)
        if found is None:
            raise Unavailable(f"Schema {schema} was not fetched.")
        self._known.move_to_end(schema)
        if isinstance(found, RecordError):
            raise found
        return found

    def keep(self, schema: SchemaId, found: KnownSchema | RecordError) -> None:
        """What the registry says of one; the longest unused make room."""
        self.forget(schema)
        self._wanted.pop(schema, None)
        self._known[schema] = found
        self._bytes += _size(found)
        while len(self._known) > MOST_SCHEMAS or (self._bytes > MOST_SCHEMAS_BYTES and len(self._known) > 1):
            self._bytes -= _size(self._known.popitem(last=False)[1])

    def forget(self, schema: SchemaId) -> None:
        """Have it asked for again when it is needed."""
        if (found := self._known.pop(schema, None)) is not None:
            self._bytes -= _size(found)

    def given_up(self) -> Unavailable | None:
        """Why the first that was waited for in vain did not come; None where all came, or may come."""
        return next((error for error in self._wanted.values() if error is not None), None)

    def give_up(self, schema: SchemaId, error: Unavailable) -> None:
        """Whoever waits for it is told so."""
        self._wanted[schema] = error


def _size(found: KnownSchema | RecordError) -> int:
    return len(found.text) + sum(map(len, found.references)) if isinstance(found, KnownSchema) else 0
