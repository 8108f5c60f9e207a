"""Which of the letters that somebody gives may go back, and their way there."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import batched
from typing import NamedTuple

from stream_app.adapters.kafka.log import KafkaLog
from stream_app.adapters.kafka.options import client_options
from stream_app.adapters.kafka.partitioners import PARTITIONERS
from stream_app.adapters.kafka.returning import AT_ONCE, ReturningProducer, returning_producer
from stream_app.adapters.kafka.topics import partition_counts
from stream_app.bootstrap_inputs import inputs_of
from stream_app.commands.letter_lines import LetterLine
from stream_app.commands.topic_records import read_topic
from stream_app.delivery.placement import CardHomes, newest_keys
from stream_app.delivery.sent_back import DeadLetter, LetterPlace, ReturnedRecord, letter_of, mark_in
from stream_app.errors import RecordError
from stream_app.messages.records import Addressed
from stream_app.messages.transaction import Label, Transaction
from stream_app.settings import Settings
from stream_app.wire.inputs import Inputs, Reads, decode_one, some_ready


class LetterFate(StrEnum):
    """What became of a letter, in words that follow a number."""

    SENT = "sent"
    BEFORE = "went back before"
    CANNOT = "cannot go back"
    REFUSED = "would be refused again"
    UNKNOWN = "are not there"


class ReturnOutcome(NamedTuple):
    """What became of one line, and the sentence that tells it."""

    outcome: LetterFate
    text: str


@dataclass(slots=True)
class FoundLetters:
    """The letters that are wanted, as their topics have them.

    Attributes:
        letters: by place.
        marked: those that went back.
    """

    wanted: frozenset[LetterPlace]
    letters: dict[LetterPlace, DeadLetter] = field(default_factory=dict)
    marked: set[LetterPlace] = field(default_factory=set)


async def give_back(settings: Settings, lines: Sequence[LetterLine], *, dry_run: bool) -> list[ReturnOutcome]:
    """Send what may go back; one outcome for each line, in order.

    Raises:
        TopologyError, Unavailable, Refused, UnpackError: Kafka does not answer, or refuses. What was sent before stays sent, and marked.
    """
    outcomes: list[ReturnOutcome] = []
    async with _sender(settings, dry_run=dry_run) as sender:  # first: from here on nobody else sends
        found = await _found(settings, lines)
        homes = await _homes(settings) if sender is not None else {}
        inputs, _ = inputs_of(settings)
        taken: set[LetterPlace] = set()
        for lot in batched(lines, AT_ONCE):
            records: list[ReturnedRecord] = []
            for line in lot:
                outcome = await _one(line, found, taken, settings, inputs)
                if isinstance(outcome, ReturnedRecord):
                    records.append(outcome)
                    taken.add(outcome.letter.place)
                    outcome = ReturnOutcome(LetterFate.SENT, line.letter)
                outcomes.append(outcome)
            if records and sender is not None:
                await sender.send([message for record in records for message in _addressed(record, homes)])
    return outcomes


@asynccontextmanager
async def _sender(settings: Settings, *, dry_run: bool) -> AsyncIterator[ReturningProducer | None]:
    if dry_run:
        yield None
        return
    client = client_options(settings)
    counts = await partition_counts(client, (settings.transactions_topic, settings.labels_topic))
    async with returning_producer(client, f"{settings.consumer_group}-dlq-replay", counts) as sender:
        yield sender


async def _homes(settings: Settings) -> Mapping[str, CardHomes]:
    """Of each input, where its cards belong now."""
    client, topics = client_options(settings), (settings.transactions_topic, settings.labels_topic)
    counts, log = await partition_counts(client, topics), KafkaLog(client, settings.consumer_group)
    return {topic: CardHomes.told_by(await newest_keys(log, topic, range(count)), count, PARTITIONERS) for topic, count in counts.items()}


def _addressed(record: ReturnedRecord, homes: Mapping[str, CardHomes]) -> tuple[Addressed, Addressed]:
    of_topic = homes.get(record.letter.source.topic)
    return record.messages(record.stood if of_topic is None else of_topic.of(record.key, record.stood))


async def _found(settings: Settings, lines: Sequence[LetterLine]) -> FoundLetters:
    """The letters as Kafka has them, and which of them went back: from the oldest one's time on."""
    found = FoundLetters(frozenset(place for line in lines if (place := LetterPlace.of(line.letter)) is not None))
    since_ms = min(line.at for line in lines)
    for topic in {place.topic for place in found.wanted} & {settings.transactions_dlq_topic, settings.labels_dlq_topic}:
        async with aclosing(read_topic(settings, topic, since_ms=max(0, since_ms), committed=True)) as read:
            async for records in read:
                for record in records:
                    if (place := mark_in(record)) is not None:
                        found.marked |= {place} & found.wanted
                    elif LetterPlace(topic, record.partition, record.offset) in found.wanted:
                        letter = letter_of(topic, record.partition, record)
                        found.letters |= {letter.place: letter} if letter else {}
    return found


class _StaysError(Exception):
    """A letter that does not go back, and why."""

    def __init__(self, outcome: LetterFate, why: str) -> None:
        super().__init__(why)
        self.outcome = outcome


async def _one(
    line: LetterLine, found: FoundLetters, taken: set[LetterPlace], settings: Settings, inputs: Inputs
) -> ReturnOutcome | ReturnedRecord:
    """The record that a line gives back, or why there is none."""
    try:
        record = _mended(line, _letter(line, found, taken))
        await _check(record, settings, inputs)
    except _StaysError as stays:
        return ReturnOutcome(stays.outcome, f"{line.letter}: {stays}")
    return record


def _letter(line: LetterLine, found: FoundLetters, taken: set[LetterPlace]) -> DeadLetter:
    place = LetterPlace.of(line.letter)
    letter = None if place is None else found.letters.get(place)
    if letter is None:
        raise _StaysError(LetterFate.UNKNOWN, "there is no such letter (any more), or it is older than its `at` says.")
    if letter.place in found.marked or letter.place in taken:
        raise _StaysError(LetterFate.BEFORE, "it went back before, and goes once.")
    return letter


def _mended(line: LetterLine, letter: DeadLetter) -> ReturnedRecord:
    key, value = line.key_bytes(), line.value_bytes()
    if not value:
        raise _StaysError(LetterFate.CANNOT, f"it has no value. {letter.needs().capitalize() or 'Write it as `value`'}.")
    if key is None:
        raise _StaysError(LetterFate.CANNOT, "it has no key: write the card's id as `key`.")
    record = ReturnedRecord(letter, key, value, int(time.time() * 1000))
    if refusal := record.refusal():
        raise _StaysError(LetterFate.CANNOT, f"{refusal}.")
    return record


async def _check(record: ReturnedRecord, settings: Settings, inputs: Inputs) -> None:
    """As a worker would, by the settings here."""
    topic = record.letter.source.topic
    try:
        if topic == settings.transactions_topic:
            await _decode(record, inputs.payments, inputs)
        elif topic == settings.labels_topic:
            await _decode(record, inputs.labels, inputs)
        else:
            raise _StaysError(LetterFate.CANNOT, f"it came from {topic!r}, which is none of the inputs that the settings name.")
    except RecordError as error:
        raise _StaysError(LetterFate.REFUSED, f"workers would refuse it again ({error.code}): {error.message}") from None


async def _decode[T: (Transaction, Label)](record: ReturnedRecord, reads: Reads[T], inputs: Inputs) -> None:
    async for ready in some_ready([record], reads, inputs):
        for each in ready:
            decode_one(reads, each, record.timestamp)
