"""One topic of rules or lists as a process follows it: read to its end at the start, then record by record for as long as the process runs.

1. A topic that is not there holds nothing: that is told, and it is looked for again.
2. A record that is refused changes nothing; it is told and metered.
3. Where a topic lost what was to be read next, it is read anew; what was read stays until then.
4. A topic that is gone, or was made anew under its name (it has another id), is read no further: what was read stays until the process is
   started again. That is told, with what to do. Records are taken where the id was asked for after the last ones, or a second ago.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from loguru import logger

from stream_app.errors import FraudstreamError, NotFound, TopologyError, Unavailable
from stream_app.messages.records import Record
from stream_app.rules.topic_log import RefusedRecord, TopicLog
from stream_app.scoring.observation import RulesObserver, RuleTopicKind

AGAIN_S = 2.0
"""A topic that is not there, or cannot be read, is looked for again after so long."""
LOOK_S = 30.0
"""So often the id of a topic at rest is asked for."""
_ID_HOLDS_S = 1.0
"""So long an id that was asked for holds for records that come."""
_MOST_REFUSALS = 1_000
_REFILLED_BY = {"rules": "`fraudstream rules apply FOLDER`", "lists": "`fraudstream lists import`, of an export"}


class FollowedTopic[L](Protocol):
    """A topic of rules or lists that was read to the end that it had."""

    @property
    def log(self) -> L:
        """What its records came to."""

    @property
    def answered_s(self) -> float | None:
        """When the topic's broker answered last, with records or without, Unix time."""

    def poll(self) -> Awaitable[Sequence[Record]]:
        """The next records, in order and bounded in bytes; none where none came for a while."""


type OnRefused = Callable[[RefusedRecord], None]


@dataclass(frozen=True, slots=True)
class TopicSource[L]:
    """Where rules, or lists, come from.

    Attributes:
        kind: which of both.
        name: of the topic.
        id_of: Kafka's id of a topic, empty where brokers tell none; None where there is no such topic.
        open: opens the topic, and reads it to its end; told of each record that is refused.
    """

    kind: RuleTopicKind
    name: str
    id_of: Callable[[str], Awaitable[str | None]]
    open: Callable[[OnRefused], AbstractAsyncContextManager[FollowedTopic[L]]]


@dataclass(frozen=True, slots=True)
class TopicReader[L]:
    """What is done with what a topic holds.

    Attributes:
        begin: takes what the topic came to; once it was read, and again wherever it is read anew.
        take: brings that forward by the next record; why it was refused, or None.
    """

    begin: Callable[[L], Awaitable[None]]
    take: Callable[[L, Record], Awaitable[RefusedRecord | None]]


