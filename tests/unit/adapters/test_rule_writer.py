"""Who writes to the topics of rules and lists beside others: what is told is the true cause, and no checkpoint is lost by it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest
from loguru import logger

from stream_app.adapters.kafka import rule_writer
from stream_app.adapters.kafka.rule_writer import RuleWriter
from stream_app.errors import RuleError
from stream_app.messages.records import Outgoing
from stream_app.rules import checkpoint, entries
from stream_app.rules.checkpoint import pieces_of
from stream_app.rules.lists import CardList, ListedValue, ListEntries
from stream_app.rules.lists_log import ListsLog
from stream_app.rules.topic_log import Restoration
from tests.unit.rules.made import NOW_MS

LIST = msgspec.json.encode(CardList("bad", "terminal", "block", "ann", "for tests"))


def put(*values: str) -> bytes:
    """Entries."""
    return msgspec.json.encode(ListEntries("bad", tuple(map(ListedValue, values)), "ann", "for tests"))


class Memory:
    """A topic, as who reads and who publishes see it; others write before some of our records, by their number."""

    def __init__(self, others: Mapping[int, Sequence[bytes]]) -> None:
        self.log, self.records, self.refused = ListsLog(), list[bytes](), dict[int, str]()
        self._others, self._published = others, 0

    async def publish(self, partition: int, messages: Sequence[Outgoing]) -> dict[str, int]:
        """As `KafkaPublisher.publish`."""
        assert partition == 0
        (message,) = messages
        self.records += self._others.get(self._published, ())
        self.records.append(message.value or b"")
        self._published += 1
        return {message.topic: len(self.records)}

    async def read_to_end(self) -> None:
        """As `RuleTopic.read_to_end`."""
        for offset, value in enumerate(self.records[self.log.offset :], self.log.offset):
            if (why := self.log.apply(offset, value, time.time_ns() // 1_000_000)) is not None:
                self.refused[offset] = why.why


def opened(others: Mapping[int, Sequence[bytes]]) -> tuple[Memory, RuleWriter[ListsLog]]:
    """A topic, and who writes to it."""
    memory = Memory(others)
    of: Any = memory
    return memory, RuleWriter("lists", of, of, memory.refused)


def started(memory: Memory) -> list[int]:
    """How many entries a start has, from each checkpoint that is whole."""
    restoration = Restoration(ListsLog)
    found = (restoration.read(offset, value) for offset, value in enumerate(memory.records))
    return [log.lists.count("bad") for log in found if log is not None]


def foreign(*, torn: bool) -> list[bytes]:
    """A checkpoint of another author, whole or its first piece alone."""
    log = ListsLog()
    for offset, value in enumerate((LIST, put("t1", "t2"))):
        log.apply(offset, value, NOW_MS)
    pieces = [*pieces_of(log.records(0), "other", log.offset, 0)]
    assert len(pieces) == 2
    return pieces[:1] if torn else pieces


@pytest.mark.parametrize("torn", [False, True])
def test_a_checkpoint_beside_another_is_told_where_none_of_them_is_whole(torn: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001 - a case
    """Pieces of two lie between one another: one that is whole is enough, whoever wrote it. The next one is whole again."""
    monkeypatch.setattr(checkpoint, "PIECE_BYTES", 1)

    async def body() -> None:
        memory, writer = opened({3: foreign(torn=torn)})
        await writer.write([LIST])
        await writer.write([put("t1", "t2")])
        if torn:
            with pytest.raises(RuleError, match="The checkpoint at offset 2 is not whole: another one was written at the same time"):
                await writer.checkpoint()
            assert (memory.log.checkpoint, started(memory)) == (None, [])
            await writer.checkpoint()
            assert (memory.log.checkpoint, started(memory)) == (5, [2])
        else:
            assert await writer.checkpoint() == 2
            assert (memory.log.checkpoint, started(memory)) == (3, [2])

    asyncio.run(body())


def test_a_checkpoint_right_behind_ours_takes_nothing_from_it() -> None:
    """Both are whole; the newest one is where a start begins."""

    async def body() -> None:
        memory, writer = opened({})
        await writer.write([LIST])
        await writer.write([put("t1", "t2")])
        read_to_end, log = memory.read_to_end, memory.log

        async def and_another() -> None:
            if len(memory.records) == 3:
                memory.records += pieces_of(log.records(0), "other", log.offset, 0)
            await read_to_end()

        monkeypatched: Any = memory
        monkeypatched.read_to_end = and_another
        assert await writer.checkpoint() == 1
        assert (log.checkpoint, started(memory)) == (3, [2, 2])

    asyncio.run(body())


def test_a_change_whose_checkpoint_fails_is_in_force_and_the_next_one_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its author is warned, and not told that the change was refused."""
    monkeypatch.setattr(checkpoint, "PIECE_BYTES", 1)
    monkeypatch.setattr(rule_writer, "MOST_TAIL_RECORDS", 1)
    said = list[str]()
    sink = logger.add(said.append, level="WARNING", format="{message}")

    async def body() -> None:
        memory, writer = opened({3: foreign(torn=True)})
        await writer.write([LIST])
        await writer.write([put("t1", "t2")])
        assert (memory.log.lists.count("bad"), memory.log.checkpoint) == (2, None)
        await writer.write([put("t3")])
        assert (memory.log.lists.count("bad"), started(memory)) == (3, [3])

    asyncio.run(body())
    logger.remove(sink)
    (one,) = said
    assert one.startswith(
        "The change is in force; no checkpoint of topic 'lists' was written, the next change tries again. The checkpoint at offset 2"
    )


def test_what_is_refused_for_our_own_records_is_not_laid_to_another_author(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them fits, all of them do not; who was faster is blamed only where somebody was."""
    monkeypatch.setattr(entries, "MAX_ENTRIES", 3)

    async def body() -> None:
        _, writer = opened({})
        await writer.write([LIST])
        with pytest.raises(RuleError, match=r"^This was written at offset 2, and is not in force\. The lists would hold 4 entries"):
            await writer.write([put("a", "b"), put("c", "d")])
        _, beside = opened({1: [put("x", "y")]})
        await beside.write([LIST])
        with pytest.raises(RuleError, match=r"^Another author was faster; this was written at offset 2"):
            await beside.write([put("a", "b")])

    asyncio.run(body())
