"""Fetches the schemas that records wait for: from the registry, and from the copies on disk while it is away.

1. What the registry says of an id holds for ever, so it is asked once in a process; the copy serves where it does not answer.
2. Where it says something else than the copy, neither is believed: records wait, for decoded by a wrong schema they would be wrong silently.
3. That it knows no such schema is asked again after a while: a registry may be behind another.
4. What cannot be fetched is tried again for a bounded time; then whoever waits for it is told why.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from loguru import logger

from stream_app.adapters.schema_registry.copies import SchemaCopies
from stream_app.errors import FraudstreamError, NoAccess, RecordError, Unavailable
from stream_app.wire.framing import SchemaId
from stream_app.wire.schemas import KnownSchema, SchemaBook

ASK_AGAIN_S = 60.0
"""Whether a schema that was not there is there now."""
AT_ONCE = 4
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0
_MOST_CONFIRMED = 100_000


class FetchesSchemas(Protocol):
    """A registry; see `SchemaRegistry`."""

    shown: str

    async def fetch(self, schema: SchemaId) -> KnownSchema | RecordError:
        """See `SchemaRegistry.fetch`."""


class SchemaFetcher:
    """Fills the book with what is wanted of it."""

    def __init__(self, registry: FetchesSchemas, copies: SchemaCopies, book: SchemaBook, give_up_after_s: float) -> None:
        self._registry, self._copies, self._book = registry, copies, book
        self._give_up_after_s = give_up_after_s
        self._wanted = asyncio.Event()
        self._since: dict[SchemaId, float] = {}
        self._confirmed: set[SchemaId] = set()
        self._error: Unavailable | None = None
        self._told_copies = False
        book.on_wanted(self._wanted.set)

    async def run(self) -> None:
        """Fetch until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await self._fetch_all()

    async def fetched(self) -> None:
        """Return when nothing is wanted any more.

        Raises:
            Unavailable: a schema could not be fetched.
        """
        await self._fetch_all()
        if (error := self._book.given_up()) is not None:
            raise error

    async def look(self) -> None:
        """Nothing while no record waits for the registry; else why it does.

        Raises:
            NoAccess: its login or TLS does not fit.
            FraudstreamError: for any other reason.
        """
        if self._error is not None:
            raise self._error if isinstance(self._error, NoAccess) else FraudstreamError(str(self._error))

    async def _fetch_all(self) -> None:
        pause = _FIRST_PAUSE_S
        while some := list(self._book.wanted())[:AT_ONCE]:
            errors = [e for e in await asyncio.gather(*map(self._fetch_one, some)) if e is not None]
            self._error = errors[0] if errors else None
            if errors:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
            else:
                pause = _FIRST_PAUSE_S
        self._since.clear()

    async def _fetch_one(self, schema: SchemaId) -> Unavailable | None:
        """Put one into the book; why not, where it stays wanted."""
        since = self._since.setdefault(schema, time.monotonic())
        try:
            found = await self._found(schema)
        except Unavailable as error:
            if time.monotonic() > since + self._give_up_after_s:
                self._book.give_up(schema, error)
            return error
        self._book.keep(schema, found)
        if isinstance(found, RecordError):
            asyncio.get_running_loop().call_later(ASK_AGAIN_S, self._book.forget, schema)
        return None

    async def _found(self, schema: SchemaId) -> KnownSchema | RecordError:
        copy = await asyncio.to_thread(self._copies.read, schema)
        if copy is not None and schema in self._confirmed:
            return copy
        try:
            found = await self._registry.fetch(schema)
        except Unavailable as error:
            if copy is None:
                raise
            if not self._told_copies:
                logger.warning("{} Copies of schemas in {} are used meanwhile.", error, self._copies.folder)
            self._told_copies = True
            return copy
        self._told_copies = False
        if copy is not None and _is_of_before(copy, found):
            copy = None
        if copy is not None and found != copy:
            raise Unavailable(self._another(schema))
        if isinstance(found, KnownSchema):
            if copy is None:
                await asyncio.to_thread(self._copies.keep, schema, found)
            if len(self._confirmed) < _MOST_CONFIRMED:
                self._confirmed.add(schema)
        return found

    def _another(self, schema: SchemaId) -> str:
        return (
            f"The schema registry at {self._registry.shown} has another schema {schema} than it had before. An id is never given twice: was the registry "
            f"made anew, or is it another one? Records of before cannot be told from those of now. The former one is {self._copies.file_of(schema)}: "
            "remove that file where all records were written by the new one."
        )


def _is_of_before(copy: KnownSchema, found: KnownSchema | RecordError) -> bool:
    """Whether a copy is that of an earlier version of this program, which kept none of the schemas that one refers to."""
    return isinstance(found, KnownSchema) and bool(found.references) and copy == found._replace(references=())