class TopicFollower[L: TopicLog[Any]]:
    """See the module.

    Attributes:
        id: Kafka's, of the topic that is read; empty where brokers tell none.
        is_read: whether the topic was there, and was read.
        is_known: whether what it holds is known: it was read, or is not there.
        trouble: why it cannot be read now; empty where it can.
    """

    def __init__(self, source: TopicSource[L], reader: TopicReader[L], observer: RulesObserver) -> None:
        self.name = source.name
        self.id = ""
        self.is_read = self.is_known = False
        self.trouble = ""
        self._source = source
        self._reader = reader
        self._observer = observer
        self._id_asked = 0.0
        self._is_missing = False
        self._begun: asyncio.Future[None] | None = None
        self._read_to = 0
        self._moved = asyncio.Event()
        self._refusals: dict[int, str] = {}

    async def run(self) -> None:
        """Follow the topic until cancelled."""
        self._expected()
        self._moved = asyncio.Event()  # of this loop
        while True:
            try:
                await self._follow()
            except Unavailable as error:
                self._tell(str(error))
            except FraudstreamError as error:
                self._tell(str(error))
                self._begins(error)
            except Exception as error:  # noqa: BLE001 - nobody else hears of it, and payments are decided meanwhile
                logger.opt(exception=error).error("Following topic {!r} failed", self.name)
                self._begins(Unavailable(f"Following topic {self.name!r} failed: {type(error).__name__}: {error}."))
            await asyncio.sleep(AGAIN_S)

    async def begun(self) -> None:
        """Return when the topic was read to the end that it had, or is not there. The caller bounds the wait.

        Raises:
            FraudstreamError: it is there and cannot be read: what it holds is not known.
        """
        await self._expected()

    async def taken(self, offset: int) -> str | None:
        """Return once a record was taken here; why it was refused, or None. The caller bounds the wait."""
        while self._read_to <= offset:
            await self._moved.wait()
        return self._refusals.get(offset)

    def must_be_there(self) -> None:
        """Refuse to go on without the topic.

        Raises:
            NotFound: there is none.
        """
        if not self.is_read:
            raise NotFound(f"Topic {self.name!r} does not exist. Create all that are missing: `fraudstream topics`.")

    def _expected(self) -> asyncio.Future[None]:
        if self._begun is None:
            self._begun = asyncio.get_running_loop().create_future()
        return self._begun

    def _begins(self, error: FraudstreamError | None = None) -> None:
        if error is None:
            self.is_known = True
        if not (begun := self._expected()).done():
            if error is None:
                begun.set_result(None)
            else:
                begun.set_exception(error)

    def _tell(self, trouble: str) -> None:
        """Say once what is wrong."""
        if self.trouble != trouble:
            self.trouble = trouble
            what = "Rules and lists in force stay as they are" if self.is_known else "What rules and lists are in force is not known yet"
            logger.warning("{}: {}", what, trouble)

    async def _follow(self) -> None:
        if not await self._there():
            return
        async with self._source.open(self._refused) as reading:
            self.is_read, log = True, reading.log
            await self._reader.begin(log)
            self._settled(log.offset)
            while True:
                for record in await self._polled(reading):
                    if (refused := await self._reader.take(log, record)) is not None:
                        self._refused(refused)
                    self._observer.rules_read(self._source.kind, log.offset, record.timestamp)
                    self._moves(log.offset)
                    await asyncio.sleep(0)

    async def _there(self) -> bool:
        """Whether the topic is there; its id is kept."""
        found = await self._source.id_of(self.name)
        self._refuse_another(found)
        if found is None:
            if not self._is_missing:
                logger.info("Topic {!r} does not exist: no {} are in force. `fraudstream topics` makes it.", self.name, self._source.kind)
            self._is_missing = True
            self._begins()
            return False
        self.id = found
        return True

    def _refuse_another(self, found: str | None) -> None:
        """Rule 4.

        Raises:
            TopologyError: what was read of the topic is not what is there now.
        """
        if not self.is_read or found in (self.id, "") or (found and not self.id):
            return
        raise TopologyError(
            f"Topic {self.name!r} {'was made anew' if found else 'is gone'}: it is not the one that was read. What was in force stays until this "
            f"process ends. Make it with `fraudstream topics` if it is not there, fill it again ({_REFILLED_BY[self._source.kind]}), then start "
            "workers and API again."
        )

    async def _polled(self, reading: FollowedTopic[L]) -> Sequence[Record]:
        """The next records of the topic that was opened."""
        records = await reading.poll()
        if reading.answered_s is not None:
            self._observer.rules_asked(self._source.kind, reading.answered_s)
        if time.monotonic() - self._id_asked >= (_ID_HOLDS_S if records else LOOK_S):
            try:
                found = await self._source.id_of(self.name)
            except FraudstreamError:
                return records  # nobody says what it is: it is asked again with the next ones
            self._id_asked = time.monotonic()
            self._refuse_another(found)
        return records

    def _settled(self, offset: int) -> None:
        self.trouble, self._is_missing = "", False
        self._observer.rules_read(self._source.kind, offset, None)
        logger.info("Topic {!r} is read up to offset {}, and followed.", self.name, offset)
        self._moves(offset)
        self._begins()

    def _moves(self, offset: int) -> None:
        self._read_to = offset
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def _refused(self, refused: RefusedRecord) -> None:
        self._observer.record_refused(self._source.kind)
        self._refusals[refused.offset] = refused.why
        if len(self._refusals) > _MOST_REFUSALS:
            del self._refusals[next(iter(self._refusals))]
        logger.warning("Topic {!r}, offset {}: refused, nothing changed. {}", self.name, refused.offset, refused.why)
