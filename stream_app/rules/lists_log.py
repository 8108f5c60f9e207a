"""The topic `fraud-lists`: which lists there are, and what they hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from stream_app.rules.checkpoint import Checkpoint
from stream_app.rules.entries import FOREVER, Entry
from stream_app.rules.lists import MAX_AT_ONCE, CardList, ListChange, ListedValue, ListEntries, ListRemoval, Lists
from stream_app.rules.topic_log import TopicLog

_DECODER: msgspec.json.Decoder[ListChange | Checkpoint] = msgspec.json.Decoder(CardList | ListEntries | ListRemoval | Checkpoint)


class ListsLog(TopicLog[ListChange]):
    """What the records of `fraud-lists` come to.

    Attributes:
        lists: in place: a book that was bound to them asks what they hold now. Change them between two micro-batches.
    """

    def __init__(self, *, refuse_card_numbers: bool = True) -> None:
        super().__init__(_DECODER)
        self.lists = Lists(refuse_card_numbers=refuse_card_numbers)

    def _take(self, record: ListChange, offset: int, at_ms: int) -> None:  # noqa: ARG002 - of rules, it is when a release begins
        self.lists.take(record, at_ms)

    def _check(self, record: ListChange, at_ms: int) -> None:
        self.lists.check(record, at_ms)

    def _restore(self, record: ListChange) -> None:
        self.lists.take(record, 0)

    def _ended(self, ended_ms: int) -> None:
        self.lists.entries.drop_ended(ended_ms)

    def records(self, ended_ms: int) -> Iterator[bytes]:
        """See `TopicLog.records`. Entries of one reason and author stand together."""
        for name, one in self.lists.known.items():
            yield msgspec.json.encode(one)
            for entries in _together(entry for entry in self.lists.of(name) if entry.until_ms > ended_ms):
                values = tuple(ListedValue(e.value, None if e.until_ms == FOREVER else e.until_ms) for e in entries)
                yield msgspec.json.encode(ListEntries(name, values, entries[0].author, entries[0].reason))


def _together(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Entries by reason and author, as many as one record takes."""
    open_: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        group = open_.setdefault((entry.reason, entry.author), [])
        group.append(entry)
        if len(group) == MAX_AT_ONCE:
            yield open_.pop((entry.reason, entry.author))
    yield from open_.values()
